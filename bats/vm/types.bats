#!/usr/bin/env bats
# The types whose modules the kernel of the machine below may not have. Each test takes one instance of each type through a part of
# its life, with one engine. The namespace `peer` is the rest of the world.

load vm

CONF=/etc/conf.d/netns
INSTANCES=(bridge@sw dummy@sw vlan@customer ipvlan@web vxlan@cluster vrf@router bond@storage)

# The interface of each instance.
declare -gA LINKS=([bridge@sw]=br0 [dummy@sw]=dummy0 [vlan@customer]=up0.7 [ipvlan@web]=ipvlan0 [vxlan@cluster]=vxlan0
  [vrf@router]=vrf0 [bond@storage]=bond0)

setup_file() { vm_install; }

teardown() {
  [[ ${BATS_TEST_COMPLETED-} ]] || journalctl --boot --lines=20 --no-pager >&2
  systemctl stop types.service 'netns-*@*.service' 2>/dev/null || true
  for name in $(ip netns list | cut -d ' ' -f 1); do netnsctl down "$name" 2>/dev/null; done
  ip -all netns delete
  delete_links
  rm -rf "${CONF:?}"/* /etc/modprobe.d/types.conf /run/systemd/system/types.service*
  netns-update >/dev/null
  systemctl reset-failed
}

# Usage: config FILE LINE...
config() { printf '%s\n' "${@:2}" >"$CONF/$1"; }

# Usage: in_peer COMMAND...
in_peer() { ip netns exec peer "$@"; }

# Usage: parents
# Creates the interfaces of the host, whose other ends are in the namespace `peer`.
parents() {
  local name
  ip netns add peer
  for name in up ipv vx; do ip link add "${name}0" type veth peer name "${name}1" netns peer; done
  ip address add 198.51.100.1/24 dev vx0
  ip -netns peer address add 198.51.100.2/24 dev vx1
  for name in up ipv vx; do
    ip link set dev "${name}0" up
    ip -netns peer link set dev "${name}1" up
  done
  # The last byte of each address: 1 for the peer, 2 for the instance. The third byte is the number of the network.
  ip -netns peer link add link up1 name vlan type vlan id 7
  ip -netns peer link add vxlan type vxlan id 42 dstport 4789 remote 198.51.100.1
  ip -netns peer link add bond type bridge
  for name in vlan:1 ipv1:2 vxlan:3 bond:4; do address peer "${name%:*}" "${name#*:}" 1; done
}

# Usage: address NAMESPACE IFNAME NETWORK NUMBER
# Gives an interface an IPv4 and an IPv6 address, and sets it up.
address() {
  ip -netns "$1" address add "192.0.$3.$4/24" dev "$2"
  ip -netns "$1" address add "2001:db8:$3::$4/64" dev "$2" nodad
  ip -netns "$1" link set dev "$2" up
}

# Usage: ports
# Creates the ports in the namespaces of the bridge, the domain and the bond, after `up`.
ports() {
  local name
  ip -netns sw link add port1 type veth peer name sw netns peer
  ip -netns router link add port1 type veth peer name router netns peer
  for name in 1 2; do
    ip -netns storage link add "port$name" type veth peer name "bond$name" netns peer
    ip -netns peer link set dev "bond$name" master bond up
  done
  address peer sw 5 1
  address router port1 6 2
  address peer router 6 1
  ip -netns peer route add 192.0.7.2 via 192.0.5.2
  ip -netns peer route add 2001:db8:7::2 via 2001:db8:5::2
}

# Usage: settings
settings() {
  both() { echo "(192.0.$1.2/24 2001:db8:$1::2/64)"; }
  config bridge-sw.conf BRIDGE_PORTS=port1 "BRIDGE_IFADDR=$(both 5)"
  config dummy-sw.conf 'DUMMY_IFADDR=(192.0.7.2/32 2001:db8:7::2/128)'
  config vlan-customer.conf VLAN_PARENT_IFNAME=up0 VLAN_ID=7 "VLAN_IFADDR=$(both 1)"
  config ipvlan-web.conf IPVLAN_PARENT_IFNAME=ipv0 "IPVLAN_IFADDR=$(both 2)"
  config vxlan-cluster.conf VXLAN_ID=42 VXLAN_REMOTES=198.51.100.2 "VXLAN_IFADDR=$(both 3)"
  config vrf-router.conf VRF_TABLE=10 VRF_PORTS=port1
  config bond-storage.conf 'BOND_PORTS=(port1 port2)' "BOND_IFADDR=$(both 4)"
  netns-update >/dev/null
}

# Usage: edit TYPE-NAME LINE...
# Adds lines to a .conf file.
edit() { printf '%s\n' "${@:2}" >>"$CONF/$1.conf"; }

# Usage: traffic
# Succeeds if pings pass both ways, by IPv4 and IPv6, for each instance.
traffic() {
  local pair prefix
  for pair in 1:customer 2:web 3:cluster 4:storage 5:sw; do
    for prefix in "192.0.${pair%:*}." "2001:db8:${pair%:*}::"; do
      in_peer ping -q -c 1 -w 5 "${prefix}2"
      ip netns exec "${pair#*:}" ping -q -c 1 -w 5 "${prefix}1"
    done
  done
  for prefix in 192.0.6. 2001:db8:6::; do
    in_peer ping -q -c 1 -w 5 "${prefix}2"
    ip netns exec router ping -q -c 1 -w 5 -I vrf0 "${prefix}1"
  done
  # The packets of the dummy leave by the bridge.
  in_peer ping -q -c 1 -w 5 192.0.7.2
  in_peer ping -q -c 1 -w 5 2001:db8:7::2
  ip netns exec sw ping -q -c 1 -w 5 -I 192.0.7.2 192.0.5.1
  ip netns exec sw ping -q -c 1 -w 5 -I 2001:db8:7::2 2001:db8:5::1
}

# Usage: field INSTANCE FILTER
# Prints the result of jq's FILTER for the properties of the interface.
field() { ip -netns "${1#*@}" -json -details address show dev "${LINKS[$1]}" | jq --raw-output "map(select(.ifname)) | .[0] | $2"; }

# Usage: indices
# Prints the indices of all interfaces of the instances.
indices() {
  local instance
  for instance in "${INSTANCES[@]}"; do field "$instance" .ifindex; done | paste -sd ' '
}

# Usage: no_findings
# One after the other, because bash is slow here, and `check` waits for it only 10 seconds.
no_findings() {
  local instance failed=''
  for instance in "${INSTANCES[@]}"; do netnsctl check "$instance" || failed=yes; done
  [[ ! $failed ]]
}

# Usage: world
# Prints everything that an instance can leave behind.
world() {
  ip netns list
  ip -json -details link | jq --compact-output '.[] | [.ifname, .mtu, .flags, .linkinfo.info_kind]'
  ip -json address | jq --compact-output '.[].addr_info[] | select(.scope == "global").local'
  find /run/systemd-netns /etc/netns -type f 2>/dev/null || true # they may not exist
}

# Usage: attach_service
# Starts a service in the namespace of an instance with a parent. Its process is SERVICE_PID.
attach_service() {
  printf '%s\n' '[Service]' 'ExecStart=sleep infinity' >/run/systemd/system/types.service
  systemctl daemon-reload
  netnsctl attach --now types customer
  SERVICE_PID=$(systemctl show --property=MainPID --value types)
  ((SERVICE_PID))
}

# Usage: lives ENGINE
# Takes an instance of each type through its life.
lives() {
  local engine=$1 before index instance finding
  parents
  settings
  before=$(world)

  echo '# up, and ports that appear later'
  netnsctl up --engine "$engine" "${INSTANCES[@]}"
  ports
  netnsctl restart bridge@sw vrf@router bond@storage
  traffic
  no_findings

  echo '# restart: interfaces and an attached service stay'
  index=$(indices)
  if [[ $engine == systemd ]]; then attach_service; fi
  netnsctl restart "${INSTANCES[@]}"
  [[ $(indices) == "$index" ]]
  [[ $(systemctl show --property=MainPID --value types) == "${SERVICE_PID-0}" ]]
  traffic

  echo '# edited'
  edit bridge-sw BRIDGE_VLAN_FILTERING=yes BRIDGE_MTU=1400
  edit dummy-sw 'DUMMY_IFADDR=(192.0.7.3/32)'
  edit vlan-customer VLAN_ID=8 VLAN_PROTOCOL=802.1ad
  edit ipvlan-web IPVLAN_MODE=l3 IPVLAN_FLAGS=private
  edit vxlan-cluster VXLAN_PORT=4790 'VXLAN_REMOTES=(198.51.100.3)'
  edit vrf-router VRF_TABLE=11
  edit bond-storage BOND_MODE=balance-rr BOND_MIIMON=200
  netnsctl restart "${INSTANCES[@]}"
  [[ $(field bridge@sw '"\(.mtu) \(.linkinfo.info_data.vlan_filtering)"') == '1400 1' ]]
  [[ $(field dummy@sw '[.addr_info[] | select(.scope == "global").local] | join(" ")') == 192.0.7.3 ]]
  [[ $(field vlan@customer '.linkinfo.info_data | "\(.id) \(.protocol)"') == '8 802.1ad' ]]
  [[ $(field ipvlan@web '.linkinfo.info_data | "\(.mode) \(.private)"') == 'l3 true' ]]
  [[ $(field vxlan@cluster .linkinfo.info_data.port) == 4790 ]]
  [[ $(bridge -netns cluster fdb show dev vxlan0) == '00:00:00:00:00:00 dst 198.51.100.3 '* ]]
  [[ $(field vrf@router .linkinfo.info_data.table) == 11 ]]
  [[ $(field bond@storage '.linkinfo.info_data | "\(.mode) \(.miimon)"') == 'balance-rr 200' ]]
  no_findings
  settings
  netnsctl restart "${INSTANCES[@]}"
  traffic

  echo '# drift'
  ip -netns sw link set dev br0 type bridge stp_state 1
  ip -netns sw link set dev port1 nomaster
  ip -netns sw address delete 192.0.7.2/32 dev dummy0
  ip -netns customer link delete dev up0.7
  ip link add link up0 name up0.7 netns customer type vlan id 9
  ip -netns web link set dev ipvlan0 type ipvlan mode l3 vepa
  bridge -netns cluster fdb delete 00:00:00:00:00:00 dev vxlan0 dst 198.51.100.2
  ip -netns router link set dev port1 nomaster
  ip -netns storage link set dev bond0 type bond miimon 300
  ip -netns storage link set dev port2 nomaster
  run -1 no_findings
  while IFS=' ' read -r instance finding; do
    [[ $output == *"error: $instance: interface $finding; fix: \`netnsctl restart $instance\`"* ]]
  done <<'END'
bridge@sw 'br0' has stp_state '1', not '0'
bridge@sw 'port1' is not a port of 'br0'
dummy@sw 'dummy0' does not have the address '192.0.7.2'
vlan@customer 'up0.7' has id '9', not '7'
ipvlan@web 'ipvlan0' has mode 'l3', not 'l2'
ipvlan@web 'ipvlan0' has the flag 'vepa', not 'bridge'
vxlan@cluster 'vxlan0' does not have the remote '198.51.100.2'
vrf@router 'port1' is not a port of 'vrf0'
bond@storage 'bond0' has miimon '300', not '100'
bond@storage 'port2' is not a port of 'bond0'
END
  netnsctl restart "${INSTANCES[@]}"
  no_findings

  echo '# deleted manually'
  for instance in "${INSTANCES[@]}"; do ip -netns "${instance#*@}" link delete dev "${LINKS[$instance]}"; done
  netnsctl restart "${INSTANCES[@]}"
  no_findings
  traffic

  echo '# down: nothing is left'
  if [[ $engine == systemd ]]; then netnsctl detach --now types && systemctl stop types; fi
  netnsctl down "${INSTANCES[@]}"
  ip netns delete peer
  diff --label before --label now --unified <(echo "$before") <(world)
}

@test "each type lives with systemd" { lives systemd; }

@test "each type lives with the direct engine" { lives direct; }

# Usage: refuses INSTANCE WORD...
# Succeeds if `up` fails, with all these words, and nothing is left.
refuses() {
  local before word
  before=$(world)
  run -1 netnsctl up "$1"
  for word in "${@:2}"; do [[ $output == *"$word"* ]]; done
  diff --label before --label now --unified <(echo "$before") <(world)
}

@test "a parent of a wrong kind, a missing parent and a missing module are refused, and nothing is left" {
  config vlan-customer.conf VLAN_PARENT_IFNAME=lo VLAN_ID=7
  refuses vlan@customer "on the parent 'lo' (VLAN_PARENT_IFNAME)" 'VLANs not supported on device' 'hint: VLAN_PARENT_IFNAME must be'
  config ipvlan-web.conf IPVLAN_PARENT_IFNAME=lo
  refuses ipvlan@web "on the parent 'lo' (IPVLAN_PARENT_IFNAME)" 'hint: IPVLAN_PARENT_IFNAME must be'
  config ipvlan-web.conf IPVLAN_PARENT_IFNAME=none0 IPVLAN_PARENT_TIMEOUT=0
  refuses ipvlan@web "interface 'none0' (IPVLAN_PARENT_IFNAME) does not exist on the host"
  # The module is not loaded yet.
  modprobe --remove dummy
  echo 'install dummy /bin/false' >/etc/modprobe.d/types.conf
  config dummy-sw.conf DUMMY_IFADDR=192.0.7.2/32
  refuses dummy@sw "cannot load the kernel module 'dummy'" 'linux-image-amd64'
}

# Usage: has_link NAMESPACE IFNAME
has_link() { ip -netns "$1" link show dev "$2" &>/dev/null; }

@test "a parent can be late, go and return; then the instance works again" {
  config vlan-customer.conf VLAN_PARENT_IFNAME=up0 VLAN_ID=7 VLAN_IFADDR=192.0.1.2/24 VLAN_PARENT_TIMEOUT=60
  netns-update >/dev/null
  netnsctl up vlan@customer 3>&- &
  eventually test -e /run/netns/customer
  parents
  wait "$!"
  in_peer ping -q -c 1 -w 5 192.0.1.2
  ip link delete dev up0
  eventually eval '! has_link customer up0.7'
  ip netns delete peer
  delete_links
  parents
  eventually has_link customer up0.7
  eventually in_peer ping -q -c 1 -w 1 192.0.1.2
}

@test "a parent can be in the namespace itself, or in another one" {
  config bridge-sw.conf BRIDGE_IFNAME=br0
  config vlan-sw.conf VLAN_PARENT_IFNAME=br0 'VLAN_PARENT_NSNAME=$NSNAME' VLAN_ID=5 VLAN_IFADDR=192.0.2.1/24 NETNS_REQUIRES=bridge@sw
  config vlan-customer.conf VLAN_PARENT_IFNAME=br0 VLAN_PARENT_NSNAME=sw VLAN_ID=6 VLAN_IFADDR=192.0.3.1/24 NETNS_REQUIRES=bridge@sw
  netns-update >/dev/null
  netnsctl up vlan@sw vlan@customer
  [[ $(ip -netns sw -json link show dev br0.5 | jq --raw-output '.[0].link') == br0 ]]
  [[ $(ip -netns customer -json link show dev br0.6 | jq '.[0].link_index') == "$(ip -netns sw -json link show dev br0 | jq '.[0].ifindex')" ]]
  netnsctl check vlan bridge
}
