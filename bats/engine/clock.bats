#!/usr/bin/env bats
# The clock: records of another clock, jumps during a command, and a clock with another start. The clock of the machine is not
# changed. These tests are for the direct engine; under systemd, systemd measures the timeouts.

load engine

setup() {
  [[ $ENGINE == direct ]]
  pair a
}

# Usage: since INSTANCE
# Prints the start time in `netnsctl list`.
since() { netnsctl list --json | jq --raw-output --arg instance "$1" '.items[] | select(.instance == $instance) | .since'; }

# Usage: dated TIME
# Sets the times of all records and settings of instances, as another clock would.
dated() {
  local text file=/run/systemd-netns/direct/a.json
  text=$(jq --arg time "$1" '.instances[].since = $time' "$file")
  echo "$text" >"$file"
  find /run/systemd-netns "$CONF" -type f -exec touch --date "$1" {} +
}

@test "after a clock jump, active instances are listed, restarted and removed, and failed ones are listed and cleared" {
  plugin fails 'configure_fails_up_inside() { false; }'
  before=$(machine)
  for time in 1970-01-01T00:00:01Z 2070-01-01T00:00:00Z; do
    netnsctl up veth@a
    run ! netnsctl up fails@b
    dated "$time"
    [[ $(since veth@a) == "$time" && $(since fails@b) == "$time" ]]
    [[ $(state veth@a) == up && $(state fails@b) == failed ]]
    netnsctl gc
    [[ $(state veth@a) == up && $(state fails@b) == failed ]]
    netnsctl restart veth@a
    netnsctl status a >/dev/null
    netnsctl down a b
    rm -f "$LOG"
    undone "$before"
  done
}

# Usage: with_own_clock COMMAND...
# Runs the netnsctl of `cargo test`, with libfaketime and the clock of /run/clock. Hooks and measured durations use the clock
# of the machine.
with_own_clock() {
  local libraries=(/usr/lib/*/faketime/libfaketimeMT.so.1)
  env LD_PRELOAD="${libraries[0]}" FAKETIME_TIMESTAMP_FILE=/run/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 \
    "$@"
}

@test "a clock jump during up is noted, and does not change timeouts" {
  local -i elapsed
  netnsctl=$ROOT/target/debug/netnsctl
  plugin probe 'configure_probe_up_outside() { cp /run/jump /run/clock; [[ ! -e /run/hang ]] || sleep 60; }'
  before=$(machine)
  for jump in -40y +40y; do
    echo "$jump" >/run/jump
    echo +0 >/run/clock
    with_own_clock "$netnsctl" up probe@a
    [[ $(since probe@a) != "$(date +%Y)"* ]]
    netnsctl restart probe@a
    netnsctl down probe@a

    echo +0 >/run/clock
    : >/run/hang
    elapsed=${EPOCHREALTIME/[.,]/}
    run --separate-stderr -1 with_own_clock env NETNS_HOOK_TIMEOUT=2 "$netnsctl" up probe@a
    elapsed=${EPOCHREALTIME/[.,]/}-elapsed
    # shellcheck disable=SC2154 # set by run
    [[ $stderr == *'up outside timed out after 2 seconds'* ]]
    ((elapsed > 1900000 && elapsed < 30000000))
    rm /run/hang
    netnsctl down probe@a
    rm -f "$LOG"
    undone "$before"
  done
  rm /run/clock /run/jump
}

# In this time namespace the uptime of the machine is three years longer.
ELSEWHERE=(unshare --time --fork --kill-child --monotonic 100000000 --boottime 100000000 --)

@test "in a time namespace, timeouts are the same, and a hook recorded there can be ended from outside" {
  (($("${ELSEWHERE[@]}" cut -d . -f 1 /proc/uptime) > $(cut -d . -f 1 /proc/uptime) + 90000000))
  # shellcheck disable=SC2016 # for the hook to expand
  plugin probe 'configure_probe_up_outside() { trap "" TERM; echo "$$" >/run/pid; while :; do sleep 0.1; done; }'
  before=$(machine)
  run --separate-stderr -1 "${ELSEWHERE[@]}" env NETNS_HOOK_TIMEOUT=1 netnsctl up probe@a
  [[ $stderr == *'up outside timed out after 1 seconds'* ]]
  netnsctl down probe@a
  rm -f "$LOG"
  undone "$before"

  rm /run/pid
  "${ELSEWHERE[@]}" netnsctl up probe@a >/dev/null 2>&1 3>&- &
  eventually grep --quiet '"pid"' /run/systemd-netns/direct/a.json
  eventually test -s /run/pid
  kill -KILL "$!"
  wait "$!" || true
  NETNS_HOOK_TIMEOUT=1 netnsctl down probe@a
  [[ ! -e /proc/$(</run/pid)/exe ]]
  rm -f "$LOG" /run/pid
  undone "$before"
}
