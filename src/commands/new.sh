# shellcheck shell=bash
# TYPE: a bridge in the namespace, with an address.
#
# Contains: only definitions
# Links: SETTING_IFNAME
#
# Settings (in TYPE-NAME.conf; those for all instances in TYPE.conf):
#   SETTING_IFNAME  name of the bridge: "br0"
#   SETTING_IFADDR  its address, as arguments for `ip address add`: "192.0.2.1/24"

# Checks the settings before `up` and for `netnsctl check`: prints a line for each error, and changes nothing.
configure_TYPE_validate() {
  [[ ${SETTING_IFNAME-} ]] || echo 'SETTING_IFNAME: is not set'
  [[ ${SETTING_IFADDR-} ]] || echo 'SETTING_IFADDR: is not set'
}

# Runs first, on the host. Creates interfaces, each directly in the namespace.
configure_TYPE_up_outside() {
  assert_command ip iproute2
  assert_ifname SETTING_IFNAME
  assert_non_empty SETTING_IFADDR

  # The .conf file may change before the instance goes down.
  remember SETTING_IFNAME
  if ! TYPE_exists "$1"; then
    # Before the interface is created: a signal can end the hook at any moment.
    on_failure configure_TYPE_down_outside "$1"
    ip link add "$SETTING_IFNAME" netns "$1" type bridge
  fi
}

# Runs next, in the namespace, and again on each restart.
configure_TYPE_up_inside() {
  recall
  # shellcheck disable=SC2086 # several arguments for ip
  ip address replace $SETTING_IFADDR dev "$SETTING_IFNAME"
  ip link set dev "$SETTING_IFNAME" up
}

# Undoes `up inside`. A restart runs this, then `up inside`.
configure_TYPE_down_inside() {
  recall
  TYPE_exists "$1" || return 0
  ip address flush dev "$SETTING_IFNAME"
  ip link set dev "$SETTING_IFNAME" down
}

# Undoes `up outside`, also if only part of it was done. NSNAME_LOST: the namespace of this name is foreign.
configure_TYPE_down_outside() {
  recall
  if [[ ! ${NSNAME_LOST-} ]] && TYPE_exists "$1"; then
    ip -netns "$1" link delete dev "$SETTING_IFNAME"
  fi
}

# Usage: TYPE_exists NAME
# Whether the bridge exists in the namespace.
TYPE_exists() {
  [[ -e /run/netns/$1 && $(ip -netns "$1" -oneline link show type bridge) == *": $SETTING_IFNAME: "* ]]
}
