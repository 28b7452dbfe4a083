# shellcheck shell=bash
# TYPE: a pair of interfaces, one end in the namespace, the other on the host.
#
# Contains: only definitions
# Kind: veth
# Links: SETTING_IFNAME_INSIDE SETTING_IFNAME_OUTSIDE@
#
# Settings (in TYPE-NAME.conf; those for all instances in TYPE.conf):
#   SETTING_IFADDR_OUTSIDE  address of the end on the host, as arguments for `ip address add`: "192.0.2.1/30"
#   SETTING_IFADDR_INSIDE   address of the end in the namespace
#   SETTING_IFNAME_OUTSIDE  name of the end on the host; default: o-NAME
#   SETTING_IFNAME_INSIDE   name of the end in the namespace; default: i-NAME
#   SETTING_GATEWAY         gateway of the namespace: an address, or `outside` for the addresses of the end on the host

# Sets the default names, also for `netnsctl show`.
configure_TYPE_defaults() {
  default_ifname SETTING_IFNAME_OUTSIDE "o-$1"
  default_ifname SETTING_IFNAME_INSIDE "i-$1"
}

# Checks the settings before `up` and for `netnsctl check`: prints a line for each error, and changes nothing.
configure_TYPE_validate() {
  [[ ${SETTING_IFADDR_OUTSIDE-} ]] || echo 'SETTING_IFADDR_OUTSIDE: is not set'
  [[ ${SETTING_IFADDR_INSIDE-} ]] || echo 'SETTING_IFADDR_INSIDE: is not set'
}

# Runs first, on the host. The host records the pair, so `down` and `check` need no function.
configure_TYPE_up_outside() {
  configure_TYPE_defaults "$1"
  link_add SETTING _OUTSIDE type veth peer _INSIDE
  # The namespace is not trusted: it must not be able to give the host a route.
  ignore_routers "$SETTING_IFNAME_OUTSIDE"
  link_configure SETTING _OUTSIDE
}

# Runs next, in the namespace, and again on each restart.
configure_TYPE_up_inside() {
  configure_TYPE_defaults "$1"
  link_configure SETTING _INSIDE
}
