#!/usr/bin/env bats
# Firewalls with both engines: a namespace with a requested firewall is closed until the rules are loaded, and a file of rules
# is a configuration.

load engine

ACCEPT='table inet t { chain c { type filter hook input priority 0; policy accept; }; }'

setup() { pair a; }

# Usage: reaches / cut_off
# Succeeds if the namespace a answers the host / does not answer.
reaches() { on ping -q -c1 -w5 192.0.2.2; }
cut_off() { if on ping -q -c2 -i0.1 -W0.3 192.0.2.2; then return 1; fi; }

# Files that prevent the loading of the rules. The last two fail in their hooks.
broken() {
  printf '%s\n' 'if then' 'exit 1' 'kill -9 $$' '[[ $INOUT != inside ]] || exit 1' '[[ $INOUT != inside ]] || kill -9 $$'
}

@test "a firewall that fails before or after its interface is up lets nothing pass, and the message reports it" {
  while IFS= read -r text; do
    rm -f "$CONF/nft-a.conf"
    on netnsctl up veth@a
    reaches
    config nft-a.conf <<<"$text"
    run ! on netnsctl up nft@a
    [[ $output == *'`nft@a` is not up: namespace `a` stays closed: only loopback traffic passes'* ]]
    cut_off
    run ! on netnsctl up nft@a veth@a
    cut_off
    on netnsctl down a
    run ! on netnsctl up veth@a nft@a
    cut_off
    on netnsctl down a
  done < <(broken)
  nothing_left
}

@test "a firewall that fails on a restart keeps the rules in force" {
  config nft-a.rules <<<"$ACCEPT"
  on netnsctl up a
  reaches
  config nft-a.rules <<<'no rules'
  run ! on netnsctl restart nft@a
  [[ $output == *'namespace `a` keeps the rules that were in force'* ]]
  reaches
  on netnsctl down a
}

@test "an interface that comes up in a closed namespace passes nothing" {
  config nft-a.rules <<<'no rules'
  config lo-a.conf <<<''
  run ! on netnsctl up lo@a nft@a
  on netnsctl up veth@a
  cut_off
  config nft-a.rules <<<"$ACCEPT"
  on netnsctl up nft@a
  reaches
  on netnsctl down a
}

@test "a file of rules alone brings up the firewall with its namespace, and is listed" {
  config nft-a.rules <<<'table inet mine { chain c { type filter hook input priority 0; policy drop; }; }'
  [[ $(state nft@a) == down ]]
  run -0 on netnsctl up a
  [[ $output == *'nft@a is up'* && $output == *'veth@a is up'* ]]
  cut_off
  [[ $(state nft@a) == up ]]
  on netnsctl check
  on netnsctl down nft@a
  run -1 on netnsctl check
  [[ $output == *'nft@a: the firewall is configured for the active namespace `a`, but not up; `netnsctl up nft@a`'* ]]
  on netnsctl down a
}

@test "check reports an empty ruleset, and a file without rules" {
  config nft-a.rules <<<"$ACCEPT"
  on netnsctl up a
  on netnsctl check
  on ip netns exec a nft flush ruleset
  run -1 on netnsctl check
  [[ $output == *'nft@a: no rules are in force: nothing is filtered'* ]]
  printf '%s\n' '# comment' 'flush ruleset' '' | config nft-a.rules
  config nft-a.conf <<<NFT_AUTO_SAVE=yes
  on ip netns exec a nft "$ACCEPT"
  run -1 on netnsctl check
  [[ $output == *"'/etc/conf.d/netns/nft-a.rules' has no rules: nothing is filtered"* ]]
  on netnsctl down a
}

@test "the first error of nft, with its file and line, is in the message, also if nft prints many errors" {
  { echo 'table inet t {' && for ((line = 2; line <= 9; line++)); do echo "  chain c$line { iif \"gone$line\" accept; }"; done && echo '}'; } |
    config nft-a.rules
  run ! on netnsctl up nft@a
  [[ $output == *'/etc/conf.d/netns/nft-a.rules:2:'*': Error: Interface does not exist'* && $output == *'more lines)'* ]]
}

@test "NFT_AUTO_SAVE does not save flushed rules, and a restart loads the rules again" {
  config nft-a.rules <<<"flush ruleset"$'\n''table inet t { chain c { type filter hook input priority 0; policy drop; }; }'
  config nft-a.conf <<<NFT_AUTO_SAVE=yes
  on netnsctl up a
  before=$(<"$CONF/nft-a.rules")
  on ip netns exec a nft flush ruleset
  reaches
  run on netnsctl restart nft@a
  [[ $(<"$CONF/nft-a.rules") == "$before" ]]
  [[ $(state nft@a) == up ]]
  cut_off
  on ip netns exec a nft flush ruleset
  run on netnsctl down nft@a
  [[ $(<"$CONF/nft-a.rules") == "$before" ]]
  on netnsctl down a
}

@test "the files that keep a namespace closed are removed with it" {
  config nft-a.rules <<<"$ACCEPT"
  on netnsctl up veth@a
  on mkdir -p /run/systemd-netns/closed
  on bash -c 'echo cause >/run/systemd-netns/closed/a'
  on netnsctl down a
  nothing_left
  on netnsctl up veth@a
  reaches
  on netnsctl down a
}

@test "a restart of a firewall that is not up closes the namespace, also if its file has a syntax error" {
  on netnsctl up veth@a
  reaches
  config nft-a.conf <<<'X=('
  run ! on netnsctl restart nft@a
  cut_off
  on netnsctl down a
}

closed() { on ip netns exec a nft list table inet netns_closed; }

@test "a namespace is closed before the files of its firewall are read, also by netnsctl itself" {
  on netnsctl up veth@a
  reaches
  for verb in up restart; do
    config nft-a.conf <<<'sleep 600'
    on netnsctl "$verb" nft@a 3>&- &
    eventually closed
    [[ -d /proc/$! ]] # netnsctl still reads the file
    cut_off
    wait "$!" || true # it cannot find the requirements of the firewall
    on ip netns exec a nft flush ruleset
    reaches
  done
  on netnsctl down a
}
