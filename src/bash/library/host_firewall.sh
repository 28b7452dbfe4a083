# shellcheck shell=bash
# The function of the library for other firewalls on the host. The program does the work (src/library/host_firewall).

# Usage: host_firewall SETTING [--dnat] IFNAME...
#   host_firewall VPN_HOST_FIREWALL "$VPN_IFNAME"
# Finds the chains of other programs that drop forwarded packets and have no rule for these interfaces of the host. If the
# variable SETTING is `yes`, adds rules for the packets that arrive on these interfaces and for the answers, which are removed when
# the instance goes down. Otherwise prints a warning with the chain.
#   --dnat  only for the packets of connections whose destination the host has changed, in both directions
host_firewall() { __netns_library host_firewall "$1" "${!1:-no}" "${@:2}"; }
