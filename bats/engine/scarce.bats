#!/usr/bin/env bats
# Where something is short: space, processes, descriptors. What the direct engine has to see to; under systemd, state is systemd's.

load engine

setup() {
  [[ $ENGINE == direct ]]
  pair a
  BEFORE=$(machine)
}

# Usage: scarce_run
# Has a small disk in the place of /run/systemd-netns, to be filled or made read-only.
scarce_run() {
  mkdir -p /run/systemd-netns
  mount -t tmpfs -o size=128k small /run/systemd-netns
}

full() { head -c 1M /dev/zero >/run/systemd-netns/ballast 2>/dev/null || true; }

plenty() { umount --lazy /run/systemd-netns; }

@test "no space in /run: up does nothing, says so, and works again when there is some" {
  scarce_run
  full
  run --separate-stderr -1 netnsctl up veth@a nft@b
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'/run/systemd-netns/direct/a.json'*'No space left'* ]]
  gone a
  rm /run/systemd-netns/ballast
  netnsctl up veth@a nft@b
  netnsctl down veth@a nft@b
  plenty
  undone "$BEFORE"
}

@test "no space in /run while it is up: down goes all the way" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin talk 'configure_talk_down_inside() { for line in {1..1000}; do echo "a line that takes some space: $line"; done; }'
  before=$(machine)
  scarce_run
  netnsctl up veth@a talk@a lo@a
  full
  run -0 netnsctl down a
  gone a
  [[ -z $(find /run/systemd-netns -type f -not -name ballast) ]]
  plenty
  rm -f "$LOG"
  undone "$before"
}

@test "a /run that is read-only: nothing is begun, and the reason is told" {
  scarce_run
  netnsctl up veth@a
  mount -o remount,bind,ro /run/systemd-netns
  for verb in up down restart; do
    run --separate-stderr -1 netnsctl "$verb" veth@a nft@b
    [[ $stderr == *'/run/systemd-netns/direct/a.lock'*'Read-only'* ]]
  done
  [[ $(state veth@a) == up ]]
  ping -q -c1 -w5 192.0.2.2
  mount -o remount,bind,rw /run/systemd-netns
  netnsctl down a
  plenty
  undone "$BEFORE"
}

@test "an /etc that is read-only: instances come and go" {
  mount --bind /etc /etc
  mount -o remount,bind,ro /etc
  status=0
  netnsctl up veth@a nft@a && netnsctl restart a && netnsctl down a || status=$?
  umount /etc
  ((status == 0))
  undone "$BEFORE"
}

@test "too few descriptors, whatever their number: up works, or is told and undone; down works, or does later" {
  failed=0 worked=0
  for ((limit = 4; limit < 64 && worked == 0; limit++)); do
    if prlimit --nofile="$limit" netnsctl up veth@a lo@b >/dev/null 2>"$BATS_TEST_TMPDIR/said"; then
      worked=$((worked + 1))
    else
      failed=$((failed + 1))
      [[ -s $BATS_TEST_TMPDIR/said ]]
      run ! grep panicked "$BATS_TEST_TMPDIR/said"
    fi
    netnsctl up veth@a lo@b
    prlimit --nofile="$limit" netnsctl down veth@a lo@b >/dev/null 2>&1 || true
    netnsctl down veth@a lo@b
    undone "$BEFORE"
  done
  ((failed > 0 && worked > 0))
}

# Usage: from_on AT COMMAND...
# Runs COMMAND, for which the kernel has no more processes and threads from the AT-th on.
from_on() {
  local calls=clone,clone3,fork,vfork
  strace -qq -o /dev/null -e trace="$calls" -e inject="$calls:error=EAGAIN:when=$1+" "${@:2}"
}

@test "no more processes, from any of them on: up is told and undone, down tells and goes all the way" {
  failed=0
  for ((at = 1; at < 20; at++)); do
    if from_on "$at" netnsctl up veth@a lo@b >/dev/null 2>"$BATS_TEST_TMPDIR/said" 3>&-; then break; fi
    failed=$((failed + 1))
    grep --quiet 'temporarily unavailable' "$BATS_TEST_TMPDIR/said"
    netnsctl down veth@a lo@b
    undone "$BEFORE"
  done
  ((failed >= 2))
  netnsctl up veth@a lo@b
  for ((at = 1; at < 20; at++)); do
    netnsctl up veth@a lo@b
    status=0
    from_on "$at" netnsctl down veth@a lo@b >/dev/null 2>&1 3>&- || status=$?
    gone a
    netnsctl down veth@a lo@b
    undone "$BEFORE"
    ((status != 0)) || break
  done
  ((at > 2))
}

@test "a NETNS_HOOK_TIMEOUT that is no number of seconds is refused, and nothing is begun" {
  for value in '' 0 -1 1.5 soon; do
    run --separate-stderr -1 env NETNS_HOOK_TIMEOUT="$value" netnsctl up veth@a
    [[ $stderr == *'NETNS_HOOK_TIMEOUT must be a positive number of seconds'* ]]
    gone a
  done
}

@test "a power cut, where /run outlives it: what was up, or half-way, comes up again" {
  # What a container that is started again finds: the files, without what was mounted on them, and no process.
  for stage in up up-inside down-outside; do
    netnsctl up veth@a lo@a
    sed -i "s/\"stage\": .*/\"stage\": \"$stage\",/" /run/systemd-netns/direct/a.json
    umount /run/netns/a
    run --separate-stderr -0 netnsctl up veth@a lo@a
    [[ $stderr == *'was deleted manually'* ]]
    ping -q -c1 -w5 192.0.2.2
    netnsctl down a
    undone "$BEFORE"
  done
}
