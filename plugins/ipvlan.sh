# shellcheck shell=bash
# ipvlan: an interface in the namespace that shares an interface of the host and its hardware address, with an address of its own.
# For networks that accept only one hardware address of a machine: wireless networks, clouds, switches with port security.
#
# Contains: only definitions
# Kind: ipvlan
# Links: IPVLAN_IFNAME
# Requires: IPVLAN_PARENT_NSNAME
#
# Settings (in ipvlan-NAME.conf; those for all ipvlan instances in ipvlan.conf):
#   IPVLAN_PARENT_IFNAME   the parent: an interface of the host
#   IPVLAN_MODE            l2, l3 or l3s (ip-link(8)); the same for all interfaces on a parent; default: l2
#   IPVLAN_FLAGS           bridge, private or vepa: whether interfaces on the same parent reach each other; default: bridge
#   IPVLAN_PARENT_NSNAME   namespace that the parent is in; default: the host
#   IPVLAN_PARENT_TIMEOUT  seconds to wait for the parent, less than the start timeout of 90; default: 30
#   IPVLAN_IFNAME          name of the interface in the namespace; default: ipvlan0
#   IPVLAN_MTU             MTU in bytes; default: the one of the parent
#   IPVLAN_ALIAS           text about the interface, which `ip link` shows; default: none
#   IPVLAN_GROUP           link group of the interface, a number, for `ip` and nftables; default: 0
#   IPVLAN_IFADDR          address, as arguments for `ip address add`: "192.0.2.7/24"; an array may have several; default: none
#   IPVLAN_GATEWAY         address of the default route's gateway; an array may have several; default: no default route
#   IPVLAN_ROUTES          array of routes, each as arguments for `ip route replace`: "default" for the modes l3 and l3s
#   IPVLAN_SYSCTLS         array of sysctls of the interface: "ipv4.rp_filter=2" is net.ipv4.conf.IFNAME.rp_filter
#   IPVLAN_CARRIER_TIMEOUT seconds to wait for a carrier; default: 5

# Sets the default values, also for `netnsctl show` and `check`.
configure_ipvlan_defaults() {
  default_ifname IPVLAN_IFNAME ipvlan0
  : "${IPVLAN_MODE:=l2}"
}

# Prints a line for each missing or invalid setting.
configure_ipvlan_validate() {
  [[ ${IPVLAN_PARENT_IFNAME-} ]] || echo 'IPVLAN_PARENT_IFNAME: is not set'
  valid_setting IPVLAN_MODE is_one_of l2 l3 l3s
  valid_setting IPVLAN_FLAGS is_one_of bridge private vepa
  valid_setting IPVLAN_PARENT_TIMEOUT is_number 0
}

# A restart runs this again, with the present settings.
configure_ipvlan_up_inside() {
  configure_ipvlan_defaults
  load_module ipvlan linux-image
  link_add IPVLAN type ipvlan mode "$IPVLAN_MODE" "${IPVLAN_FLAGS:-bridge}"
  link_configure IPVLAN
}
