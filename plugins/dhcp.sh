# shellcheck shell=bash
# dhcp: an address, routes and name servers from a DHCP server, for an interface of another type. The lease is renewed while the
# instance is up, and released on down. The files of the host do not change.
#
# Contains: only definitions
# After: links
#
# Settings (in dhcp-NAME.conf; those for all dhcp instances in dhcp.conf; none is required):
#   DHCP_IFNAME   interface of the namespace; default: the only one that is up, besides lo
#   DHCP_CLIENT   dhcpcd, udhcpc or dhclient; default: the first of these that is installed
#   DHCP_IPV6     yes: the client also asks for an IPv6 address, by DHCPv6; dhcpcd also by router advertisements; default: no
#   DHCP_TIMEOUT  time to wait for a server, such as 1min, less than the start timeout of 90s; default: 30s

# shellcheck disable=SC2034 # read by netnsinit
NO_CONFIG_REQUIRED=yes

# Prints a line for each invalid setting.
configure_dhcp_validate() {
  valid_setting DHCP_CLIENT is_one_of dhcpcd udhcpc dhclient
  valid_setting DHCP_IPV6 is_one_of yes no
  valid_time_span DHCP_TIMEOUT 90s
  [[ ${DHCP_IFNAME-} != lo ]] || echo "DHCP_IFNAME: 'lo' has no network with a server"
}

# A client of this hook keeps running, and so keeps its lease, when systemd restarts the instance.
configure_dhcp_up_outside() { lease_start DHCP; }

# A restart runs only this, with the present settings.
configure_dhcp_up_inside() {
  configure_dhcp_validate >&2
  lease_start DHCP
  lease_wait DHCP
}

# The client was stopped before.
configure_dhcp_down_outside() { lease_end; }

# Prints a line for each difference from the lease. The host reports a client that does not run.
configure_dhcp_check_outside() { lease_check; }
