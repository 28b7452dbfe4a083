# shellcheck shell=bash
# The function of the library for other firewalls on the host. The program does the work (src/library/host_firewall.rs).

# Usage: host_firewall yes|no IFNAME...
#   host_firewall "${VPN_HOST_FIREWALL:-no}" "$VPN_IFNAME"
# Finds the nftables chains of other programs that drop forwarded packets and have no rule for these interfaces of the host. With
# `yes`, adds a rule for the packets that arrive on these interfaces and for the answers, which is removed when the instance goes down.
# With `no`, prints a warning with the chain.
host_firewall() { __netns_library host_firewall "$@"; }
