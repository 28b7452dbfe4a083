#!/usr/bin/env bats
# The type hostdev. One end of a veth pair is the interface of the host; the kernel deletes it with its namespace. For interfaces that the
# kernel gives back, see ../vm/hostdev.bats.

load kernel

# Creates the interface of the host, and the other end of its cable.
add_card() {
  ip link add card index 50 address 02:00:00:00:00:50 mtu 1450 group 9 type veth peer name cable
  ip link set card up alias uplink
  ip link set cable up
  ip address add 192.0.2.1/24 dev cable
}

# Usage: hostdev NAME LINE...
hostdev() { printf '%s\n' "${@:2}" | config "hostdev-$1.conf"; }

has_no_cable() { [[ $(links host) != *cable* ]]; }

# The state of the interface on the host.
card() { ip -json link show dev card | jq -r '.[0] | "\(.address) \(.mtu) \(.group) \(.ifalias) \(.flags | index("UP") != null)"'; }

@test "an interface of the host is moved in with its settings, and given back with its name, hardware address, MTU, group, alias and state" {
  add_card
  for state in up down; do
    ip link set card "$state"
    before=$(card)
    hostdev a HOSTDEV_IFNAME=card HOSTDEV_IFNAME_INSIDE=lan0 HOSTDEV_MAC=02:00:00:00:00:51 HOSTDEV_MTU=1400 HOSTDEV_GROUP=10 HOSTDEV_ALIAS=lan \
      'HOSTDEV_IFADDR=(192.0.2.2/24 2001:db8::2/64)' HOSTDEV_GATEWAY=192.0.2.1 'HOSTDEV_SYSCTLS=(ipv4.rp_filter=2)'
    up hostdev a
    [[ ! -e /sys/class/net/card && $(link a lan0 '"\(.address) \(.mtu)"') == '02:00:00:00:00:51 1400' ]]
    reaches a 192.0.2.1
    [[ $(inside a ip route show default) == *192.0.2.1* && $(inside a cat /proc/sys/net/ipv4/conf/lan0/rp_filter) == 2 ]]
    restart_inside hostdev a
    reaches a 192.0.2.1
    down hostdev a
    [[ $(card) == "$before" ]]
  done
}

@test "HOSTDEV_IFNAME can be a hardware address or a path in /sys" {
  add_card
  # /sys shows the namespace of the process that has mounted it.
  mkdir "$BATS_TEST_TMPDIR/sys"
  mount -t sysfs sys "$BATS_TEST_TMPDIR/sys"
  for selector in 02:00:00:00:00:50 "$BATS_TEST_TMPDIR/sys/class/net/card"; do
    hostdev a "HOSTDEV_IFNAME=$selector"
    up hostdev a
    [[ $(link a card .address) == 02:00:00:00:00:50 ]]
    down hostdev a
    card
  done
  umount "$BATS_TEST_TMPDIR/sys"
}

@test "a failure of any step of up outside gives the interface back" {
  add_card
  before=$(card)
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_IFNAME_INSIDE=lan0 "$(fault error)"
  create a
  each_failure_leaves "$(world)" hostdev a outside link_move
  down hostdev a
  [[ $(card) == "$before" ]]
}

@test "a program that is killed at any step of up outside leaves the interface on the host" {
  add_card
  before=$(card)
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_IFNAME_INSIDE=lan0 "$(fault kill)"
  create a
  each_failure_leaves "$(world)" hostdev a outside link_move
  down hostdev a
  [[ $(card) == "$before" ]]
  shown hooks killed hostdev
}

@test "if its name is in use on the host, the interface is given back with another name, and a warning" {
  add_card
  hostdev a HOSTDEV_IFNAME=card
  up hostdev a
  ip link add card type veth peer name other
  run --separate-stderr down hostdev a
  ((status == 0))
  [[ $stderr == *"cannot rename interface 'dev"*"' to 'card'"* ]]
  ip link delete card
  [[ $(ip -json link | jq -r '.[] | select(.address == "02:00:00:00:00:50").ifname') == dev* ]]
}

@test "an interface that does not exist, a used name and a loopback interface are refused, and the host is unchanged" {
  add_card
  before=$(card)
  create a
  hostdev a HOSTDEV_IFNAME=missing HOSTDEV_TIMEOUT=0
  run --separate-stderr ! hook hostdev a up outside
  [[ $stderr == *"$CONF/hostdev-a.conf:1: HOSTDEV_IFNAME: the host has no interface 'missing'; hint: \`ip link\` lists them"* ]]
  hostdev a HOSTDEV_IFNAME=lo
  run --separate-stderr ! hook hostdev a up outside
  [[ $stderr == *"HOSTDEV_IFNAME: 'lo' is a loopback interface"* ]]
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_IFNAME_INSIDE=lo
  run --separate-stderr ! hook hostdev a up outside
  [[ $stderr == *"HOSTDEV_IFNAME_INSIDE: interface 'lo' in namespace 'a' exists already"* ]]
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_IFADDR=192.0.2.300/24
  run --separate-stderr ! hook hostdev a up outside
  [[ $stderr == *"HOSTDEV_IFADDR: "*192.0.2.300* && $(card) == "$before" ]]
  ip link set cable address 02:00:00:00:00:50
  hostdev a HOSTDEV_IFNAME=02:00:00:00:00:50
  run --separate-stderr ! hook hostdev a up outside
  [[ $stderr == *"several interfaces have the hardware address '02:00:00:00:00:50': "* && $(card) == "$before" ]]
}

@test "a late interface is waited for" {
  add_card
  ip link set card down
  ip link set card name later
  create a
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_TIMEOUT=60
  hook hostdev a up outside 3>&- &
  BACKGROUND+=($!)
  # The record is written after the interface has been found.
  sleep 0.5
  [[ ! -e $MEMORY/hostdev@a ]]
  ip link set later name card
  wait $!
  [[ $(links a) == *card* ]]
}

@test "a restart repairs each changed property" {
  add_card
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_MTU=1400 HOSTDEV_IFADDR=192.0.2.2/24
  up hostdev a
  inside a ip link set card mtu 1300
  inside a ip address delete 192.0.2.2/24 dev card
  restart_inside hostdev a
  [[ $(link a card .mtu) == 1400 ]]
  reaches a 192.0.2.1
}

@test "an interface that was changed and renamed in the namespace is given back with all its properties" {
  add_card
  before=$(card)
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_IFNAME_INSIDE=lan0 HOSTDEV_IFADDR=192.0.2.2/24
  for mac in 02:00:00:00:00:50 02:00:00:00:00:99; do
    up hostdev a
    inside a ip link set lan0 down
    inside a ip link set lan0 name other address "$mac" mtu 1300 alias foreign group 3
    # An interface with the name is not the one of the host.
    inside a ip link add lan0 type veth peer name far
    run --separate-stderr -0 down hostdev a
    [[ $(card) == "$before" && ! $stderr ]]
  done
  # Before it is configured.
  create a
  hook hostdev a up outside
  inside a ip link set lan0 name other
  run --separate-stderr -0 down hostdev a
  [[ $(card) == "$before" && ! $stderr ]]
}

@test "check reports that an interface was renamed, and a restart renames it, unless its name is in use" {
  add_card
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_IFNAME_INSIDE=lan0 'HOSTDEV_IFADDR=(192.0.2.2/24 2001:db8::2/64)' HOSTDEV_GATEWAY=192.0.2.1
  netnsctl up --engine direct hostdev@a
  inside a ip link set lan0 down
  inside a ip link set lan0 name other
  run -1 netnsctl check hostdev@a
  [[ $output == *"interface 'lan0' was renamed to 'other'"*'fix: `netnsctl restart hostdev@a`'* ]]
  inside a ip link set other up
  inside a ip link add lan0 type veth peer name far
  run --separate-stderr ! restart_inside hostdev a
  [[ $stderr == *"cannot rename interface 'other' to 'lan0' in namespace 'a': another interface has this name; fix: \`ip -netns a link delete lan0\`"* ]]
  [[ $(link a other '.flags | index("UP") != null') == true ]]
  ip -netns a link delete lan0
  netnsctl restart hostdev@a
  netnsctl check hostdev@a
  reaches a 192.0.2.1
  [[ $(inside a ip route show default) == *192.0.2.1* && $(addresses a lan0) == *2001:db8::2/64* ]]
  netnsctl down hostdev@a
  card
}

@test "an interface that the host has already is moved in again by a restart, and restored by down" {
  add_card
  before=$(card)
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_IFNAME_INSIDE=lan0 HOSTDEV_MAC=02:00:00:00:00:51 HOSTDEV_MTU=1400 HOSTDEV_IFADDR=192.0.2.2/24
  netnsctl up --engine direct hostdev@a
  inside a ip link set lan0 netns 1
  run -1 netnsctl check hostdev@a
  [[ $output == *"interface 'lan0' is missing"*'fix: `netnsctl restart hostdev@a`'* ]]
  netnsctl restart hostdev@a
  netnsctl check hostdev@a
  reaches a 192.0.2.1
  inside a ip link set lan0 netns 1
  run --separate-stderr -0 netnsctl down hostdev@a
  [[ $(card) == "$before" && ! $stderr ]]
}

@test "if the interface was replaced, a restart moves the new one in, and down gives it back unchanged" {
  add_card
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_MTU=1400
  up hostdev a
  ip link delete cable
  ip link add card address 02:00:00:00:00:60 mtu 1480 type veth peer name cable
  ip link set cable up
  before=$(card)
  restart_inside hostdev a
  [[ $(link a card '"\(.address) \(.mtu)"') == '02:00:00:00:00:60 1400' ]]
  down hostdev a
  [[ $(card) == "$before" ]]
}

@test "down warns about an interface that no longer exists or is in another namespace, with the next step" {
  add_card
  create b
  hostdev a HOSTDEV_IFNAME=card
  up hostdev a
  inside a ip link set card netns b
  run --separate-stderr -0 down hostdev a
  [[ $stderr == *"interface 'card' has not returned to the host: it was deleted, or another namespace has it; hint: \`ip -all netns exec ip link\`"* ]]
  inside b ip link set card netns 1
  up hostdev a
  ip link delete cable
  run --separate-stderr -0 down hostdev a
  [[ $stderr == *"interface 'card' has not returned to the host: it was deleted, "* ]]
  # The kernel deletes it with its namespace.
  add_card
  up hostdev a
  umount /run/netns/a
  rm /run/netns/a
  eventually has_no_cable
  run --separate-stderr -0 hook hostdev a down outside
  [[ $stderr == *"interface 'card' has not returned to the host: it was deleted, "* ]]
}

@test "check and restart accept a gateway in a network of HOSTDEV_IFADDR, with another name inside" {
  add_card
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_IFNAME_INSIDE=lan0 HOSTDEV_IFADDR=192.0.2.9/24 HOSTDEV_GATEWAY=192.0.2.1
  netnsctl check hostdev@a
  netnsctl up --engine direct hostdev@a
  netnsctl check hostdev@a
  netnsctl restart hostdev@a
  reaches a 192.0.2.1
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_IFNAME_INSIDE=lan0 HOSTDEV_IFADDR=192.0.2.9/24 HOSTDEV_GATEWAY=198.51.100.1
  run -1 netnsctl check hostdev@a
  [[ $output == *"HOSTDEV_GATEWAY: the gateway '198.51.100.1' is not reachable: it is in no network of HOSTDEV_IFADDR (192.0.2.9/24)"* ]]
  netnsctl down hostdev@a
}

@test "check accepts each documented form of HOSTDEV_IFNAME, and refuses a name that is too long, as up does" {
  add_card
  for selector in 02:00:00:00:00:50 /sys/bus/pci/devices/0000:03:00.0 card; do
    hostdev a "HOSTDEV_IFNAME=$selector"
    netnsctl check hostdev@a
  done
  create a
  for setting in HOSTDEV_IFNAME HOSTDEV_IFNAME_INSIDE; do
    hostdev a HOSTDEV_IFNAME=card "$setting=abcdefghijklmnop"
    run -1 netnsctl check hostdev@a
    [[ $output == *"$setting: interface name \`abcdefghijklmnop\` is too long: 16 characters, at most 15 are possible"* ]]
    fails hook hostdev a up outside
    [[ $stderr == *"$setting: interface name \`abcdefghijklmnop\` is too long: 16 characters, at most 15 are possible"* ]]
  done
}

@test "the error about an interface that another instance has names the instance" {
  add_card
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_IFNAME_INSIDE=lan0
  up hostdev a
  create b
  for selector in card 02:00:00:00:00:50; do
    hostdev b "HOSTDEV_IFNAME=$selector" HOSTDEV_TIMEOUT=0
    run --separate-stderr ! hook hostdev b up outside
    [[ $stderr == *"HOSTDEV_IFNAME: hostdev@a has the interface '$selector' of the host, in namespace 'a'; fix: \`netnsctl down hostdev@a\`"* ]]
  done
  down hostdev a
  up hostdev b
  down hostdev b
}

@test "up reports the addresses that the host has lost, only after a success" {
  add_card
  ip address add 192.0.2.2/24 dev card
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_IFADDR=192.0.2.2/24 HOSTDEV_GATEWAY=203.0.113.1
  run ! netnsctl up --engine direct hostdev@a
  [[ $output != *'lost its addresses'* && $(addresses host card) == 192.0.2.2/24 ]]
  hostdev a HOSTDEV_IFNAME=card
  run -0 netnsctl up --engine direct hostdev@a
  [[ $output == *"warning: hostdev@a: interface 'card' has lost its addresses on the host: 192.0.2.2/24"* ]]
  netnsctl down hostdev@a
}

@test "without a setting, the group, alias, hardware address and MTU are those of the host, also after a restart without it" {
  add_card
  properties='"\(.group) \(.ifalias) \(.address) \(.mtu)"'
  before=$(link host card "$properties")
  hostdev a HOSTDEV_IFNAME=card
  up hostdev a
  [[ $(link a card "$properties") == "$before" ]]
  hostdev a HOSTDEV_IFNAME=card HOSTDEV_GROUP=10 HOSTDEV_ALIAS=lan HOSTDEV_MAC=02:00:00:00:00:51 HOSTDEV_MTU=1400
  restart_inside hostdev a
  [[ $(link a card "$properties") == '10 lan 02:00:00:00:00:51 1400' ]]
  hostdev a HOSTDEV_IFNAME=card
  restart_inside hostdev a
  [[ $(link a card "$properties") == "$before" ]]
  down hostdev a
}
