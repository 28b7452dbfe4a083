#!/usr/bin/env bats
# Interfaces of the library: settings, restarts, drift, edits and kills.

load engine

# Usage: all NAME
# Writes veth-NAME.conf with every setting of the type.
all() {
  pair "$1" 'VETH_IFADDR_OUTSIDE=(192.0.2.1/30 2001:db8::1/64)' 'VETH_IFADDR_INSIDE=(192.0.2.2/30 2001:db8::2/64)' \
    VETH_GATEWAY=outside 'VETH_ROUTES_INSIDE=("198.51.100.0/24 via 192.0.2.1")' 'VETH_ROUTES_OUTSIDE=(203.0.113.0/24)' \
    VETH_MTU=1400 VETH_MAC_OUTSIDE=02:00:00:00:00:01 VETH_MAC_INSIDE=02:00:00:00:00:02 \
    VETH_GROUP_INSIDE=7 'VETH_ALIAS_INSIDE="way out"' \
    'VETH_SYSCTLS_INSIDE=(ipv4.rp_filter=2)' 'VETH_SYSCTLS_OUTSIDE=(ipv4.rp_filter=2)' "${@:2}"
}

# Usage: drifts LINE...
# Succeeds if check reports exactly these differences of veth@a.
drifts() {
  run -1 on netnsctl check veth@a
  diff <(printf '%s\n' "$@" | sort) <(grep '^error: veth@a: ' <<<"$output" | sed 's/^error: veth@a: //; s/; fix: .*//' | sort)
}

@test "with every setting the pair can be used at once, check finds nothing, and down leaves nothing" {
  before=$(machine)
  all a
  on netnsctl up veth@a
  on ip netns exec a bash -c '[[ -z $(ip -6 address show tentative) ]]'
  on ping -q -c 1 -w 5 2001:db8::2
  on netnsctl check veth@a
  on netnsctl down veth@a
  rm "$CONF/veth-a.conf"
  undone "$before"
}

@test "check reports each property that was changed, and a restart repairs both ends" {
  all a
  on netnsctl up veth@a
  on ip -netns a link set dev ve-a1 mtu 1300 address 02:00:00:00:00:09 group 8 alias other
  on ip -netns a address delete 192.0.2.2/30 dev ve-a1
  on ip netns exec a sysctl -q -w net.ipv4.conf.ve-a1.rp_filter=1
  drifts "interface 've-a1' has the hardware address '02:00:00:00:00:09', not '02:00:00:00:00:02'" \
    "interface 've-a1' has the MTU '1300', not '1400'" \
    "interface 've-a1' has the group '8', not '7'" "interface 've-a1' has the alias 'other', not 'way out'" \
    "interface 've-a1' does not have the address '192.0.2.2'" \
    "the route 'default via 192.0.2.1' over interface 've-a1' is missing" \
    "the route '198.51.100.0/24 via 192.0.2.1' over interface 've-a1' is missing" \
    "sysctl 'net.ipv4.conf.ve-a1.rp_filter' in namespace 'a' is '1', not '2'"
  on netnsctl restart veth@a
  on netnsctl check veth@a
  on ip link set dev ve-a0 group 0 mtu 1300
  on ip address delete 2001:db8::1/64 dev ve-a0
  on ip route delete 203.0.113.0/24 dev ve-a0
  on sysctl -q -w net.ipv4.conf.ve-a0.rp_filter=1
  drifts "interface 've-a0' has the group '0', not '28275'" "interface 've-a0' has the MTU '1300', not '1400'" \
    "interface 've-a0' does not have the address '2001:db8::1'" \
    "the route '203.0.113.0/24' over interface 've-a0' is missing" \
    "sysctl 'net.ipv4.conf.ve-a0.rp_filter' on the host is '1', not '2'"
  on netnsctl restart veth@a
  on netnsctl check veth@a
}

@test "a restart applies edited settings, and keeps the interface and a connection through it" {
  all a
  on netnsctl up veth@a
  index=$(on ip -netns a -json link show ve-a1 | jq '.[0].ifindex')
  all a 'VETH_IFADDR_INSIDE=(192.0.2.2/30 2001:db8::3/64)' 'VETH_ROUTES_INSIDE=()' VETH_MTU=1450
  on netnsctl restart veth@a
  [[ $(on ip -netns a -json link show ve-a1 | jq '.[0].ifindex, .[0].mtu' | paste -sd,) == "$index,1450" ]]
  [[ $(on ip -netns a -json -6 address show dev ve-a1 scope global | jq -r '.[] | select(.ifname == "ve-a1") | .addr_info[].local // empty') == 2001:db8::3 ]]
  [[ -z $(on ip -netns a route show 198.51.100.0/24) ]]
  on netnsctl check veth@a
}

@test "a restart applies edited settings of the outside end, and one that is not set any more keeps its value" {
  all a
  on netnsctl up veth@a
  index=$(on ip -json link show ve-a0 | jq '.[0].ifindex')
  all a 'VETH_IFADDR_OUTSIDE=(192.0.2.1/30 2001:db8::4/64)' 'VETH_ROUTES_OUTSIDE=()' VETH_MTU=1450 VETH_MAC_OUTSIDE=02:00:00:00:00:03
  on netnsctl restart veth@a
  [[ $(on ip -json link show ve-a0 | jq -r '.[0] | "\(.ifindex),\(.mtu),\(.address)"') == "$index,1450,02:00:00:00:00:03" ]]
  [[ $(on ip -json -6 address show dev ve-a0 scope global | jq -r '.[] | select(.ifname == "ve-a0") | .addr_info[].local // empty') == 2001:db8::4 ]]
  [[ -n $(on ip route show 203.0.113.0/24 dev ve-a0) ]]
  on netnsctl check veth@a
}

@test "a restart creates a deleted pair again" {
  all a
  on netnsctl up veth@a
  on ip link delete ve-a0
  drifts "interface 've-a0' is missing" "interface 've-a1' is missing"
  on netnsctl restart veth@a
  on netnsctl check veth@a
  on ping -q -c 1 -w 5 192.0.2.2
}

@test "a namespace is a switch: others plug in with VETH_BRIDGE and VETH_NSNAME_OUTSIDE" {
  cat >"$CONF/switch.sh" <<'END'
# switch: a bridge in the namespace.
# Contains: only definitions
configure_switch_up_inside() { link_add SWITCH type bridge && link_configure SWITCH; }
END
  config switch-sw.conf <<<SWITCH_IFNAME=bridge0
  for name in a b; do
    printf '%s\n' VETH_BRIDGE=bridge0 VETH_NSNAME_OUTSIDE=sw "VETH_IFADDR_INSIDE=192.0.2.$((16#$name))/24" 'NETNS_REQUIRES=switch@sw' |
      config "veth-$name.conf"
  done
  update
  on netnsctl up veth@a veth@b
  on ip netns exec a ping -q -c 1 -w 5 192.0.2.11
  on netnsctl check veth switch
  on netnsctl down --recursive switch@sw
  nothing_left
}

@test "a restart applies changed properties of a kind, repairs them, and keeps the name" {
  cat >"$CONF/switch.sh" <<'END'
# switch: a bridge in the namespace.
# Contains: only definitions
configure_switch_up_inside() { link_add SWITCH type bridge stp_state "${SWITCH_STP:-0}" && link_configure SWITCH; }
END
  config switch-a.conf <<<SWITCH_IFNAME=bridge0
  update
  on netnsctl up switch@a
  stp() { on ip -netns a -json -details link show bridge0 | jq '.[0].linkinfo.info_data.stp_state'; }
  on ip -netns a link set dev bridge0 type bridge stp_state 1
  run -1 on netnsctl check switch@a
  [[ $output == *"error: switch@a: interface 'bridge0' has stp_state '1', not '0'; fix: \`netnsctl restart switch@a\`"* ]]
  on netnsctl restart switch@a
  [[ $(stp) == 0 ]]
  printf '%s\n' SWITCH_IFNAME=other SWITCH_STP=1 | config switch-a.conf
  run -0 on netnsctl restart switch@a
  [[ $output == *"warning: switch@a: SWITCH_IFNAME: a restart does not apply 'other': the interface keeps the name 'bridge0'; fix: "* ]]
  [[ $(stp) == 1 ]]
  run ! on ip -netns a link show other
  on netnsctl check switch@a
  on netnsctl down switch@a
  nothing_left
}

@test "the name of an interface of another instance is refused before anything is made" {
  pair a VETH_IFNAME_OUTSIDE=same
  printf '%s\n' VETH_IFADDR_OUTSIDE=198.51.100.1/30 VETH_IFADDR_INSIDE=198.51.100.2/30 VETH_IFNAME_OUTSIDE=same | config veth-b.conf
  on netnsctl up veth@a
  run ! on netnsctl up veth@b
  [[ $output == *"interface 'same' on the host belongs to veth@a"* ]]
  gone b
  on ping -q -c 1 -w 5 192.0.2.2
}

@test "a restart with a parent, bridge, route, sysctl or port that the kernel would refuse is refused, and the instance stays up" {
  on bash -c 'ip link add up0 type veth peer up1 && ip link set up0 up && ip link set up1 up && ip route add 198.51.100.0/24 dev up0'
  printf '%s\n' MACVLAN_PARENT_IFNAME=up0 MACVLAN_IFNAME=mv0 | config macvlan-a.conf
  config bridge-a.conf <<<BRIDGE_STP=no
  pair a
  on netnsctl up veth@a macvlan@a bridge@a
  # Usage: refused TYPE LINE SETTING MESSAGE
  refused() {
    cp "$CONF/$1-a.conf" "$BATS_TEST_TMPDIR/before"
    echo "$2" >>"$CONF/$1-a.conf"
    run -1 on netnsctl restart "$1@a"
    [[ $output == *"cannot restart: /etc/conf.d/netns/$1-a.conf:"*": error: $1@a: $3: $4; nothing was restarted" ]]
    run -1 on netnsctl check "$1@a"
    [[ $(grep --count ": error: $1@a: $3: " <<<"$output") == 1 ]]
    cp "$BATS_TEST_TMPDIR/before" "$CONF/$1-a.conf"
    on netnsctl check veth macvlan bridge
  }
  refused macvlan MACVLAN_PARENT_IFNAME=up9 MACVLAN_PARENT_IFNAME "interface 'up9' does not exist on the host; hint: \`ip link\` lists the interfaces"
  refused veth VETH_BRIDGE=br9 VETH_BRIDGE "the bridge 'br9' does not exist on the host"
  refused veth VETH_BRIDGE=up0 VETH_BRIDGE "'up0' on the host is not a bridge"
  refused veth 'VETH_ROUTES_OUTSIDE=(198.51.100.0/24)' VETH_ROUTES_OUTSIDE \
    "the route '198.51.100.0/24' over interface 'up0' on the host exists; give the new one another metric, such as 'metric 2048'"
  for side in OUTSIDE INSIDE; do
    refused veth "VETH_SYSCTLS_$side=(ipv4.rp_filter=loose)" "VETH_SYSCTLS_$side" \
      "'loose' is not a value of the sysctl 'ipv4.rp_filter', which is a number"
  done
  refused bridge 'BRIDGE_PORTS=(br0)' BRIDGE_PORTS "'br0' is the interface itself"
  on ping -q -c 1 -w 5 192.0.2.2
}

@test "a restart waits for a parent that is missing and was not changed" {
  on ip link add up0 type veth peer up1
  printf '%s\n' MACVLAN_PARENT_IFNAME=up0 MACVLAN_IFNAME=mv0 | config macvlan-a.conf
  on netnsctl up macvlan@a
  on ip link delete up0
  waits() {
    on bash -c 'cat /run/systemd-netns/direct/macvlan@a.log || journalctl --quiet --unit "netns*macvlan@a.service"' 2>/dev/null |
      grep --quiet "waiting for interface 'up0'"
  }
  on netnsctl restart macvlan@a 3>&- &
  eventually waits
  on ip link add up0 type veth peer up1
  wait "$!"
  on netnsctl check macvlan@a
}

@test "a setting that a restart does not apply is reported by check and by the restart, with the next step" {
  # Usage: keeps TYPE LINE SETTING MESSAGE
  keeps() {
    local before
    before=$(<"$CONF/$1-a.conf")
    config "$1-a.conf" <<<"$before"$'\n'"$2"
    run -1 on netnsctl check "$1@a"
    local message="$3: a restart does not apply $4; fix: \`netnsctl down $1@a\`, then \`netnsctl up $1@a\`"
    [[ $output == *"/etc/conf.d/netns/$1-a.conf:"*": warning: $1@a: $message" ]]
    run -0 on netnsctl restart "$1@a"
    [[ $output == *"warning: $1@a: $message"*"$1@a was restarted" ]]
    run -1 on netnsctl check "$1@a"
    [[ $output == *": warning: $1@a: $message" ]]
    if [[ ${5-} ]]; then
      update
      on netnsctl down "$1@a"
      on netnsctl up "$1@a"
      on netnsctl check "$1@a"
    fi
    config "$1-a.conf" <<<"$before"
  }
  pair a
  on netnsctl up veth@a
  keeps veth VETH_IFNAME_OUTSIDE=new0 VETH_IFNAME_OUTSIDE "'new0': the interface keeps the name 've-a0'"
  keeps veth VETH_IFNAME_INSIDE=new1 VETH_IFNAME_INSIDE "'new1': the interface keeps the name 've-a1'"
  on netnsctl up lo@there
  keeps veth VETH_NSNAME_OUTSIDE=there VETH_NSNAME_OUTSIDE "'there': interface 've-a0' stays on the host" applied
  keeps veth VETH_NSNAME_OUTSIDE= VETH_NSNAME_OUTSIDE "its removal: interface 've-a0' stays in namespace 'there'" applied
  on bash -c 'ip link add up0 type veth peer up1 && ip link set up0 address 02:00:00:00:00:50 && ip link set up1 up'
  printf '%s\n' HOSTDEV_IFNAME=up0 HOSTDEV_IFNAME_INSIDE=lan0 | config hostdev-a.conf
  on netnsctl up hostdev@a
  keeps hostdev HOSTDEV_IFNAME=up1 HOSTDEV_IFNAME "'up1': the namespace has interface 'up0' of the host"
  keeps hostdev HOSTDEV_IFNAME_INSIDE=lan1 HOSTDEV_IFNAME_INSIDE "'lan1': the interface keeps the name 'lan0'" applied
  config hostdev-a.conf <<<$'HOSTDEV_IFNAME=02:00:00:00:00:50\nHOSTDEV_IFNAME_INSIDE=lan1'
  on netnsctl check hostdev@a
}
