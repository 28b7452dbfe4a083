#!/usr/bin/env bats
# vxlan: a tunnel between namespaces of several machines. The host is one machine, and the namespace `other` another one.

load kernel

number_is_free() { ip link add name free type vxlan id 42 dstport 4789 && ip link delete dev free; }

# Usage: machines
# Joins the host to the machine `other`: 198.51.100.1 and 198.51.100.2.
machines() {
  # The kernel removes the tunnels of a deleted namespace a little later. Until then, their numbers are taken.
  eventually number_is_free
  create other
  ip link add up0 type veth peer name up1 netns other
  ip address add 198.51.100.1/24 dev up0
  ip address add 2001:db8:1::1/64 dev up0 nodad
  ip link set dev up0 up
  inside other ip address add 198.51.100.2/24 dev up1
  inside other ip address add 2001:db8:1::2/64 dev up1 nodad
  inside other ip link set dev up1 up
}

# Usage: answer WORD...
# Creates the tunnel of the other machine with ip(8), with the addresses 192.0.2.2 and 2001:db8::2.
answer() {
  inside other ip link add vx type vxlan id 42 dstport "${PORT:-4789}" "$@"
  inside other ip address add 192.0.2.2/24 dev vx
  inside other ip address add 2001:db8::2/64 dev vx nodad
  inside other ip link set dev vx up
}

# Usage: vxlan NAME [LINE...]
vxlan() {
  printf '%s\n' VXLAN_ID=42 VXLAN_REMOTES=198.51.100.2 'VXLAN_IFADDR=(192.0.2.1/24 2001:db8::1/64)' "${@:2}" | config "vxlan-$1.conf"
}

# Usage: remotes NAME
remotes() { inside "$1" bridge -json fdb show dev vxlan0 | jq --raw-output '[.[] | select(.mac == "00:00:00:00:00:00").dst] | sort | join(" ")'; }

# Usage: joined
joined() {
  reaches a 192.0.2.2 && reaches a 2001:db8::2 && reaches other 192.0.2.1 && reaches other 2001:db8::1
}

@test "it joins the namespace to one of another machine, by IPv4 and IPv6, over the host" {
  machines
  answer remote 198.51.100.1
  vxlan a
  up vxlan a
  joined
  [[ -z $(links host vxlan) ]]
}

@test "the machines can have IPv6 addresses, another port, and a parent interface" {
  machines
  PORT=9999 answer remote 2001:db8:1::1
  vxlan a VXLAN_REMOTES=2001:db8:1::2 VXLAN_PORT=9999 VXLAN_PARENT_IFNAME=up0
  up vxlan a
  joined
  [[ $(link a vxlan0 .mtu) == 1430 ]]
}

@test "a multicast group needs no list of machines" {
  machines
  answer group 239.1.1.1 dev up1
  vxlan a VXLAN_REMOTES=239.1.1.1 VXLAN_PARENT_IFNAME=up0
  up vxlan a
  joined
}

@test "the underlying interface can be in another namespace" {
  machines
  create router
  ip link set dev up0 netns router
  inside router ip address add 198.51.100.1/24 dev up0
  inside router ip link set dev up0 up
  answer remote 198.51.100.1
  vxlan a VXLAN_PARENT_IFNAME=up0 VXLAN_PARENT_NSNAME=router
  up vxlan a
  joined
}

@test "the shipped vxlan.conf works with a number and a remote" {
  cp "$ROOT/etc/vxlan.conf" "$CONF"
  printf '%s\n' VXLAN_ID=42 VXLAN_REMOTES=198.51.100.2 | config vxlan-a.conf
  up vxlan a
  [[ $(link a vxlan0 .mtu) == 1450 ]]
}

@test "up and down leave nothing behind, and nothing is remembered" {
  vxlan a
  before=$(world)
  up vxlan a
  down vxlan a
  unchanged "$before"
}

@test "a restart adds and removes remotes, and keeps the tunnel" {
  vxlan a 'VXLAN_REMOTES=(198.51.100.2 198.51.100.3)'
  up vxlan a
  index=$(link a vxlan0 .ifindex)
  [[ $(remotes a) == '198.51.100.2 198.51.100.3' ]]
  vxlan a 'VXLAN_REMOTES=(198.51.100.4 198.51.100.3)'
  restart_inside vxlan a
  [[ $(remotes a) == '198.51.100.3 198.51.100.4' && $(link a vxlan0 .ifindex) == "$index" ]]
}

@test "a restart replaces the tunnel for another number, and it still leaves from the host" {
  machines
  answer remote 198.51.100.1
  vxlan a VXLAN_ID=41
  up vxlan a
  cut_off a 192.0.2.2
  vxlan a
  restart_inside vxlan a
  joined
}

@test "check reports a missing remote, and a restart repairs it" {
  eventually number_is_free
  vxlan a
  netnsctl up --engine direct vxlan@a
  netnsctl check vxlan
  inside a bridge fdb delete 00:00:00:00:00:00 dev vxlan0 dst 198.51.100.2
  run -1 netnsctl check vxlan
  [[ $output == *"error: vxlan@a: interface 'vxlan0' does not have the remote '198.51.100.2'; fix: \`netnsctl restart vxlan@a\`"* ]]
  restart_inside vxlan a
  netnsctl check vxlan
  netnsctl down vxlan@a
}

@test "check reports a remote that is not set, and a restart removes it, also with another port" {
  machines
  answer group 239.1.1.1 dev up1
  for receiver in 198.51.100.2 239.1.1.1; do
    vxlan a "VXLAN_REMOTES=$receiver" VXLAN_PARENT_IFNAME=up0
    netnsctl up --engine direct vxlan@a
    netnsctl check vxlan
    inside a bridge fdb append 00:00:00:00:00:00 dev vxlan0 dst 192.0.2.99
    inside a bridge fdb append 00:00:00:00:00:00 dev vxlan0 dst 198.51.100.2 port 9 via lo
    run -1 netnsctl check vxlan
    [[ $output == *"interface 'vxlan0' has the remote '192.0.2.99', which is not set; fix: \`netnsctl restart vxlan@a\`"* ]]
    [[ $output == *"interface 'vxlan0' has the remote '198.51.100.2', which is not set"* ]]
    netnsctl restart vxlan@a
    netnsctl check vxlan
    [[ $(remotes a) == "$receiver" ]]
    reaches a 192.0.2.2
    netnsctl down vxlan@a
  done
}

@test "an MTU that does not fit into the packets of the parent is refused, and a restart with it changes nothing" {
  machines
  answer remote 198.51.100.1
  vxlan a VXLAN_PARENT_IFNAME=up0 VXLAN_MTU=1450
  netnsctl up --engine direct vxlan@a
  vxlan a VXLAN_PARENT_IFNAME=up0 VXLAN_MTU=1451
  for command in check restart; do
    run -1 netnsctl "$command" vxlan@a
    [[ $output == *"VXLAN_MTU: '1451' is too large: the parent 'up0' has the MTU 1500, so at most 1450 is possible"* ]]
  done
  joined
  vxlan a VXLAN_PARENT_IFNAME=up0 VXLAN_REMOTES=2001:db8:1::2 VXLAN_MTU=1431
  run -1 netnsctl check vxlan@a
  [[ $output == *'so at most 1430 is possible'* ]]
  netnsctl down vxlan@a
  create a
  refused VXLAN_MTU "'1431'" 1430 -- hook vxlan a up outside
}

@test "a restart without VXLAN_MTU gives the tunnel its default again, with and without a parent" {
  machines
  for line in '' VXLAN_PARENT_IFNAME=up0; do
    vxlan a "$line"
    up vxlan a
    default=$(link a vxlan0 .mtu)
    vxlan a "$line" VXLAN_MTU=1300
    restart_inside vxlan a
    [[ $(link a vxlan0 .mtu) == 1300 ]]
    vxlan a "$line"
    restart_inside vxlan a
    [[ $(link a vxlan0 .mtu) == "$default" ]]
    down vxlan a
  done
}

@test "invalid settings are refused, with the setting and the value, before anything is made" {
  create a
  while read -r line words; do
    vxlan a "$line"
    # shellcheck disable=SC2086 # several words
    refused ${line%%[=+]*} $words -- hook vxlan a up outside
  done <<'END'
VXLAN_ID= not set
VXLAN_ID=16777216 '16777216'
VXLAN_PORT=65536 '65536'
VXLAN_REMOTES=() not set
VXLAN_REMOTES=example.org 'example.org'
VXLAN_REMOTES+=(2001:db8::2) '2001:db8::2' IPv4 IPv6
VXLAN_PARENT_TIMEOUT=soon 'soon'
VXLAN_PARENT_IFNAME=lo 'lo' loopback
END
  vxlan a VXLAN_REMOTES=239.1.1.1
  refused VXLAN_PARENT_IFNAME 239.1.1.1 -- hook vxlan a up outside
  vxlan a VXLAN_PARENT_IFNAME=up0 'VXLAN_REMOTES=(239.1.1.1 198.51.100.2)'
  refused VXLAN_REMOTES 239.1.1.1 -- hook vxlan a up outside
}

@test "a missing parent fails up, and nothing is left" {
  vxlan a VXLAN_PARENT_IFNAME=up0 VXLAN_PARENT_TIMEOUT=0
  create a
  fails hook vxlan a up outside
  [[ $stderr == *"interface 'up0' (VXLAN_PARENT_IFNAME) does not exist on the host"* ]]
}

@test "the number of another instance is refused, and the message names the setting and the instance" {
  vxlan a
  vxlan b
  create a
  create b
  hook vxlan a up outside
  refused VXLAN_ID "'42'" "'vxlan0' in namespace 'a' (vxlan@a)" -- hook vxlan b up outside
  [[ $stderr != */proc/* ]]
}

@test "every hook can run twice, and the second run changes nothing" {
  vxlan a
  each_hook_twice vxlan a inside a ip link show dev vxlan0
}

@test "a failure, or a program that is killed, at any step of up outside leaves nothing" {
  for kind in error kill; do
    vxlan a "$(fault "$kind")"
    create a
    each_failure_leaves "$(world)" vxlan a outside link_add
    down vxlan a
  done
  shown hooks killed vxlan
}
