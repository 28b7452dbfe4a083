#!/usr/bin/env bats
# The type nat. The host of these tests is private. It has two networks:
#   eth0: 198.51.100.2 and 2001:db8:1::2, to the namespace `internet`, which also has 203.0.113.1 and 2001:db8:ff::1
#   eth1: 10.1.0.2, to the namespace `lan`, 10.1.0.1
# The namespaces `a` to `c` have 192.0.2.2, .6 and .10, and 2001:db8:a::2 to 2001:db8:c::2.

load kernel

# Usage: network
network() {
  local name
  create internet lan
  nsenter --net=/run/netns/internet ip link set dev lo up
  wire eth0 internet 198.51.100.2/24 198.51.100.1/24 2001:db8:1::2/64 2001:db8:1::1/64
  wire eth1 lan 10.1.0.2/24 10.1.0.1/24
  ip -netns internet address add 203.0.113.1/32 dev lo
  ip -netns internet address add 2001:db8:ff::1/128 dev lo nodad
  ip route add default via 198.51.100.1
  ip -6 route add default via 2001:db8:1::1
  for name in internet lan; do
    inside "$name" python3 "$BATS_TEST_DIRNAME/peers.py" 7 3>&- &
    BACKGROUND+=("$!")
  done
  eventually source_of host 203.0.113.1
  eventually source_of host 10.1.0.1
}

# Usage: wire IFNAME NAME [ADDRESS-OF-HOST ADDRESS]...
# Connects an interface of the host with a namespace.
wire() {
  local ifname=$1 name=$2
  ip link add "$ifname" type veth peer name up netns "$name"
  ip link set dev "$ifname" up
  ip -netns "$name" link set dev up up
  shift 2
  while (($#)); do
    ip address add "$1" dev "$ifname" nodad
    ip -netns "$name" address add "$2" dev up nodad
    shift 2
  done
}

# Usage: source_of WHERE ADDRESS
# Connects to a machine, and prints the address that it sees. Fails if it is not reachable.
# shellcheck disable=SC2016 # for the other bash
source_of() { from "$1" timeout 5 bash -c 'exec 4<>"/dev/tcp/$1/7" && read -r source _ <&4 && echo "$source"' bash "$2" 2>/dev/null; }

# Usage: unreachable WHERE ADDRESS
# Succeeds if a connection is refused, or not answered.
unreachable() { ! from "$1" timeout 0.7 bash -c 'exec 4<>"/dev/tcp/$1/7"' bash "$2" 2>/dev/null; }

# Usage: pair NAME NUMBER [LINE...]
# Writes veth-NAME.conf.
pair() {
  local prefix
  printf -v prefix %x "$((10 + $2))"
  config "veth-$1.conf" <<END
VETH_IFADDR_OUTSIDE=(192.0.2.$(($2 * 4 + 1))/30 2001:db8:$prefix::1/64)
VETH_IFADDR_INSIDE=(192.0.2.$(($2 * 4 + 2))/30 2001:db8:$prefix::2/64)
VETH_GATEWAY=outside
$(printf '%s\n' "${@:3}")
END
}

# Usage: nat NAME [LINE...]
# Brings nat@NAME up, on a namespace that has an interface.
nat() {
  printf '%s\n' "${@:2}" | config "nat-$1.conf"
  up nat "$1"
}

# Usage: state
# Prints the rules and all sysctls of the network of the host.
state() {
  nft --stateless list ruleset
  # Some files cannot be read, and some values change by themselves.
  (cd /proc/sys/net && grep --recursive --no-messages '' . | grep --invert-match 'stat_\|random\|nf_conntrack_count\|/neigh/\|default_qdisc\|ipv6/conf/.*/stable_secret' | sort)
}

# Usage: restored STATE
restored() { diff --label before --label now --unified=0 <(echo "$1") <(state); }

setup() {
  rm -rf "$CONF" "$SHARE"
  mkdir -p "$CONF" "$SHARE"
  cp "$ROOT"/plugins/*.sh "$SHARE"
  nft flush ruleset
  network
  pair a 0
  up veth a
}

# Prints everything that an instance can leave behind.
world() {
  state
  find "$MEMORY" /run/systemd-netns/sysctls -type f 2>/dev/null | sort
}

@test "without settings, the namespace reaches what the host reaches, with the address of the host, IPv4 and IPv6" {
  unreachable a 203.0.113.1
  before=$(state)
  up nat a
  [[ $(source_of a 203.0.113.1) == 198.51.100.2 ]]
  [[ $(source_of a 198.51.100.1) == 198.51.100.2 ]]
  [[ $(source_of a 10.1.0.1) == 10.1.0.2 ]]
  [[ $(source_of a 2001:db8:ff::1) == 2001:db8:1::2 ]]
  down_hooks nat a
  unreachable a 203.0.113.1
  restored "$before"
}

@test "NAT_EXCEPT, NAT_TO and NAT_IFNAME_OUT limit the destinations, and other packets are refused at once" {
  nat a 'NAT_EXCEPT="10.0.0.0/8 2001:db8:1::/64"'
  [[ $(source_of a 203.0.113.1) == 198.51.100.2 ]]
  [[ $(source_of a 2001:db8:ff::1) == 2001:db8:1::2 ]]
  unreachable a 10.1.0.1
  unreachable a 2001:db8:1::1
  # `reject`, not `drop`
  run ! inside a timeout 5 bash -c 'exec 4<>/dev/tcp/10.1.0.1/7'
  [[ $status == 1 ]]

  config nat-a.conf <<<'NAT_TO=(10.1.0.0/16 2001:db8:ff::/48)'
  restart_inside nat a
  [[ $(source_of a 10.1.0.1) == 10.1.0.2 ]]
  [[ $(source_of a 2001:db8:ff::1) == 2001:db8:1::2 ]]
  unreachable a 203.0.113.1

  config nat-a.conf <<<'NAT_TO=10.1.0.0/16'
  restart_inside nat a
  [[ $(source_of a 10.1.0.1) == 10.1.0.2 ]]
  unreachable a 2001:db8:ff::1

  config nat-a.conf <<<'NAT_IFNAME_OUT=eth0'
  restart_inside nat a
  [[ $(source_of a 203.0.113.1) == 198.51.100.2 ]]
  unreachable a 10.1.0.1
  [[ $(</proc/sys/net/ipv4/conf/eth1/forwarding) == 0 ]]

  config nat-a.conf <<<'NAT_IFNAME_OUT="eth1 wg0"; NAT_EXCEPT=(10.2.0.0/16 10.0.0.0/8) NAT_TO=10.1.0.0/24'
  restart_inside nat a
  unreachable a 10.1.0.1
}

@test "NAT_SOURCES limits the sources, and can contain networks behind the namespace" {
  nat a NAT_SOURCES=192.0.2.0/30
  [[ $(source_of a 203.0.113.1) == 198.51.100.2 ]]
  unreachable a 2001:db8:ff::1
  down_hooks nat a
  inside a ip address add 10.9.0.1/24 dev lo
  inside a ip link set dev lo up
  ip route add 10.9.0.0/24 via 192.0.2.2
  nat a NAT_SOURCES=10.9.0.0/24
  unreachable a 203.0.113.1
  inside a ip route replace default via 192.0.2.1 src 10.9.0.1
  [[ $(source_of a 203.0.113.1) == 198.51.100.2 ]]
}

@test "the host does not become a router for others" {
  before=$(state)
  nat a
  ip -netns internet route add 10.1.0.0/24 via 198.51.100.2
  ip -netns internet route add 192.0.2.0/24 via 198.51.100.2
  ip -netns internet route add 2001:db8:a::/64 via 2001:db8:1::2
  ip -netns lan route add default via 10.1.0.2
  inside a python3 "$BATS_TEST_DIRNAME/peers.py" 7 3>&- &
  BACKGROUND+=("$!")
  eventually source_of host 192.0.2.2
  unreachable internet 10.1.0.1
  unreachable internet 192.0.2.2
  unreachable internet 2001:db8:a::2
  unreachable lan 203.0.113.1
  unreachable lan 192.0.2.2
  # Without the rules, this host would be a router.
  nft delete chain inet netns_nat-a others
  [[ $(source_of internet 192.0.2.2) == 198.51.100.1 ]]
  [[ $(source_of internet 2001:db8:a::2) == 2001:db8:1::1 ]]
  down_hooks nat a
  restored "$before"
}

# Usage: rename_uplink OLD NEW
# Renames the interface to `internet`. The kernel has removed its routes and IPv6 addresses then.
rename_uplink() {
  rename_link host "$1" "$2"
  ip address replace 2001:db8:1::2/64 dev "$2" nodad
  ip route replace default via 198.51.100.1
  ip -6 route replace default via 2001:db8:1::1
  eventually source_of host 203.0.113.1
  eventually source_of host 2001:db8:ff::1
}

@test "a host with a renamed uplink does not become a router for others, and down restores its sysctls, with and without a restart" {
  ip -netns internet route add 10.1.0.0/24 via 198.51.100.2
  ip -netns internet route add 2001:db8:a::/64 via 2001:db8:1::2
  ip -netns lan route add default via 10.1.0.2
  inside a python3 "$BATS_TEST_DIRNAME/peers.py" 7 3>&- &
  BACKGROUND+=("$!")
  eventually source_of host 2001:db8:a::2
  before=$(state)
  for repair in true 'restart_inside nat a'; do
    nat a
    rename_uplink eth0 wan0
    $repair
    [[ $(source_of a 203.0.113.1) == 198.51.100.2 ]]
    [[ $(source_of a 2001:db8:ff::1) == 2001:db8:1::2 ]]
    unreachable internet 10.1.0.1
    unreachable internet 2001:db8:a::2
    # Without the rules, this host would be a router.
    nft delete chain inet netns_nat-a others
    [[ $(source_of internet 10.1.0.1) == 198.51.100.1 ]]
    [[ $(source_of internet 2001:db8:a::2) == 2001:db8:1::1 ]]
    run -0 down_hooks nat a
    [[ $output != *stays* && -z $(ls /run/systemd-netns/sysctls) ]]
    unreachable internet 10.1.0.1
    unreachable internet 2001:db8:a::2
    rename_uplink wan0 eth0
    restored "$before"
  done
}

@test "a renamed uplink forwards until the last instance is down, also one that came up after the rename, in both orders" {
  pair b 1
  up veth b
  before=$(state)
  for order in 'a b' 'b a'; do
    nat a
    rename_uplink eth0 wan0
    nat b
    for name in $order; do
      [[ $(</proc/sys/net/ipv4/conf/wan0/forwarding) == 1 ]]
      [[ $(source_of "$name" 203.0.113.1) == 198.51.100.2 ]]
      down_hooks nat "$name"
    done
    [[ $(</proc/sys/net/ipv4/conf/wan0/forwarding) == 0 && -z $(ls /run/systemd-netns/sysctls) ]]
    rename_uplink wan0 eth0
    restored "$before"
  done
}

@test "interfaces that exchange their names get their own values back" {
  sysctl -q net.ipv4.conf.eth1.forwarding=1
  nat a
  for ifname in eth0 eth1; do [[ $(</proc/sys/net/ipv4/conf/$ifname/forwarding) == 1 ]]; done
  rename_link host eth0 old0
  rename_link host eth1 eth0
  rename_link host old0 eth1
  restart_inside nat a
  down_hooks nat a
  [[ $(</proc/sys/net/ipv4/conf/eth0/forwarding) == 1 ]]
  [[ $(</proc/sys/net/ipv4/conf/eth1/forwarding) == 0 ]]
}

@test "a new interface with the name of a deleted one keeps its values" {
  nat a
  ip link delete dev eth1
  wire eth1 lan
  sysctl -q net.ipv4.conf.eth1.forwarding=1
  down_hooks nat a
  [[ $(</proc/sys/net/ipv4/conf/eth1/forwarding) == 1 && -z $(ls /run/systemd-netns/sysctls) ]]
}

@test "a host that is a router stays one" {
  sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  ip -netns internet route add 10.1.0.0/24 via 198.51.100.2
  ip -netns internet route add 2001:db8:a::/64 via 2001:db8:1::2
  ip -netns lan route add default via 10.1.0.2
  inside a python3 "$BATS_TEST_DIRNAME/peers.py" 7 3>&- &
  BACKGROUND+=("$!")
  eventually source_of host 192.0.2.2
  before=$(state)
  nat a
  [[ $(source_of internet 10.1.0.1) == 198.51.100.1 ]]
  [[ $(source_of lan 203.0.113.1) == 10.1.0.1 ]]
  [[ $(source_of internet 2001:db8:a::2) == 2001:db8:1::1 ]]
  [[ $(source_of a 203.0.113.1) == 198.51.100.2 ]]
  down_hooks nat a
  restored "$before"
  [[ $(source_of internet 10.1.0.1) == 198.51.100.1 ]]
  sysctl -q net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
}

@test "a host that becomes a router stays one after down" {
  nat a
  sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  ip -netns internet route add 10.1.0.0/24 via 198.51.100.2
  ip -netns lan route add default via 10.1.0.2
  restart_inside nat a
  [[ $(source_of internet 10.1.0.1) == 198.51.100.1 ]]
  run -0 down_hooks nat a
  [[ $output != *stays* ]]
  for ifname in eth0 eth1 ve-a0; do [[ $(</proc/sys/net/ipv4/conf/$ifname/forwarding) == 1 ]]; done
  [[ $(source_of internet 10.1.0.1) == 198.51.100.1 ]]
  # A single interface that did not forward on a router does not forward afterwards.
  sysctl -q net.ipv4.conf.eth1.forwarding=0
  nat a
  [[ $(</proc/sys/net/ipv4/conf/eth1/forwarding) == 1 ]]
  down_hooks nat a
  [[ $(</proc/sys/net/ipv4/conf/eth1/forwarding) == 0 ]]
  sysctl -q net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
}

@test "a namespace without nat on the same host gets no way out by the one that has it" {
  pair b 1
  up veth b
  nat a
  [[ $(source_of a 203.0.113.1) == 198.51.100.2 ]]
  [[ $(</proc/sys/net/ipv4/conf/ve-b0/forwarding) == 0 ]]
  unreachable b 203.0.113.1
  unreachable b 192.0.2.2
  unreachable b 2001:db8:ff::1
}

@test "two namespaces with nat do not reach each other, unless NAT_IFNAME_OUT names the interface" {
  pair b 1
  up veth b
  nat a
  nat b
  inside b python3 "$BATS_TEST_DIRNAME/peers.py" 7 3>&- &
  BACKGROUND+=("$!")
  eventually source_of host 192.0.2.6
  unreachable a 192.0.2.6
  unreachable a 2001:db8:b::2
  [[ $(source_of a 203.0.113.1) == 198.51.100.2 ]]
  config nat-a.conf <<<'NAT_IFNAME_OUT=(eth0 ve-b0)'
  restart_inside nat a
  [[ $(source_of a 192.0.2.6) == 192.0.2.5 ]]
}

@test "a connection over a way with a smaller MTU has a smaller segment size" {
  nat a
  # Usage: segment ADDRESS
  segment() { inside a timeout 5 bash -c 'exec 4<>"/dev/tcp/$1/7" && read -r _ size <&4 && echo "$size"' bash "$1"; }
  (($(segment 203.0.113.1) > 1400))
  ip route add 203.0.113.1 via 198.51.100.1 mtu 1300
  ip -6 route add 2001:db8:ff::1 via 2001:db8:1::1 mtu 1300
  (($(segment 203.0.113.1) <= 1260))
  (($(segment 2001:db8:ff::1) <= 1240))
}

@test "200 kB pass both ways over a router with a smaller MTU that sends no ICMP, IPv4 and IPv6" {
  nat a
  narrow_way server internet eth0 up
  inside server python3 "$BATS_TEST_DIRNAME/transfer.py" serve 7 3>&- &
  BACKGROUND+=("$!")
  eventually transfers a 10.7.0.2 7
  transfers a 2001:db8:77::2 7
  without_clamping netns_nat-a forward
  run ! transfers a 10.7.0.2 7
  run ! transfers a 2001:db8:77::2 7
}

@test "a bridge of several namespaces leads to the host as well" {
  ip link add br0 type bridge
  ip link set br0 up
  ip address add 192.0.2.129/25 dev br0
  for number in 1 2; do
    printf '%s\n' VETH_BRIDGE=br0 "VETH_IFADDR_INSIDE=192.0.2.13$number/25" VETH_GATEWAY=192.0.2.129 | config "veth-d$number.conf"
    up veth "d$number"
  done
  nat d1
  [[ $(source_of d1 203.0.113.1) == 198.51.100.2 ]]
}

@test "frames within a bridge of the host pass, if br_netfilter shows them to the rules" {
  [[ -e /proc/sys/net/bridge ]] || skip 'this kernel does not have br_netfilter'
  before=$(sysctl --all --pattern 'bridge-nf-call-ip6?tables')
  sysctl -q net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
  create guest1 guest2
  ip link add virbr0 type bridge
  ip link set dev virbr0 up
  ip address add 10.77.0.254/24 dev virbr0
  ip address add 2001:db8:77::254/64 dev virbr0 nodad
  for number in 1 2; do
    wire "port$number" "guest$number"
    ip link set dev "port$number" master virbr0
    ip -netns "guest$number" address add "10.77.0.$number/24" dev up
    ip -netns "guest$number" address add "2001:db8:77::$number/64" dev up nodad
    ip -netns "guest$number" route add default via 10.77.0.254
  done
  inside guest2 python3 "$BATS_TEST_DIRNAME/peers.py" 7 3>&- &
  BACKGROUND+=("$!")
  eventually source_of guest1 10.77.0.2
  nat a
  [[ $(nft list chain inet netns_nat-a others) == *'"virbr0"'*drop* ]]
  [[ $(source_of guest1 10.77.0.2) == 10.77.0.1 ]]
  [[ $(source_of guest1 2001:db8:77::2) == 2001:db8:77::1 ]]
  # The rules have seen these frames.
  nft insert rule inet netns_nat-a others iifname virbr0 oifname virbr0 drop
  unreachable guest1 10.77.0.2
  unreachable guest1 2001:db8:77::2
  # The host still does not route packets of the bridge.
  unreachable guest1 10.1.0.1
  unreachable guest1 192.0.2.2
  down_hooks nat a
  printf '%s\n' "$before" | sed 's/ = /=/' | xargs sysctl -q
}

@test "a namespace without a way to the host is refused with the next step, and nothing is made" {
  create b
  refused "namespace 'b' has no way to the host" 'fix: bring up an interface to the host first, such as veth@b with VETH_GATEWAY=outside' -- hook nat b up inside
  sed -i /GATEWAY/d "$CONF/veth-a.conf"
  hook veth a down outside
  netnsinit --delete a
  up veth a
  refused "namespace 'a' has no way to the host" -- hook nat a up inside
  # The outside end is in another namespace.
  create c
  pair c 2 VETH_NSNAME_OUTSIDE=b
  hook veth c up outside
  hook veth c up inside
  refused "namespace 'c' has no way to the host" -- hook nat c up inside
}

@test "families that do not match, and sources without a route, are refused" {
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.5/30 VETH_IFADDR_INSIDE=192.0.2.6/30 VETH_GATEWAY=outside | config veth-b.conf
  up veth b
  config nat-b.conf <<<'NAT_SOURCES="192.0.2.4/30 2001:db8:b::/64"'
  refused "$CONF/nat-b.conf:1: NAT_SOURCES: '2001:db8:b::/64': no gateway of namespace 'b' with an address of this family is on the host" -- hook nat b up inside
  config nat-b.conf <<<NAT_TO=2001:db8::/32
  refused "$CONF/nat-b.conf:1: NAT_TO: '2001:db8::/32': expected a prefix of the family of the sources, '192.0.2.6/30'" -- hook nat b up inside
  config nat-b.conf <<<NAT_SOURCES=10.9.0.0/24
  refused "$CONF/nat-b.conf:1: NAT_SOURCES: '10.9.0.0/24': the host does not reach it over ve-b0; fix: add a route" -- hook nat b up inside
  config nat-b.conf <<<NAT_IFNAME_OUT=ve-b0
  refused "$CONF/nat-b.conf:1: NAT_IFNAME_OUT: 've-b0' leads to the namespace itself; fix: name an interface by which packets leave the host" -- hook nat b up inside
}

@test "an invalid value is refused before anything is made, with its setting and what is expected" {
  config nat-a.conf <<<NAT_HOST_FIREWALL=maybe
  refused "$CONF/nat-a.conf:1: NAT_HOST_FIREWALL: 'maybe' is not a valid word: expected one of yes no" -- hook nat a up inside
  for line in NAT_SOURCES=192.0.2.0 NAT_TO=nowhere 'NAT_EXCEPT="10.0.0.0/8 10.0.0.0/33"' 'NAT_EXCEPT=(2001:db8::/129)'; do
    config nat-a.conf <<<"$line"
    refused "${line%%=*}: '" 'is not a prefix: expected ADDRESS/LENGTH' -- hook nat a up inside
  done
  config nat-a.conf <<<'NAT_IFNAME_OUT="eth0 interface-too-long"'
  refused "NAT_IFNAME_OUT: 'interface-too-long' is not the name of an interface: expected at most 15 characters" -- hook nat a up inside
  config nat-a.conf <<<NAT_IFNAME_OUT=lo
  refused "$CONF/nat-a.conf:1: NAT_IFNAME_OUT: 'lo' is the loopback interface, by which no packet leaves the host; fix: name another interface" -- hook nat a up inside
  config nat-a.conf <<<'NAT_IFNAME_OUT="eth0\"; drop"'
  refused 'NAT_IFNAME_OUT' 'is not the name of an interface' -- hook nat a up inside
}

@test "each hook can run twice, and down removes what up has made, whatever the settings are now" {
  before=$(state)
  nat a
  now=$(state)
  hook nat a up outside
  hook nat a up inside
  restored "$now"
  config nat-a.conf <<<'NAT_IFNAME_OUT=eth1 NAT_TO=nonsense'
  down_hooks nat a
  down_hooks nat a
  restored "$before"
}

@test "a failure or a signal at each step of up leaves nothing" {
  before=$(world)
  for fault in error end; do
    fault "$fault" | config nat-a.conf
    hook nat a up outside
    each_failure_leaves "$before" nat a inside host_forward
    hook nat a down outside
    unchanged "$before"
  done
  hook nat a up outside
  each_failure_leaves "$before" nat a inside host_table_load
}

@test "after SIGKILL at each step of up, down leaves nothing" {
  before=$(world)
  export FAIL_FUNCTION FAIL_AT
  fault kill | config nat-a.conf
  for FAIL_FUNCTION in host_forward host_table_load; do
    for ((FAIL_AT = 1; FAIL_AT < 50; FAIL_AT++)); do
      if up nat a; then break; fi
      hook nat a down outside
      unchanged "$before"
    done
    ((FAIL_AT > 1 && FAIL_AT < 50))
    hook nat a down outside
    unchanged "$before"
  done
}

@test "20 namespaces come and go in any order, and the host is as before" {
  RANDOM=$((seed = RANDOM))
  echo "seed $seed"
  names=({a..t})
  for number in {1..19}; do
    pair "${names[number]}" "$number"
    up veth "${names[number]}"
  done
  before=$(world)
  up=()
  for step in {1..60}; do
    name=${names[RANDOM % 20]}
    toggle nat "$name"
    ((step % 20)) || for name in "${up[@]}"; do
      [[ $(source_of "$name" 203.0.113.1) == 198.51.100.2 ]]
      [[ $(source_of "$name" 2001:db8:ff::1) == 2001:db8:1::2 ]]
    done
  done
  for name in "${up[@]}"; do down_hooks nat "$name"; done
  unchanged "$before"
}

@test "a firewall of the host that drops forwarded packets is named, and NAT_HOST_FIREWALL=yes opens it until down" {
  ip -netns internet route add 10.1.0.0/24 via 198.51.100.2
  for kind in policy drop reject docker; do
    nft flush ruleset
    host_rules "$kind"
    before=$(state)
    config nat-a.conf </dev/null
    hook nat a up outside
    run --separate-stderr -0 hook nat a up inside
    [[ $stderr == *"warning: the chain '"*"' of the table '"*"' on the host drops forwarded packets; allow those of ve-a0 there, or set NAT_HOST_FIREWALL=yes"* ]]
    unreachable a 203.0.113.1
    config nat-a.conf <<<NAT_HOST_FIREWALL=yes
    run --separate-stderr -0 restart_inside nat a
    [[ $stderr != *warning* ]]
    [[ $(source_of a 203.0.113.1) == 198.51.100.2 ]]
    [[ $kind != docker || $(nft list chain ip filter FORWARD) != *systemd-netns* ]]
    unreachable internet 10.1.0.1
    # A restart does not add the rules again.
    now=$(state)
    restart_inside nat a
    restored "$now"
    down_hooks nat a
    restored "$before"
  done
}

@test "a firewall of the host with a rule for the interface is left alone" {
  nft 'add table inet host; add chain inet host forward { type filter hook forward priority 0; policy drop; }; add rule inet host forward iifname "ve-*" accept; add rule inet host forward ct state established accept'
  before=$(nft list table inet host)
  nat a NAT_HOST_FIREWALL=yes
  [[ $(nft list table inet host) == "$before" ]]
  [[ $(source_of a 203.0.113.1) == 198.51.100.2 ]]
}

@test "a table with flags is read, and a dormant one drops nothing" {
  # nft 1.0.6 prints invalid JSON for this one.
  nft add table inet host '{ flags dormant; }'
  run --separate-stderr -0 nat a NAT_HOST_FIREWALL=no
  [[ $stderr != *warning* ]]
  nft 'add chain inet host forward { type filter hook forward priority 0; policy drop; }'
  run --separate-stderr -0 restart_inside nat a
  [[ $stderr != *warning* ]]
  [[ $(source_of a 203.0.113.1) == 198.51.100.2 ]]
  nft 'add table ip closed; add chain ip closed forward { type filter hook forward priority 0; policy drop; }'
  run --separate-stderr -0 restart_inside nat a
  [[ $stderr == *"the chain 'forward' of the table 'ip closed' on the host drops"* && $stderr != *"'inet host'"* ]]
  # Rules of ours are deleted also if the table has become dormant.
  config nat-a.conf <<<NAT_HOST_FIREWALL=yes
  restart_inside nat a
  nft add table ip closed '{ flags dormant; }'
  down_hooks nat a
  run -0 nft list ruleset
  [[ $output != *systemd-netns* ]]
}

@test "a failure or SIGKILL after the rules in a firewall of the host are added leaves nothing" {
  host_rules policy
  before=$(world)
  for fault in end kill; do
    fault "$fault" | config nat-a.conf
    echo NAT_HOST_FIREWALL=yes >>"$CONF/nat-a.conf"
    export FAIL_FUNCTION=host_firewall FAIL_AT=1
    run ! up nat a
    hook nat a down outside
    unchanged "$before"
  done
}
