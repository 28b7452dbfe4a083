# shellcheck shell=bash
# macvlan: an interface in the namespace that shares a physical interface of the host, with an address of its own.
#
# Contains: only definitions
# Links: MACVLAN_IFNAME
#
# Settings (in macvlan-NAME.conf; those for all macvlan instances in macvlan.conf):
#   MACVLAN_PARENT_IFNAME  the host's interface
#   MACVLAN_IFNAME         name of the interface in the namespace; two namespaces may use the same
#   MACVLAN_MODE           private, vepa, bridge, passthru or source (ip-link(8)); default: bridge
#   MACVLAN_MAC            hardware address; default: the kernel makes one up
#   MACVLAN_SOURCE_MACS    for mode source: the hardware addresses that may send to it, separated by blanks
#   MACVLAN_IFADDR         its address, words for `ip address add`: "192.0.2.7/24"; default: none
#   MACVLAN_GATEWAY        address of the default route's gateway; default: no default route

configure_macvlan_up_outside() {
  local NS_NAME=$1 mode=(mode "${MACVLAN_MODE:-bridge}")
  assert_command ip iproute2
  assert_ifname MACVLAN_PARENT_IFNAME
  assert_ifname MACVLAN_IFNAME
  if [[ ${mode[1]} == source ]]; then
    assert_non_empty MACVLAN_SOURCE_MACS
    # shellcheck disable=SC2206 # a list of words, on purpose
    mode+=(macaddr set ${MACVLAN_SOURCE_MACS[*]})
  fi

  # What was made is what has to go, whatever the .conf says by then.
  remember MACVLAN_IFNAME
  # Before it is made: a signal may end this at any moment.
  on_failure macvlan_undo "$NS_NAME"
  # Made in the namespace at once: its name is free there, and it never shows on the host.
  ip link add link "$MACVLAN_PARENT_IFNAME" name "$MACVLAN_IFNAME" netns "$NS_NAME" \
    ${MACVLAN_MAC:+address "$MACVLAN_MAC"} type macvlan "${mode[@]}" ||
    macvlan_is_there
}

configure_macvlan_up_inside() {
  assert_ifname MACVLAN_IFNAME
  recall

  on_failure ip address flush dev "$MACVLAN_IFNAME"
  on_failure ip link set dev "$MACVLAN_IFNAME" down
  if [[ -n ${MACVLAN_IFADDR-} ]]; then
    # shellcheck disable=SC2086 # words for ip, on purpose
    ip address replace $MACVLAN_IFADDR dev "$MACVLAN_IFNAME"
  fi
  ip link set dev "$MACVLAN_IFNAME" up
  if [[ -n ${MACVLAN_GATEWAY-} ]]; then
    ip route replace default via "$MACVLAN_GATEWAY" dev "$MACVLAN_IFNAME"
  fi
}

# A restart runs this and `up inside`: the interface stays, since only `up outside` can make it.
configure_macvlan_down_inside() {
  recall
  [[ $(ip -oneline link show type macvlan) == *": $MACVLAN_IFNAME@"* ]] || return 0
  if inside_check "$1"; then
    ip link set dev "$MACVLAN_IFNAME" down
    ip address flush dev "$MACVLAN_IFNAME"
  else
    # The name of the namespace is gone, so `down outside` will not find the interface.
    ip link delete dev "$MACVLAN_IFNAME"
  fi
}

configure_macvlan_down_outside() {
  recall
  # Gone, and the interface with it; or somebody else's by now.
  [[ -e /run/netns/$1 && ! ${NSNAME_LOST-} ]] || return 0
  if [[ $(ip -netns "$1" -oneline link show type macvlan) == *": $MACVLAN_IFNAME@"* ]]; then
    ip -netns "$1" link delete dev "$MACVLAN_IFNAME"
  fi
}

# What is not as `up` left it, a line each.
configure_macvlan_check_inside() {
  local address=${MACVLAN_IFADDR-}
  recall
  if [[ $(ip -oneline link show type macvlan) != *": $MACVLAN_IFNAME@"* ]]; then
    echo "interface '$MACVLAN_IFNAME' is gone"
    return
  fi
  address=${address%%[/ ]*}
  [[ $(ip -oneline link show dev "$MACVLAN_IFNAME") == *[\<,]UP[,\>]* ]] || echo "interface '$MACVLAN_IFNAME' is not up"
  [[ -z $address || $(ip -oneline address show dev "$MACVLAN_IFNAME" to "$address") ]] ||
    echo "interface '$MACVLAN_IFNAME' has lost its address '$address'"
  [[ -z ${MACVLAN_GATEWAY-} || $(ip route show default) == *"via $MACVLAN_GATEWAY dev $MACVLAN_IFNAME"* ]] ||
    echo "the default route by '$MACVLAN_GATEWAY' is gone"
}

# It could not be made: all is well if it was there before, and then it stays.
macvlan_is_there() {
  if macvlan_stands; then
    MACVLAN_IS_OLD=yes
    echo "'$MACVLAN_IFNAME' on '$MACVLAN_PARENT_IFNAME' is there already"
  else
    [[ $'\n'$(ip -oneline link show) =~ $'\n'([0-9]+)": $MACVLAN_PARENT_IFNAME"[:@] ]] ||
      echo "the host has no interface '$MACVLAN_PARENT_IFNAME' (MACVLAN_PARENT_IFNAME)" >&2
    echo "cannot make '$MACVLAN_IFNAME' in namespace '$NS_NAME' on '$MACVLAN_PARENT_IFNAME'" >&2
    return 1
  fi
}

# Deletes it, if it was made, and is no other one of that name.
macvlan_undo() {
  local NS_NAME=$1
  if [[ -z ${MACVLAN_IS_OLD-} ]] && macvlan_stands; then ip -netns "$NS_NAME" link delete dev "$MACVLAN_IFNAME"; fi
}

# Whether it stands, on that very parent.
macvlan_stands() {
  [[ $'\n'$(ip -oneline link show) =~ $'\n'([0-9]+)": $MACVLAN_PARENT_IFNAME"[:@] ]] &&
    [[ $(ip -netns "$NS_NAME" -oneline link show type macvlan) == *": $MACVLAN_IFNAME@if${BASH_REMATCH[1]}: "* ]]
}
