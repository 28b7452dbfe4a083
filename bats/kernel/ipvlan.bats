#!/usr/bin/env bats
# ipvlan: an interface that shares the hardware address of its parent. Only the checks of its settings: the kernel may not have the kind.

load kernel

@test "invalid settings are refused, with the setting and the value, before anything is made" {
  create a
  while read -r line words; do
    printf '%s\n' IPVLAN_PARENT_IFNAME=up0 IPVLAN_PARENT_TIMEOUT=0 "$line" | config ipvlan-a.conf
    # shellcheck disable=SC2086 # several words
    refused ${line%%[=+]*} $words -- up ipvlan a
  done <<'END'
IPVLAN_PARENT_IFNAME= not set
IPVLAN_MODE=l4 'l4' l2 l3 l3s
IPVLAN_FLAGS=public 'public' bridge private vepa
IPVLAN_PARENT_TIMEOUT=-1 '-1'
END
}

@test "check reports the loopback interface as a parent" {
  printf '%s\n' IPVLAN_MODE=l2 IPVLAN_PARENT_IFNAME=lo | config ipvlan-a.conf
  run -1 netnsctl check ipvlan@a
  [[ $output == *"IPVLAN_PARENT_IFNAME: 'lo' is the loopback interface"* ]]
}
