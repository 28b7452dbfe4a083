# shellcheck shell=bash disable=SC2154 # the wrapper sets __netns_*
# The function of the library for a host that forwards packets. The program does the work (src/library/forward).

# Usage: host_forward VARIABLE [--uplinks|--all] IFNAME...
#   host_forward chains "$VPN_IFNAME" eth0
#   host_table_load <<<"$chains chain out { type filter hook forward priority filter - 13; iifname $VPN_IFNAME goto pass; }"
# Lets the host forward the packets that arrive on these interfaces of the host, also if one appears later: then `netnsctl check`
# reports it, and a restart is needed, which under systemd happens by itself.
#   --uplinks  also on each other interface of the host with a route, except those of instances
#   --all      also on each other interface of the host with a route
# Sets VARIABLE to nftables chains, which are a part of the table of the instance. When `host_table_load` has loaded them, it switches
# the forwarding on. The chains drop the packets that the host did not forward before. These packets pass:
# - those that a chain with the hook `forward` and the priority `filter - 13` has sent to the chain `pass`, also in the table of
#   another instance
# - frames within a bridge of the host
host_forward() {
  local __netns_chains
  __netns_begin
  __netns_chains=$(__netns_library host_forward "${@:2}") || return
  printf -v "$1" %s "$__netns_chains"
}
