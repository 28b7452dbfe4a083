#!/usr/bin/env bats
# The type nat with a kernel that forwards IPv6 on all interfaces or on none (before 6.17). Then a host ignores the advertisements of its own
# router, unless accept_ra is 2. Run with `tests/vm --systemd bats bats/vm/advertisements.bats`.

load vm
load ../kernel/kernel

setup_file() { vm_install; }

teardown_file() { delete_settings; }

# The host learns its default route over up0 from the namespace `router`, which has 2001:db8:f::1.
setup() {
  [[ ! -e /proc/sys/net/ipv6/conf/all/force_forwarding ]]
  ip netns add router
  ip link add up0 type veth peer name up1 netns router
  ip link set dev up0 up
  ip -netns router link set dev up1 up
  ip -netns router link set dev lo up
  ip address add 2001:db8:1::2/64 dev up0 nodad
  ip -netns router address add 2001:db8:1::1/64 dev up1 nodad
  ip -netns router address add 2001:db8:f::1/128 dev lo nodad
  inside router sysctl -q -w net.ipv6.conf.all.forwarding=1
  eventually advertises
  printf '%s\n' VETH_IFADDR_OUTSIDE=2001:db8:a::1/64 VETH_IFADDR_INSIDE=2001:db8:a::2/64 VETH_GATEWAY=outside | config veth-box.conf
}

teardown() {
  [[ ${BATS_TEST_COMPLETED-} ]] || journalctl --boot --lines=20 --no-pager >&2
  [[ ! -e /run/netns/box ]] || netnsctl down box || true
  ip -all netns delete
  delete_links
  nft flush ruleset
}

# Usage: advertises
# Sends a router advertisement, and succeeds if the host has learned the default route from it.
advertises() {
  inside router python3 "$BATS_TEST_DIRNAME/../kernel/packets.py" up1 33:33:00:00:00:01 ra
  [[ $(ip -6 route show default proto ra) == *' dev up0 '* ]]
}

# Usage: sysctls
# Prints the sysctls of the host that concern IPv6 routers.
sysctls() { (cd /proc/sys/net/ipv6/conf && grep '' ./*/{accept_ra,forwarding}); }

@test "the host keeps the default route of its router, forwards only for the namespace, and down restores its sysctls" {
  local before
  before=$(sysctls)
  [[ $before == */up0/accept_ra:1* && $before == */all/forwarding:0* ]]
  netnsctl up --engine direct veth@box nat@box
  [[ $(</proc/sys/net/ipv6/conf/up0/accept_ra) == 2 && $(</proc/sys/net/ipv6/conf/all/forwarding) == 1 ]]
  reaches box 2001:db8:f::1
  [[ $(ip -6 route show default proto ra) == *' dev up0 '* ]]
  # A new advertisement still counts.
  ip -6 route delete default proto ra
  eventually advertises
  reaches box 2001:db8:f::1
  # Another namespace is not forwarded: the host is not an open router.
  ip netns add other
  ip link add other0 type veth peer name other1 netns other
  ip link set dev other0 up
  ip address add 2001:db8:b::1/64 dev other0 nodad
  ip -netns other link set dev other1 up
  ip -netns other address add 2001:db8:b::2/64 dev other1 nodad
  ip -netns other route add default via 2001:db8:b::1
  ip -netns router route add 2001:db8:b::/64 via 2001:db8:1::2
  reaches other 2001:db8:1::2
  cut_off other 2001:db8:f::1
  ip link delete dev other0
  netnsctl down --recursive box
  [[ $(sysctls) == "$before" ]]
  eventually advertises
}
