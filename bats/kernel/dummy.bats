#!/usr/bin/env bats
# dummy: an interface without a network. Only the checks of its settings: the kernel may not have the kind.

load kernel

@test "an invalid address is refused, with the setting and the value, before anything is made" {
  create a
  echo DUMMY_IFADDR=192.0.2.300/32 | config dummy-a.conf
  fails hook dummy a up inside
  [[ $stderr == *"$CONF/dummy-a.conf:1: DUMMY_IFADDR: '192.0.2.300/32' is not an address"* ]]
}
