# shellcheck shell=bash
# veth: a pair of virtual interfaces, one end in the namespace, the other on the host or in another namespace.
#
# Contains: only definitions
# Links: VETH_IFNAME_INSIDE VETH_IFNAME_OUTSIDE@VETH_NSNAME_OUTSIDE
# Requires: VETH_NSNAME_OUTSIDE
#
# Settings (in veth-NAME.conf; those for all veth instances in veth.conf):
#   VETH_IFADDR_OUTSIDE   address of the outside end, as arguments for `ip address add`: "192.0.2.1/30"; an array may have several
#   VETH_IFADDR_INSIDE    address of the inside end, in the same form
#   VETH_IFNAME           prefix of the names of both ends; default: ve-; may be empty
#   VETH_IFNAME_OUTSIDE   name of the outside end; default: ${VETH_IFNAME}${NS_NAME}0
#   VETH_IFNAME_INSIDE    name of the inside end; default: ${VETH_IFNAME}${NS_NAME}1
#   VETH_NSNAME_OUTSIDE   namespace that the outside end is in; default: the host
#   VETH_MAC_OUTSIDE      hardware address of the outside end; default: chosen by the kernel
#   VETH_MAC_INSIDE       hardware address of the inside end

configure_veth_up_outside() {
  local NS_NAME=$1 address
  assert_command ip iproute2
  assert_non_empty VETH_IFADDR_OUTSIDE
  assert_non_empty VETH_IFADDR_INSIDE
  veth_name_ends
  veth_find_peer_namespace

  # `down` removes these interfaces, also if the .conf was changed since.
  remember VETH_IFNAME_OUTSIDE VETH_IFNAME_INSIDE VETH_NSNAME_OUTSIDE
  # Before the pair is created: a signal may end the hook at any moment.
  on_failure veth_undo "$NS_NAME"
  # Each end is created in its place, with its name and hardware address: no partly configured interface appears on the host.
  veth_ip link add name "$VETH_IFNAME_OUTSIDE" ${VETH_MAC_OUTSIDE:+address "$VETH_MAC_OUTSIDE"} type veth \
    peer name "$VETH_IFNAME_INSIDE" netns "$NS_NAME" ${VETH_MAC_INSIDE:+address "$VETH_MAC_INSIDE"} ||
    veth_existed
  # The namespace is not trusted: it must not be able to give the host a route.
  ignore_routers "$VETH_IFNAME_OUTSIDE" "${VETH_NSNAME_OUTSIDE-}"
  for address in "${VETH_IFADDR_OUTSIDE[@]}"; do
    # shellcheck disable=SC2086 # several arguments for ip
    veth_ip address replace $address dev "$VETH_IFNAME_OUTSIDE"
  done
  veth_ip link set dev "$VETH_IFNAME_OUTSIDE" up
}

configure_veth_up_inside() {
  local NS_NAME=$1 address
  assert_non_empty VETH_IFADDR_INSIDE
  recall
  veth_name_ends

  on_failure ip address flush dev "$VETH_IFNAME_INSIDE"
  for address in "${VETH_IFADDR_INSIDE[@]}"; do
    # shellcheck disable=SC2086 # several arguments for ip
    ip address replace $address dev "$VETH_IFNAME_INSIDE"
  done
  ip link set dev "$VETH_IFNAME_INSIDE" up
}

# A restart runs this and `up inside`. The interface stays, because only `up outside` can create it.
configure_veth_down_inside() {
  local NS_NAME=$1
  recall
  veth_name_ends

  if veth_has_inside_end && ! veth_clear_inside_end; then
    # The kernel may have removed the pair in the meantime, with the namespace of the other end.
    if veth_has_inside_end; then return 1; fi
  fi
}

# Deletes the pair, unless the kernel has removed it with one of the namespaces.
configure_veth_down_outside() {
  local NS_NAME=$1
  recall
  veth_name_ends

  if [[ -n ${VETH_NSNAME_OUTSIDE-} && ! -e /run/netns/$VETH_NSNAME_OUTSIDE ]]; then
    echo "namespace '$VETH_NSNAME_OUTSIDE' does not exist any more: the kernel has removed the pair with it"
  elif veth_has_outside_end && ! veth_ip link delete dev "$VETH_IFNAME_OUTSIDE"; then
    # As above.
    if veth_has_outside_end; then return 1; fi
  fi
}

# Sets the default names of both ends.
configure_veth_defaults() {
  : "${VETH_IFNAME_OUTSIDE:=${VETH_IFNAME-ve-}${1}0}" "${VETH_IFNAME_INSIDE:=${VETH_IFNAME-ve-}${1}1}"
}

# Prints a line for each missing setting.
configure_veth_validate() {
  [[ ${VETH_IFADDR_OUTSIDE-} ]] || echo 'VETH_IFADDR_OUTSIDE: is not set'
  [[ ${VETH_IFADDR_INSIDE-} ]] || echo 'VETH_IFADDR_INSIDE: is not set'
}

# Prints a line for each property that was changed since `up`.
configure_veth_check_outside() {
  local NS_NAME=$1
  recall
  veth_name_ends
  if [[ -n ${VETH_NSNAME_OUTSIDE-} && ! -e /run/netns/$VETH_NSNAME_OUTSIDE ]]; then
    echo "namespace '$VETH_NSNAME_OUTSIDE' of the outside end does not exist"
  elif ! veth_has_outside_end; then
    echo "interface '$VETH_IFNAME_OUTSIDE' is missing"
  else
    veth_check_end veth_ip "$VETH_IFNAME_OUTSIDE" "${VETH_IFADDR_OUTSIDE[@]}"
    veth_check_routers
  fi
}

configure_veth_check_inside() {
  local NS_NAME=$1
  recall
  veth_name_ends
  if ! veth_has_inside_end; then
    echo "interface '$VETH_IFNAME_INSIDE' is missing"
  else
    veth_check_end ip "$VETH_IFNAME_INSIDE" "${VETH_IFADDR_INSIDE[@]}"
  fi
}

# Usage: veth_check_end ip|veth_ip IFNAME IFADDR...
veth_check_end() {
  local ip=$1 ifname=$2 address
  [[ $("$ip" -oneline link show dev "$ifname") == *[\<,]UP[,\>]* ]] || echo "interface '$ifname' is not up"
  for address in "${@:3}"; do
    address=${address%%[/ ]*}
    [[ $("$ip" -oneline address show dev "$ifname" to "$address") ]] || echo "interface '$ifname' does not have the address '$address'"
  done
}

# A .conf that lets the outside end accept router advertisements redefines this function and ignore_routers.
veth_check_routers() {
  local file=/proc/sys/net/ipv6/conf/$VETH_IFNAME_OUTSIDE/accept_ra
  # Since util-linux 2.41, nsenter fails without a namespace.
  local from=(${VETH_NSNAME_OUTSIDE:+nsenter --net="/run/netns/$VETH_NSNAME_OUTSIDE" --})
  [[ $("${from[@]}" cat -- "$file" 2>/dev/null) != [12] ]] ||
    echo "interface '$VETH_IFNAME_OUTSIDE' accepts router advertisements"
}

veth_name_ends() {
  configure_veth_defaults "$NS_NAME"
  assert_ifname VETH_IFNAME_OUTSIDE
  assert_ifname VETH_IFNAME_INSIDE
}

# Another unit creates the peer namespace; this instance only requires it (`# Requires:` above).
veth_find_peer_namespace() {
  [[ -n ${VETH_NSNAME_OUTSIDE-} ]] || return 0
  if [[ $VETH_NSNAME_OUTSIDE == *[^a-zA-Z0-9_.:-]* ]]; then
    echo "invalid VETH_NSNAME_OUTSIDE '$VETH_NSNAME_OUTSIDE': expected the name of a namespace" >&2
    exit 1
  fi
  assert_may_come_up "$VETH_NSNAME_OUTSIDE"
  [[ ! -e /run/netns/$VETH_NSNAME_OUTSIDE ]] || return 0
  cat >&2 <<END
namespace '$VETH_NSNAME_OUTSIDE' (VETH_NSNAME_OUTSIDE) of the outside end does not exist.
hint: run \`netns-update\`; then this instance starts after that namespace
END
  exit 1
}

# Runs ip where the outside end is.
veth_ip() { ip ${VETH_NSNAME_OUTSIDE:+-netns "$VETH_NSNAME_OUTSIDE"} "$@"; }

# Does not use veth_ip: in $(…), bash forks once more for a function.
veth_has_outside_end() {
  [[ $(ip ${VETH_NSNAME_OUTSIDE:+-netns "$VETH_NSNAME_OUTSIDE"} -oneline link show type veth) == *": $VETH_IFNAME_OUTSIDE@"* ]]
}

veth_has_inside_end() { [[ $(ip -oneline link show type veth) == *": $VETH_IFNAME_INSIDE@"* ]]; }

veth_clear_inside_end() { ip link set dev "$VETH_IFNAME_INSIDE" down && ip address flush dev "$VETH_IFNAME_INSIDE"; }

# The pair could not be created. This is fine if it existed before; then it stays.
veth_existed() {
  if veth_exists; then
    VETH_EXISTED=yes
    echo "'$VETH_IFNAME_OUTSIDE' and '$VETH_IFNAME_INSIDE' exist already"
  else
    echo "cannot create the pair '$VETH_IFNAME_OUTSIDE' (outside) and '$VETH_IFNAME_INSIDE' (in '$NS_NAME')" >&2
    return 1
  fi
}

# Deletes the pair, if this hook created it.
veth_undo() {
  local NS_NAME=$1
  if [[ -z ${VETH_EXISTED-} ]] && veth_exists; then veth_ip link delete dev "$VETH_IFNAME_OUTSIDE"; fi
}

# Whether the pair exists: both ends have their names, and each is the other's peer.
veth_exists() {
  local outside inside
  outside=$(veth_ip -oneline link show type veth)
  inside=$(ip -netns "$NS_NAME" -oneline link show type veth)
  [[ $'\n'$outside =~ $'\n'([0-9]+)": $VETH_IFNAME_OUTSIDE@if"([0-9]+)": " ]] &&
    [[ $'\n'$inside == *$'\n'"${BASH_REMATCH[2]}: $VETH_IFNAME_INSIDE@if${BASH_REMATCH[1]}: "* ]]
}
