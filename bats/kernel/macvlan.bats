#!/usr/bin/env bats
# macvlan: an interface in the namespace that shares an interface of the host.

load kernel

setup_parent() {
  # The parent is one end of a pair. The other end is the network behind it, with the gateway, 192.0.2.1, on it.
  ip link add up0 type veth peer name up1 address 02:00:00:00:00:fe
  ip address add 192.0.2.1/24 dev up1
  ip link set dev up1 up
  ip link set dev up0 up
}

# Usage: macvlan NAME [LINE...]
# Writes macvlan-NAME.conf: mv0 on up0, 192.0.2.7, and the LINEs.
macvlan() {
  printf '%s\n' MACVLAN_PARENT_IFNAME=up0 MACVLAN_IFNAME=mv0 MACVLAN_IFADDR=192.0.2.7/24 \
    MACVLAN_PARENT_TIMEOUT=0 "${@:2}" | config "macvlan-$1.conf"
}

# Usage: mode NAME
mode() { link "$1" mv0 .linkinfo.info_data.mode; }

@test "it joins the namespace to the network of the parent: a ping passes each way" {
  setup_parent
  macvlan a
  up macvlan a
  reaches a 192.0.2.1
  reaches host 192.0.2.7
  [[ -z $(links host macvlan) ]]
}

@test "the shipped default.conf and macvlan.conf work unchanged" {
  ip link add eth0 type veth peer name up1
  ip address add 192.0.2.1/24 dev up1
  ip link set dev up1 up
  ip link set dev eth0 up
  cp "$ROOT"/etc/{default,macvlan}.conf "$CONF"
  up macvlan a
  [[ $(links a macvlan) == macvlan0 && $(addresses a macvlan0) == 192.0.2.7/24 ]]
  [[ $(inside a ip route show default) == 'default via 192.0.2.1 dev macvlan0'* ]]
  reaches a 192.0.2.1
}

@test "up and down leave nothing behind, and nothing is remembered" {
  setup_parent
  macvlan a MACVLAN_GATEWAY=192.0.2.1
  before=$(world)
  up macvlan a
  [[ -e $MEMORY/macvlan@a ]]
  down macvlan a
  unchanged "$before"
}

@test "bridge is the default mode: namespaces on one parent reach each other" {
  setup_parent
  macvlan a
  macvlan b MACVLAN_IFADDR=192.0.2.8/24
  up macvlan a
  up macvlan b
  [[ $(mode a) == bridge ]]
  reaches a 192.0.2.8
  reaches a 192.0.2.1
}

@test "private and vepa: the namespaces reach the network, but not each other" {
  setup_parent
  for mode in private vepa; do
    macvlan a "MACVLAN_MODE=$mode"
    macvlan b "MACVLAN_MODE=$mode" MACVLAN_IFADDR=192.0.2.8/24
    up macvlan a
    up macvlan b
    [[ $(mode a) == "$mode" ]]
    reaches a 192.0.2.1
    reaches b 192.0.2.1
    cut_off a 192.0.2.8
    down macvlan a
    down macvlan b
  done
}

@test "passthru: one namespace has the parent for itself, a second one is refused" {
  setup_parent
  macvlan a MACVLAN_MODE=passthru
  macvlan b MACVLAN_MODE=passthru
  up macvlan a
  [[ $(mode a) == passthru ]]
  reaches a 192.0.2.1
  create b
  fails hook macvlan b up outside
}

@test "source: only the addresses in MACVLAN_SOURCE_MACS can send to the interface" {
  setup_parent
  macvlan a MACVLAN_MODE=source 'MACVLAN_SOURCE_MACS="02:00:00:00:00:0a 02:00:00:00:00:fe"'
  up macvlan a
  [[ $(mode a) == source ]]
  [[ $(inside a ip -details link show dev mv0) == *'02:00:00:00:00:0a'* ]]
  reaches a 192.0.2.1
  down macvlan a

  macvlan a MACVLAN_MODE=source MACVLAN_SOURCE_MACS=02:00:00:00:00:0a
  up macvlan a
  cut_off a 192.0.2.1
}

@test "source without MACVLAN_SOURCE_MACS creates nothing, and the message names the setting" {
  setup_parent
  macvlan a MACVLAN_MODE=source
  create a
  refused MACVLAN_SOURCE_MACS -- hook macvlan a up outside
}

@test "an invalid address in MACVLAN_SOURCE_MACS creates nothing, and the message names it" {
  setup_parent
  macvlan a MACVLAN_MODE=source 'MACVLAN_SOURCE_MACS=(02:00:00:00:00:0a bad)'
  create a
  refused "MACVLAN_SOURCE_MACS: 'bad' is not a hardware address" -- hook macvlan a up outside
}

@test "an invalid mode fails up, and nothing is left" {
  setup_parent
  macvlan a MACVLAN_MODE=nonsense
  create a
  fails hook macvlan a up outside
}

@test "MACVLAN_MAC sets the hardware address; by default the kernel chooses it" {
  setup_parent
  macvlan a MACVLAN_MAC=02:00:00:00:01:00
  macvlan b
  up macvlan a
  up macvlan b
  [[ $(link a mv0 .address) == 02:00:00:00:01:00 ]]
  [[ $(link b mv0 .address) == ??:??:??:??:??:?? && $(link b mv0 .address) != 02:00:00:00:01:00 ]]
}

@test "an invalid or multicast hardware address fails up, and nothing is left" {
  setup_parent
  create a
  for mac in nonsense 02:00:00 01:00:00:00:00:01; do
    macvlan a "MACVLAN_MAC=$mac"
    fails hook macvlan a up outside
  done
}

@test "MACVLAN_IFADDR is passed to ip address add, and is optional" {
  setup_parent
  macvlan a 'MACVLAN_IFADDR="192.0.2.7/24 broadcast 192.0.2.254"'
  macvlan b 'unset MACVLAN_IFADDR'
  up macvlan a
  [[ $(link a mv0 '.addr_info[0].broadcast') == 192.0.2.254 ]]
  up macvlan b
  [[ -z $(addresses b mv0) && $(link b mv0 '.flags | contains(["UP"])') == true ]]
}

@test "MACVLAN_GATEWAY sets the default route, and is optional" {
  setup_parent
  macvlan a MACVLAN_GATEWAY=192.0.2.1
  macvlan b MACVLAN_IFADDR=192.0.2.8/24
  up macvlan a
  up macvlan b
  [[ $(inside a ip route show default) == 'default via 192.0.2.1 dev mv0'* ]]
  [[ -z $(inside b ip route show default) ]]
  ip address add 198.51.100.1/32 dev up1
  reaches a 198.51.100.1
}

@test "address and gateway can be IPv6, also after a restart" {
  setup_parent
  ip address add 2001:db8::1/64 dev up1 nodad
  macvlan a 'MACVLAN_IFADDR="2001:db8::7/64 nodad"' MACVLAN_GATEWAY=2001:db8::1
  up macvlan a
  restart_inside macvlan a
  reaches a 2001:db8::1
  [[ $(inside a ip -6 route show default) == *'via 2001:db8::1 dev mv0'* ]]
}

@test "two instances can use the same MACVLAN_IFNAME in different namespaces" {
  setup_parent
  macvlan a
  macvlan b MACVLAN_IFADDR=192.0.2.8/24
  up macvlan a
  before=$(world)
  up macvlan b
  [[ $(links a macvlan) == mv0 && $(links b macvlan) == mv0 ]]
  down macvlan b
  unchanged "$before"
  reaches a 192.0.2.1
}

@test "two instances can come up at the same time" {
  setup_parent
  macvlan a
  macvlan b MACVLAN_IFADDR=192.0.2.8/24
  create a b
  for ((turn = 0; turn < 10; turn++)); do
    hook macvlan a up outside &
    first=$!
    hook macvlan b up outside
    wait "$first"
    hook macvlan a down outside
    hook macvlan b down outside
  done
}

@test "MACVLAN_IFNAME can be the name of an interface of the host, even of the parent" {
  setup_parent
  macvlan a MACVLAN_IFNAME=up0
  before=$(world)
  up macvlan a
  reaches a 192.0.2.1
  down macvlan a
  unchanged "$before"
}

@test "parent and name are required: without them nothing is created, and the message names the setting" {
  setup_parent
  create a
  for missing in MACVLAN_PARENT_IFNAME MACVLAN_IFNAME; do
    macvlan a "unset $missing"
    refused "$missing" -- hook macvlan a up outside
  done
}

@test "a name that is too long or invalid creates nothing, and the message names the setting" {
  setup_parent
  create a
  for name in sixteen-charsxxx a/b ..; do
    macvlan a "MACVLAN_IFNAME=$name"
    refused MACVLAN_IFNAME "'$name'" -- hook macvlan a up outside
  done
}

@test "a missing parent fails up, is reported, and nothing is left" {
  macvlan a MACVLAN_PARENT_TIMEOUT=1
  create a
  fails hook macvlan a up outside
  [[ $stderr == *"interface 'up0' (MACVLAN_PARENT_IFNAME) does not exist on the host after 1 seconds (MACVLAN_PARENT_TIMEOUT); fix: "* ]]
}

@test "the namespace of a parent that does not exist, or is empty and not configured, is refused" {
  create a
  macvlan a MACVLAN_PARENT_NSNAME=nope
  refused MACVLAN_PARENT_NSNAME '`nope` does not exist' -- hook macvlan a up outside
  create nope
  refused MACVLAN_PARENT_NSNAME "'nope' is not configured" 'macvlan@a' "'up0'" -- hook macvlan a up outside
}

@test "an error of the kernel has its cause, with the name of the namespace" {
  setup_parent
  create a
  create b
  macvlan a MACVLAN_MODE=passthru
  up macvlan a
  macvlan b MACVLAN_MODE=passthru MACVLAN_IFADDR=192.0.2.8/24
  refused 'netns b ' "'mv0' in namespace 'a' (macvlan@a)" "'passthru'" MACVLAN_PARENT_IFNAME -- hook macvlan b up outside
  [[ $stderr != */proc/* && $stderr != *'accepts the kind'* ]]
}

@test "an invalid MACVLAN_PARENT_TIMEOUT creates nothing, and the message names the setting" {
  setup_parent
  create a
  macvlan a 'MACVLAN_PARENT_TIMEOUT="x[\$(touch /run/executed)]"'
  refused MACVLAN_PARENT_TIMEOUT -- hook macvlan a up outside
  [[ ! -e /run/executed ]]
}

@test "up waits for a parent that appears late" {
  macvlan a MACVLAN_PARENT_TIMEOUT=60
  create a
  netnsinit macvlan a up outside >"$BATS_TEST_TMPDIR/output" &
  eventually grep --quiet "waiting for interface 'up0'" "$BATS_TEST_TMPDIR/output"
  setup_parent
  wait "$!"
  hook macvlan a up inside
  reaches a 192.0.2.1
}

@test "a parent that is down is set up, and stays up after a failure; check reports a parent that was set down, and a restart repairs it" {
  setup_parent
  ip link set dev up0 down
  macvlan a
  create a
  ip -netns a link add mv0 type veth peer name mine
  run -1 hook macvlan a up outside
  [[ $(ip -oneline link show dev up0) == *[\<,]UP[,\>]* ]]
  ip -netns a link delete mv0
  ip link set dev up0 down
  macvlan a
  hook macvlan a up outside
  hook macvlan a up inside
  reaches a 192.0.2.1
  down macvlan a
  netnsctl up --engine direct macvlan@a
  netnsctl check macvlan
  ip link set dev up0 down
  run -1 netnsctl check macvlan
  [[ $output == *"the parent interface 'up0' on the host is not up"* ]]
  netnsctl restart macvlan@a
  netnsctl check macvlan
  reaches a 192.0.2.1
  netnsctl down macvlan@a
}

@test "an existing interface of that name fails up, and is not changed" {
  setup_parent
  macvlan a
  create a
  ip -netns a link add mv0 type veth peer name mine
  fails hook macvlan a up outside
  [[ $stderr == *"cannot create interface 'mv0' in namespace 'a': another interface has this name"* ]]
}

@test "every hook can run twice, and the second run changes nothing" {
  setup_parent
  macvlan a MACVLAN_GATEWAY=192.0.2.1
  each_hook_twice macvlan a reaches a 192.0.2.1
}

@test "down without up has no effect" {
  setup_parent
  macvlan a
  create a
  before=$(world)
  down_hooks macvlan a
  unchanged "$before"
}

@test "a restart keeps the interface, and applies the present address and gateway" {
  setup_parent
  ip address add 192.0.2.2/24 dev up1
  macvlan a MACVLAN_MAC=02:00:00:00:01:00 MACVLAN_GATEWAY=192.0.2.1
  up macvlan a
  index=$(link a mv0 .ifindex)
  macvlan a MACVLAN_IFADDR=192.0.2.9/24 MACVLAN_GATEWAY=192.0.2.2
  restart_inside macvlan a
  [[ $(link a mv0 .ifindex) == "$index" && $(addresses a mv0) == 192.0.2.9/24 ]]
  [[ $(inside a ip route show default) == 'default via 192.0.2.2 dev mv0'* ]]
  reaches a 192.0.2.1
}

@test "check reports a changed mode, and a restart repairs it and keeps the interface" {
  setup_parent
  macvlan a
  netnsctl up --engine direct macvlan@a
  index=$(link a mv0 .ifindex)
  inside a ip link set dev mv0 type macvlan mode private
  run -1 netnsctl check macvlan
  [[ $output == *"interface 'mv0' has mode 'private', not 'bridge'; fix: \`netnsctl restart macvlan@a\`"* ]]
  netnsctl restart macvlan@a
  netnsctl check macvlan
  [[ $(mode a) == bridge && $(link a mv0 .ifindex) == "$index" ]]
  netnsctl down macvlan@a
}

@test "a restart applies an edited mode: it keeps the interface, except for passthru, which the kernel does not change" {
  setup_parent
  macvlan a
  up macvlan a
  index=$(link a mv0 .ifindex)
  macvlan a MACVLAN_MODE=source MACVLAN_SOURCE_MACS=02:00:00:00:00:fe
  restart_inside macvlan a
  [[ $(mode a) == source && $(link a mv0 .ifindex) == "$index" ]]
  reaches a 192.0.2.1
  macvlan a MACVLAN_MODE=passthru
  restart_inside macvlan a
  [[ $(mode a) == passthru ]]
  reaches a 192.0.2.1
}

@test "a restart applies an edited parent, which may be in another namespace" {
  setup_parent
  ip link add other0 type veth peer name other1
  ip address add 198.51.100.1/24 dev other1
  ip link set dev other1 up
  macvlan a
  up macvlan a
  macvlan a MACVLAN_PARENT_IFNAME=other0 MACVLAN_IFADDR=198.51.100.7/24
  restart_inside macvlan a
  reaches a 198.51.100.1
  create router
  ip link set dev up0 netns router
  macvlan a MACVLAN_PARENT_NSNAME=router
  restart_inside macvlan a
  reaches a 192.0.2.1
  [[ -z $(links host macvlan) ]]
}

@test "an interface that a restart creates again has its present name, and others keep theirs" {
  setup_parent
  ip link add other0 type veth peer name other1
  ip link set dev other0 up
  ip link set dev other1 up
  macvlan a
  start=$(world)
  up macvlan a
  macvlan a MACVLAN_IFNAME=new0
  restart_inside macvlan a
  [[ $(links a macvlan) == mv0 ]]
  macvlan a MACVLAN_IFNAME=taken0 MACVLAN_PARENT_IFNAME=other0
  inside a ip link add taken0 type veth peer name taken1
  run ! --separate-stderr hook macvlan a up inside
  [[ $stderr == *"cannot create interface 'taken0' in namespace 'a': another interface has this name"* ]]
  [[ $(links a macvlan) == mv0 ]]
  inside a ip link delete taken0
  macvlan a MACVLAN_IFNAME=new0 MACVLAN_PARENT_IFNAME=other0
  restart_inside macvlan a
  [[ $(links a macvlan) == new0 && $(addresses a new0) == 192.0.2.7/24 ]]
  down macvlan a
  macvlan a
  unchanged "$start"
}

@test "an MTU above that of the parent is refused, and a restart with it changes nothing" {
  setup_parent
  macvlan a
  netnsctl up --engine direct macvlan@a
  macvlan a MACVLAN_MTU=9000
  for command in check restart; do
    run -1 netnsctl "$command" macvlan@a
    [[ $output == *"MACVLAN_MTU: '9000' is too large: the parent 'up0' has the MTU 1500, so at most 1500 is possible"* ]]
  done
  reaches a 192.0.2.1
  netnsctl down macvlan@a
  create a
  refused MACVLAN_MTU "'9000'" "'up0'" -- hook macvlan a up outside
}

@test "a restart without MACVLAN_MTU gives the interface the MTU of its parent again" {
  setup_parent
  ip link set dev up0 mtu 1450
  macvlan a MACVLAN_MTU=1300
  up macvlan a
  [[ $(link a mv0 .mtu) == 1300 ]]
  macvlan a
  restart_inside macvlan a
  [[ $(link a mv0 .mtu) == 1450 ]]
}

@test "the loopback interface as a parent creates nothing, and the message names the setting" {
  macvlan a MACVLAN_PARENT_IFNAME=lo
  create a
  refused MACVLAN_PARENT_IFNAME "'lo' is the loopback interface" -- hook macvlan a up outside
}

@test "down removes the interface of up, also if the .conf has another name or no parent now" {
  setup_parent
  macvlan a
  start=$(world)
  create a
  before=$(world)
  up macvlan a
  macvlan a MACVLAN_IFNAME=new0 MACVLAN_PARENT_IFNAME=nosuch
  down_hooks macvlan a
  unchanged "$before"
  netnsinit --delete a
  unchanged "$start"
}

@test "down after a change of the .conf does not remove an interface with the new name" {
  setup_parent
  macvlan a
  up macvlan a
  ip link add link up0 name new0 netns a type macvlan mode bridge
  macvlan a MACVLAN_IFNAME=new0
  down_hooks macvlan a
  [[ $(links a macvlan) == new0 ]]
}

@test "a failure of any step of up outside leaves nothing" {
  setup_parent
  macvlan a "$(fault error)"
  create a
  each_failure_leaves "$(world)" macvlan a outside link_add
  hook macvlan a up inside
  reaches a 192.0.2.1
}

@test "a program that is killed at any step of up outside leaves nothing" {
  setup_parent
  macvlan a "$(fault kill)"
  create a
  each_failure_leaves "$(world)" macvlan a outside link_add
  hook macvlan a up inside
  reaches a 192.0.2.1
  shown hooks killed macvlan
}

@test "a failure of any step of up inside leaves no address and no route" {
  setup_parent
  macvlan a "$(fault error)" MACVLAN_GATEWAY=192.0.2.1
  create a
  hook macvlan a up outside
  addressless() { [[ -z $(addresses a mv0) && -z $(inside a ip route show) ]]; }
  export FAIL_AT FAIL_FUNCTION=link_configure
  for ((FAIL_AT = 1; FAIL_AT < 50; FAIL_AT++)); do
    if hook macvlan a up inside; then break; fi
    addressless
  done
  ((FAIL_AT > 4))
  reaches a 192.0.2.1
}

@test "the interface never appears on the host during up and down" {
  setup_parent
  macvlan a
  watch_host
  up macvlan a
  restart_inside macvlan a
  down macvlan a
  # The parent appears in the record when it enters and leaves promiscuous mode.
  run ! grep --invert-match ': up[01]@' < <(watched)
}

@test "after a manual deletion of the interface, down succeeds, and leaves nothing" {
  setup_parent
  macvlan a
  before=$(world)
  up macvlan a
  ip -netns a link delete dev mv0
  down macvlan a
  unchanged "$before"
}

@test "after a manual deletion of the parent, down succeeds, and leaves nothing" {
  setup_parent
  macvlan a
  create a
  before=$(ip netns exec a ip -oneline link)
  up macvlan a
  ip link delete dev up0
  down_hooks macvlan a
  [[ $(ip netns exec a ip -oneline link) == "$before" ]]
}

@test "after a manual deletion of the namespace, both down hooks succeed, and leave nothing" {
  setup_parent
  macvlan a
  before=$(world)
  up macvlan a
  hold a
  ip netns delete a
  nsenter --net="$HELD" netnsinit macvlan a down inside
  [[ -z $(nsenter --net="$HELD" ip -oneline link show type macvlan) ]]
  hook macvlan a down outside
  unchanged "$before"
}

@test "an interface of the same name in a foreign namespace stays" {
  setup_parent
  macvlan a
  up macvlan a
  replace a
  ip link add link up0 name mv0 netns a type macvlan
  hook macvlan a down outside
  ip -netns a link show dev mv0
}

@test "the error about a missing ip is one line, and names the package" {
  setup_parent
  macvlan a
  create a
  refused '`ip`' 'apt install iproute2' -- env PATH="$(only)" netnsinit macvlan a up outside
}
