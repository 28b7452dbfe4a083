#!/usr/bin/env bats
# Instances are restarted repeatedly, alone and with other types on their namespace.

load systemd

# Usage: twenty_restarts TYPE NAME COMMAND...
# Succeeds if an instance is active after each of twenty restarts, COMMAND succeeds, and a stop leaves nothing.
twenty_restarts() {
  local turn
  for ((turn = 0; turn < 20; turn++)); do
    lab systemctl restart "netns-$1@$2"
    up "netns-$1@$2"
    "${@:3}"
  done
  lab systemctl stop "netns-$1@$2"
  nothing_left "$2"
}

@test "veth: after twenty restarts the pair is reachable and the unit active" {
  lab systemctl start netns-veth@nstest
  twenty_restarts veth nstest lab ping -c1 -W1 -q 192.0.2.130
}

@test "macvlan: after twenty restarts interface, address and route exist" {
  parent eth0
  config macvlan-shop.conf <<<'MACVLAN_GATEWAY=192.0.2.1'
  lab systemctl start netns-macvlan@shop
  addresses() { lab ip -netns shop -oneline address show dev macvlan0 scope global; }
  before=$(addresses)
  whole() {
    [[ $(addresses) == "$before" && $(lab ip -netns shop route show default) == *'via 192.0.2.1 dev macvlan0'* ]]
  }
  twenty_restarts macvlan shop whole
}

@test "nft: after twenty restarts the same rules are loaded once" {
  lab systemctl start netns-nft@x
  rules() { lab ip netns exec x nft list ruleset; }
  before=$(rules)
  as_before() { [[ $(rules) == "$before" ]]; }
  twenty_restarts nft x as_before
}

@test "lo: twenty restarts work" {
  lab systemctl start netns-lo@x
  twenty_restarts lo x reaches x 127.0.0.1
}

@test "each type restarts without an effect on the other types of its namespace" {
  parent eth0
  config nft-nstest.rules <<<'table inet open { chain input { type filter hook input priority 0; policy accept; }; }'
  lab systemctl start netns-{lo,veth,macvlan,nft}@nstest
  for ((turn = 0; turn < 5; turn++)); do
    for type in lo veth macvlan nft; do
      lab systemctl restart "netns-$type@nstest"
      up netns-{lo,veth,macvlan,nft}@nstest
      lab ping -c1 -W1 -q 192.0.2.130
      reaches nstest 127.0.0.1
      lab ip -netns nstest link show dev macvlan0 up | grep -q macvlan0
    done
  done
  lab systemctl restart netns-{lo,veth,macvlan,nft}@nstest
  up netns-{lo,veth,macvlan,nft}@nstest
  lab ping -c1 -W1 -q 192.0.2.130
  lab systemctl stop netns-{lo,veth,macvlan,nft}@nstest
  nothing_left nstest
}

@test "a restart applies the present .conf" {
  lab systemctl start netns-veth@nstest
  sed -i 's/^\(VETH_IFADDR_INSIDE=\).*/\1192.0.2.131\/30/; s/^\(VETH_IFADDR_OUTSIDE=\).*/\1192.0.2.129\/29/' "$CONF/veth-nstest.conf"
  lab systemctl restart netns-veth@nstest
  run -0 lab ip -netns nstest -oneline address show dev ve-nstest1 scope global
  [[ $output == *192.0.2.131/30* && $output != *192.0.2.130/* ]]
}

@test "starting an active unit, and stopping an inactive one, changes nothing" {
  plugin t
  lab systemctl start netns-t@n
  lab systemctl start netns-t@n
  [[ $(hooks) == 't@n up outside,t@n up inside' ]]
  lab systemctl stop netns-t@n
  eventually gone n
  lab systemctl stop netns-t@n
  [[ $(hooks) == 't@n up outside,t@n up inside,t@n down inside,t@n down outside' ]]
}

@test "thirty quick starts and stops do not reach the start limit" {
  for ((turn = 0; turn < 30; turn++)); do
    lab systemctl start netns-veth@nstest
    lab systemctl stop netns-veth@nstest
  done
  lab systemctl start netns-veth@nstest
  lab ping -c1 -W1 -q 192.0.2.130
  lab systemctl stop netns-veth@nstest
  nothing_left nstest
}
