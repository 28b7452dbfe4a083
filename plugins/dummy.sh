# shellcheck shell=bash
# dummy: an interface without a network behind it, for addresses of the namespace itself.
#
# Contains: only definitions
# Kind: dummy
# Links: DUMMY_IFNAME
#
# Settings (in dummy-NAME.conf; those for all dummy instances in dummy.conf):
#   DUMMY_IFADDR   address, as arguments for `ip address add`: "192.0.2.9/32"; an array may have several
#   DUMMY_IFNAME   name of the interface; default: dummy0
#   DUMMY_MAC      hardware address; default: chosen by the kernel
#   DUMMY_MTU      MTU in bytes; default: 1500
#   DUMMY_ALIAS    text about the interface, which `ip link` shows; default: none
#   DUMMY_GROUP    link group of the interface, a number, for `ip` and nftables; default: 0
#   DUMMY_GATEWAY  address of the default route's gateway; an array may have several; default: no default route
#   DUMMY_ROUTES   array of routes, each as arguments for `ip route replace`
#   DUMMY_SYSCTLS  array of sysctls of the interface: "ipv4.rp_filter=2" is net.ipv4.conf.IFNAME.rp_filter

# Sets the default name, also for `netnsctl show`.
configure_dummy_defaults() { default_ifname DUMMY_IFNAME dummy0; }

# A restart runs this again, with the present settings.
configure_dummy_up_inside() {
  configure_dummy_defaults
  load_module dummy linux-image numdummies=0
  link_add DUMMY type dummy
  link_configure DUMMY
}
