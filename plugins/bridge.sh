# shellcheck shell=bash
# bridge: a bridge in the namespace, which connects its ports as a switch does.
#
# Contains: only definitions
# Kind: bridge
# Links: BRIDGE_IFNAME
#
# Settings (in bridge-NAME.conf; those for all bridge instances in bridge.conf):
#   BRIDGE_PORTS           array of interfaces of the namespace that become ports; they may appear later
#   BRIDGE_STP             yes: use the spanning tree protocol, so that there can be loops; default: no
#   BRIDGE_VLAN_FILTERING  yes: a port only passes its VLANs (bridge(8)); default: no
#   BRIDGE_IFNAME          name of the bridge; default: br0
#   BRIDGE_MAC             hardware address; default: chosen by the kernel
#   BRIDGE_MTU             MTU in bytes; default: by the ports
#   BRIDGE_ALIAS           text about the interface, which `ip link` shows; default: none
#   BRIDGE_GROUP           link group of the interface, a number, for `ip` and nftables; default: 0
#   BRIDGE_IFADDR          address, as arguments for `ip address add`: "192.0.2.1/24"; an array may have several; default: none
#   BRIDGE_GATEWAY         address of the default route's gateway; an array may have several; default: no default route
#   BRIDGE_ROUTES          array of routes, each as arguments for `ip route replace`
#   BRIDGE_SYSCTLS         array of sysctls of the bridge: "ipv4.rp_filter=2" is net.ipv4.conf.IFNAME.rp_filter
#   BRIDGE_CARRIER_TIMEOUT seconds to wait for a carrier if there are ports; default: 5

# Sets the default name, also for `netnsctl show`.
configure_bridge_defaults() { default_ifname BRIDGE_IFNAME br0; }

# Prints a line for each invalid setting.
configure_bridge_validate() {
  valid_setting BRIDGE_STP is_one_of yes no
  valid_setting BRIDGE_VLAN_FILTERING is_one_of yes no
}

# Runs in the namespace, and again on each restart. The host records the bridge, so `down` and `check` need no function.
configure_bridge_up_inside() {
  local words=(stp_state 0)
  configure_bridge_defaults
  load_module bridge linux-image
  [[ ${BRIDGE_STP-} != yes ]] || words=(stp_state 1)
  # Not every kernel has this property.
  [[ ${BRIDGE_VLAN_FILTERING-} != yes ]] || words+=(vlan_filtering 1)
  link_add BRIDGE type bridge "${words[@]}"
  link_configure BRIDGE
}
