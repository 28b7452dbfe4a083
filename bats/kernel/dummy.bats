#!/usr/bin/env bats
# dummy: an interface for addresses of the namespace itself. The kernel of this machine may not have it: bats/vm/types.bats has the
# other tests.

load kernel

@test "an invalid address is refused, with the setting and the value, before anything is made" {
  create a
  echo DUMMY_IFADDR=192.0.2.300/32 | config dummy-a.conf
  fails hook dummy a up inside
  [[ $stderr == *"$CONF/dummy-a.conf:1: DUMMY_IFADDR: '192.0.2.300/32' is not an address"* ]]
}
