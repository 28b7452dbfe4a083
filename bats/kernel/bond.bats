#!/usr/bin/env bats
# bond: several interfaces as one. Only the checks of its settings: the kernel may not have the kind.

load kernel

@test "invalid settings are refused, with the setting and the value, before anything is made" {
  create a
  while read -r line words; do
    printf '%s\n' BOND_PORTS=eth1 "$line" | config bond-a.conf
    # shellcheck disable=SC2086 # several words
    refused ${line%%[=+]*} $words -- up bond a
  done <<'END'
BOND_MODE=trunk 'trunk' active-backup
BOND_MIIMON=0 '0'
BOND_MIIMON=often 'often'
END
}

@test "check reports the loopback interface as a port" {
  printf '%s\n' BOND_MODE=802.3ad BOND_PORTS=lo | config bond-a.conf
  run -1 netnsctl check bond@a
  [[ $output == *"BOND_PORTS: 'lo' is the loopback interface"* ]]
}
