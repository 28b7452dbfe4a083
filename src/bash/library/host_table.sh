# shellcheck shell=bash disable=SC2154
# The functions of the library for the firewall of the host. The program does the work (src/library/host_table.rs).

# Usage: host_table_load
#   host_table_load <<<"chain forward { type filter hook forward priority filter; iifname $VETH_IFNAME_OUTSIDE accept; }"
# Loads the nftables table of the instance on the host, in place of an earlier one, in one transaction. stdin has the contents of the
# table, in the language of nft(8). The table is removed when the instance goes down.
host_table_load() { __netns_library host_table_load; }

# Usage: host_table_remove
# Removes the table before the instance goes down. Does nothing if there is none.
host_table_remove() { __netns_library host_table_remove; }
