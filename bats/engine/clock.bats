#!/usr/bin/env bats
# The clock: what another one has noted, one that jumps in the middle of a command, and one that counts from elsewhere. The machine's own is
# not touched. What the direct engine has to see to; under systemd, time limits are systemd's.

load engine

setup() {
  [[ $ENGINE == direct ]]
  pair a
}

# Usage: since INSTANCE
# Since when `netnsctl list` says that it is as it is.
since() { netnsctl list --json | jq --raw-output --arg instance "$1" '.items[] | select(.instance == $instance) | .since'; }

# Usage: dated TIME
# Has all that is kept of instances, and their settings, dated by another clock.
dated() {
  local text file=/run/systemd-netns/direct/a.json
  text=$(jq --arg time "$1" '.instances[].since = $time' "$file")
  echo "$text" >"$file"
  find /run/systemd-netns "$CONF" -type f -exec touch --date "$1" {} +
}

@test "the clock has jumped, back or forth: what is up is listed, restarts and goes; what has failed is listed, and cleared" {
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
# Runs netnsctl as `cargo test` builds it, which libfaketime reaches, with a clock that says what /run/clock does, at any moment; hooks, and
# time that is only measured, go by the machine's.
with_own_clock() {
  local libraries=(/usr/lib/*/faketime/libfaketimeMT.so.1)
  env LD_PRELOAD="${libraries[0]}" FAKETIME_TIMESTAMP_FILE=/run/clock FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 \
    "$@"
}

@test "the clock jumps in the middle of an up, back or forth: that is noted by it, and time limits do not move" {
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

# Where the machine seems to be up for three years more.
ELSEWHERE=(unshare --time --fork --kill-child --monotonic 100000000 --boottime 100000000 --)

@test "where the machine is up for other times, as in a container, time limits are the same; a hook that was noted there is ended from here" {
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
