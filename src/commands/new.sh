# shellcheck shell=bash
# TYPE: one line that says what it is.
#
# Settings (in TYPE-NAME.conf; those for all instances in TYPE.conf):
#   SETTING_IFADDR  the address, words for `ip address add`: "192.0.2.1/24"

# Runs first, on the host. Make interfaces here, in the namespace at once, and say how to undo each step.
configure_TYPE_up_outside() {
  local ns_name=$1
  assert_command ip iproute2
  assert_non_empty SETTING_IFADDR

  # The .conf may be edited before the instance goes down.
  remember SETTING_IFADDR
  if [[ $(ip -netns "$ns_name" -oneline link show type bridge) != *": br0: "* ]]; then
    # Before it is made: a signal may end this at any moment.
    on_failure configure_TYPE_down_outside "$ns_name"
    ip link add br0 netns "$ns_name" type bridge
  fi
}

# Runs then, in the namespace, and again on each restart.
configure_TYPE_up_inside() {
  recall
  # shellcheck disable=SC2086 # words for ip, on purpose
  ip address replace $SETTING_IFADDR dev br0
  ip link set dev br0 up
}

# Undoes `up inside`. A restart runs this and `up inside`.
configure_TYPE_down_inside() {
  ip address flush dev br0
  ip link set dev br0 down
}

# Undoes `up outside`, also when half of it is gone already.
configure_TYPE_down_outside() {
  local ns_name=$1
  [[ -e /run/netns/$ns_name ]] || return 0 # gone, and the interface with it
  if [[ $(ip -netns "$ns_name" -oneline link show type bridge) == *": br0: "* ]]; then
    ip -netns "$ns_name" link delete dev br0
  fi
}
