#!/usr/bin/env bats
# The types of interfaces whose modules are in every kernel. bats/vm/types.bats has the others.

# shellcheck disable=SC2034 # bats/life.bash reads the variables
load engine
load ../life

TYPES=(veth macvlan bridge vxlan hostdev)
NETWORKS=([veth]=1 [macvlan]=2 [bridge]=3 [vxlan]=4 [hostdev]=5)
OTHER_SIDE=([veth]=host)

# The interfaces of the host: NAME0, whose other end is NAME1 in the namespace `peer`.
setup() {
  local name
  on ip netns add peer
  for name in parent under card; do
    on ip link add "${name}0" type veth peer name "${name}1" netns peer
    on ip link set dev "${name}0" up
    on ip -netns peer link set dev "${name}1" up
  done
  on ip address add 198.51.100.1/24 dev under0
  on ip -netns peer address add 198.51.100.2/24 dev under1
  on ip -netns peer link add tunnel type vxlan id 42 dstport 4789 remote 198.51.100.1
  on ip -netns peer link set dev tunnel up
  peer_addresses parent1 2
  peer_addresses tunnel 4
  peer_addresses card1 5
}

# Usage: peer_addresses IFNAME NETWORK
peer_addresses() {
  on ip -netns peer address add "192.0.$2.1/24" dev "$1"
  on ip -netns peer address add "2001:db8:$2::1/64" dev "$1" nodad
}

settings() {
  both() { echo "(192.0.$1.$2/24 2001:db8:$1::$2/64)"; }
  printf '%s\n' "VETH_IFADDR_OUTSIDE=$(both 1 1)" "VETH_IFADDR_INSIDE=$(both 1 2)" | config veth-box.conf
  printf '%s\n' MACVLAN_PARENT_IFNAME=parent0 MACVLAN_IFNAME=macvlan0 MACVLAN_ALIAS=box "MACVLAN_IFADDR=$(both 2 2)" | config macvlan-box.conf
  printf '%s\n' BRIDGE_PORTS=port1 "BRIDGE_IFADDR=$(both 3 2)" | config bridge-box.conf
  printf '%s\n' VXLAN_ID=42 VXLAN_MAC=02:00:00:00:04:02 VXLAN_REMOTES=198.51.100.2 "VXLAN_IFADDR=$(both 4 2)" | config vxlan-box.conf
  printf '%s\n' HOSTDEV_IFNAME=card0 "HOSTDEV_IFADDR=$(both 5 2)" | config hostdev-box.conf
}

# The port of the bridge.
late() {
  on ip -netns box link add port1 type veth peer name port netns peer
  on ip -netns peer link set dev port up
  peer_addresses port 3
  on netnsctl restart bridge@box
}

edit() {
  echo 'VETH_IFADDR_INSIDE=192.0.1.3/24' >>"$CONF/veth-box.conf"
  echo 'MACVLAN_MTU=1400' >>"$CONF/macvlan-box.conf"
  echo 'BRIDGE_STP=yes BRIDGE_CARRIER_TIMEOUT=0 BRIDGE_IFADDR=192.0.3.3/24' >>"$CONF/bridge-box.conf"
  echo 'VXLAN_REMOTES=(198.51.100.2 198.51.100.3)' >>"$CONF/vxlan-box.conf"
  echo 'HOSTDEV_MTU=1400' >>"$CONF/hostdev-box.conf"
}

edited() {
  [[ $(property ve-box1 '[.addr_info[].local]') == *192.0.1.3* ]]
  [[ $(property macvlan0 .mtu) == 1400 ]]
  [[ $(property br0 .linkinfo.info_data.stp_state) == 1 ]]
  [[ $(at box bridge fdb show dev vxlan0) == *'dst 198.51.100.3 '* ]]
  [[ $(property card0 .mtu) == 1400 ]]
}

FINDINGS=("veth 've-box1' does not have the address '192.0.1.2'" "macvlan 'macvlan0' has the alias 'other', not 'box'"
  "bridge 'port1' is not a port of 'br0'" "bridge 'br0' has stp_state '1', not '0'"
  "vxlan 'vxlan0' was replaced by another program" "vxlan 'vxlan0' has id '43', not '42'" "vxlan 'vxlan0' does not have the remote '198.51.100.2'"
  "hostdev 'card0' does not have the address '2001:db8:5::2'")

spoil() {
  on ip -netns box address delete 192.0.1.2/24 dev ve-box1
  on ip -netns box link set dev macvlan0 alias other
  on ip -netns box link set dev port1 nomaster
  on ip -netns box link set dev br0 type bridge stp_state 1
  on ip -netns box link delete dev vxlan0
  on ip -netns box link add vxlan0 type vxlan id 43 dstport 4789
  on ip -netns box address delete 2001:db8:5::2/64 dev card0
}

@test "each type comes up, passes packets, restarts, follows its settings, and leaves nothing" { life; }
