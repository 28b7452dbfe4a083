#!/usr/bin/env bats
# bridge: a bridge in the namespace.

load kernel

# Usage: bridge NAME [LINE...]
# Writes bridge-NAME.conf: 192.0.2.1 and 2001:db8::1 on br0, and the LINEs.
bridge() { printf '%s\n' 'BRIDGE_IFADDR=(192.0.2.1/24 2001:db8::1/64)' "${@:2}" | config "bridge-$1.conf"; }

# Usage: plug NAME NUMBER PORT
# Creates PORT in a namespace. Its peer is in the namespace `hostNUMBER`, with the address 192.0.2.NUMBER.
plug() {
  create "host$2"
  inside "$1" ip link add "$3" type veth peer name eth0 netns "host$2"
  inside "host$2" ip address add "192.0.2.$2/24" dev eth0
  inside "host$2" ip address add "2001:db8::$2/64" dev eth0 nodad
  inside "host$2" ip link set dev eth0 up
  inside "$1" ip link set dev "$3" up
}

# Usage: controller NAME PORT
controller() { link "$1" "$2" '.master // "none"'; }

@test "a namespace is a switch: its ports reach the bridge and each other, by IPv4 and IPv6" {
  bridge sw 'BRIDGE_PORTS=(port2 port3)'
  create sw
  plug sw 2 port2
  plug sw 3 port3
  up bridge sw
  reaches host2 192.0.2.1
  reaches host2 2001:db8::1
  reaches host3 192.0.2.2
  reaches host3 2001:db8::2
  reaches sw 2001:db8::3
  [[ $(link sw br0 '.flags | contains(["LOWER_UP"])') == true ]]
}

@test "other namespaces plug in with VETH_BRIDGE" {
  bridge sw
  up bridge sw
  printf '%s\n' VETH_NSNAME_OUTSIDE=sw VETH_BRIDGE=br0 'VETH_IFADDR_INSIDE=(192.0.2.7/24 2001:db8::7/64)' | config veth-a.conf
  up veth a
  reaches a 192.0.2.1
  reaches a 2001:db8::1
}

@test "without a port, up succeeds at once, also with an IPv6 address" {
  bridge a
  up bridge a
  [[ $(addresses a br0) == '192.0.2.1/24 2001:db8::1/64' ]]
}

@test "the shipped bridge.conf works unchanged" {
  cp "$ROOT/etc/bridge.conf" "$CONF"
  up bridge a
  [[ $(link a br0 .linkinfo.info_data.stp_state) == 0 ]]
}

@test "with the spanning tree protocol, up waits until the ports forward packets, and no address is tentative" {
  {
    echo 'NO_CONFIG_REQUIRED=yes; configure_tree_up_inside() {'
    echo 'TREE_IFNAME=br0 TREE_PORTS=port2 TREE_IFADDR=(192.0.2.1/24 2001:db8::1/64) TREE_CARRIER_TIMEOUT=3'
    # Two states of two seconds each, which is the least that the kernel accepts.
    echo 'link_add TREE type bridge stp_state 1 forward_delay 200; link_configure TREE; }'
  } | config tree.sh
  create a
  plug a 2 port2
  run --separate-stderr -0 hook tree a up inside
  # shellcheck disable=SC2154 # set by run
  [[ $stderr != *carrier* && -z $(inside a ip -6 address show dev br0 tentative) ]]
  reaches host2 2001:db8::1
}

@test "up and down leave nothing behind, and nothing is remembered" {
  bridge a
  before=$(world)
  up bridge a
  down bridge a
  unchanged "$before"
}

@test "a port that appears later joins when its instance comes up, and stays a port through restarts of both" {
  bridge a BRIDGE_PORTS=ve-a1 'BRIDGE_IFADDR=()'
  up bridge a
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 'VETH_ROUTES_INSIDE=(198.51.100.0/24)' | config veth-a.conf
  up veth a
  [[ $(controller a ve-a1) == br0 ]]
  restart_inside veth a
  restart_inside bridge a
  [[ $(controller a ve-a1) == br0 ]]
  down_hooks bridge a
  [[ $(controller a ve-a1) == none && $(link a ve-a1 '.flags | contains(["UP"])') == true ]]
  [[ $(inside a ip route show 198.51.100.0/24) == 198.51.100.0/24* ]]
}

@test "a port that another program creates later joins on a restart" {
  bridge a BRIDGE_PORTS=port2
  up bridge a
  plug a 2 port2
  restart_inside bridge a
  reaches host2 192.0.2.1
}

@test "a restart applies edited settings, and keeps the bridge and its other ports" {
  bridge a 'BRIDGE_PORTS=(port2 port3)'
  create a
  plug a 2 port2
  plug a 3 port3
  up bridge a
  index=$(link a br0 .ifindex)
  bridge a BRIDGE_PORTS=port2 BRIDGE_STP=yes BRIDGE_MTU=1400 BRIDGE_MAC=02:00:00:00:00:01 \
    'BRIDGE_IFADDR=(192.0.2.9/24)' BRIDGE_CARRIER_TIMEOUT=0
  restart_inside bridge a
  [[ $(link a br0 '[.ifindex, .mtu, .address, .linkinfo.info_data.stp_state] | join(" ")') == "$index 1400 02:00:00:00:00:01 1" ]]
  [[ $(addresses a br0) == 192.0.2.9/24 && $(controller a port2) == br0 && $(controller a port3) == none ]]
}

@test "a restart creates a deleted bridge again, with its ports and those of VETH_BRIDGE" {
  bridge sw BRIDGE_PORTS=port2
  create sw
  plug sw 2 port2
  up bridge sw
  printf '%s\n' VETH_NSNAME_OUTSIDE=sw VETH_BRIDGE=br0 VETH_IFADDR_INSIDE=192.0.2.7/24 | config veth-a.conf
  up veth a
  inside sw ip link delete dev br0
  restart_inside bridge sw
  reaches a 192.0.2.2
}

@test "check reports a changed port and property, and a restart repairs them" {
  bridge a 'BRIDGE_PORTS=(port2 port3 port4 port5)'
  netnsctl up --engine direct bridge@a
  for number in 2 3 4; do plug a "$number" "port$number"; done
  restart_inside bridge a
  netnsctl check bridge
  inside a ip link set dev port2 nomaster
  inside a ip link set dev port3 down
  inside a ip link delete dev port4
  inside a ip link set dev br0 type bridge stp_state 1
  run -1 netnsctl check bridge
  for finding in "interface 'port2' is not a port of 'br0'" "the port 'port3' of 'br0' is not up" "the port 'port4' of 'br0' is missing" \
    "interface 'br0' has stp_state '1', not '0'"; do
    [[ $output == *"error: bridge@a: $finding; fix: \`netnsctl restart bridge@a\`"* ]]
  done
  [[ $output == *"note: bridge@a: BRIDGE_PORTS: 'port5' does not exist yet"* ]]
  run ! grep 'error: .*port5' <<<"$output"
  restart_inside bridge a
  netnsctl check bridge
  netnsctl down bridge@a
}

@test "invalid settings are refused, with the setting and the value, before anything is made" {
  create a
  while read -r line words; do
    bridge a "$line"
    # shellcheck disable=SC2086 # several words
    refused ${line%%=*} $words -- up bridge a
  done <<'END'
BRIDGE_STP=on 'on'
BRIDGE_VLAN_FILTERING=1 '1'
BRIDGE_PORTS=br0 itself
BRIDGE_PORTS=a/b a/b
BRIDGE_PORTS=lo 'lo' loopback
BRIDGE_IFADDR=(192.0.2.300/24) '192.0.2.300/24'
END
}

@test "check reports a renamed bridge, a restart gives it its name back and keeps it; down removes one that is renamed" {
  bridge a BRIDGE_PORTS=port2
  netnsctl up --engine direct bridge@a
  plug a 2 port2
  restart_inside bridge a
  index=$(link a br0 .ifindex)
  before=$(inside a ip -brief address | sed 's/ *fe80.*//')
  rename_link a br0 old0
  run -1 netnsctl check bridge@a
  [[ $output == *"interface 'br0' was renamed to 'old0'; fix: \`netnsctl restart bridge@a\`"* ]]
  netnsctl restart bridge@a
  [[ $(link a br0 .ifindex) == "$index" && $(inside a ip -brief address | sed 's/ *fe80.*//') == "$before" ]]
  reaches host2 192.0.2.1
  reaches host2 2001:db8::1
  rename_link a br0 old0
  down_hooks bridge a
  [[ -z $(links a bridge) && $(controller a port2) == none ]]
}

@test "a renamed bridge does not get its name back while another interface has it; down removes only the own one" {
  bridge a
  up bridge a
  rename_link a br0 old0
  inside a ip link add br0 type bridge
  fails hook bridge a up inside
  [[ $stderr == *"cannot rename interface 'old0' to 'br0' in namespace 'a': another interface has this name; fix: \`ip -netns a link delete br0\`"* ]]
  down_hooks bridge a
  [[ $(links a bridge) == br0 ]]
}

@test "a restart without BRIDGE_MTU gives the bridge the MTU of its ports again, or that of a new bridge" {
  bridge a 'BRIDGE_PORTS=(port2 port3)' BRIDGE_MTU=1300
  up bridge a
  bridge a 'BRIDGE_PORTS=(port2 port3)'
  restart_inside bridge a
  [[ $(link a br0 .mtu) == 1500 ]]
  plug a 2 port2
  plug a 3 port3
  inside a ip link set dev port3 mtu 1400
  bridge a 'BRIDGE_PORTS=(port2 port3)' BRIDGE_MTU=1300
  restart_inside bridge a
  bridge a 'BRIDGE_PORTS=(port2 port3)'
  restart_inside bridge a
  [[ $(link a br0 .mtu) == 1400 ]]
}

@test "a restart with the port lo changes nothing" {
  bridge a
  netnsctl up --engine direct bridge@a
  bridge a BRIDGE_PORTS=lo
  run -1 netnsctl restart bridge@a
  [[ $output == *"BRIDGE_PORTS: 'lo' is the loopback interface, which cannot be a port"* ]]
  [[ $(addresses a br0) == 192.0.2.1/24* ]]
  netnsctl down bridge@a
}

@test "a port of another instance is refused, and so is one that the kernel refuses; nothing is left" {
  bridge a BRIDGE_PORTS=port2
  sed 's/configure_bridge/configure_other/' "$SHARE/bridge.sh" >"$CONF/other.sh"
  printf '%s\n' BRIDGE_PORTS=port2 BRIDGE_IFNAME=br1 | config other-a.conf
  create a
  hook bridge a up inside
  refused BRIDGE_PORTS "'port2' is a port of interface 'br0' in namespace 'a' of bridge@a" -- hook other a up inside
  down_hooks bridge a
  bridge a BRIDGE_PORTS=br1
  inside a ip link add br1 type bridge
  fails hook bridge a up inside
  [[ $stderr == *"BRIDGE_PORTS: cannot make 'br1' a port of interface 'br0'"* ]]
}

@test "every hook can run twice, and the second run changes nothing" {
  bridge a
  each_hook_twice bridge a inside a ip link show dev br0
}

@test "a failure, or a program that is killed, at any step of up inside leaves nothing" {
  for kind in error kill; do
    # While it waits for an IPv6 address or a carrier, it sends many messages.
    bridge a "$(fault "$kind")" BRIDGE_PORTS=port2 'BRIDGE_IFADDR=(192.0.2.1/24)' BRIDGE_CARRIER_TIMEOUT=0
    create a
    plug a 2 port2
    each_failure_leaves "$(world)" bridge a inside link_add link_configure
    down bridge a
    netnsinit --delete host2
  done
  shown hooks killed bridge
}

@test "an existing interface of that name fails up, and is not changed" {
  bridge a
  create a
  inside a ip link add br0 type veth peer name mine
  fails hook bridge a up inside
  [[ $stderr == *"cannot create interface 'br0' in namespace 'a': another interface has this name"* ]]
}

@test "lo is refused as the name of an interface" {
  create a
  config bridge-a.conf <<<BRIDGE_IFNAME=lo
  refused BRIDGE_IFNAME 'loopback' -- hook bridge a up inside
  [[ $stderr != *'link delete'* ]]
}

@test "a name that the kernel reserves for sysctls is refused with its setting" {
  create a
  for name in all default; do
    # The kernel does refuse it.
    run ! inside a ip link add "$name" type bridge
    config bridge-a.conf <<<"BRIDGE_IFNAME=$name"
    refused BRIDGE_IFNAME "the kernel reserves the name \`$name\`" -- hook bridge a up inside
  done
}

@test "a property that the kernel does not have is an error with its setting" {
  create a
  if inside a ip link add probe type bridge vlan_filtering 1; then skip 'the kernel filters VLANs'; fi
  config bridge-a.conf <<<BRIDGE_VLAN_FILTERING=yes
  refused BRIDGE_VLAN_FILTERING -- hook bridge a up inside
}

@test "check has a note about a port that does not exist yet" {
  config bridge-a.conf <<<'BRIDGE_PORTS=(later0)'
  netnsctl up --engine direct bridge@a
  run -0 netnsctl check bridge
  [[ $output == *"note: bridge@a: BRIDGE_PORTS: 'later0' does not exist yet: it becomes a port of 'br0' later"* ]]
  inside a ip link add later0 type veth peer name other
  run -1 netnsctl check bridge
  [[ $output != *'does not exist yet'* && $output == *"'later0' is not a port of 'br0'"* ]]
  netnsctl down bridge@a
}
