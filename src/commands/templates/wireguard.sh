# shellcheck shell=bash
# TYPE: a WireGuard tunnel. Its UDP socket is on the host, so the tunnel is the only way out of the namespace.
#
# Contains: only definitions
# Kind: wireguard
# Links: SETTING_IFNAME
#
# Settings (in TYPE-NAME.conf; those for all instances in TYPE.conf):
#   SETTING_CONFIG  file of wg-quick(8), which only root may read; default: /etc/wireguard/NAME.conf
#   SETTING_IFNAME  name of the interface; default: wg0

# Sets the defaults, also for `netnsctl show`.
configure_TYPE_defaults() {
  default_ifname SETTING_IFNAME wg0
  : "${SETTING_CONFIG:=/etc/wireguard/$1.conf}"
}

# Checks the file before `up` and for `netnsctl check`: prints a line for each error, and changes nothing.
configure_TYPE_validate() { wireguard_read SETTING; }

# Runs first, on the host: the kernel keeps the UDP socket of a tunnel where the tunnel is created. The host records the interface, so
# `down` and `check` need no function.
configure_TYPE_up_outside() {
  configure_TYPE_defaults "$1"
  assert_command wg wireguard-tools
  wireguard_read SETTING >&2
  link_add SETTING type wireguard
}

# Runs next, in the namespace, and again on each restart.
configure_TYPE_up_inside() {
  configure_TYPE_defaults "$1"
  wireguard_read SETTING >&2
  link_configure SETTING
  wireguard_apply SETTING
}
