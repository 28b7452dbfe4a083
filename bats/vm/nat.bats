#!/usr/bin/env bats
# The type nat on Debian's own kernel, which has modules, and forwards IPv6 only on all interfaces. bats/kernel/nat.bats has the other
# tests. Run with `tests/vm --systemd bats bats/vm/nat.bats`.

load vm
load ../kernel/kernel

setup_file() { vm_install; }

teardown_file() { delete_settings; }

setup() {
  ip netns add internet
  ip link add eth0 type veth peer name up netns internet
  ip link set dev eth0 up
  ip address add 198.51.100.2/24 dev eth0
  ip -netns internet address add 198.51.100.1/24 dev up
  ip -netns internet link set dev up up
  printf '%s\n' 'VETH_IFADDR_OUTSIDE=(192.0.2.1/30 2001:db8::1/64)' 'VETH_IFADDR_INSIDE=(192.0.2.2/30 2001:db8::2/64)' \
    VETH_GATEWAY=outside | config veth-box.conf
  netnsctl up --engine direct veth@box
}

teardown() {
  netnsctl down --recursive box || true
  ip -all netns delete
  delete_links
  rm -rf "${CONF:?}"/* /etc/modprobe.d/nat.conf
}

# Usage: up_fails MODULE
# Succeeds if nat@box cannot come up without a module, whose name is in the message, and nothing is left.
up_fails() {
  echo "install $1 /bin/false" >/etc/modprobe.d/nat.conf
  [[ ! -d /sys/module/$1 ]] || modprobe --remove "$1"
  run -1 netnsctl up --engine direct nat@box
  [[ $output == *"cannot load the table 'inet netns_nat-box' on the host: the kernel does not have the modules for it: $1; \`modprobe --all $1\` prints the cause; hint: \`apt install linux-image-amd64\`"* ]]
  [[ $(</proc/sys/net/ipv4/conf/eth0/forwarding) == 0 && $(</proc/sys/net/ipv6/conf/all/forwarding) == 0 ]]
  [[ -z $(find /run/systemd-netns/sysctls -type f) ]]
}

@test "without a module of the kernel, up fails with its name and package, and changes no sysctl" {
  up_fails nft_masq
  up_fails nft_chain_nat
  rm /etc/modprobe.d/nat.conf
  netnsctl up --engine direct nat@box
  reaches box 198.51.100.1
}

@test "an interface that appears later accepts router advertisements, although the host forwards IPv6" {
  [[ $(</proc/sys/net/ipv6/conf/default/accept_ra) == 1 ]]
  netnsctl up --engine direct nat@box
  ip link add eth1 type veth peer name up1 netns internet
  [[ $(</proc/sys/net/ipv6/conf/all/forwarding) == 1 && $(</proc/sys/net/ipv6/conf/eth1/accept_ra) == 2 ]]
  netnsctl down nat@box
  [[ $(</proc/sys/net/ipv6/conf/default/accept_ra) == 1 && $(</proc/sys/net/ipv6/conf/all/forwarding) == 0 ]]
}

@test "frames within a bridge of the host pass, also of one that appears later" {
  modprobe br_netfilter
  netnsctl up --engine direct nat@box
  ip netns add guest1
  ip netns add guest2
  ip link add virbr0 type bridge
  ip link set dev virbr0 up
  for number in 1 2; do
    ip link add "port$number" type veth peer name up netns "guest$number"
    ip link set dev "port$number" master virbr0 up
    ip -netns "guest$number" address add "2001:db8:77::$number/64" dev up nodad
    ip -netns "guest$number" link set dev up up
  done
  run -1 netnsctl check nat@box
  [[ $output == *"error: nat@box: bridge 'virbr0' has appeared on the host, and rules of this instance drop its frames; fix: \`netnsctl restart nat@box\`"* ]]
  run ! reaches guest1 2001:db8:77::2
  netnsctl restart nat@box
  netnsctl check nat@box
  reaches guest1 2001:db8:77::2
  netnsctl down nat@box
  modprobe --remove br_netfilter
}
