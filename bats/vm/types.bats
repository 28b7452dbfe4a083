#!/usr/bin/env bats
# The types whose modules the kernel of the machine below may not have: an instance of each in the namespace `box`. The namespace `peer`
# is the rest of the world. bats/kernel has the tests that need no module. Run with `tests/vm --systemd bats bats/vm/types.bats`.

# shellcheck disable=SC2034 # bats/life.bash reads the variables
load vm
load ../kernel/kernel
load ../life

TYPES=(vlan ipvlan bond vrf dummy)
NETWORKS=([vlan]=1 [ipvlan]=2 [bond]=3 [vrf]=4 [dummy]=5)
DEVICES=([vrf]=vrf0)

# Here, the suites of both engines run on the machine itself.
on() { "$@"; }
machine() { world; }
undone() { unchanged "$1"; }

# Usage: world
# Prints everything that an instance can leave behind. In place of that of the other suite, which starts many processes.
world() {
  local name
  {
    ip -brief address
    for name in /run/netns/*; do ip -netns "${name##*/}" -brief address; done
  } | sed --regexp-extended 's/ (UP|DOWN|UNKNOWN|LOWERLAYERDOWN) / /; s/ fe80:[^ ]*//g; s/ +/ /g'
  find "$MEMORY" "$CONF" -type f 2>/dev/null | sort
}

setup_file() { vm_install; }

teardown_file() { delete_settings; }

# The interfaces of the host, whose other ends are in the namespace `peer`. The last byte of each address is 1 for the peer, and 2 for
# the instance; the third byte is the number of the network.
setup() {
  local name
  ip netns add peer
  for name in up ipv; do create_parent "$name"; done
  ip -netns peer link add link up1 name vlan type vlan id 7
  ip -netns peer link add bond address 02:00:00:00:00:03 type bridge
  for name in vlan:1 ipv1:2 bond:3; do address peer "${name%:*}" "${name#*:}" 1; done
  address peer lo 5 1
}

teardown() {
  [[ ${BATS_TEST_COMPLETED-} ]] || journalctl --boot --lines=20 --no-pager >&2
  systemctl stop types.service 2>/dev/null || true
  [[ ! -e /run/netns/box ]] || netnsctl down box 2>/dev/null || true
  ip -all netns delete
  delete_links
  rm -rf "${CONF:?}"/* /etc/modprobe.d/types.conf /etc/systemd/system/types.service.d
}

# Usage: create_parent NAME
# Creates the interface NAME0 of the host, whose other end is NAME1 of the peer.
create_parent() {
  ip link add "${1}0" type veth peer name "${1}1" netns peer
  ip link set dev "${1}0" up
  ip -netns peer link set dev "${1}1" up
}

# Usage: address NAMESPACE IFNAME NETWORK NUMBER
# Gives an interface an IPv4 and an IPv6 address, and sets it up.
address() {
  ip -netns "$1" address add "192.0.$3.$4/24" dev "$2"
  address6 "$@"
  ip -netns "$1" link set dev "$2" up
}

# Usage: address6 NAMESPACE IFNAME NETWORK NUMBER
address6() { ip -netns "$1" address add "2001:db8:$3::$4/64" dev "$2" nodad; }

settings() {
  both() { echo "(192.0.$1.2/$2 2001:db8:$1::2/$3)"; }
  printf '%s\n' VLAN_PARENT_IFNAME=up0 VLAN_ID=7 "VLAN_IFADDR=$(both 1 24 64)" \
    'VLAN_ROUTES=("192.0.5.1 via 192.0.1.1" "2001:db8:5::1 via 2001:db8:1::1")' | config vlan-box.conf
  printf '%s\n' IPVLAN_PARENT_IFNAME=ipv0 "IPVLAN_IFADDR=$(both 2 24 64)" | config ipvlan-box.conf
  printf '%s\n' 'BOND_PORTS=(port1 port2)' "BOND_IFADDR=$(both 3 24 64)" | config bond-box.conf
  printf '%s\n' VRF_TABLE=10 VRF_PORTS=port3 | config vrf-box.conf
  printf '%s\n' "DUMMY_IFADDR=$(both 5 32 128)" | config dummy-box.conf
}

# The ports of the bond and of the routing domain, and the routes to the addresses of the dummy.
late() {
  local name
  for name in 1 2; do
    ip -netns box link add "port$name" type veth peer name "bond$name" netns peer
    ip -netns peer link set dev "bond$name" master bond up
  done
  ip -netns box link add port3 type veth peer name router netns peer
  address box port3 4 2
  address peer router 4 1
  ip -netns peer route add 192.0.5.2 via 192.0.1.2
  ip -netns peer route add 2001:db8:5::2 via 2001:db8:1::2
  netnsctl restart bond@box vrf@box
}

# Usage: conf TYPE LINE...
# Adds lines to a .conf file.
conf() { printf '%s\n' "${@:2}" >>"$CONF/$1-box.conf"; }

edit() {
  conf vlan VLAN_ID=8 VLAN_PROTOCOL=802.1ad
  conf ipvlan IPVLAN_MODE=l3 IPVLAN_FLAGS=private
  conf bond BOND_MODE=balance-rr BOND_MIIMON=200
  conf vrf VRF_TABLE=11
  conf dummy 'DUMMY_IFADDR=(192.0.5.3/32)'
}

edited() {
  run ! has_vlan
  [[ $(link box up0.8 '.linkinfo.info_data | "\(.id) \(.protocol)"') == '8 802.1ad' ]]
  [[ $(link box ipvlan0 '.linkinfo.info_data | "\(.mode) \(.private)"') == 'l3 true' ]]
  [[ $(link box bond0 '.linkinfo.info_data | "\(.mode) \(.miimon)"') == 'balance-rr 200' ]]
  [[ $(link box vrf0 .linkinfo.info_data.table) == 11 ]]
  [[ $(addresses box dummy0) == 192.0.5.3/32 ]]
}

FINDINGS=("vlan 'up0.7' was replaced by another program" "vlan 'up0.7' has id '9', not '7'" "ipvlan 'ipvlan0' has mode 'l3', not 'l2'"
  "ipvlan 'ipvlan0' has the flag 'vepa', not 'bridge'" "bond 'bond0' has miimon '300', not '100'"
  "bond 'port2' is not a port of 'bond0'" "vrf 'port3' is not a port of 'vrf0'"
  "dummy 'dummy0' does not have the address '192.0.5.2'")

spoil() {
  ip -netns box link delete dev up0.7
  ip link add link up0 name up0.7 netns box type vlan id 9
  ip -netns box link set dev ipvlan0 type ipvlan mode l3 vepa
  ip -netns box link set dev bond0 type bond miimon 300
  ip -netns box link set dev port2 nomaster
  ip -netns box link set dev port3 nomaster
  address6 box port3 4 2 # the kernel has removed it
  ip -netns box address delete 192.0.5.2/32 dev dummy0
}

@test "each type lives with systemd" { ENGINE=systemd life; }

@test "each type lives with the direct engine" { ENGINE=direct life; }

@test "a program that is killed at any step of up leaves nothing" {
  local type before
  for type in "${TYPES[@]}"; do
    settings
    # While it waits for an IPv6 address or a carrier, it sends many messages.
    conf "$type" "${type^^}_IFADDR=(192.0.${NETWORKS[$type]}.2/24) ${type^^}_ROUTES=() ${type^^}_CARRIER_TIMEOUT=0" "$(fault kill)"
    create box
    before=$(world)
    each_failure_leaves "$before" "$type" box inside link_add link_configure
    down_hooks "$type" box
    netnsinit --delete box
    shown hooks killed "$type"
  done
}

# Usage: refuses TYPE WORD...
# Succeeds if `up` fails, with all these words, and nothing is left.
refuses() {
  local before word
  before=$(world)
  run -1 netnsctl up --engine direct "$1@box"
  for word in "${@:2}"; do [[ $output == *"$word"* ]]; done
  unchanged "$before"
}

@test "a parent of a wrong kind, a missing parent and a missing module are refused, and nothing is left" {
  config vlan-box.conf <<<'VLAN_PARENT_IFNAME=tun0 VLAN_ID=7'
  config ipvlan-box.conf <<<IPVLAN_PARENT_IFNAME=tun0
  ip link add tun0 type vrf table 9
  refuses vlan "on the parent 'tun0' (VLAN_PARENT_IFNAME)" 'VLANs not supported on device' 'hint: VLAN_PARENT_IFNAME must be'
  ip link delete tun0
  ip link add tun0 type ipip local 192.0.2.1 remote 192.0.2.2
  refuses ipvlan "on the parent 'tun0' (IPVLAN_PARENT_IFNAME)" 'hint: IPVLAN_PARENT_IFNAME must be'
  config ipvlan-box.conf <<<'IPVLAN_PARENT_IFNAME=none0 IPVLAN_PARENT_TIMEOUT=0'
  refuses ipvlan "interface 'none0' (IPVLAN_PARENT_IFNAME) does not exist on the host"
  # The module must not be loaded already.
  modprobe --remove dummy
  echo 'install dummy /bin/false' >/etc/modprobe.d/types.conf
  config dummy-box.conf <<<DUMMY_IFADDR=192.0.5.2/32
  refuses dummy "cannot load the kernel module 'dummy'" 'linux-image-amd64'
}

@test "an ipvlan with another mode than one on the same parent is refused by check, up and restart, and changes nothing" {
  printf '%s\n' IPVLAN_PARENT_IFNAME=ipv0 IPVLAN_MODE=l3 IPVLAN_IFADDR=192.0.2.3/24 | config ipvlan-customer.conf
  netnsctl up --engine direct ipvlan@customer
  config ipvlan-box.conf <<<IPVLAN_PARENT_IFNAME=ipv0
  run -1 netnsctl check ipvlan@box
  [[ $output == *"IPVLAN_MODE: 'l2' differs from the mode 'l3' of interface 'ipvlan0' in namespace 'customer' of ipvlan@customer"* ]]
  refuses ipvlan "IPVLAN_MODE: 'l2' differs from the mode 'l3'" '`netnsctl down ipvlan@customer`'
  printf '%s\n' IPVLAN_PARENT_IFNAME=ipv0 IPVLAN_MODE=l3 IPVLAN_IFADDR=192.0.2.2/24 | config ipvlan-box.conf
  netnsctl up --engine direct ipvlan@box
  printf '%s\n' IPVLAN_PARENT_IFNAME=ipv0 IPVLAN_MODE=l3s | config ipvlan-box.conf
  run -1 netnsctl restart ipvlan@box
  [[ $output == *"IPVLAN_MODE: 'l3s' differs"* ]]
  [[ $(link customer ipvlan0 .linkinfo.info_data.mode) == l3 && $(addresses box ipvlan0) == 192.0.2.2/24 ]]
  netnsctl down ipvlan@box ipvlan@customer
}

@test "a VLAN and an ipvlan with an MTU above that of the parent are refused; without the setting, it is that of the parent again" {
  settings
  for type in vlan ipvlan; do
    conf "$type" "${type^^}_MTU=1501"
    refuses "$type" "${type^^}_MTU: '1501' is too large: the parent '"
    conf "$type" "${type^^}_MTU=1400"
    netnsctl up --engine direct "$type@box"
    conf "$type" "${type^^}_MTU="
    netnsctl restart "$type@box"
  done
  [[ $(link box up0.7 .mtu) == 1500 && $(link box ipvlan0 .mtu) == 1500 ]]
  netnsctl down box
}

# Usage: has_vlan
has_vlan() { ip -netns box link show dev up0.7 &>/dev/null; }

@test "a parent can be late, go and return; then the instance works again" {
  config vlan-box.conf <<<'VLAN_PARENT_IFNAME=up0 VLAN_ID=7 VLAN_IFADDR=192.0.1.2/24 VLAN_PARENT_TIMEOUT=60'
  netns-update >/dev/null
  ip link delete dev up0
  netnsctl up vlan@box 3>&- &
  eventually test -e /run/netns/box
  parent
  wait "$!"
  reaches peer 192.0.1.2
  ip link delete dev up0
  eventually eval '! has_vlan'
  parent
  eventually has_vlan
  eventually reaches peer 192.0.1.2
}

# Usage: parent
# Creates the parent again.
parent() {
  create_parent up
  ip -netns peer link add link up1 name vlan type vlan id 7
  address peer vlan 1 1
}

@test "the parent of a VLAN can be a bond in the namespace itself, or in another one" {
  settings
  printf '%s\n' VLAN_PARENT_IFNAME=bond0 'VLAN_PARENT_NSNAME=$NSNAME' VLAN_ID=5 VLAN_IFADDR=192.0.6.1/24 NETNS_REQUIRES=bond@box |
    config vlan-box.conf
  printf '%s\n' VLAN_PARENT_IFNAME=bond0 VLAN_PARENT_NSNAME=box VLAN_ID=6 VLAN_IFADDR=192.0.7.1/24 NETNS_REQUIRES=bond@box |
    config vlan-customer.conf
  netnsctl up --engine direct vlan@box vlan@customer
  [[ $(link box bond0.5 .link) == bond0 ]]
  [[ $(link customer bond0.6 .link_index) == "$(link box bond0 .ifindex)" ]]
  netnsctl check vlan@box vlan@customer
  netnsctl down --recursive customer box
}
