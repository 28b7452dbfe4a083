#!/usr/bin/env bats
# veth: a pair of interfaces that joins a namespace to the host, or to another namespace.

load kernel

# Usage: veth NAME [LINE...]
# Writes veth-NAME.conf: 192.0.2.1 outside, 192.0.2.2 inside, and the LINEs.
veth() { printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 "${@:2}" | config "veth-$1.conf"; }

# Every other setting of the two ends.
ALL=(
  'VETH_IFADDR_OUTSIDE=(192.0.2.1/30 2001:db8::1/64)' 'VETH_IFADDR_INSIDE=(192.0.2.2/30 "2001:db8::2/64 nodad")'
  VETH_GATEWAY=outside 'VETH_ROUTES_OUTSIDE=(203.0.113.0/24)' 'VETH_ROUTES_INSIDE=("198.51.100.0/24 via 192.0.2.1")' VETH_MTU=1400
  VETH_MAC_OUTSIDE=02:00:00:00:00:01 VETH_MAC_INSIDE=02:00:00:00:00:02 VETH_ALIAS_INSIDE=way VETH_GROUP_INSIDE=7
  'VETH_SYSCTLS_OUTSIDE=(ipv4.rp_filter=2)' 'VETH_SYSCTLS_INSIDE=(ipv6.mtu=1350)'
)

@test "the pair joins the namespace to the host: a ping passes each way" {
  veth a
  up veth a
  reaches host 192.0.2.2
  reaches a 192.0.2.1
}

@test "the shipped veth-nstest.conf works unchanged" {
  cp "$ROOT"/etc/{default,veth-nstest}.conf "$CONF"
  up veth nstest
  reaches host 192.0.2.130
  reaches nstest 192.0.2.129
}

@test "up and down leave nothing behind, and nothing is remembered" {
  veth a
  before=$(world)
  up veth a
  [[ -e $MEMORY/veth@a ]]
  down veth a
  [[ ! -e $MEMORY/veth@a ]]
  unchanged "$before"
}

@test "the ends are named ve-NAME0 outside and ve-NAME1 inside" {
  veth a
  up veth a
  [[ $(links host veth) == ve-a0 && $(links a veth) == ve-a1 ]]
}

@test "VETH_IFNAME is the prefix of both names" {
  veth a VETH_IFNAME=wire
  up veth a
  [[ $(links host veth) == wirea0 && $(links a veth) == wirea1 ]]
}

@test "VETH_IFNAME can be empty" {
  veth a VETH_IFNAME=
  up veth a
  [[ $(links host veth) == a0 && $(links a veth) == a1 ]]
  reaches host 192.0.2.2
  down veth a
}

@test "VETH_IFNAME_OUTSIDE and VETH_IFNAME_INSIDE override VETH_IFNAME, and can be the same" {
  veth a VETH_IFNAME=wire VETH_IFNAME_OUTSIDE=uplink VETH_IFNAME_INSIDE=uplink
  up veth a
  [[ $(links host veth) == uplink && $(links a veth) == uplink ]]
  reaches host 192.0.2.2
}

@test "VETH_IFNAME_OUTSIDE alone keeps the default of the inside end" {
  veth a VETH_IFNAME_OUTSIDE=uplink
  up veth a
  [[ $(links host veth) == uplink && $(links a veth) == ve-a1 ]]
}

@test "VETH_MAC_OUTSIDE and VETH_MAC_INSIDE set the hardware addresses" {
  veth a VETH_MAC_OUTSIDE=02:00:00:00:01:00 VETH_MAC_INSIDE=02:00:00:00:01:01
  up veth a
  [[ $(link host ve-a0 .address) == 02:00:00:00:01:00 && $(link a ve-a1 .address) == 02:00:00:00:01:01 ]]
}

@test "by default, the kernel chooses both hardware addresses" {
  veth a
  up veth a
  [[ $(link host ve-a0 .address) == ??:??:??:??:??:?? && $(link host ve-a0 .address) != "$(link a ve-a1 .address)" ]]
}

@test "VETH_IFADDR_OUTSIDE and VETH_IFADDR_INSIDE are passed to ip address add" {
  veth a 'VETH_IFADDR_OUTSIDE="192.0.2.1/29 broadcast 192.0.2.6"' 'VETH_IFADDR_INSIDE="192.0.2.2/29 broadcast 192.0.2.5"'
  up veth a
  [[ $(link host ve-a0 '.addr_info[0].broadcast') == 192.0.2.6 ]]
  [[ $(link a ve-a1 '.addr_info[0].broadcast') == 192.0.2.5 ]]
}

@test "the addresses can be IPv6, also after a restart" {
  veth a 'VETH_IFADDR_OUTSIDE="2001:db8::1/64 nodad"' 'VETH_IFADDR_INSIDE="2001:db8::2/64 nodad"'
  up veth a
  reaches host 2001:db8::2
  restart_inside veth a
  reaches a 2001:db8::1
}

@test "an array configures several addresses on each end, also after a restart" {
  veth a 'VETH_IFADDR_OUTSIDE=(192.0.2.1/30 2001:db8::1/64)' 'VETH_IFADDR_INSIDE=(192.0.2.2/30 "2001:db8::2/64 nodad")'
  up veth a
  [[ $(addresses host ve-a0) == '192.0.2.1/30 2001:db8::1/64' ]]
  [[ $(addresses a ve-a1) == '192.0.2.2/30 2001:db8::2/64' ]]
  hook veth a down inside
  hook veth a up inside
  [[ $(addresses a ve-a1) == '192.0.2.2/30 2001:db8::2/64' ]]
}

@test "both addresses are required: without them nothing is created, and the message names the setting" {
  create a
  for missing in VETH_IFADDR_OUTSIDE VETH_IFADDR_INSIDE; do
    veth a "unset $missing"
    refused "$missing" -- hook veth a up outside
  done
}

@test "VETH_NSNAME_OUTSIDE joins two namespaces, without an interface on the host" {
  veth a VETH_NSNAME_OUTSIDE=b
  create b
  before=$(world)
  up veth a
  reaches a 192.0.2.1
  reaches b 192.0.2.2
  [[ $(links b veth) == ve-a0 && -z $(links host veth) ]]
  down veth a
  unchanged "$before"
}

@test "a missing peer namespace creates nothing, and the message has the next step" {
  veth a VETH_NSNAME_OUTSIDE=b
  create a
  before=$(world)
  run --separate-stderr -1 hook veth a up outside
  [[ $stderr == *"namespace 'b' (VETH_NSNAME_OUTSIDE)"*'run `netns-update`'* ]]
  unchanged "$before"
}

@test "a name of 15 characters works" {
  veth a VETH_IFNAME_OUTSIDE=outside-7890123 VETH_IFNAME_INSIDE=inside-67890123
  up veth a
  [[ $(links host veth) == outside-7890123 && $(links a veth) == inside-67890123 ]]
  down veth a
}

@test "a longer name creates nothing, and the message has the setting, the name and both numbers" {
  veth a VETH_IFNAME_OUTSIDE=outside-78901234
  veth b VETH_IFNAME_INSIDE=inside-678901234
  veth a-long-name # ve-a-long-name0 has 15 characters
  create a b a-long-name
  refused VETH_IFNAME_OUTSIDE '`outside-78901234`' 15 16 -- hook veth a up outside
  refused VETH_IFNAME_INSIDE '`inside-678901234`' 15 16 -- hook veth b up outside
  up veth a-long-name
}

@test "a default name with a colon is replaced by a name that the kernel accepts, different for each namespace" {
  veth a:b
  up veth a:b
  first=$(ip -json link show type veth | jq -r '.[].ifname')
  [[ $first =~ ^ve-a_b[0-9a-f]{8}0$ ]]
  [[ $(ip -netns a:b -json link show type veth | jq -r '.[].ifname') =~ ^ve-a_b[0-9a-f]{8}1$ ]]
  down veth a:b
  veth a:c
  up veth a:c
  [[ $(ip -json link show type veth | jq -r '.[].ifname') != "$first" ]]
}

@test "a default name of more than 15 characters is shortened: it stays the same, and differs for each namespace" {
  for name in a-longer-name1 a-longer-name2; do
    veth "$name"
    create "$name"
    hook veth "$name" up outside
  done
  [[ $(links host veth | sort) == $'ve-a-l'????????$'0\nve-a-l'????????0 ]]
  before=$(links host veth)
  hook veth a-longer-name1 up outside
  [[ $(links host veth) == "$before" ]]
}

@test "an invalid name creates nothing, and the message names the setting" {
  create a
  for name in a/b a:b . .. 'a b'; do
    veth a "VETH_IFNAME_OUTSIDE='$name'"
    refused VETH_IFNAME_OUTSIDE "\`$name\`" -- hook veth a up outside
  done
}

@test "every hook can run twice, and the second run changes nothing" {
  veth a
  each_hook_twice veth a reaches host 192.0.2.2
}

@test "down without up has no effect" {
  veth a
  create a
  before=$(world)
  down_hooks veth a
  unchanged "$before"
}

@test "restarts keep the pair" {
  veth a
  up veth a
  pair=$(link host ve-a0 .ifindex)
  for ((turn = 0; turn < 5; turn++)); do
    restart_inside veth a
    reaches host 192.0.2.2
  done
  [[ $(link host ve-a0 .ifindex) == "$pair" ]]
}

@test "a restart applies the present address" {
  veth a VETH_IFADDR_OUTSIDE=192.0.2.1/29
  up veth a
  veth a VETH_IFADDR_OUTSIDE=192.0.2.1/29 VETH_IFADDR_INSIDE=192.0.2.5/29
  restart_inside veth a
  [[ $(addresses a ve-a1) == 192.0.2.5/29 ]]
  reaches host 192.0.2.5
}

@test "two instances do not affect each other" {
  veth a
  veth b VETH_IFADDR_OUTSIDE=192.0.2.5/30 VETH_IFADDR_INSIDE=192.0.2.6/30
  up veth a
  before=$(world)
  up veth b
  reaches host 192.0.2.2
  reaches host 192.0.2.6
  down veth b
  reaches host 192.0.2.2
  unchanged "$before"
}

@test "down removes the pair of up, also if the .conf has other names now" {
  veth a
  before=$(world)
  up veth a
  veth a VETH_IFNAME_OUTSIDE=new0 VETH_IFNAME_INSIDE=new1
  down veth a
  unchanged "$before"

  up veth a
  veth a VETH_IFNAME=wire
  down veth a
  unchanged "$before"
}

@test "down removes the pair of up, also if a name in the .conf is invalid now" {
  veth a VETH_IFNAME=wire
  before=$(world)
  up veth a
  veth a VETH_IFNAME=much-too-long-for-a-name
  down veth a
  unchanged "$before"
}

@test "down removes the pair of up, also if VETH_NSNAME_OUTSIDE was changed, removed or added" {
  veth a
  create b
  before=$(world)
  for then in b '' b; do
    for now in nosuch '' b; do
      veth a "VETH_NSNAME_OUTSIDE=$then"
      up veth a
      veth a "VETH_NSNAME_OUTSIDE=$now"
      down veth a
      unchanged "$before"
    done
  done
}

@test "down after a change of the .conf does not remove an interface with the new name" {
  ip link add new0 type veth peer name new1
  veth a
  up veth a
  veth a VETH_IFNAME_OUTSIDE=new0
  down veth a
  [[ $(links host veth | sort | paste -sd ' ') == 'new0 new1' ]]
}

@test "a restart keeps the names of up, also if the .conf has other names now" {
  veth a
  up veth a
  veth a VETH_IFNAME_INSIDE=new1
  restart_inside veth a
  reaches host 192.0.2.2
}

@test "remembered values of an instance that never went down do not affect the next up" {
  veth a
  up veth a
  ip link delete dev ve-a0
  veth a VETH_IFNAME=wire
  up veth a
  [[ $(links host veth) == wirea0 && $(links a veth) == wirea1 ]]
}

@test "a failure of any step of up outside leaves nothing, with every setting" {
  veth a "${ALL[@]}" "$(fault error)"
  create a
  each_failure_leaves "$(world)" veth a outside link_add link_configure
  hook veth a up inside
  reaches host 192.0.2.2
}

@test "a failure of any step of up outside leaves nothing in a peer namespace" {
  veth a "$(fault error)" VETH_NSNAME_OUTSIDE=b
  create a b
  each_failure_leaves "$(world)" veth a outside link_add link_configure
}

@test "a program that is killed at any step of up outside leaves nothing, with every setting" {
  veth a "${ALL[@]}" "$(fault kill)"
  create a
  each_failure_leaves "$(world)" veth a outside link_add link_configure
  hook veth a up inside
  reaches host 192.0.2.2
}

@test "a failure, or a program that is killed, at any step of up inside leaves nothing that down does not remove" {
  for fault in error kill; do
    veth a "${ALL[@]}" "$(fault "$fault")"
    create a
    before=$(world)
    export FAIL_AT
    for ((FAIL_AT = 1; FAIL_AT < 50; FAIL_AT++)); do
      hook veth a up outside
      if FAIL_FUNCTION=link_configure hook veth a up inside; then break; fi
      [[ -z $(addresses a ve-a1) && -z $(inside a ip route show) ]]
      down_hooks veth a
      unchanged "$before"
    done
    ((FAIL_AT > 10 && FAIL_AT < 50))
    reaches host 192.0.2.2
    down_hooks veth a
    netnsinit --delete a
  done
  shown hooks killed veth
}

@test "a failure of any step of up inside leaves the inside end as up outside created it" {
  veth a "$(fault error)"
  create a
  hook veth a up outside
  each_failure_leaves "$(world)" veth a inside link_configure
  reaches host 192.0.2.2
}

@test "an up outside that is terminated leaves nothing" {
  veth a "$(fault end)"
  create a
  before=$(world)
  for FAIL_FUNCTION in link_add link_configure; do
    FAIL_AT=1 FAIL_FUNCTION=$FAIL_FUNCTION run -143 hook veth a up outside
    unchanged "$before"
  done
}

@test "an invalid outside address fails up, and nothing is left" {
  create a
  for address in 192.0.2.300/30 192.0.2.1/33 "'192.0.2.1/30 nonsense'"; do
    veth a "VETH_IFADDR_OUTSIDE=$address"
    fails hook veth a up outside
  done
}

@test "an invalid address creates nothing, and the message has the file, the line, the setting and the value" {
  create a
  for address in 192.0.2.300/30 192.0.2.2/33 2001:db8::1/129; do
    veth a "VETH_IFADDR_INSIDE=$address"
    refused "$CONF/veth-a.conf:3: VETH_IFADDR_INSIDE" "'$address'" -- hook veth a up outside
  done
}

@test "an invalid or multicast hardware address fails up, and nothing is left" {
  create a
  for side in OUTSIDE INSIDE; do
    for mac in nonsense 02:00:00 01:00:00:00:00:01; do
      veth a "VETH_MAC_$side=$mac"
      fails hook veth a up outside
    done
  done
}

@test "an existing interface with the name of the outside end fails up, and is not changed" {
  veth a
  create a
  ip link add ve-a0 type veth peer name mine
  fails hook veth a up outside
  [[ $stderr == *"cannot create interface 've-a0' on the host: another interface has this name"* ]]
}

@test "an existing interface with the name of the inside end fails up, and is not changed" {
  veth a
  create a
  ip -netns a link add ve-a1 type veth peer name mine
  fails hook veth a up outside
  [[ $stderr == *"cannot create interface 've-a1' in namespace 'a': another interface has this name"* ]]
}

@test "a missing namespace fails up outside, and nothing is left" {
  veth a
  fails hook veth a up outside
}

@test "during up, neither the inside end nor an outside end without its hardware address appears on the host" {
  veth a VETH_MAC_OUTSIDE=02:00:00:00:01:00 VETH_MAC_INSIDE=02:00:00:00:01:01
  watch_host
  up veth a
  seen=$(watched)
  [[ $seen == *': ve-a0@'* ]]
  run ! grep --invert-match ' ve-a0@.* 02:00:00:00:01:00 ' <<<"$seen"
}

@test "during up with a peer namespace, neither end appears on the host" {
  veth a VETH_NSNAME_OUTSIDE=b
  create b
  watch_host
  up veth a
  restart_inside veth a
  down veth a
  [[ -z $(watched) ]]
}

@test "during a failed up, only the outside end appears on the host" {
  veth a VETH_MAC_INSIDE=01:00:00:00:00:01
  create a
  watch_host
  run ! hook veth a up outside
  run ! grep --invert-match ' ve-a0@' < <(watched)
}

@test "after a manual deletion of the inside end, down succeeds, and leaves nothing" {
  veth a
  before=$(world)
  up veth a
  ip -netns a link delete dev ve-a1
  down veth a
  unchanged "$before"
}

@test "after a manual deletion of the outside end, down succeeds, and leaves nothing" {
  veth a
  before=$(world)
  up veth a
  ip link delete dev ve-a0
  down veth a
  unchanged "$before"
}

@test "after a deletion of the .conf, down warns, and leaves nothing" {
  veth a VETH_IFNAME=odd
  before=$(world)
  up veth a
  rm "$CONF/veth-a.conf"
  run --separate-stderr -0 hook veth a down inside
  [[ $stderr == *'no configuration: neither'* ]]
  hook veth a down outside
  netnsinit --delete a
  veth a VETH_IFNAME=odd
  unchanged "$before"
}

@test "a name that the kernel takes for a pattern is refused" {
  veth a VETH_IFNAME_OUTSIDE=ve%d
  create a
  before=$(world)
  run --separate-stderr -1 hook veth a up outside
  reported 'VETH_IFNAME_OUTSIDE: invalid interface name `ve%d`' 'percent sign'
  unchanged "$before"
}

@test "keywords of ip are valid names" {
  for name in up type name address; do
    veth a "VETH_IFNAME_OUTSIDE=$name" VETH_IFNAME_INSIDE=dev
    before=$(world)
    up veth a
    reaches host 192.0.2.2
    down veth a
    unchanged "$before"
  done
}

@test "an invalid name of a peer namespace is refused" {
  for name in ../x 'x y' /proc/1/ns/net; do
    veth a "VETH_NSNAME_OUTSIDE='$name'"
    create a
    run --separate-stderr -1 hook veth a up outside
    reported "VETH_NSNAME_OUTSIDE: '$name' is not the name of a namespace"
    netnsinit --delete a
  done
}

@test "after a manual deletion of the peer namespace, down succeeds, and leaves nothing" {
  veth a VETH_NSNAME_OUTSIDE=b
  before=$(world)
  create b
  up veth a
  ip netns delete b
  down veth a
  unchanged "$before"
}

@test "after a manual deletion of the namespace, both down hooks succeed, and leave nothing" {
  veth a
  before=$(world)
  up veth a
  hold a
  ip netns delete a
  nsenter --net="$HELD" netnsinit veth a down inside
  hook veth a down outside
  unchanged "$before"
}

@test "down outside succeeds while the kernel deletes the namespace" {
  veth a
  for ((turn = 0; turn < 10; turn++)); do
    up veth a
    ip netns delete a
    hook veth a down outside
    [[ -z $(links host veth) ]]
  done
}

@test "the error about a missing ip is one line, and names the package" {
  veth a 'VETH_ROUTES_INSIDE=(198.51.100.0/24)'
  create a
  refused '`ip`' 'apt install iproute2' -- env PATH="$(only)" netnsinit veth a up outside
}

@test "VETH_MTU is the MTU of both ends, and a restart applies a new one" {
  veth a VETH_MTU=1400
  up veth a
  [[ $(link host ve-a0 .mtu) == 1400 && $(link a ve-a1 .mtu) == 1400 ]]
  veth a VETH_MTU=1300
  restart_inside veth a
  [[ $(link a ve-a1 .mtu) == 1300 ]]
}

@test "VETH_ALIAS_INSIDE and VETH_GROUP_INSIDE describe the inside end, and a restart removes them" {
  veth a 'VETH_ALIAS_INSIDE="way out"' VETH_GROUP_INSIDE=7
  up veth a
  [[ $(link a ve-a1 '"\(.ifalias) \(.group)"') == 'way out 7' && $(link host ve-a0 .group) == 28275 ]]
  veth a
  restart_inside veth a
  [[ $(link a ve-a1 '"\(.ifalias) \(.group)"') == 'null default' ]]
  down veth a
}

@test "an alias or a group of the outside end, or a group that is no number, creates nothing" {
  create a
  for line in VETH_ALIAS_OUTSIDE=x VETH_GROUP_OUTSIDE=7 VETH_GROUP_INSIDE=lan; do
    veth a "$line"
    refused "veth-a.conf:" "${line%%=*}" -- hook veth a up outside
  done
}

@test "link_delete removes a pair, a bridge, and what has not been created, and down succeeds" {
  config pair.sh <<<'NO_CONFIG_REQUIRED=yes PAIR_IFNAME_OUTSIDE=out PAIR_IFNAME_INSIDE=in SWITCH_IFNAME=br0
    configure_pair_up_outside() { link_add PAIR _OUTSIDE type veth peer _INSIDE; }
    configure_pair_up_inside() {
      link_add SWITCH type bridge
      link_configure SWITCH
      link_delete SWITCH
      link_delete PAIR _INSIDE
      link_delete PAIR _OUTSIDE
    }'
  create a
  before=$(world)
  hook pair a up outside
  link host out .ifname
  hook pair a up inside
  [[ $(inside a ls /sys/class/net) == "$(ls /sys/class/net)" ]]
  down_hooks pair a
  unchanged "$before"
}

@test "VETH_GATEWAY=outside makes the addresses of the outside end the gateways, for IPv4 and IPv6" {
  veth a 'VETH_IFADDR_OUTSIDE=(192.0.2.1/30 2001:db8::1/64)' 'VETH_IFADDR_INSIDE=(192.0.2.2/30 2001:db8::2/64)' VETH_GATEWAY=outside
  up veth a
  [[ $(from a ip route show default) == 'default via 192.0.2.1 dev ve-a1 ' ]]
  [[ $(from a ip -6 route show default) == 'default via 2001:db8::1 dev ve-a1 '* ]]
  restart_inside veth a
  [[ $(from a ip route show default) == 'default via 192.0.2.1 dev ve-a1 ' ]]
}

@test "a restart makes the changed addresses of the outside end the gateways of VETH_GATEWAY=outside" {
  veth a VETH_IFADDR_OUTSIDE=192.0.2.1/24 VETH_IFADDR_INSIDE=192.0.2.2/24 VETH_GATEWAY=outside
  up veth a
  # Another address of the same network.
  veth a VETH_IFADDR_OUTSIDE=192.0.2.254/24 VETH_IFADDR_INSIDE=192.0.2.2/24 VETH_GATEWAY=outside
  restart_inside veth a
  [[ $(inside a ip route show default) == 'default via 192.0.2.254 dev ve-a1 ' ]]
  # Other networks, and one more family.
  veth a 'VETH_IFADDR_OUTSIDE=(198.51.100.1/30 2001:db8::1/64)' 'VETH_IFADDR_INSIDE=(198.51.100.2/30 2001:db8::2/64)' VETH_GATEWAY=outside
  restart_inside veth a
  [[ $(inside a ip route show default) == 'default via 198.51.100.1 dev ve-a1 ' ]]
  [[ $(inside a ip -6 route show default) == 'default via 2001:db8::1 dev ve-a1 '* ]]
  veth a VETH_IFADDR_OUTSIDE=2001:db8:1::1/64 VETH_IFADDR_INSIDE=2001:db8:1::2/64 VETH_GATEWAY=outside
  restart_inside veth a
  [[ ! $(inside a ip route show default) && $(inside a ip -6 route show default) == 'default via 2001:db8:1::1 dev ve-a1 '* ]]
  reaches a 2001:db8:1::1
}

@test "VETH_GATEWAY can be an array of addresses, and an unreachable gateway creates nothing" {
  veth a 'VETH_GATEWAY=(192.0.2.1 2001:db8::1)' 'VETH_IFADDR_INSIDE=(192.0.2.2/30 2001:db8::2/64)'
  up veth a
  [[ $(from a ip route show default) == 'default via 192.0.2.1 dev ve-a1 ' ]]
  [[ $(from a ip -6 route show default) == 'default via 2001:db8::1 dev ve-a1 '* ]]
  create b
  veth b VETH_IFADDR_OUTSIDE=198.51.100.1/30 VETH_IFADDR_INSIDE=198.51.100.2/30 VETH_GATEWAY=203.0.113.1
  refused VETH_GATEWAY "'203.0.113.1'" 'not reachable' -- hook veth b up outside
}

@test "VETH_ROUTES_INSIDE and _OUTSIDE add routes, and a restart applies the present ones" {
  veth a 'VETH_ROUTES_INSIDE=("198.51.100.0/24 via 192.0.2.1" "203.0.113.0/24 metric 5")' 'VETH_ROUTES_OUTSIDE=(203.0.113.0/25)'
  up veth a
  [[ $(from a ip route show 198.51.100.0/24) == '198.51.100.0/24 via 192.0.2.1 dev ve-a1 ' ]]
  [[ $(from a ip route show 203.0.113.0/24) == *'scope link metric 5 ' ]]
  [[ $(ip route show 203.0.113.0/25) == *'dev ve-a0 '* ]]
  veth a 'VETH_ROUTES_INSIDE=("198.51.100.0/25 via 192.0.2.1")'
  restart_inside veth a
  [[ $(from a ip route show | grep -c 198.51.100.0/25) == 1 && -z $(from a ip route show 198.51.100.0/24) ]]
  [[ -z $(from a ip route show 203.0.113.0/24) ]]
}

@test "an invalid route, or one whose gateway is not reachable, creates nothing" {
  create a
  for route in nonsense '198.51.100.0/24 via 203.0.113.1' '198.51.100.0/33'; do
    veth a "VETH_ROUTES_INSIDE=('$route')"
    refused "$CONF/veth-a.conf:3: VETH_ROUTES_INSIDE" "$route" -- hook veth a up outside
  done
}

@test "a sysctl of an end that the kernel resets with the carrier has its value after up, and one in another form, too" {
  veth a 'VETH_SYSCTLS_INSIDE=(ipv6.mtu=1300 ipv4.rp_filter=0x1)' 'VETH_SYSCTLS_OUTSIDE=(ipv6.mtu=1310)' VETH_IFNAME_INSIDE=in.side
  up veth a
  [[ $(inside a cat /proc/sys/net/ipv6/conf/in.side/mtu) == 1300 && $(cat /proc/sys/net/ipv6/conf/ve-a0/mtu) == 1310 ]]
  [[ $(inside a cat /proc/sys/net/ipv4/conf/in.side/rp_filter) == 1 ]]
  NETNS_TRACE=1 run --separate-stderr -0 restart_inside veth a
  [[ $stderr != *'sysctl -w'* ]]
  inside a bash -c 'echo 0 >/proc/sys/net/ipv4/conf/in.side/rp_filter'
  NETNS_TRACE=1 run --separate-stderr -0 restart_inside veth a
  [[ $stderr == *"+ sysctl -w 'net.ipv4.conf.in/side.rp_filter=0x1'"* ]]
}

@test "a value that the kernel does not take over is refused with its setting" {
  create a
  for value in '1 2' '' loose; do
    veth a "VETH_SYSCTLS_INSIDE=('ipv4.rp_filter=$value')"
    refused VETH_SYSCTLS_INSIDE "'$value' is not a value of the sysctl 'ipv4.rp_filter', which is a number" -- hook veth a up outside
  done
  veth a VETH_SYSCTLS_INSIDE=ipv4.rp_filter=0x100000000
  hook veth a up outside
  refused VETH_SYSCTLS_INSIDE 'Invalid argument' -- hook veth a up inside
}

@test "VETH_SYSCTLS_INSIDE and _OUTSIDE set sysctls of the ends, and a restart resets one that is not set any more" {
  veth a 'VETH_SYSCTLS_INSIDE=(ipv4.rp_filter=2)' 'VETH_SYSCTLS_OUTSIDE=(ipv4.rp_filter=2 ipv6.accept_ra=1)'
  up veth a
  [[ $(from a cat /proc/sys/net/ipv4/conf/ve-a1/rp_filter) == 2 ]]
  [[ $(</proc/sys/net/ipv4/conf/ve-a0/rp_filter) == 2 && $(</proc/sys/net/ipv6/conf/ve-a0/accept_ra) == 1 ]]
  veth a
  restart_inside veth a
  [[ $(from a cat /proc/sys/net/ipv4/conf/ve-a1/rp_filter) == "$(from a cat /proc/sys/net/ipv4/conf/default/rp_filter)" ]]
}

@test "check reports renamed ends, and a restart gives both their names back; down removes renamed ends" {
  veth a
  start=$(world)
  netnsctl up --engine direct veth@a
  before=$(world)
  rename_link a ve-a1 in0
  rename_link host ve-a0 out0
  run -1 netnsctl check veth@a
  [[ $output == *"interface 've-a1' was renamed to 'in0'"* && $output == *"interface 've-a0' was renamed to 'out0'"* ]]
  netnsctl restart veth@a
  netnsctl check veth@a
  reaches a 192.0.2.1
  unchanged "$before"
  rename_link host ve-a0 out0
  netnsctl down veth@a
  unchanged "$start"
}

@test "an unknown sysctl, an MTU that cannot carry IPv6, a duplicate address, and an array in place of one value create nothing" {
  create a
  veth a 'VETH_SYSCTLS_INSIDE=(ipv4.nonsense=2)'
  refused VETH_SYSCTLS_INSIDE ipv4.nonsense -- hook veth a up outside
  veth a VETH_MTU=1279 VETH_IFADDR_INSIDE=2001:db8::2/64
  refused VETH_MTU 1280 -- hook veth a up outside
  veth a 'VETH_IFADDR_INSIDE=(192.0.2.2/30 192.0.2.2/24)'
  refused VETH_IFADDR_INSIDE "'192.0.2.2' is set twice" -- hook veth a up outside
  veth a 'VETH_MTU=(1400 1500)'
  refused VETH_MTU 'is an array of 2 elements, but one value is expected' -- hook veth a up outside
  ip -netns a address add 192.0.2.2/24 dev lo
  veth a
  refused VETH_IFADDR_INSIDE "'lo' in namespace 'a' has the address '192.0.2.2' already" -- hook veth a up outside
}

@test "VETH_BRIDGE makes the outside end a port of a bridge of the host, and needs no address" {
  ip link add bridge0 type bridge
  ip address add 192.0.2.1/24 dev bridge0
  ip link set bridge0 up
  for name in a b; do
    printf '%s\n' VETH_BRIDGE=bridge0 "VETH_IFADDR_INSIDE=192.0.2.$((16#$name))/24" | config "veth-$name.conf"
    up veth "$name"
    [[ $(link host "ve-${name}0" .master) == bridge0 ]]
  done
  reaches a 192.0.2.11
  reaches host 192.0.2.10
}

@test "check reports that an interface is not a port of its bridge any more, or that the bridge was deleted" {
  ip link add bridge0 type bridge
  veth a VETH_BRIDGE=bridge0
  netnsctl up --engine direct veth@a
  ip link set dev ve-a0 nomaster
  run -1 netnsctl check veth@a
  [[ $output == *"error: veth@a: interface 've-a0' is not a port of the bridge 'bridge0'"* ]]
  netnsctl restart veth@a
  netnsctl check veth@a
  ip link delete dev bridge0
  run -1 netnsctl check veth@a
  [[ $output == *"error: veth@a: the bridge 'bridge0' of interface 've-a0' does not exist"* ]]
  ip link add bridge0 type bridge
  netnsctl restart veth@a
  netnsctl check veth@a
}

@test "VETH_BRIDGE with VETH_NSNAME_OUTSIDE uses a bridge of that namespace" {
  create sw
  ip -netns sw link add bridge0 type bridge
  ip -netns sw link set bridge0 up
  for name in a b; do
    printf '%s\n' VETH_BRIDGE=bridge0 VETH_NSNAME_OUTSIDE=sw "VETH_IFADDR_INSIDE=192.0.2.$((16#$name))/24" | config "veth-$name.conf"
    up veth "$name"
  done
  [[ -z $(links host veth) ]]
  reaches a 192.0.2.11
}

@test "a bridge that does not exist, or is another kind of interface, creates nothing" {
  create a
  veth a VETH_BRIDGE=bridge0
  refused VETH_BRIDGE "'bridge0' does not exist on the host" -- hook veth a up outside
  veth a VETH_BRIDGE=lo
  refused VETH_BRIDGE "'lo' on the host is not a bridge" -- hook veth a up outside
}

@test "after up, no address is tentative: a program can use the IPv6 addresses of both ends" {
  veth a 'VETH_IFADDR_OUTSIDE=2001:db8::1/64' 'VETH_IFADDR_INSIDE=2001:db8::2/64'
  up veth a
  [[ -z $(ip -6 address show tentative) && -z $(from a ip -6 address show tentative) ]]
  [[ $(link host ve-a0 .operstate) == UP && $(link a ve-a1 .operstate) == UP ]]
}

@test "an IPv6 address that another host of the bridge has fails up, and nothing is left" {
  ip link add bridge0 type bridge
  ip link set bridge0 up
  create other
  ip link add port type veth peer name eth0 netns other
  ip link set port master bridge0 up
  ip -netns other address add 2001:db8::2/64 dev eth0 nodad
  ip -netns other link set eth0 up
  printf '%s\n' VETH_BRIDGE=bridge0 VETH_IFADDR_INSIDE=2001:db8::2/64 | config veth-a.conf
  create a
  hook veth a up outside
  run --separate-stderr ! hook veth a up inside
  [[ $stderr == *"another host of the network has the address '2001:db8::2'"*dadfailed* ]]
}

@test "a restart creates a pair again that was deleted, with the settings of both ends" {
  veth a VETH_MTU=1400 'VETH_ROUTES_OUTSIDE=(203.0.113.0/25)'
  up veth a
  ip link delete ve-a0
  restart_inside veth a
  reaches host 192.0.2.2
  [[ $(link host ve-a0 .mtu) == 1400 && $(ip route show 203.0.113.0/25) == *ve-a0* && $(link host ve-a0 .group) == 28275 ]]
  down veth a
  [[ -z $(links host veth) ]]
}

@test "the interface name of another instance is refused before anything is made" {
  veth a VETH_IFNAME_OUTSIDE=same
  veth b VETH_IFNAME_OUTSIDE=same VETH_IFADDR_OUTSIDE=198.51.100.1/30 VETH_IFADDR_INSIDE=198.51.100.2/30
  up veth a
  create b
  refused "interface 'same' on the host belongs to veth@a" VETH_IFNAME_OUTSIDE -- hook veth b up outside
}

@test "an instance that an older version has brought up goes down with its remembered names" {
  veth a
  create a
  ip link add ve-a0 type veth peer name ve-a1 netns a
  mkdir -p "$MEMORY"
  printf '%s\0' VETH_IFNAME_OUTSIDE=ve-a0 VETH_IFNAME_INSIDE=ve-a1 VETH_NSNAME_OUTSIDE >"$MEMORY/veth@a"
  hook veth a up inside
  reaches host 192.0.2.2 || ip address add 192.0.2.1/30 dev ve-a0
  rm "$MEMORY/veth@a"
  printf '%s\0' VETH_IFNAME_OUTSIDE=ve-a0 VETH_IFNAME_INSIDE=ve-a1 VETH_NSNAME_OUTSIDE >"$MEMORY/veth@a"
  hook veth a down outside
  [[ -z $(links host veth) ]]
}

@test "a trace prints the commands of ip that do the same" {
  veth a
  create a
  run --separate-stderr env NETNS_TRACE=1 netnsinit veth a up outside
  commands=$(grep '^+ ip ' <<<"$stderr" | cut -c 3-)
  netnsinit veth a down outside
  [[ $commands == *'link add name ve-a0 group 28275 type veth peer name ve-a1 netns a'*'address replace 192.0.2.1/30 dev ve-a0'* ]]
  bash -ec "$commands"
  ip -netns a address add 192.0.2.2/30 dev ve-a1
  ip -netns a link set ve-a1 up
  reaches a 192.0.2.1
}

@test "a route that exists over another interface of the host is refused before anything is made, also the route of a network" {
  ip link add h0 type veth peer name h1
  ip address add 203.0.113.1/25 dev h0
  ip link set h0 up
  ip link set h1 up
  ip route add default via 203.0.113.2
  before=$(ip route show)
  create a
  for route in default 203.0.113.0/25; do
    veth a "VETH_ROUTES_OUTSIDE=($route)"
    refused "VETH_ROUTES_OUTSIDE: the route '$route' over interface 'h0' on the host exists; give the new one another metric" -- hook veth a up outside
    [[ $(ip route show) == "$before" ]]
  done
  veth a 'VETH_ROUTES_OUTSIDE=("default metric 2048")'
  hook veth a up outside
  hook veth a down outside
  [[ $(ip route show) == "$before" ]]
}

@test "of several outside addresses of a family, the first is the gateway; two gateways of one family are refused" {
  veth a 'VETH_IFADDR_OUTSIDE=(192.0.2.1/29 192.0.2.3/29 fe80::1/64 2001:db8::1/64)' VETH_IFADDR_INSIDE=192.0.2.2/29 VETH_GATEWAY=outside
  up veth a
  [[ $(inside a ip route show default) == 'default via 192.0.2.1 dev ve-a1 '* && -z $(inside a ip -6 route show default) ]]
  down veth a
  veth a 'VETH_IFADDR_OUTSIDE="192.0.2.1 peer 192.0.2.2"' 'VETH_IFADDR_INSIDE="192.0.2.2 peer 192.0.2.1"' VETH_GATEWAY=outside
  up veth a
  reaches a 192.0.2.1
  down veth a
  veth a VETH_IFADDR_OUTSIDE=192.0.2.1/29 VETH_IFADDR_INSIDE=192.0.2.2/29 'VETH_GATEWAY=(192.0.2.1 192.0.2.3)'
  create a
  refused "VETH_GATEWAY: '192.0.2.1' and '192.0.2.3' are gateways of one family" -- hook veth a up outside
}

@test "link_add refuses an interface that the instance has not created, and leaves it as it is" {
  config own.sh <<'END'
NO_CONFIG_REQUIRED=yes
OWN_IFNAME_OUTSIDE=br0
configure_own_up_outside() { link_add OWN _OUTSIDE type bridge; }
END
  create a
  ip link add br0 type bridge
  refused "interface 'br0' on the host" 'another interface has this name' -- hook own a up outside
  hook own a down outside
  ip link show br0
  ip link delete br0
}
