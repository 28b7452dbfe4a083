# shellcheck shell=bash
# veth: a pair of virtual interfaces, one end in the namespace, the other one on the host or in another namespace.
#
# Contains: only definitions
# Links: VETH_IFNAME_INSIDE VETH_IFNAME_OUTSIDE@VETH_NSNAME_OUTSIDE
# Requires: VETH_NSNAME_OUTSIDE
#
# Settings (in veth-NAME.conf; those for all veth instances in veth.conf):
#   VETH_IFADDR_OUTSIDE   address of the outside end, words for `ip address add`: "192.0.2.1/30"
#   VETH_IFADDR_INSIDE    address of the inside end
#   VETH_IFNAME           what the names of both ends begin with; default: ve-; may be empty
#   VETH_IFNAME_OUTSIDE   name of the outside end; default: ${VETH_IFNAME}${NS_NAME}0
#   VETH_IFNAME_INSIDE    name of the inside end; default: ${VETH_IFNAME}${NS_NAME}1
#   VETH_NSNAME_OUTSIDE   namespace that the outside end is in; default: the host
#   VETH_MAC_OUTSIDE      hardware address of the outside end; default: the kernel makes one up
#   VETH_MAC_INSIDE       hardware address of the inside end

configure_veth_up_outside() {
  local NS_NAME=$1
  assert_command ip iproute2
  assert_non_empty VETH_IFADDR_OUTSIDE
  assert_non_empty VETH_IFADDR_INSIDE
  veth_name_ends
  veth_find_peer_namespace

  # What was made is what has to go, whatever the .conf says by then.
  remember VETH_IFNAME_OUTSIDE VETH_IFNAME_INSIDE VETH_NSNAME_OUTSIDE
  # Before it is made: a signal may end this at any moment.
  on_failure veth_undo "$NS_NAME"
  # Each end is made where it belongs, with its name and hardware address: nothing half-done ever shows on the host.
  veth_ip link add name "$VETH_IFNAME_OUTSIDE" ${VETH_MAC_OUTSIDE:+address "$VETH_MAC_OUTSIDE"} type veth \
    peer name "$VETH_IFNAME_INSIDE" netns "$NS_NAME" ${VETH_MAC_INSIDE:+address "$VETH_MAC_INSIDE"} ||
    veth_is_there
  # The namespace is not trusted: it must not be able to give the host a route.
  ignore_routers "$VETH_IFNAME_OUTSIDE" "${VETH_NSNAME_OUTSIDE-}"
  # shellcheck disable=SC2086 # words for ip, on purpose
  veth_ip address replace $VETH_IFADDR_OUTSIDE dev "$VETH_IFNAME_OUTSIDE"
  veth_ip link set dev "$VETH_IFNAME_OUTSIDE" up
}

configure_veth_up_inside() {
  local NS_NAME=$1
  assert_non_empty VETH_IFADDR_INSIDE
  recall
  veth_name_ends

  on_failure ip address flush dev "$VETH_IFNAME_INSIDE"
  # shellcheck disable=SC2086 # words for ip, on purpose
  ip address replace $VETH_IFADDR_INSIDE dev "$VETH_IFNAME_INSIDE"
  ip link set dev "$VETH_IFNAME_INSIDE" up
}

# A restart runs this and `up inside`: the end stays, since only `up outside` can make it.
configure_veth_down_inside() {
  local NS_NAME=$1
  recall
  veth_name_ends

  if veth_has_inside_end && ! veth_clear_inside_end; then
    # The kernel was quicker, if it was just deleting the namespace of the other end.
    if veth_has_inside_end; then return 1; fi
  fi
}

# Deletes the pair, if it did not go with either namespace.
configure_veth_down_outside() {
  local NS_NAME=$1
  recall
  veth_name_ends

  if [[ -n ${VETH_NSNAME_OUTSIDE-} && ! -e /run/netns/$VETH_NSNAME_OUTSIDE ]]; then
    echo "namespace '$VETH_NSNAME_OUTSIDE' is gone, and the pair with it"
  elif veth_has_outside_end && ! veth_ip link delete dev "$VETH_IFNAME_OUTSIDE"; then
    # The same, the other way round.
    if veth_has_outside_end; then return 1; fi
  fi
}

# Sets the names of both ends where no .conf has.
configure_veth_defaults() {
  : "${VETH_IFNAME_OUTSIDE:=${VETH_IFNAME-ve-}${1}0}" "${VETH_IFNAME_INSIDE:=${VETH_IFNAME-ve-}${1}1}"
}

# What is not as `up` left it, a line each.
configure_veth_check_outside() {
  local NS_NAME=$1
  recall
  veth_name_ends
  if [[ -n ${VETH_NSNAME_OUTSIDE-} && ! -e /run/netns/$VETH_NSNAME_OUTSIDE ]]; then
    echo "namespace '$VETH_NSNAME_OUTSIDE' of the outside end is gone"
  elif ! veth_has_outside_end; then
    echo "interface '$VETH_IFNAME_OUTSIDE' is gone"
  else
    veth_check_end "$VETH_IFNAME_OUTSIDE" "$VETH_IFADDR_OUTSIDE" veth_ip
    veth_check_routers
  fi
}

configure_veth_check_inside() {
  local NS_NAME=$1
  recall
  veth_name_ends
  if ! veth_has_inside_end; then
    echo "interface '$VETH_IFNAME_INSIDE' is gone"
  else
    veth_check_end "$VETH_IFNAME_INSIDE" "$VETH_IFADDR_INSIDE" ip
  fi
}

# Usage: veth_check_end IFNAME IFADDR ip|veth_ip
veth_check_end() {
  local ifname=$1 address=${2%%[/ ]*} ip=$3
  [[ $("$ip" -oneline link show dev "$ifname") == *[\<,]UP[,\>]* ]] || echo "interface '$ifname' is not up"
  [[ $("$ip" -oneline address show dev "$ifname" to "$address") ]] || echo "interface '$ifname' has lost its address '$address'"
}

# A .conf that has the outside end accept them redefines this function and ignore_routers.
veth_check_routers() {
  local file=/proc/sys/net/ipv6/conf/$VETH_IFNAME_OUTSIDE/accept_ra
  [[ $(nsenter ${VETH_NSNAME_OUTSIDE:+--net="/run/netns/$VETH_NSNAME_OUTSIDE"} -- cat -- "$file" 2>/dev/null) != [12] ]] ||
    echo "interface '$VETH_IFNAME_OUTSIDE' accepts router advertisements"
}

veth_name_ends() {
  configure_veth_defaults "$NS_NAME"
  assert_ifname VETH_IFNAME_OUTSIDE
  assert_ifname VETH_IFNAME_INSIDE
}

# The peer namespace is another unit's: this one cannot make it, only ask for it (`# Requires:` above).
veth_find_peer_namespace() {
  [[ -n ${VETH_NSNAME_OUTSIDE-} ]] || return 0
  if [[ $VETH_NSNAME_OUTSIDE == *[^a-zA-Z0-9_.:-]* ]]; then
    echo "VETH_NSNAME_OUTSIDE='$VETH_NSNAME_OUTSIDE' is no name of a namespace" >&2
    exit 1
  fi
  assert_may_come_up "$VETH_NSNAME_OUTSIDE"
  [[ ! -e /run/netns/$VETH_NSNAME_OUTSIDE ]] || return 0
  cat >&2 <<END
there is no namespace '$VETH_NSNAME_OUTSIDE' (VETH_NSNAME_OUTSIDE) for the outside end.
To have it there whenever this instance starts, run \`netns-update\`.
END
  exit 1
}

# ip, where the outside end is.
veth_ip() { ip ${VETH_NSNAME_OUTSIDE:+-netns "$VETH_NSNAME_OUTSIDE"} "$@"; }

# Not by veth_ip: in $(…), bash forks once more for a function.
veth_has_outside_end() {
  [[ $(ip ${VETH_NSNAME_OUTSIDE:+-netns "$VETH_NSNAME_OUTSIDE"} -oneline link show type veth) == *": $VETH_IFNAME_OUTSIDE@"* ]]
}

veth_has_inside_end() { [[ $(ip -oneline link show type veth) == *": $VETH_IFNAME_INSIDE@"* ]]; }

veth_clear_inside_end() { ip link set dev "$VETH_IFNAME_INSIDE" down && ip address flush dev "$VETH_IFNAME_INSIDE"; }

# It could not be made: all is well if it was there before, and then it stays.
veth_is_there() {
  if veth_stands; then
    VETH_IS_OLD=yes
    echo "'$VETH_IFNAME_OUTSIDE' and '$VETH_IFNAME_INSIDE' are there already"
  else
    echo "cannot make the pair '$VETH_IFNAME_OUTSIDE' (outside) and '$VETH_IFNAME_INSIDE' (in '$NS_NAME')" >&2
    return 1
  fi
}

# Deletes the pair, if it was made, and is no other one of these names.
veth_undo() {
  local NS_NAME=$1
  if [[ -z ${VETH_IS_OLD-} ]] && veth_stands; then veth_ip link delete dev "$VETH_IFNAME_OUTSIDE"; fi
}

# Whether the very pair stands: both ends have their names, and each is the other's peer.
veth_stands() {
  local outside inside
  outside=$(veth_ip -oneline link show type veth)
  inside=$(ip -netns "$NS_NAME" -oneline link show type veth)
  [[ $'\n'$outside =~ $'\n'([0-9]+)": $VETH_IFNAME_OUTSIDE@if"([0-9]+)": " ]] &&
    [[ $'\n'$inside == *$'\n'"${BASH_REMATCH[2]}: $VETH_IFNAME_INSIDE@if${BASH_REMATCH[1]}: "* ]]
}
