#!/usr/bin/env bats
# The nftables table of an instance on the host, with both engines.

load engine

setup() {
  guard 'chain forward { type filter hook forward priority filter; iifname "ve-a0" counter accept; }
    set seen { type ipv4_addr; flags dynamic; }'
}

# Usage: guard CONTENTS
# A type whose inside hook loads the table.
guard() {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin guard "configure_guard_up_inside() { host_table_load <<'END'
$1
END
}"
}

# Usage: tables
# Prints the names of the tables on the host.
tables() { on nft list tables; }

@test "up loads the table, a restart loads an edited one, and down leaves nothing" {
  on netnsctl up guard@a
  [[ $(tables) == 'table inet netns_guard-a' ]]
  on netnsctl restart guard@a
  on netnsctl check guard@a
  guard 'chain input { type filter hook input priority filter; }'
  on netnsctl restart guard@a
  [[ $(on nft list table inet netns_guard-a) == *'chain input'* ]]
  on netnsctl check guard@a
  on netnsctl down guard@a
  [[ -z $(tables) ]]
  nothing_left
}

@test "check reports a changed or missing table, and a restart repairs it; counters and elements of sets may change" {
  on netnsctl up guard@a
  on nft 'add element inet netns_guard-a seen { 192.0.2.7 }'
  on netnsctl check guard@a
  on nft add rule inet netns_guard-a forward drop
  run -1 on netnsctl check guard@a
  [[ $output == *"the table 'inet netns_guard-a' on the host has changed since it was loaded"*'`netnsctl restart guard@a`'* ]]
  on netnsctl restart guard@a
  on netnsctl check guard@a
  on nft delete table inet netns_guard-a
  run -1 on netnsctl check guard@a
  [[ $output == *"the table 'inet netns_guard-a' on the host does not exist"* ]]
  on netnsctl restart guard@a
  on netnsctl check guard@a
  on nft delete table inet netns_guard-a
  on netnsctl down guard@a
  nothing_left
}

@test "a restart that fails removes the table with the instance" {
  on netnsctl up guard@a
  guard 'chain forward { nonsense; }'
  run -1 on netnsctl restart guard@a
  [[ -z $(tables) ]]
}

@test "gc removes a table of ours without a record, and no other table" {
  on netnsctl up guard@a
  on nft 'add table inet netns_guard-b; add table inet netns_guard-c { comment "systemd-netns guard@d"; }'
  run -0 on netnsctl gc
  [[ $output != *table* && $(tables) == *guard-a* ]]
  on nft 'add table inet netns_guard-e { comment "systemd-netns guard@e"; }'
  run -0 on netnsctl gc --dry-run
  [[ $output == *'would be removed: table `inet netns_guard-e` on the host: '* ]]
  on netnsctl gc
  [[ $(tables | sort | paste -sd,) == 'table inet netns_guard-a,table inet netns_guard-b,table inet netns_guard-c' ]]
  on netnsctl down guard@a
  on nft 'delete table inet netns_guard-b; delete table inet netns_guard-c'
}
