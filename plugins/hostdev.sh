# shellcheck shell=bash
# hostdev: an interface of the host that is moved into the namespace, and given back when the instance goes down.
#
# Contains: only definitions
# Links: HOSTDEV_IFNAME_INSIDE
#
# Settings (in hostdev-NAME.conf; those for all hostdev instances in hostdev.conf):
#   HOSTDEV_IFNAME         the interface of the host: its name, its hardware address, or a path in /sys, also of its device
#   HOSTDEV_IFNAME_INSIDE  name in the namespace; default: the same
#   HOSTDEV_TIMEOUT        seconds to wait for the interface, less than the start timeout of 90; default: 30
#   HOSTDEV_MAC            hardware address in the namespace; default: the one on the host
#   HOSTDEV_MTU            MTU in bytes; default: the one on the host
#   HOSTDEV_ALIAS          text about the interface, which `ip link` shows; default: the one on the host
#   HOSTDEV_GROUP          link group of the interface, a number, for `ip` and nftables; default: the one on the host
#   HOSTDEV_IFADDR         address, as arguments for `ip address add`: "192.0.2.7/24"; an array may have several; default: none
#   HOSTDEV_GATEWAY        address of the default route's gateway; an array may have several; default: no default route
#   HOSTDEV_ROUTES         array of routes, each as arguments for `ip route replace`
#   HOSTDEV_SYSCTLS        array of sysctls of the interface: "ipv4.rp_filter=2" is net.ipv4.conf.IFNAME.rp_filter
#   HOSTDEV_CARRIER_TIMEOUT seconds to wait for a carrier; default: 5

# The host gets the interface back on `down`, and after a failure.
configure_hostdev_up_outside() { link_move HOSTDEV; }

# A restart runs only this.
configure_hostdev_up_inside() { link_configure HOSTDEV; }

# Prints a line for each missing or invalid setting.
configure_hostdev_validate() {
  [[ ${HOSTDEV_IFNAME-} ]] || echo 'HOSTDEV_IFNAME: is not set'
  valid_setting HOSTDEV_TIMEOUT is_number 0
}
