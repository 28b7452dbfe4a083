#!/usr/bin/env bats
# netnsctl gc on a machine with systemd: what no unit needs goes, and what one needs, or may be about to, stays.

load systemd

# Usage: maker [TEXT]
# A type that makes an interface on the host, and remembers it.
maker() {
  plugin maker '
configure_maker_up_outside() {
  MAKER_IFNAME=mk-$1 && remember MAKER_IFNAME
  ip link add "$MAKER_IFNAME" type veth peer name mk1 netns "$1"
  '"${1-}"'
}
configure_maker_up_inside() { :; }
configure_maker_down_inside() { :; }
configure_maker_down_outside() {
  recall
  [[ $(ip -oneline link show type veth) != *": $MAKER_IFNAME@"* ]] || ip link delete dev "$MAKER_IFNAME"
}'
}

@test "what units have up, and a namespace that others have made, stays" {
  maker
  lab ip netns add foreign
  lab systemctl start netns-maker@a netns-lo@b
  run -0 lab netnsctl gc
  [[ -z $output ]]
  lab ip netns exec a ip link show mk1 >/dev/null
  exists b
  exists foreign
}

@test "a namespace that we have made and no unit needs goes, unless processes run in it" {
  lab netnsinit --create a
  lab ip netns exec a sleep 1000 3>&- &
  process=$!
  eventually lab pgrep --full 'sleep 1000' >/dev/null
  run -0 lab netnsctl gc
  [[ $output == 'left alone: /run/netns/a: no unit needs this namespace of ours, but processes run in it' ]]
  lab pkill --full 'sleep 1000'
  wait "$process" || true
  run -0 lab netnsctl gc
  [[ $output == 'removed: namespace `a`: we have made it, and no unit needs it' ]]
  gone a
  [[ -z $(lab find /run/systemd-netns -type f) ]]
}

@test "a namespace of our name that somebody else has made meanwhile is theirs, and our note goes" {
  lab netnsinit --create a
  lab ip netns delete a
  lab ip netns add a
  run -0 lab netnsctl gc
  [[ $output == 'removed: /run/systemd-netns/made/a: the namespace that it is about is gone' ]]
  exists a
}

@test "so is one that got the inode of ours" {
  lab bash -c "$(declare -f replace_same_inode); replace_same_inode a netnsinit --create a"
  run -0 lab netnsctl gc
  [[ $output == 'removed: /run/systemd-netns/made/a: the namespace that it is about is gone' ]]
  lab bash -c "$(declare -f untouched); untouched a"
}

@test "what a hook was making when the unit files went away goes by its own down outside" {
  maker
  lab systemctl start netns-maker@a
  lab cp -a /run/systemd-netns/remembered /run/remembered
  lab bash -c 'rm /etc/systemd/system/netns*-maker@.service; systemctl daemon-reload'
  # Without their files, systemd takes the namespace away under it, and runs no hook.
  lab systemctl stop netns-maker@a netns_outside-maker@a || true
  eventually gone a
  # As if that had been killed before it forgot the instance.
  lab bash -c 'rm -rf /run/systemd-netns/remembered && mv /run/remembered /run/systemd-netns'
  lab systemctl reset-failed
  lab ip link add mk-a type veth peer name mk-b
  run -0 lab netnsctl gc
  [[ $output == *'removed: what `maker@a` has made outside'* ]]
  run ! lab ip link show dev mk-a
  [[ -z $(lab find /run/systemd-netns -type f) ]]
}

@test "what is being brought up stays" {
  maker 'while [[ ! -e /run/go ]]; do sleep 0.05; done'
  lab systemctl start --no-block netns-maker@a
  eventually lab test -e /run/systemd-netns/remembered/maker@a
  run -0 lab netnsctl gc
  [[ -z $output ]]
  lab touch /run/go
  eventually is netns-maker@a.service active
  lab ip link show dev mk-a >/dev/null
  lab rm /run/go
}

@test "drop-ins of ours go with what they are about; an administrator's stay" {
  units=/etc/systemd/system
  lab mkdir -p "$units"/netns_outside-{veth@a,veth@b}.service.d "$units"/{gone,netns-lo@}.service.d
  for instance in a b; do
    lab tee "$units/netns_outside-veth@$instance.service.d/10-requires.conf" <<<'# Written by netns-update from what veth says' >/dev/null
  done
  lab tee "$units/netns_outside-veth@a.service.d/20-own.conf" <<<'# mine' >/dev/null
  for unit in gone netns-lo@; do
    lab tee "$units/$unit.service.d/50-netns.conf" <<<'# Written by `netnsctl attach`' >/dev/null
  done
  config veth-b.conf <<<''
  run -0 lab netnsctl gc
  [[ ${#lines[@]} == 2 ]]
  [[ $output == *"removed: $units/gone.service.d/50-netns.conf: there is no unit gone.service any more"* ]]
  [[ $output == *"removed: $units/netns_outside-veth@a.service.d/10-requires.conf: there is no /etc/conf.d/netns/veth-a.conf"* ]]
  lab test -e "$units/netns_outside-veth@a.service.d/20-own.conf"
  lab test -e "$units/netns_outside-veth@b.service.d/10-requires.conf"
  lab test -e "$units/netns-lo@.service.d/50-netns.conf"
  run ! lab test -e "$units/gone.service.d"
  lab rm -r "$units/netns-lo@.service.d"
}
