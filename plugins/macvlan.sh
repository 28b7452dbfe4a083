# shellcheck shell=bash
# macvlan: an interface in the namespace that shares a physical interface of the host, with an address of its own.
#
# Contains: only definitions
# Links: MACVLAN_IFNAME
#
# Settings (in macvlan-NAME.conf; those for all macvlan instances in macvlan.conf):
#   MACVLAN_PARENT_IFNAME  the host's interface
#   MACVLAN_PARENT_TIMEOUT seconds to wait for that interface, less than the start timeout of 90; default: 30
#   MACVLAN_IFNAME         name of the interface in the namespace; two namespaces may use the same
#   MACVLAN_MODE           private, vepa, bridge, passthru or source (ip-link(8)); default: bridge
#   MACVLAN_MAC            hardware address; default: chosen by the kernel
#   MACVLAN_SOURCE_MACS    for mode source: the hardware addresses that may send to it, separated by blanks
#   MACVLAN_IFADDR         address, as arguments for `ip address add`: "192.0.2.7/24"; an array may have several; default: none
#   MACVLAN_GATEWAY        address of the default route's gateway; an array may have several; default: no default route

configure_macvlan_up_outside() {
  local NS_NAME=$1 mode=(mode "${MACVLAN_MODE:-bridge}")
  assert_command ip iproute2
  assert_ifname MACVLAN_PARENT_IFNAME
  assert_ifname MACVLAN_IFNAME
  if [[ ${mode[1]} == source ]]; then
    assert_non_empty MACVLAN_SOURCE_MACS
    # shellcheck disable=SC2206 # split into words on purpose
    mode+=(macaddr set ${MACVLAN_SOURCE_MACS[*]})
  fi

  # `down` removes this interface, also if the .conf was changed since.
  remember MACVLAN_IFNAME
  macvlan_set_parent_up
  # Before the interface is created: a signal may end the hook at any moment.
  on_failure macvlan_undo "$NS_NAME"
  # Created directly in the namespace: its name is free there, and the interface never appears on the host.
  ip link add link "$MACVLAN_PARENT_IFNAME" name "$MACVLAN_IFNAME" netns "$NS_NAME" \
    ${MACVLAN_MAC:+address "$MACVLAN_MAC"} type macvlan "${mode[@]}" ||
    macvlan_existed
}

configure_macvlan_up_inside() {
  local address
  assert_ifname MACVLAN_IFNAME
  recall

  on_failure ip address flush dev "$MACVLAN_IFNAME"
  on_failure ip link set dev "$MACVLAN_IFNAME" down
  for address in ${MACVLAN_IFADDR:+"${MACVLAN_IFADDR[@]}"}; do
    # shellcheck disable=SC2086 # several arguments for ip
    ip address replace $address dev "$MACVLAN_IFNAME"
  done
  ip link set dev "$MACVLAN_IFNAME" up
  for address in ${MACVLAN_GATEWAY:+"${MACVLAN_GATEWAY[@]}"}; do
    ip route replace default via "$address" dev "$MACVLAN_IFNAME"
  done
}

# A restart runs this and `up inside`. The interface stays, because only `up outside` can create it.
configure_macvlan_down_inside() {
  recall
  [[ $(ip -oneline link show type macvlan) == *": $MACVLAN_IFNAME@"* ]] || return 0
  if inside_check "$1"; then
    ip link set dev "$MACVLAN_IFNAME" down
    ip address flush dev "$MACVLAN_IFNAME"
  else
    # The namespace was deleted manually: `down outside` cannot find the interface any more.
    ip link delete dev "$MACVLAN_IFNAME"
  fi
}

configure_macvlan_down_outside() {
  recall
  # The namespace and its interface do not exist any more, or the name belongs to a foreign namespace.
  [[ -e /run/netns/$1 && ! ${NSNAME_LOST-} ]] || return 0
  if [[ $(ip -netns "$1" -oneline link show type macvlan) == *": $MACVLAN_IFNAME@"* ]]; then
    ip -netns "$1" link delete dev "$MACVLAN_IFNAME"
  fi
}

# Prints a line for each missing or invalid setting.
configure_macvlan_validate() {
  [[ ${MACVLAN_PARENT_IFNAME-} ]] || echo 'MACVLAN_PARENT_IFNAME: is not set'
  [[ ${MACVLAN_IFNAME-} ]] || echo 'MACVLAN_IFNAME: is not set'
  [[ ${MACVLAN_MODE:-bridge} =~ ^(private|vepa|bridge|passthru|source)$ ]] ||
    echo "MACVLAN_MODE: '$MACVLAN_MODE' is not a mode: expected private, vepa, bridge, passthru or source"
  [[ ${MACVLAN_MODE-} != source || ${MACVLAN_SOURCE_MACS-} ]] || echo 'MACVLAN_SOURCE_MACS: is not set, but the mode is source'
  local gateway
  for gateway in ${MACVLAN_GATEWAY:+"${MACVLAN_GATEWAY[@]}"}; do
    [[ $gateway != *[![:xdigit:].:]* ]] || echo "MACVLAN_GATEWAY: '$gateway' is not one IP address"
  done
  [[ ${MACVLAN_PARENT_TIMEOUT-} != *[!0-9]* ]] || echo "MACVLAN_PARENT_TIMEOUT: '$MACVLAN_PARENT_TIMEOUT' is not a number of seconds"
}

# Prints a line if the parent was set down since `up`. A missing parent is reported by `check` itself.
configure_macvlan_check_outside() {
  local parent
  parent=$(ip -oneline link show dev "$MACVLAN_PARENT_IFNAME" 2>/dev/null) || return 0
  [[ $parent == *[\<,]UP[,\>]* ]] || echo "interface '$MACVLAN_PARENT_IFNAME' of the host is not up"
}

# Prints a line for each property that was changed since `up`.
configure_macvlan_check_inside() {
  local address family
  recall
  if [[ $(ip -oneline link show type macvlan) != *": $MACVLAN_IFNAME@"* ]]; then
    echo "interface '$MACVLAN_IFNAME' is missing"
    return
  fi
  [[ $(ip -oneline link show dev "$MACVLAN_IFNAME") == *[\<,]UP[,\>]* ]] || echo "interface '$MACVLAN_IFNAME' is not up"
  for address in ${MACVLAN_IFADDR:+"${MACVLAN_IFADDR[@]}"}; do
    address=${address%%[/ ]*}
    [[ $(ip -oneline address show dev "$MACVLAN_IFNAME" to "$address") ]] ||
      echo "interface '$MACVLAN_IFNAME' does not have the address '$address'"
  done
  for address in ${MACVLAN_GATEWAY:+"${MACVLAN_GATEWAY[@]}"}; do
    if [[ $address == *:* ]]; then family=-6; else family=-4; fi
    [[ $(ip "$family" route show default) == *"via $address dev $MACVLAN_IFNAME"* ]] ||
      echo "the default route via '$address' is missing"
  done
}

# Waits for the parent, which may appear late at boot, and sets it up: without it, no packet passes. It stays up on
# `down` and after a failure, because other programs may use it.
macvlan_set_parent_up() {
  local parent waiting='' timeout=${MACVLAN_PARENT_TIMEOUT:-30}
  if [[ $timeout == *[!0-9]* ]]; then
    echo "invalid MACVLAN_PARENT_TIMEOUT '$timeout': expected a number of seconds" >&2
    exit 1
  fi
  local -i deadline=SECONDS+10#$timeout
  until parent=$(ip -oneline link show dev "$MACVLAN_PARENT_IFNAME" 2>/dev/null); do
    if ((SECONDS >= deadline)); then
      echo "interface '$MACVLAN_PARENT_IFNAME' (MACVLAN_PARENT_IFNAME) does not exist on the host" >&2
      exit 1
    fi
    [[ $waiting ]] || echo "waiting for interface '$MACVLAN_PARENT_IFNAME'"
    waiting=yes
    sleep 0.2
  done
  [[ $parent == *[\<,]UP[,\>]* ]] || ip link set dev "$MACVLAN_PARENT_IFNAME" up
}

# The interface could not be created. This is fine if it existed before; then it stays.
macvlan_existed() {
  if macvlan_exists; then
    MACVLAN_EXISTED=yes
    echo "'$MACVLAN_IFNAME' on '$MACVLAN_PARENT_IFNAME' exists already"
  else
    echo "cannot create '$MACVLAN_IFNAME' in namespace '$NS_NAME' on '$MACVLAN_PARENT_IFNAME'" >&2
    return 1
  fi
}

# Deletes the interface, if this hook created it.
macvlan_undo() {
  local NS_NAME=$1
  if [[ -z ${MACVLAN_EXISTED-} ]] && macvlan_exists; then ip -netns "$NS_NAME" link delete dev "$MACVLAN_IFNAME"; fi
}

# Whether the interface exists, on that parent.
macvlan_exists() {
  [[ $'\n'$(ip -oneline link show) =~ $'\n'([0-9]+)": $MACVLAN_PARENT_IFNAME"[:@] ]] &&
    [[ $(ip -netns "$NS_NAME" -oneline link show type macvlan) == *": $MACVLAN_IFNAME@if${BASH_REMATCH[1]}: "* ]]
}
