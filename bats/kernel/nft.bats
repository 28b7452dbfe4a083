#!/usr/bin/env bats
# nft: a firewall in the namespace.

load kernel

setup_pair() {
  # The path that the rules must block: from the host to the namespace.
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 | config veth-a.conf
  up veth a
  reaches host 192.0.2.2
}

ruleset() { inside a nft list ruleset; }

# A table of that name.
table() { echo "table inet $1 { chain c { type filter hook input priority 0; policy accept; }; }"; }

# Usage: monitor_mark WORD
# Changes the rules of namespace a, and checks that the monitor shows this.
monitor_mark() {
  inside a nft add table inet "$1$RANDOM"
  grep --quiet "^add table inet $1" "$BATS_TEST_TMPDIR/monitor"
}

@test "nft sets lo up" {
  config nft.rules <<<''
  up nft a
  reaches a 127.0.0.1
}

@test "up and down leave nothing behind" {
  cp "$ROOT/etc/nft.rules" "$CONF"
  before=$(world)
  up nft a
  down nft a
  unchanged "$before"
}

@test "the shipped nft.rules drop everything except loopback traffic" {
  setup_pair
  cp "$ROOT/etc/nft.rules" "$CONF"
  up nft a
  cut_off host 192.0.2.2
  cut_off a 192.0.2.1
  reaches a 127.0.0.1
  reaches a ::1
}

@test "nft-NAME.rules are loaded if they exist, otherwise nft.rules" {
  config nft.rules <<<"$(table shared)"
  config nft-a.rules <<<"$(table only_a)"
  up nft a
  up nft b
  [[ $(inside a nft list tables) == 'table inet only_a' && $(inside b nft list tables) == 'table inet shared' ]]
}

@test "a name with a hyphen has its own rules" {
  config nft.rules <<<"$(table shared)"
  config nft-my-net.rules <<<"$(table mine)"
  up nft my-net
  [[ $(inside my-net nft list tables) == 'table inet mine' ]]
}

@test "the rules can include and define, relative to their directory" {
  config common.nft <<<'define lan = 192.0.2.0/24'
  config nft-a.rules <<END
include "$CONF/common.nft"
table inet t { chain c { ip saddr \$lan accept; }; }
END
  up nft a
  [[ $(ruleset) == *'ip saddr 192.0.2.0/24 accept'* ]]
}

@test "the rules replace all rules in force" {
  create a
  inside a nft add table inet stale
  config nft-a.rules <<<"$(table new)"
  hook nft a up inside
  [[ $(inside a nft list tables) == 'table inet new' ]]
}

@test "up can run twice, and the rules are loaded once" {
  cp "$ROOT/etc/nft.rules" "$CONF"
  up nft a
  before=$(ruleset)
  hook nft a up outside
  hook nft a up inside
  [[ $(ruleset) == "$before" ]]
}

@test "replacing the rules is one transaction, also if the file itself flushes" {
  cp "$ROOT/etc/nft.rules" "$CONF/nft-a.rules"
  sed -i '1i flush ruleset' "$CONF/nft-a.rules"
  up nft a
  inside a nft monitor >"$BATS_TEST_TMPDIR/monitor" 3>&- &
  BACKGROUND+=("$!")
  eventually monitor_mark begin
  hook nft a up inside
  eventually monitor_mark end
  # From the last mark before to the first mark after: the generation of that mark, and one of the hook.
  generations=$(awk '/^add table inet begin/ { n = 0 } /^add table inet end/ { exit } /^# new generation/ { n++ }
    END { print n }' "$BATS_TEST_TMPDIR/monitor")
  ((generations == 2))
}

@test "rules that cannot be loaded fail the hook, and the old rules stay in force" {
  setup_pair
  cp "$ROOT/etc/nft.rules" "$CONF"
  up nft a
  before=$(ruleset)
  for text in 'no rules' 'table inet t {' 'table inet t { chain c { tcp dport nosuch accept; }; }' 'include "/nosuch"'; do
    config nft-a.rules <<<"$text"
    run --separate-stderr ! hook nft a up inside
    [[ $stderr == *"cannot load '$CONF/nft-a.rules' in namespace 'a'"*'systemctl restart netns-nft@a'*'stay in force'* ]]
    [[ $(ruleset) == "$before" ]]
    cut_off host 192.0.2.2
  done
}

@test "rules that cannot be loaded, without rules in force: only loopback traffic passes" {
  setup_pair
  config nft.rules <<<'no rules'
  run --separate-stderr ! up nft a
  [[ $stderr == *'only loopback traffic passes'* ]]
  cut_off host 192.0.2.2
  cut_off a 192.0.2.1
  reaches a 127.0.0.1

  config nft.rules <<<"$(table fixed)"
  hook nft a up inside
  [[ $(inside a nft list tables) == 'table inet fixed' ]]
  reaches host 192.0.2.2
}

@test "a .conf with a syntax error, before rules are loaded: only loopback traffic passes" {
  setup_pair
  cp "$ROOT/etc/nft.rules" "$CONF"
  for file in nft-a.conf nft.conf default.conf; do
    config "$file" <<<'if'
    # up outside runs first, and fails.
    for side in outside inside; do
      run --separate-stderr ! hook nft a up "$side"
      [[ $stderr == *'only loopback traffic passes'* ]]
      cut_off host 192.0.2.2
      inside a nft flush ruleset
      reaches host 192.0.2.2
    done
    rm "$CONF/$file"
  done
  # The rules in force stay.
  hook nft a up inside
  before=$(ruleset)
  config nft-a.conf <<<'if'
  run ! hook nft a up inside
  [[ $(ruleset) == "$before" ]]
}

@test "broken rules of a name are an error, and nft.rules is not loaded instead" {
  setup_pair
  config nft.rules <<<''
  for broken in link directory; do
    case $broken in
      link) ln -s nowhere "$CONF/nft-a.rules" ;;
      directory) mkdir "$CONF/nft-a.rules" ;;
    esac
    run ! hook nft a up inside
    cut_off host 192.0.2.2
    rm -r "$CONF/nft-a.rules"
    inside a nft flush ruleset
  done
}

@test "a missing file of rules is an error" {
  setup_pair
  run --separate-stderr ! up nft a
  [[ $stderr == *"'$CONF/nft.rules': it does not exist; write rules, or copy the sample: netns.conf(5) has its path"* ]]
  cut_off host 192.0.2.2
}

@test "an error in the rules is reported with file and line" {
  create a
  printf '%s\n' '# a firewall' 'table inet t {' 'nonsense' '}' | config nft-a.rules
  run --separate-stderr ! hook nft a up inside
  [[ $stderr == *"$CONF/nft-a.rules:3:"* ]]
}

@test "down keeps the rules: other types may still be up" {
  setup_pair
  cp "$ROOT/etc/nft.rules" "$CONF"
  up nft a
  before=$(ruleset)
  down_hooks nft a
  [[ $(ruleset) == "$before" ]]
  cut_off host 192.0.2.2
}

@test "a restart loads the present rules" {
  config nft.rules <<<"$(table old)"
  up nft a
  config nft.rules <<<"$(table new)"
  restart_inside nft a
  [[ $(inside a nft list tables) == 'table inet new' ]]
}

@test "only NFT_AUTO_SAVE=yes saves the rules in force on down" {
  config nft.rules <<<"$(table shared)"
  for value in no '' YES 1; do
    config nft-a.conf <<<"NFT_AUTO_SAVE=$value"
    up nft a
    inside a nft add table inet added
    down nft a
    [[ ! -e $CONF/nft-a.rules ]]
  done
  config nft-a.conf <<<NFT_AUTO_SAVE=yes
  up nft a
  inside a nft add table inet added
  down nft a
  up nft a
  [[ $(inside a nft list tables | sort | paste -sd ,) == 'table inet added,table inet shared' ]]
}

@test "NFT_AUTO_SAVE warns if the namespace was deleted manually, and down continues" {
  config nft.rules <<<"$(table shared)"
  config nft-a.conf <<<NFT_AUTO_SAVE=yes
  up nft a
  hold a
  ip netns delete a
  run --separate-stderr -0 nsenter --net="$HELD" netnsinit nft a down inside
  [[ $stderr == *"'a' was deleted manually: its rules are not saved"* && ! -e $CONF/nft-a.rules ]]
}

@test "the error about a missing ip names the package, and only loopback traffic passes" {
  setup_pair
  run --separate-stderr inside a env PATH="$(only nft)" netnsinit nft a up inside
  [[ $stderr == *'`ip`'*'apt install iproute2'*'only loopback traffic passes'* ]]
}

# The namespace is closed before any file is run, so nothing in these files can open it.
closing() {
  printf '%s\n' 'if then' 'exit 1' 'kill -9 $$' 'kill $$' 'exec false' 'return 1; }' 'set +e; exit 0'
}

@test "any failure of a .conf before the rules are loaded: only loopback traffic passes" {
  setup_pair
  inside a ip link set dev lo up
  cp "$ROOT/etc/nft.rules" "$CONF"
  while IFS= read -r text; do
    for side in outside inside; do
      config nft-a.conf <<<"$text"
      hook nft a up "$side" || true
      cut_off host 192.0.2.2
      cut_off a 192.0.2.1
      reaches a 127.0.0.1
      inside a nft flush ruleset
      reaches host 192.0.2.2
    done
  done < <(closing)
}

@test "a .conf that hangs: only loopback traffic passes" {
  setup_pair
  cp "$ROOT/etc/nft.rules" "$CONF"
  config nft-a.conf <<<'sleep 600'
  hook nft a up outside 3>&- &
  BACKGROUND+=("$!")
  eventually pgrep --full 'sleep 600'
  cut_off host 192.0.2.2
  pkill --full 'sleep 600'
  wait "${BACKGROUND[-1]}"
}

@test "untrusted files and a plugin with a syntax error: only loopback traffic passes" {
  setup_pair
  cp "$ROOT/etc/nft.rules" "$CONF"
  config nft-a.conf <<<''
  chmod o+w "$CONF/nft-a.conf"
  run ! hook nft a up outside
  cut_off host 192.0.2.2
  inside a nft flush ruleset
  rm "$CONF/nft-a.conf"
  mkdir "$CONF/nft.sh"
  run ! hook nft a up outside
  cut_off host 192.0.2.2
}

@test "without errexit, rules that cannot be loaded fail the hook, and the namespace stays closed" {
  setup_pair
  config nft.rules <<<'no rules'
  for file in nft-a.conf default.conf; do
    config "$file" <<<'set +e'
    run --separate-stderr ! hook nft a up inside
    [[ $stderr == *"cannot load '$CONF/nft.rules'"* ]]
    cut_off host 192.0.2.2
    rm "$CONF/$file"
  done
}

@test "without errexit, a hook that loads no rules fails, and the namespace stays closed" {
  setup_pair
  config nft-a.conf <<<'set +e; configure_nft_up_inside() { nosuchprogram | cat; return 0; }'
  run --separate-stderr ! hook nft a up inside
  [[ $stderr == *"no rules were loaded: namespace \`a\` stays closed"* ]]
  cut_off host 192.0.2.2
}

@test "a .conf that hides a failure of the hook does not open the namespace" {
  setup_pair
  config nft.rules <<<'no rules'
  while IFS= read -r text; do
    config nft-a.conf <<<"$text"
    run --separate-stderr ! hook nft a up inside
    [[ $stderr == *'stays closed'* ]]
    cut_off host 192.0.2.2
  done <<'END'
nft() { command nft "$@" || true; }
exit() { :; }; false() { :; }
nft() { :; }
END
}

@test "a successful hook of the administrator opens the namespace" {
  setup_pair
  config nft-a.conf <<<'configure_nft_up_inside() { nft add table inet mine; }'
  hook nft a up inside
  [[ $(inside a nft list tables) == 'table inet mine' ]]
  reaches host 192.0.2.2
}

@test "a namespace is also closed before the hook of an administrator's firewall type" {
  setup_pair
  config fire.sh <<'END'
# fire: a firewall of the administrator
#
# Provides: firewall
NO_CONFIG_REQUIRED=yes
configure_fire_up_inside() { false; }
END
  run ! hook fire a up inside
  cut_off host 192.0.2.2
  # A hook that has loaded nothing does not open the namespace. A hook that removes the closing table does.
  sed -i 's/false/true/' "$CONF/fire.sh"
  run ! hook fire a up inside
  cut_off host 192.0.2.2
  sed -i 's/true/nft delete table inet netns_closed/' "$CONF/fire.sh"
  hook fire a up inside
  reaches host 192.0.2.2
}

@test "an interface that comes up later in a closed namespace passes nothing" {
  config nft.rules <<<'no rules'
  create a
  run ! hook nft a up inside
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 | config veth-a.conf
  up veth a
  cut_off host 192.0.2.2
}

# Usage: without_nft KIND
# Prints a PATH in which nft is missing, fails, hangs, or pretends to succeed.
without_nft() {
  local path nft=$BATS_TEST_TMPDIR/only/nft
  path=$(only bash ip cat mkdir rm sed sleep)
  rm -f "$nft"
  case $1 in
    missing) ;;
    fails) printf '#!/bin/bash\nexit 1\n' >"$nft" ;;
    hangs) printf '#!/bin/bash\nexec sleep 600\n' >"$nft" ;;
    lies) printf '#!/bin/bash\nexit 0\n' >"$nft" ;;
  esac
  [[ $1 == missing ]] || chmod +x "$nft"
  echo "$path"
}

@test "if nft cannot close the namespace, all links except lo are set down, and stay down until nft works" {
  setup_pair
  cp "$ROOT/etc/nft.rules" "$CONF"
  for kind in missing fails hangs lies; do
    run --separate-stderr ! inside a env PATH="$(without_nft "$kind")" netnsinit nft a up inside
    [[ $stderr == *'cannot close namespace `a` by nftables rules'*'all its interfaces except lo are down'*'netnsctl restart a'* ]]
    run --separate-stderr ! hook veth a up inside
    [[ $stderr == *'the firewall of namespace `a` cannot be loaded, so no interface may come up'* ]]
    inside a ip -oneline link show up | run ! grep --invert-match ': lo:'
    cut_off host 192.0.2.2

    # When nft works again, the firewall comes up, and then the interface.
    hook nft a up inside
    restart_inside veth a
    config nft-a.rules <<<'flush ruleset'
    restart_inside nft a
    reaches host 192.0.2.2
    rm "$CONF/nft-a.rules"
  done
}

@test "if nft cannot close a namespace, no interface of another namespace comes up in it" {
  create a b
  config nft.rules <<<''
  run ! inside a env PATH="$(without_nft missing)" netnsinit nft a up inside
  printf '%s\n' VETH_NSNAME_OUTSIDE=a VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 | config veth-b.conf
  run --separate-stderr ! hook veth b up outside
  [[ $stderr == *"the firewall of namespace 'a' cannot be loaded, so no interface comes up in it"* ]]
  [[ -z $(links a veth) ]]
  netnsinit --close a
  hook veth b up outside
}

@test "a foreign namespace of the same name is not closed" {
  create a
  config nft.rules <<<'no rules'
  replace a
  run ! hook nft a up outside
  run ! netnsinit --close a
  untouched a
}

@test "a namespace with rules in force is not closed" {
  setup_pair
  config nft.rules <<<"$(table kept)"
  up nft a
  netnsinit --close a
  [[ $(inside a nft list tables) == 'table inet kept' ]]
  # Rules that do not filter, and dormant rules, are not a firewall.
  inside a nft --file - <<<'flush ruleset; table inet t { flags dormant; chain c { type filter hook input priority 0; policy drop; }; }'
  netnsinit --close a
  cut_off host 192.0.2.2
  inside a nft --file - <<<'flush ruleset; table ip nat { chain c { type nat hook postrouting priority 100; }; }'
  netnsinit --close a
  cut_off host 192.0.2.2
}
