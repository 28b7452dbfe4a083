# shellcheck shell=bash
# TYPE: a WireGuard tunnel. Its UDP socket is on the host, so the tunnel is the only way out of the namespace.
#
# Contains: only definitions
# Kind: wireguard
# Links: SETTING_IFNAME
#
# Settings (in TYPE-NAME.conf; those for all instances in TYPE.conf):
#   SETTING_IFNAME  name of the interface: "wg0"
#   SETTING_CONFIG  file with the keys and peers, in the format of wg(8); only root may read it
#   SETTING_IFADDR  its address, as arguments for `ip address add`: "10.0.0.2/32"; an array may have several
#   SETTING_ROUTES  array of routes over the tunnel, as arguments for `ip route replace`: "default"

# Checks the settings before `up` and for `netnsctl check`: prints a line for each error, and changes nothing.
configure_TYPE_validate() {
  [[ ${SETTING_IFNAME-} ]] || echo 'SETTING_IFNAME: is not set'
  [[ -f ${SETTING_CONFIG-} ]] || echo "SETTING_CONFIG: '${SETTING_CONFIG-}' is not a file"
}

# Runs first, on the host: the kernel keeps the UDP socket of a tunnel where the tunnel is created. The host records the interface, so
# `down` and `check` need no function.
configure_TYPE_up_outside() {
  assert_command wg wireguard-tools
  load_module wireguard CONFIG_WIREGUARD
  link_add SETTING type wireguard
}

# Runs next, in the namespace, and again on each restart.
configure_TYPE_up_inside() {
  wg syncconf "$SETTING_IFNAME" "$SETTING_CONFIG"
  link_configure SETTING
}
