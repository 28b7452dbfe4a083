# shellcheck shell=bash
# macvlan: an interface in the namespace that shares a physical interface of the host, with an address of its own.
#
# Contains: only definitions
# Kind: macvlan
# Links: MACVLAN_IFNAME
# Requires: MACVLAN_PARENT_NSNAME
#
# Settings (in macvlan-NAME.conf; those for all macvlan instances in macvlan.conf):
#   MACVLAN_PARENT_IFNAME  the parent: an interface of the host
#   MACVLAN_PARENT_NSNAME  namespace that the parent is in; default: the host
#   MACVLAN_PARENT_TIMEOUT seconds to wait for that interface, less than the start timeout of 90; default: 30
#   MACVLAN_IFNAME         name of the interface in the namespace; two namespaces may use the same
#   MACVLAN_MODE           private, vepa, bridge, passthru or source (ip-link(8)); default: bridge
#   MACVLAN_MAC            hardware address; default: chosen by the kernel
#   MACVLAN_SOURCE_MACS    for mode source: the hardware addresses that may send to it, separated by blanks
#   MACVLAN_IFADDR         address, as arguments for `ip address add`: "192.0.2.7/24"; an array may have several; default: none
#   MACVLAN_GATEWAY        address of the default route's gateway; an array may have several; default: no default route
#   MACVLAN_ROUTES         array of routes, each as arguments for `ip route replace`
#   MACVLAN_MTU            MTU in bytes; default: the one of the parent
#   MACVLAN_ALIAS          text about the interface, which `ip link` shows; default: none
#   MACVLAN_GROUP          link group of the interface, a number, for `ip` and nftables; default: 0
#   MACVLAN_SYSCTLS        array of sysctls of the interface: "ipv4.rp_filter=2" is net.ipv4.conf.IFNAME.rp_filter
#   MACVLAN_CARRIER_TIMEOUT seconds to wait for a carrier; default: 5

configure_macvlan_up_outside() {
  local kind
  macvlan_kind
  link_add MACVLAN "${kind[@]}"
}

# A restart runs only this, with the present settings.
configure_macvlan_up_inside() {
  local kind
  macvlan_kind
  link_configure MACVLAN "${kind[@]}"
}

# Sets `kind` to the words for ip(8).
macvlan_kind() {
  kind=(type macvlan mode "${MACVLAN_MODE:-bridge}")
  assert_ifname MACVLAN_PARENT_IFNAME
  assert_ifname MACVLAN_IFNAME
  if [[ ${MACVLAN_MODE-} == source ]]; then
    assert_non_empty MACVLAN_SOURCE_MACS
    # shellcheck disable=SC2206 # split into words on purpose
    kind+=(macaddr set ${MACVLAN_SOURCE_MACS[*]})
  fi
}

# Prints a line for each missing or invalid setting.
configure_macvlan_validate() {
  [[ ${MACVLAN_PARENT_IFNAME-} ]] || echo 'MACVLAN_PARENT_IFNAME: is not set'
  [[ ${MACVLAN_IFNAME-} ]] || echo 'MACVLAN_IFNAME: is not set'
  [[ ${MACVLAN_MODE:-bridge} =~ ^(private|vepa|bridge|passthru|source)$ ]] ||
    echo "MACVLAN_MODE: '$MACVLAN_MODE' is not a mode: expected private, vepa, bridge, passthru or source"
  [[ ${MACVLAN_MODE-} != source || ${MACVLAN_SOURCE_MACS-} ]] || echo 'MACVLAN_SOURCE_MACS: is not set, but the mode is source'
  local gateway mac
  # shellcheck disable=SC2048 # split into words on purpose
  for mac in ${MACVLAN_SOURCE_MACS[*]-}; do
    is_mac "$mac" || echo "MACVLAN_SOURCE_MACS: '$mac' is not a hardware address of an interface"
  done
  for gateway in ${MACVLAN_GATEWAY:+"${MACVLAN_GATEWAY[@]}"}; do
    [[ $gateway != *[![:xdigit:].:]* ]] || echo "MACVLAN_GATEWAY: '$gateway' is not one IP address"
  done
  [[ ${MACVLAN_PARENT_TIMEOUT-} != *[!0-9]* ]] || echo "MACVLAN_PARENT_TIMEOUT: '$MACVLAN_PARENT_TIMEOUT' is not a number of seconds"
}
