# shellcheck shell=bash
# vrf: a routing domain in the namespace (virtual routing and forwarding). Packets of its ports use only the routes of its table.
#
# Contains: only definitions
# Kind: vrf
# Links: VRF_IFNAME
#
# Settings (in vrf-NAME.conf; those for all vrf instances in vrf.conf):
#   VRF_TABLE    number of the routing table, from 1 to 4294967295, except 253 to 255
#   VRF_PORTS    array of interfaces of the namespace that belong to the domain; they may appear later
#   VRF_IFNAME   name of the interface of the domain; default: vrf0
#   VRF_MAC      hardware address; default: chosen by the kernel
#   VRF_MTU      MTU in bytes; default: 65575
#   VRF_ALIAS    text about the interface, which `ip link` shows; default: none
#   VRF_GROUP    link group of the interface, a number, for `ip` and nftables; default: 0
#   VRF_IFADDR   address of the domain, as arguments for `ip address add`: "192.0.2.9/32"; an array may have several; default: none
#   VRF_ROUTES   array of routes over the interface of the domain, each as arguments for `ip route replace`
#   VRF_SYSCTLS  array of sysctls of the interface: "ipv4.rp_filter=2" is net.ipv4.conf.IFNAME.rp_filter

# Sets the default name, also for `netnsctl show`.
configure_vrf_defaults() { default_ifname VRF_IFNAME vrf0; }

# Prints a line for each missing or invalid setting.
configure_vrf_validate() {
  [[ ${VRF_TABLE-} ]] || echo 'VRF_TABLE: is not set'
  valid_setting VRF_TABLE is_number 1 4294967295
  # default, main and local: /etc/iproute2/rt_tables
  [[ ${VRF_TABLE-} != 25[345] ]] || echo "VRF_TABLE: '$VRF_TABLE' is a table of the system: use another number"
}

# A restart runs this again, with the present settings.
configure_vrf_up_inside() {
  configure_vrf_defaults
  load_module vrf linux-image
  link_add VRF type vrf table "$VRF_TABLE"
  link_configure VRF
}
