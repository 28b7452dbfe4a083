#!/usr/bin/env bats
# Firewalls under systemd: real rules, real packets.

load systemd

@test "with the shipped rules, only loopback traffic passes" {
  lab systemctl start netns-veth@nstest
  lab ping -c1 -W1 -q 192.0.2.130
  lab systemctl start netns-nft@nstest
  run ! lab ping -c1 -W1 -q 192.0.2.130
  run reaches nstest 192.0.2.129
  ((status != 0))
  reaches nstest 127.0.0.1
}

@test "nft-NAME.rules is loaded instead of nft.rules" {
  config nft-nstest.rules <<'END'
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    icmp type echo-request ip saddr 192.0.2.129 accept
  }
}
END
  lab systemctl start netns-veth@nstest netns-nft@nstest
  lab ping -c1 -W1 -q 192.0.2.130
  run reaches nstest 192.0.2.129
  ((status != 0))
}

@test "rules that cannot be loaded fail the first start, and nothing passes" {
  config nft-nstest.rules <<<'no rules at all'
  lab systemctl start netns-veth@nstest
  run ! lab systemctl start netns-nft@nstest
  is netns-nft@nstest failed
  up netns-veth@nstest
  run ! lab ping -c1 -W1 -q 192.0.2.130
  reaches nstest 127.0.0.1
  [[ $(journal netns-nft@nstest) == *nft-nstest.rules*'systemctl restart netns-nft@nstest'* ]]

  config nft-nstest.rules <<<'flush ruleset'
  lab systemctl restart netns-nft@nstest
  lab ping -c1 -W1 -q 192.0.2.130
}

@test "a .conf that has a syntax error, exits or is a dangling link: nothing passes" {
  lab systemctl start netns-veth@nstest
  for broken in 'echo if' 'echo exit 3' ''; do
    if [[ $broken ]]; then config nft-nstest.conf < <($broken); else lab ln -s nowhere "/etc/conf.d/netns/nft-nstest.conf"; fi
    run ! lab systemctl start netns-nft@nstest
    up netns-veth@nstest
    run ! lab ping -c1 -W1 -q 192.0.2.130
    lab bash -c 'rm /etc/conf.d/netns/nft-nstest.conf; ip netns exec nstest nft flush ruleset'
    lab ping -c1 -W1 -q 192.0.2.130
  done
}

@test "rules that cannot be loaded fail a restart, and the old rules stay in force" {
  config nft-nstest.rules <<<'table inet mine { chain input { type filter hook input priority 0; policy accept; ip protocol icmp counter accept; }; }'
  lab systemctl start netns-veth@nstest netns-nft@nstest
  lab ping -c1 -W1 -q 192.0.2.130
  config nft-nstest.rules <<<'table inet mine {'
  run ! lab systemctl restart netns-nft@nstest
  run -0 lab ip netns exec nstest nft list tables
  [[ $output == 'table inet mine' ]]
  lab ping -c1 -W1 -q 192.0.2.130
}

@test "there is no moment without rules during a replacement" {
  lab systemctl start netns-veth@nstest netns-nft@nstest
  lab bash -c 'ping -i 0.002 -c 1500 -W1 -q 192.0.2.130 >/run/ping.log' &
  ping=$!
  for ((turn = 0; turn < 8; turn++)); do lab systemctl restart netns-nft@nstest; done
  wait "$ping" || true
  [[ $(lab cat /run/ping.log) == *' 0 received'* ]]
}

@test "netns-nft-save saves the rules in force for the next start" {
  lab systemctl start netns-nft@keep
  lab ip netns exec keep nft add table inet mine
  lab netns-nft-save keep
  [[ $(lab stat -c '%a %U:%G' /etc/conf.d/netns/nft-keep.rules) == '644 root:root' ]]
  before=$(lab ip netns exec keep nft list ruleset)
  lab systemctl stop netns-nft@keep
  eventually gone keep
  lab systemctl start netns-nft@keep
  [[ $(lab ip netns exec keep nft list ruleset) == "$before" ]]
}

@test "only NFT_AUTO_SAVE=yes saves on stop" {
  for value in yes YES 1 true; do
    config "nft-$value.conf" <<<"NFT_AUTO_SAVE=$value"
    lab systemctl start "netns-nft@$value"
    lab ip netns exec "$value" nft add table inet mine
    lab systemctl stop "netns-nft@$value"
    nothing_left "$value"
  done
  grep -q 'table inet mine' "$CONF/nft-yes.rules"
  [[ ! -e $CONF/nft-YES.rules && ! -e $CONF/nft-1.rules && ! -e $CONF/nft-true.rules ]]
}

@test "NFT_AUTO_SAVE only warns about a manually deleted namespace" {
  config nft-lost.conf <<<'NFT_AUTO_SAVE=yes'
  lab systemctl start netns-nft@lost
  lab ip netns delete lost
  lab systemctl stop netns-nft@lost
  [[ $(journal netns-nft@lost) == *"namespace 'lost' was deleted manually: its rules are not saved"* ]]
  nothing_left lost
}

@test "hooks in a .conf override the hooks of the type" {
  config nft-own.conf <<END
configure_nft_up_outside() { echo "own outside \$1" >>$LOG; }
configure_nft_up_inside() { echo "own inside \$1" >>$LOG; }
END
  lab systemctl start netns-nft@own
  [[ $(hooks) == 'own outside own,own inside own' ]]
  run -0 lab ip netns exec own nft list ruleset
  [[ -z $output ]]
}
