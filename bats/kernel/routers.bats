#!/usr/bin/env bats
# Attacks of a process with CAP_NET_RAW in a namespace on the host, or on the namespace of the outside end. nft in its own
# namespace does not see its frames. docs/security.md has a row for each test.

load kernel

# Usage: pair [LINE...]
# veth@a: the outside end has 192.0.2.1, 2001:db8::1 and 02:00:00:00:01:00.
pair() {
  # The defaults of most hosts.
  echo 1 >/proc/sys/net/ipv4/conf/all/accept_redirects
  nft flush ruleset
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 VETH_MAC_OUTSIDE=02:00:00:00:01:00 "$@" | config veth-a.conf
  up veth a
  ip -netns a address add 2001:db8::2/64 dev ve-a1 nodad
}

# Usage: network
# The host has eth0, 198.51.100.2, on a network with the default gateway 198.51.100.1 and a machine 198.51.100.66.
network() {
  ip link add eth0 type veth peer name lan
  ip address add 198.51.100.2/24 dev eth0
  ip link set lan up
  ip link set eth0 up
  ip route add default via 198.51.100.1
  ip neighbour replace 198.51.100.1 lladdr 02:00:00:00:02:01 dev eth0 nud permanent
  ip neighbour replace 198.51.100.66 lladdr 02:00:00:00:02:66 dev eth0 nud permanent
}

# Usage: sends [--vlan ID] DESTINATION-MAC KIND [ARGUMENT...]
# A process in the namespace sends a frame (packets.py).
sends() {
  local -a vlan=()
  if [[ $1 == --vlan ]]; then vlan=("${@:1:2}") && shift 2; fi
  inside a python3 "$BATS_TEST_DIRNAME/packets.py" "${vlan[@]}" ve-a1 "$@"
}

# Usage: advertises [--vlan ID]
# The same, with a router advertisement. The host has processed it when it answers the ping that follows.
advertises() {
  local -a vlan=()
  if [[ ${1-} == --vlan ]]; then vlan=("$@"); fi
  eventually has_link_local a ve-a1
  sends "${vlan[@]}" 33:33:00:00:00:01 ra
  reaches a 192.0.2.1
}

# Usage: has_link_local WHERE IFNAME
has_link_local() { [[ $(from "$1" ip -6 -oneline address show dev "$2" scope link -tentative) ]]; }

# Usage: learned WHERE
# Prints the routes and addresses that come from router advertisements.
learned() {
  from "$1" ip -6 route show proto ra
  from "$1" ip -6 -oneline address show dynamic
}

# Usage: redirects_default
# Sends a forged ICMP redirect of the host's gateway: 203.0.113.7 is reached through 198.51.100.66.
redirects_default() {
  ip route flush cache
  sends 02:00:00:00:01:00 redirect4 198.51.100.1 192.0.2.1 198.51.100.66 203.0.113.7
  reaches a 192.0.2.1
}

@test "the outside end ignores router advertisements: no route, no address, no MTU" {
  pair
  advertises
  [[ -z $(learned host) && $(</proc/sys/net/ipv6/conf/ve-a0/mtu) == 1500 ]]
}

@test "an outside end in another namespace ignores router advertisements" {
  create b
  pair VETH_NSNAME_OUTSIDE=b
  advertises
  [[ -z $(learned b) && $(inside b cat /proc/sys/net/ipv6/conf/ve-a0/accept_ra) == 0 ]]
  [[ ! -e /proc/sys/net/ipv6/conf/ve-a0 ]]
}

@test "the outside end ignores advertisements and redirects before it is up" {
  # The program of the library prints them before it sets the end up.
  cat >"$BATS_TEST_TMPDIR/library" <<'END'
#!/bin/bash
[[ $7,$9 != link_configure,_OUTSIDE ]] || cat /proc/sys/net/ipv6/conf/ve-a0/{accept_ra,autoconf,accept_redirects}
exec netnsinit "$@"
END
  chmod +x "$BATS_TEST_TMPDIR/library"
  pair "BASH_ARGV0=$BATS_TEST_TMPDIR/library" >"$BATS_TEST_TMPDIR/said"
  [[ $(grep --line-regexp '[0-9]' "$BATS_TEST_TMPDIR/said" | paste -sd ' ') == '0 0 0' ]]
}

@test "the outside end of an existing pair ignores router advertisements too" {
  create a
  ip link add ve-a0 type veth peer name ve-a1 netns a
  pair
  [[ $(</proc/sys/net/ipv6/conf/ve-a0/accept_ra) == 0 ]]
}

@test "the outside end ignores ICMPv6 redirects" {
  pair
  ip -6 address add 2001:db8::1/64 dev ve-a0 nodad
  eventually has_link_local a ve-a1
  router=$(link a ve-a1 '[.addr_info[] | select(.scope == "link")][0].local')
  ip -6 route add 2001:db8:7::/48 via "$router" dev ve-a0
  redirect=(02:00:00:00:01:00 redirect6 '' fe80::66 2001:db8:7::7 2001:db8::1)
  sends "${redirect[@]}"
  reaches a 192.0.2.1
  [[ $(ip -6 route get 2001:db8:7::7) == *" via $router "* ]]
  # An interface that accepts redirects accepts this frame.
  echo 1 >/proc/sys/net/ipv6/conf/ve-a0/accept_redirects
  sends "${redirect[@]}"
  reaches a 192.0.2.1
  [[ $(ip -6 route get 2001:db8:7::7) == *' via fe80::66 '* ]]
}

@test "the outside end ignores ICMP redirects if net.ipv4.conf.all.accept_redirects is 0, or the host forwards" {
  network
  pair
  echo 0 >/proc/sys/net/ipv4/conf/all/accept_redirects
  redirects_default
  [[ $(ip route get 203.0.113.7) == *' via 198.51.100.1 '* ]]
  echo 1 >/proc/sys/net/ipv4/conf/ve-a0/forwarding
  echo 1 >/proc/sys/net/ipv4/conf/all/accept_redirects
  redirects_default
  [[ $(ip route get 203.0.113.7) == *' via 198.51.100.1 '* ]]
}

@test "by default the outside end accepts a forged ICMP redirect, until the host has a strict rp_filter or an nft rule" {
  network
  pair
  redirects_default
  [[ $(ip route get 203.0.113.7) == *' via 198.51.100.66 '* ]]
  echo 1 >/proc/sys/net/ipv4/conf/ve-a0/rp_filter
  redirects_default
  [[ $(ip route get 203.0.113.7) == *' via 198.51.100.1 '* ]]
  echo 0 >/proc/sys/net/ipv4/conf/ve-a0/rp_filter
  host_rule 'iifname "ve-a0" icmp type redirect drop'
  redirects_default
  [[ $(ip route get 203.0.113.7) == *' via 198.51.100.1 '* ]]
}

@test "frames with a VLAN tag do not reach the host, except VLAN 0, which counts as untagged" {
  pair
  # A later change of the sysctl is effective.
  echo 1 >/proc/sys/net/ipv6/conf/ve-a0/accept_ra
  echo 1 >/proc/sys/net/ipv6/conf/ve-a0/autoconf
  advertises --vlan 5
  [[ -z $(learned host) ]]
  advertises --vlan 0
  [[ $(learned host) == *'default via fe80::'*'2001:db8:bad:'* ]]
}

@test "gratuitous ARP changes nothing on other interfaces of the host" {
  network
  pair
  before=$(ip neighbour show dev eth0)
  sends ff:ff:ff:ff:ff:ff garp 198.51.100.1
  reaches a 192.0.2.1
  [[ $(ip neighbour show dev eth0) == "$before" && -z $(ip neighbour show to 198.51.100.1 dev ve-a0) ]]
}

@test "the other addresses of the host are reachable from the namespace, unless an nft rule on the host prevents it" {
  network
  pair
  ip -netns a route add 198.51.100.2 dev ve-a1
  reaches a 198.51.100.2
  host_rule 'iifname "ve-a0" fib daddr . iif type != { local, broadcast, multicast } drop'
  cut_off a 198.51.100.2
  reaches a 192.0.2.1
}

@test "the rules in docs/security.md load, pass a ping, and drop forged redirects and packets to other addresses of the host" {
  network
  pair
  rules=$(sed -n '/^table inet from_netns/,/^}/s/ve-t0/ve-a0/; s/192\.0\.2\.10/192.0.2.2/; /^table inet from_netns/,/^}/p' "$ROOT/docs/security.md")
  nft -f - <<<"$rules"
  redirects_default
  [[ $(ip route get 203.0.113.7) == *' via 198.51.100.1 '* ]]
  ip -6 address add 2001:db8::1/64 dev ve-a0 nodad
  reaches a 2001:db8::1
  ip -netns a route add 198.51.100.2 dev ve-a1
  cut_off a 198.51.100.2
}

@test "with a read-only /proc/sys, veth comes up with a warning" {
  create a
  run --separate-stderr -0 unshare --mount bash -c 'mount --bind -o ro /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys
    source "$1"; printf "%s\n" VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 >"$CONF/veth-a.conf"
    up veth a' bash "$BATS_TEST_DIRNAME/kernel.bash"
  [[ $stderr == *'warning: cannot set /proc/sys/net/ipv6/conf/ve-a0/accept_ra to 0, it is 1'* ]]
}

@test "on an interface without IPv6, veth comes up without a warning" {
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 VETH_MTU=1000 | config veth-a.conf
  run --separate-stderr -0 up veth a
  [[ -z $stderr && ! -e /proc/sys/net/ipv6/conf/ve-a0 ]]
}

@test "check reports an outside end that accepts router advertisements again" {
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 | config veth-a.conf
  netnsctl up --engine direct veth@a
  netnsctl check veth
  echo 1 >/proc/sys/net/ipv6/conf/ve-a0/accept_ra
  run -1 netnsctl check veth
  netnsctl down veth@a
  [[ $output == *"interface 've-a0' accepts router advertisements"* ]]
}

@test "a .conf that redefines ignore_routers makes the outside end accept them" {
  pair 'ignore_routers() { :; }'
  advertises
  [[ $(learned host) == *'default via fe80::'* ]]
}

# Usage: host_rule RULE
# Loads a firewall of the host with only this rule.
host_rule() { nft "flush ruleset; table inet host { chain input { type filter hook input priority 0; $1; }; }"; }
