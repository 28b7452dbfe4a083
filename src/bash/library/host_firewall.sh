# shellcheck shell=bash
# The function of the library for other firewalls on the host. The program does the work (src/library/host_firewall.rs).

# Usage: host_firewall SETTING IFNAME...
#   host_firewall VPN_HOST_FIREWALL "$VPN_IFNAME"
# Finds the nftables chains of other programs that drop forwarded packets and have no rule for these interfaces of the host. If
# the variable SETTING is `yes`, adds rules for the packets that arrive on these interfaces and for the answers, which are removed when
# the instance goes down. Otherwise prints a warning with the chain.
host_firewall() { __netns_library host_firewall "$1" "${!1:-no}" "${@:2}"; }
