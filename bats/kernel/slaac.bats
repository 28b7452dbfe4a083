#!/usr/bin/env bats
# X_IFADDR=auto: addresses that a router of the network gives. The router is in the namespace `server`.

load kernel

setup() {
  rm -rf "$CONF" "$SHARE"
  mkdir -p "$CONF" "$SHARE"
  cp "${ROOT:?}"/plugins/*.sh "$SHARE"
  create server
  inside server ip link add br0 address 02:00:00:00:03:01 type bridge
  inside server ip link set dev br0 up
}

# Usage: pair [LINE...]
# veth@a is connected to the network of the router.
pair() { printf '%s\n' VETH_NSNAME_OUTSIDE=server VETH_BRIDGE=br0 VETH_IFNAME_INSIDE=lan0 "$@" | config veth-a.conf; }

# The router sends advertisements again and again, until the end of the test.
advertise() {
  nsenter --net=/run/netns/server -- bash -c 'while sleep 0.2; do python3 "$1" "$2" 33:33:00:00:00:01 ra; done' \
    bash "$BATS_TEST_DIRNAME/packets.py" br0 >/dev/null 2>&1 3>&- &
  BACKGROUND+=("$!")
}

# Usage: learned IFNAME
# Prints the usable addresses of the router in the namespace.
learned() { inside a ip -6 -oneline address show dev "$1" scope global dynamic -tentative; }

# Usage: sysctl_of KEY IFNAME
sysctl_of() { inside a cat "/proc/sys/net/ipv6/conf/$2/$1"; }

@test "up waits for a usable address, also beside other addresses, and a restart keeps it" {
  pair 'VETH_IFADDR_INSIDE=(192.0.2.2/24 auto)'
  advertise
  up veth a
  [[ $(learned lan0) && $(inside a ip -6 route show default) ]]
  [[ $(addresses a lan0) == *192.0.2.2/24* && $(sysctl_of accept_ra lan0) == 2 && $(sysctl_of autoconf lan0) == 1 ]]
  before=$(learned lan0)
  restart_inside veth a
  [[ $(learned lan0 | awk '{ print $4 }') == "$(awk '{ print $4 }' <<<"$before")" ]]
  # Without it, the interface is like a new one.
  pair VETH_IFADDR_INSIDE=192.0.2.2/24
  restart_inside veth a
  [[ $(sysctl_of accept_ra lan0) == "$(sysctl_of accept_ra default)" ]]
  down veth a
}

@test "a namespace that forwards packets gets an address, too, and a macvlan" {
  inside server ip link set dev br0 type bridge mcast_snooping 0
  printf '%s\n' MACVLAN_PARENT_NSNAME=server MACVLAN_PARENT_IFNAME=port MACVLAN_IFNAME=lan0 MACVLAN_IFADDR=auto | config macvlan-a.conf
  inside server ip link add port type veth peer name other
  inside server ip link set dev other master br0 up
  create a
  inside a sysctl -q net.ipv6.conf.all.forwarding=1
  advertise
  hook macvlan a up outside
  hook macvlan a up inside
  [[ $(learned lan0) ]]
  down macvlan a
}

@test "without a router, up fails with the setting and the next step, and nothing is left" {
  pair VETH_IFADDR_INSIDE=auto
  create a
  before=$(world)
  hook veth a up outside
  run --separate-stderr ! hook veth a up inside
  [[ $stderr == *"veth-a.conf:4: VETH_IFADDR_INSIDE: no router has announced a prefix for the IPv6 address of interface 'lan0' in namespace 'a' within 30 seconds"*'fix: '* ]]
  hook veth a down outside
  unchanged "$before"
}

@test "auto is refused for the outside end, and with an MTU that IPv6 does not allow" {
  pair VETH_IFADDR_OUTSIDE=auto VETH_IFADDR_INSIDE=192.0.2.2/24
  create a
  refused VETH_IFADDR_OUTSIDE "'auto' is only for an interface in the namespace" -- hook veth a up outside
  pair VETH_IFADDR_INSIDE=auto VETH_MTU=1000
  refused VETH_MTU 1280 auto -- hook veth a up outside
}
