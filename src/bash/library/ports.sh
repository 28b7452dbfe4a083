# shellcheck shell=bash disable=SC2154
# The functions of the library for ports of the host. The program does the work (src/library/ports).

# Usage: valid_ports SETTING [--proxy [UNITS-SETTING]]
#   configure_vpn_validate() { valid_ports VPN_PORTS; }
# Prints a line for each element of the array SETTING that is not [HOSTADDR:]PORT[:PORT][/PROTOCOL], as the function
# configure_TYPE_validate must do. For `netnsctl check` and `netnsctl restart` of an instance that is up, it also prints what
# claim_ports would refuse.
#   --proxy  also what proxy_ports would refuse, and units in the array UNITS-SETTING that do not exist
valid_ports() {
  local -n __netns_ports=$1 __netns_units=${3-__netns_none}
  __netns_library valid_ports "$1" "${__netns_validates-}" "${2-}" "${3-}" "${#__netns_units[@]}" "${__netns_units[@]}" \
    "${__netns_ports[@]}"
}

# Usage: claim_ports VARIABLE SETTING
#   claim_ports ports VPN_PORTS
# Reserves ports of the host for the instance, until it goes down. The array SETTING has elements [HOSTADDR:]PORT[:PORT][/PROTOCOL].
# Fails if the host does not have an address, if another instance has reserved a port, or if a process of the host listens on it.
# Sets VARIABLE to a line for each element: PROTOCOL ADDRESS FIRST LAST INSIDE, with `*` for all addresses of the host.
claim_ports() {
  local -n __netns_ports=$2
  local __netns_lines
  __netns_begin
  __netns_lines=$(__netns_library claim_ports "$2" "${__netns_ports[@]}") || return
  printf -v "$1" %s "$__netns_lines"
}

# Usage: proxy_ports SETTING [IDLE-SETTING [UNITS-SETTING]]
#   proxy_ports VPN_PORTS VPN_IDLE VPN_UNITS
# Listens on the TCP ports of the array SETTING, and connects to the ports of the namespace. The first connection brings up all
# configured instances of the namespace, and the units in the array UNITS-SETTING. After the time span in IDLE-SETTING without a
# connection, they go down again. Without systemd, the proxy is the daemon `proxy`: `daemon_stop proxy` stops it.
proxy_ports() {
  local -n __netns_ports=$1 __netns_idle=${2-__netns_none} __netns_units=${3-__netns_none}
  __netns_library proxy_ports "$1" "${2-}" "${__netns_idle-}" "${3-}" "${#__netns_units[@]}" "${__netns_units[@]}" \
    "${__netns_ports[@]}"
}
