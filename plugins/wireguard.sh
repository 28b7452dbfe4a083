# shellcheck shell=bash
# wireguard: a WireGuard tunnel. Its UDP socket is on the host, so the tunnel is the only way out of the namespace. Brings lo up, too.
#
# Contains: only definitions
# Kind: wireguard
# Links: WIREGUARD_IFNAME
# Requires: WIREGUARD_NSNAME_SOCKET
# Provides: loopback
#
# Settings (in wireguard-NAME.conf; those for all wireguard instances in wireguard.conf). They replace the values of the file:
#   WIREGUARD_CONFIG            file of wg-quick(8), as providers hand out; only root may read it; default: /etc/wireguard/NAME.conf
#   WIREGUARD_RUN_COMMANDS      yes: run PreUp, PostUp, PreDown and PostDown of the file, in the namespace; default: they are an error
#   WIREGUARD_NSNAME_SOCKET     namespace that the UDP socket is in; default: the host
#   WIREGUARD_IFNAME            name of the interface; default: wg0
#   WIREGUARD_IFADDR            address, as arguments for `ip address add`: "10.0.0.2/32"; an array may have several
#   WIREGUARD_MTU               MTU in bytes; default: that of the route to the endpoint, minus 80
#   WIREGUARD_ALIAS             text about the interface, which `ip link` shows; default: none
#   WIREGUARD_GROUP             link group of the interface, a number, for `ip` and nftables; default: 0
#   WIREGUARD_ROUTES            array of routes, each as arguments for `ip route replace`; default: the allowed addresses of the peers
#   WIREGUARD_TABLE             routing table of these routes; off: none; default: the main table
#   WIREGUARD_DNS_SERVERS       addresses of name servers, separated by blanks; written as the type dns does
#   WIREGUARD_DNS_SEARCH        domains that are tried for short names, separated by blanks
#   WIREGUARD_LISTEN_PORT       local UDP port; default: chosen by the kernel
#   WIREGUARD_FWMARK            mark of the packets of the tunnel (wg(8)); default: off
#   WIREGUARD_SYSCTLS           array of sysctls of the interface: "ipv4.rp_filter=2" is net.ipv4.conf.IFNAME.rp_filter
#   WIREGUARD_PRIVATE_KEY_FILE  file with the private key; with it, no file of wg-quick is read
#   WIREGUARD_PEERS             array of peers, each in the words of `wg set … peer`: "KEY endpoint HOST:PORT allowed-ips 0.0.0.0/0,::/0"

# shellcheck disable=SC2034 # read by netnsinit
NO_CONFIG_REQUIRED=yes

# Sets the defaults, also for `netnsctl show`.
configure_wireguard_defaults() {
  default_ifname WIREGUARD_IFNAME wg0
  : "${WIREGUARD_CONFIG:=/etc/wireguard/$1.conf}"
}

# Prints a line for each invalid line of the file, and for each invalid setting.
configure_wireguard_validate() {
  valid_setting WIREGUARD_RUN_COMMANDS is_one_of yes no
  wireguard_read WIREGUARD
}

# The kernel, or a program in its place, keeps the UDP socket where the interface is created. The host records the interface, so `down` needs no function for it.
configure_wireguard_up_outside() {
  configure_wireguard_defaults "$1"
  assert_command wg wireguard-tools
  wireguard_read WIREGUARD >&2
  link_add WIREGUARD type wireguard
  # Before anything in the namespace starts.
  resolver_write WIREGUARD_DNS
}

# A restart runs this again, with the present settings.
configure_wireguard_up_inside() {
  configure_wireguard_defaults "$1"
  configure_wireguard_validate >&2
  link_up lo
  wireguard_run WIREGUARD PreUp
  link_configure WIREGUARD
  wireguard_apply WIREGUARD
  resolver_write WIREGUARD_DNS
  wireguard_run WIREGUARD PostUp
}

configure_wireguard_down_inside() {
  configure_wireguard_defaults "$1"
  wireguard_run WIREGUARD PreDown
  wireguard_run WIREGUARD PostDown
}

configure_wireguard_down_outside() { resolver_remove; }

# Prints a line for each file of the resolver that differs. The host compares the interface, the keys and the peers.
configure_wireguard_check_outside() {
  configure_wireguard_defaults "$1"
  wireguard_read WIREGUARD
  resolver_check WIREGUARD_DNS
}
