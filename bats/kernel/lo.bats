#!/usr/bin/env bats
# lo: the loopback interface of a namespace.

load kernel

@test "lo is down in a new namespace, and up afterwards" {
  create a
  [[ $(link a lo '.flags | contains(["UP"])') == false ]]
  hook lo a up outside
  hook lo a up inside
  [[ $(link a lo '.flags | contains(["UP"])') == true ]]
  reaches a 127.0.0.1
  reaches a ::1
}

@test "it needs no configuration, not even default.conf" {
  run -0 ls -A "$CONF"
  [[ -z $output ]]
  up lo a
}

@test "every hook can run twice" {
  each_hook_twice lo a reaches a ::1
}

@test "restarts keep lo up" {
  up lo a
  for ((turn = 0; turn < 5; turn++)); do
    restart_inside lo a
    reaches a 127.0.0.1
  done
}

@test "lo stays up after down: other types may need it" {
  up lo a
  down_hooks lo a
  reaches a 127.0.0.1
}

@test "up and down leave nothing behind" {
  before=$(world)
  up lo a
  down lo a
  unchanged "$before"
}

@test "no other program is needed" {
  create a
  inside a env PATH="$(only)" netnsinit lo a up inside
  [[ $(link a lo '.flags | contains(["UP"])') == true ]]
}
