# shellcheck shell=bash
# TYPE: a bridge in the namespace, with addresses.
#
# Contains: only definitions
# Kind: bridge
# Links: SETTING_IFNAME
#
# Settings (in TYPE-NAME.conf; those for all instances in TYPE.conf):
#   SETTING_IFNAME  name of the bridge: "br0"
#   SETTING_IFADDR  its address, as arguments for `ip address add`: "192.0.2.1/24"; an array may have several

# Checks the settings before `up` and for `netnsctl check`: prints a line for each error, and changes nothing.
configure_TYPE_validate() {
  [[ ${SETTING_IFNAME-} ]] || echo 'SETTING_IFNAME: is not set'
  [[ ${SETTING_IFADDR-} ]] || echo 'SETTING_IFADDR: is not set'
}

# Runs in the namespace, and again on each restart. The host records the bridge, so `down` and `check` need no function.
configure_TYPE_up_inside() {
  link_add SETTING type bridge
  link_configure SETTING
}
