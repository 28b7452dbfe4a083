#!/usr/bin/env bats
# Rules of instances on the host, which another program deletes (netns_watch.service).

load systemd

setup() {
  internet lab
  pair n VETH_GATEWAY=outside
}

# Usage: passes NAME
# Succeeds if the namespace reaches the network of the host.
passes() { lab ip netns exec "$1" ping -q -c 1 -W 0.2 198.51.100.1 >/dev/null; }

# Usage: shaken
# Deletes the rules, and succeeds if they return.
shaken() {
  lab nft flush ruleset
  run ! passes n
  eventually passes n
}

@test "after nft flush ruleset, the rules return by themselves, and services of the namespace keep running" {
  lab systemctl start netns-veth@n netns-nat@n
  unit test-app.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  lab netnsctl attach --now test-app n
  pid=$(main_pid test-app)
  shaken
  shaken
  run -0 lab netnsctl check nat@n
  [[ $(main_pid test-app) == "$pid" ]]
  [[ $(journal netns_watch.service) == *'the rules or interfaces of the host have changed: reloading netns-nat@n.service'* ]]
}

@test "the unit that watches the rules runs as long as an instance has rules" {
  config veth-o.conf <<<'VETH_IFADDR_OUTSIDE=192.0.2.5/30 VETH_IFADDR_INSIDE=192.0.2.6/30'
  lab systemctl start netns-veth@o
  is netns_watch.service inactive
  lab systemctl start netns-veth@n netns-nat@n
  is netns_watch.service active
  lab kill -KILL "$(main_pid netns_watch.service)"
  eventually shaken
  lab systemctl stop netns-nat@n
  eventually is netns_watch.service inactive
  [[ -z $(lab nft list ruleset) ]]
}

@test "without a change, and after a change of other rules, nothing is reloaded" {
  lab systemctl start netns-veth@n netns-nat@n
  before=$(journal netns_watch.service)
  lab nft add table inet other
  sleep 3
  [[ $(journal netns_watch.service) == "$before" ]]
  lab nft delete table inet other
}

@test "at boot, nat comes up after the interface of its namespace" {
  lab systemctl enable netns-veth@n netns-nat@n
  for _ in 1 2 3; do
    lab_reboot
    up netns-veth@n netns-nat@n
    lab nft list table inet netns_nat-n
  done
  lab systemctl disable netns-veth@n netns-nat@n
}
