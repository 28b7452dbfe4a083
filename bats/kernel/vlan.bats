#!/usr/bin/env bats
# vlan: an interface for one VLAN. Only the checks of its settings: the kernel may not have the kind.

load kernel

@test "invalid settings are refused, with the setting and the value, before anything is made" {
  create a
  while read -r line words; do
    printf '%s\n' VLAN_PARENT_IFNAME=up0 VLAN_ID=7 VLAN_PARENT_TIMEOUT=0 "$line" | config vlan-a.conf
    # shellcheck disable=SC2086 # several words
    refused ${line%%[=+]*} $words -- up vlan a
  done <<'END'
VLAN_PARENT_IFNAME= not set
VLAN_ID= not set
VLAN_ID=0 '0' 1 4094
VLAN_ID=4095 '4095' 1 4094
VLAN_ID=seven 'seven'
VLAN_PROTOCOL=802.1x '802.1x' 802.1Q 802.1ad
VLAN_PARENT_TIMEOUT=soon 'soon'
END
}

@test "check reports the loopback interface as a parent" {
  printf '%s\n' VLAN_PARENT_IFNAME=lo VLAN_ID=7 | config vlan-a.conf
  run -1 netnsctl check vlan@a
  [[ $output == *"VLAN_PARENT_IFNAME: 'lo' is the loopback interface"* ]]
}

@test "check reports an MTU above that of the parent" {
  ip link add up0 type veth peer name up1
  printf '%s\n' VLAN_PARENT_IFNAME=up0 VLAN_ID=7 VLAN_MTU=1501 | config vlan-a.conf
  run -1 netnsctl check vlan@a
  [[ $output == *"VLAN_MTU: '1501' is too large: the parent 'up0' has the MTU 1500"* ]]
}
