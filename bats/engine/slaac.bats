#!/usr/bin/env bats
# X_IFADDR=auto, with both engines. The router is the host, by a bridge with the other end of the interface.

load engine

setup() {
  printf '%s\n' VETH_BRIDGE=br0 VETH_IFNAME_INSIDE=lan0 'VETH_IFADDR_INSIDE=(192.0.2.2/24 auto)' | config veth-a.conf
  on ip link add br0 type bridge
  on ip link set dev br0 up
  start_router
}

# Usage: start_router
# Sends router advertisements until `stop_router`.
start_router() {
  on touch /run/test-router
  # shellcheck disable=SC2016 # for the machine to expand
  on bash -c 'while [[ -e /run/test-router ]]; do python3 "$1" br0 33:33:00:00:00:01 ra; sleep 0.2; done' bash \
    "$ROOT/bats/kernel/packets.py" >/dev/null 2>&1 3>&- &
  ROUTER=$!
}

# Usage: stop_router
stop_router() {
  on rm -f /run/test-router
  wait "$ROUTER" || true
}

@test "up waits for the address of a router, check reports its loss, and a restart waits again" {
  on netnsctl up veth@a
  [[ $(on ip -netns a -6 -oneline address show dev lan0 scope global dynamic -tentative) ]]
  on netnsctl check veth@a
  stop_router
  on ip -netns a -6 address flush dev lan0 scope global
  run -1 on netnsctl check veth@a
  [[ $output == *"veth@a: interface 'lan0' does not have an IPv6 address of a router"* ]]
  start_router
  on netnsctl restart veth@a
  on netnsctl check veth@a
  on netnsctl down veth@a
  nothing_but_router
  stop_router
  on ip link delete br0
}

# Whether only the bridge of the test is left.
nothing_but_router() { [[ $(on ip -oneline link | grep --invert-match --count ' lo: \| br0: ') == 0 ]]; }
