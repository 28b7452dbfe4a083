#!/usr/bin/env bats
# vrf: a routing domain. Only the checks of its settings: the kernel may not have the kind.

load kernel

@test "invalid settings are refused, with the setting and the value, before anything is made" {
  create a
  while read -r line words; do
    printf '%s\n' VRF_TABLE=10 "$line" | config vrf-a.conf
    # shellcheck disable=SC2086 # several words
    refused ${line%%[=+]*} $words -- up vrf a
  done <<'END'
VRF_TABLE= not set
VRF_TABLE=0 '0'
VRF_TABLE=4294967296 '4294967296'
VRF_TABLE=254 '254' another number
VRF_TABLE=main 'main'
END
}

@test "check reports the loopback interface as a port" {
  printf '%s\n' VRF_TABLE=10 VRF_PORTS=lo | config vrf-a.conf
  run -1 netnsctl check vrf@a
  [[ $output == *"VRF_PORTS: 'lo' is the loopback interface"* ]]
}
