#!/usr/bin/env bats
# Many concurrent commands on the same name.

load engine

@test "50 concurrent up and down commands on one name all finish, and leave nothing behind" {
  pair a
  before=$(machine)
  # shellcheck disable=SC2016 # for the machine to expand
  run -0 on bash -c '
    for ((turn = 0; turn < 25; turn++)); do
      for verb in up down; do
        { timeout 100 netnsctl "$verb" veth@a >/dev/null 2>&1; echo "$?" >>/run/statuses; } &
      done
    done
    wait
    sort -u /run/statuses | paste -sd" "; rm /run/statuses'
  echo "statuses: $output"
  # Under systemd a stop cancels a running start, and this is reported.
  if [[ $ENGINE == direct ]]; then [[ $output == 0 ]]; else [[ $output =~ ^0(\ 1)?$ ]]; fi
  on netnsctl down veth@a
  undone "$before"
  on netnsctl up veth@a
  on ping -q -c1 -w5 192.0.2.2
  on netnsctl down veth@a
  undone "$before"
}
