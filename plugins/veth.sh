# shellcheck shell=bash
# veth: a pair of virtual interfaces, one end in the namespace, the other on the host or in another namespace.
#
# Contains: only definitions
# Kind: veth
# Links: VETH_IFNAME_INSIDE VETH_IFNAME_OUTSIDE@VETH_NSNAME_OUTSIDE
# Requires: VETH_NSNAME_OUTSIDE
#
# Settings (in veth-NAME.conf; those for all veth instances in veth.conf):
#   VETH_IFADDR_OUTSIDE   address of the outside end, as arguments for `ip address add`: "192.0.2.1/30"; an array may have several
#   VETH_IFADDR_INSIDE    address of the inside end, in the same form
#   VETH_GATEWAY          gateway of the namespace: an address, an array, or `outside` for the addresses of the outside end
#   VETH_ROUTES_OUTSIDE   array of routes over the outside end, each as arguments for `ip route replace`
#   VETH_ROUTES_INSIDE    array of routes over the inside end
#   VETH_BRIDGE           bridge that the outside end becomes a port of; then no address is required
#   VETH_IFNAME           prefix of the names of both ends; default: ve-; may be empty
#   VETH_IFNAME_OUTSIDE   name of the outside end; default: ${VETH_IFNAME}${NS_NAME}0
#   VETH_IFNAME_INSIDE    name of the inside end; default: ${VETH_IFNAME}${NS_NAME}1
#   VETH_NSNAME_OUTSIDE   namespace that the outside end is in; default: the host
#   VETH_MAC_OUTSIDE      hardware address of the outside end; default: chosen by the kernel
#   VETH_MAC_INSIDE       hardware address of the inside end
#   VETH_MTU              MTU of both ends, in bytes; default: 1500
#   VETH_ALIAS_INSIDE     text about the inside end, which `ip link` shows; default: none
#   VETH_GROUP_INSIDE     link group of the inside end, a number, for `ip` and nftables; default: 0
#   VETH_SYSCTLS_OUTSIDE  array of sysctls of the outside end: "ipv4.rp_filter=2" is net.ipv4.conf.IFNAME.rp_filter
#   VETH_SYSCTLS_INSIDE   array of sysctls of the inside end
#   VETH_CARRIER_TIMEOUT  seconds to wait for a carrier; default: 5

configure_veth_up_outside() {
  configure_veth_defaults "$1"
  if [[ -z ${VETH_BRIDGE-} ]]; then
    assert_non_empty VETH_IFADDR_OUTSIDE
    assert_non_empty VETH_IFADDR_INSIDE
  fi
  link_add VETH _OUTSIDE type veth peer _INSIDE
  # The namespace is not trusted: it must not be able to give the host a route.
  ignore_routers "$VETH_IFNAME_OUTSIDE" "${VETH_NSNAME_OUTSIDE-}"
  link_configure VETH _OUTSIDE
}

# A restart runs only this.
configure_veth_up_inside() {
  configure_veth_defaults "$1"
  link_configure VETH _INSIDE
}

# Sets the default names of both ends.
configure_veth_defaults() {
  default_ifname VETH_IFNAME_OUTSIDE "${VETH_IFNAME-ve-}${1}0"
  default_ifname VETH_IFNAME_INSIDE "${VETH_IFNAME-ve-}${1}1"
}

# Prints a line for each missing setting.
configure_veth_validate() {
  [[ -z ${VETH_BRIDGE-} ]] || return 0
  [[ ${VETH_IFADDR_OUTSIDE-} ]] || echo 'VETH_IFADDR_OUTSIDE: is not set'
  [[ ${VETH_IFADDR_INSIDE-} ]] || echo 'VETH_IFADDR_INSIDE: is not set'
}
