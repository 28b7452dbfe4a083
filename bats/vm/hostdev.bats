#!/usr/bin/env bats
# The type hostdev with an interface that the kernel does not delete with its namespace: a wireless one, which mac80211_hwsim simulates. Run
# with `tests/vm --systemd bats bats/vm/hostdev.bats`.

load vm
load ../kernel/kernel

setup_file() {
  vm_install
  modprobe mac80211_hwsim radios=2
  printf '%s\n' HOSTDEV_IFNAME=wlan0 HOSTDEV_IFNAME_INSIDE=wifi HOSTDEV_MAC=02:00:00:00:00:77 HOSTDEV_MTU=1400 \
    HOSTDEV_IFADDR=192.0.2.2/24 HOSTDEV_CARRIER_TIMEOUT=0 | config hostdev-a.conf
}

teardown_file() {
  delete_settings
  modprobe --remove mac80211_hwsim
}

setup() { ip link set dev wlan0 mtu 1450; }

teardown() {
  [[ ${BATS_TEST_COMPLETED-} ]] || journalctl --boot --lines=20 --no-pager >&2
  [[ ! -e /run/netns/a ]] || netnsctl down a || ip netns delete a
}

# Prints the state of the interface on the host.
card() { ip -json link show dev wlan0 | jq --raw-output '.[0] | "\(.address) \(.mtu) \(.flags | index("UP") != null)"'; }

@test "a wireless interface is moved with its device, and given back, with both engines" {
  before=$(card)
  for engine in systemd direct; do
    netnsctl up --engine "$engine" hostdev@a
    [[ ! -e /sys/class/net/wlan0 && -e /sys/class/net/wlan1 ]]
    [[ $(link a wifi '"\(.address) \(.mtu)"') == '02:00:00:00:00:77 1400' && $(addresses a wifi) == 192.0.2.2/24 ]]
    netnsctl restart hostdev@a
    [[ $(link a wifi '"\(.address) \(.mtu)"') == '02:00:00:00:00:77 1400' ]]
    netnsctl down hostdev@a
    [[ $(card) == "$before" ]]
  done
}

@test "after the namespace was deleted manually, the kernel gives the interface back, and down restores its properties" {
  before=$(card)
  netnsctl up --engine direct hostdev@a
  ip netns delete a
  eventually test -e /sys/class/net/wifi
  netnsctl down hostdev@a
  [[ $(card) == "$before" ]]
}

@test "a wireless interface that was renamed in the namespace is renamed by a restart, and given back by down" {
  before=$(card)
  netnsctl up --engine direct hostdev@a
  ip -netns a link set dev wifi down
  ip -netns a link set dev wifi name other
  netnsctl restart hostdev@a
  [[ $(link a wifi .mtu) == 1400 ]]
  ip -netns a link set dev wifi down
  ip -netns a link set dev wifi name other
  netnsctl down hostdev@a
  [[ $(card) == "$before" ]]
}

@test "a failure gives a wireless interface back" {
  before=$(card)
  echo 'configure_hostdev_up_inside() { link_configure HOSTDEV; false; }' >>"$CONF/hostdev-a.conf"
  run -1 netnsctl up --engine direct hostdev@a
  [[ $(card) == "$before" && ! -e /run/netns/a ]]
  netnsctl down hostdev@a
}
