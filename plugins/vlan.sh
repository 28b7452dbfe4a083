# shellcheck shell=bash
# vlan: an interface in the namespace for one VLAN of an interface of the host or of the namespace.
#
# Contains: only definitions
# Kind: vlan
# Links: VLAN_IFNAME
# Requires: VLAN_PARENT_NSNAME
#
# Settings (in vlan-NAME.conf; those for all vlan instances in vlan.conf):
#   VLAN_PARENT_IFNAME   the parent, whose packets have the tag
#   VLAN_ID              number of the VLAN, from 1 to 4094
#   VLAN_PROTOCOL        802.1Q, or 802.1ad for a service tag; default: 802.1Q
#   VLAN_PARENT_NSNAME   namespace that the parent is in: $NSNAME for the namespace of the instance; default: the host
#   VLAN_PARENT_TIMEOUT  seconds to wait for the parent, less than the start timeout of 90; default: 30
#   VLAN_IFNAME          name of the interface in the namespace; default: ${VLAN_PARENT_IFNAME}.${VLAN_ID}
#   VLAN_MAC             hardware address; default: the one of the parent
#   VLAN_MTU             MTU in bytes; default: the one of the parent
#   VLAN_ALIAS           text about the interface, which `ip link` shows; default: none
#   VLAN_GROUP           link group of the interface, a number, for `ip` and nftables; default: 0
#   VLAN_IFADDR          address, as arguments for `ip address add`: "192.0.2.7/24"; an array may have several; default: none
#   VLAN_GATEWAY         address of the default route's gateway; an array may have several; default: no default route
#   VLAN_ROUTES          array of routes, each as arguments for `ip route replace`
#   VLAN_SYSCTLS         array of sysctls of the interface: "ipv4.rp_filter=2" is net.ipv4.conf.IFNAME.rp_filter
#   VLAN_CARRIER_TIMEOUT seconds to wait for a carrier; default: 5

# Sets the default name, also for `netnsctl show`.
configure_vlan_defaults() { default_ifname VLAN_IFNAME "${VLAN_PARENT_IFNAME-}.${VLAN_ID-}"; }

# Prints a line for each missing or invalid setting.
configure_vlan_validate() {
  [[ ${VLAN_PARENT_IFNAME-} ]] || echo 'VLAN_PARENT_IFNAME: is not set'
  [[ ${VLAN_ID-} ]] || echo 'VLAN_ID: is not set'
  valid_setting VLAN_ID is_number 1 4094
  valid_setting VLAN_PROTOCOL is_one_of 802.1Q 802.1q 802.1ad
  valid_setting VLAN_PARENT_TIMEOUT is_number 0
}

# A restart runs this again, with the present settings.
configure_vlan_up_inside() {
  configure_vlan_defaults
  load_module 8021q linux-image
  link_add VLAN type vlan protocol "${VLAN_PROTOCOL:-802.1Q}" id "$VLAN_ID"
  link_configure VLAN
}
