#!/usr/bin/env bats
# Missing resources: space, processes, file descriptors. These tests are for the direct engine; under systemd, systemd keeps the state.

load engine

setup() {
  [[ $ENGINE == direct ]]
  pair a
  BEFORE=$(machine)
}

# Usage: small_run
# Mounts a small disk on /run/systemd-netns, which tests fill or make read-only.
small_run() {
  mkdir -p /run/systemd-netns
  mount -t tmpfs -o size=128k small /run/systemd-netns
}

full() { head -c 1M /dev/zero >/run/systemd-netns/ballast 2>/dev/null || true; }

unmount_small_run() { umount --lazy /run/systemd-netns; }

@test "without space in /run, up changes nothing, reports it, and works later" {
  small_run
  full
  run --separate-stderr -1 netnsctl up veth@a nft@b
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'/run/systemd-netns/direct/a.json'*'No space left'* ]]
  gone a
  rm /run/systemd-netns/ballast
  netnsctl up veth@a nft@b
  netnsctl down veth@a nft@b
  unmount_small_run
  undone "$BEFORE"
}

@test "without space in /run, down removes everything" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin talk 'configure_talk_down_inside() { for line in {1..1000}; do echo "a line that takes some space: $line"; done; }'
  before=$(machine)
  small_run
  netnsctl up veth@a talk@a lo@a
  full
  run -0 netnsctl down a
  gone a
  [[ -z $(find /run/systemd-netns -type f -not -name ballast) ]]
  unmount_small_run
  rm -f "$LOG"
  undone "$before"
}

@test "with a read-only /run, nothing is started, and the cause is reported" {
  small_run
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
  unmount_small_run
  undone "$BEFORE"
}

@test "with a read-only /etc, up and down work" {
  mount --bind /etc /etc
  mount -o remount,bind,ro /etc
  status=0
  netnsctl up veth@a nft@a && netnsctl restart a && netnsctl down a || status=$?
  umount /etc
  ((status == 0))
  undone "$BEFORE"
}

@test "with too few file descriptors, up works or is undone, and down works or can be repeated" {
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
# Runs COMMAND. The kernel refuses its process or thread number AT and all later ones.
from_on() {
  local calls=clone,clone3,fork,vfork
  strace -qq -o /dev/null -e trace="$calls" -e inject="$calls:error=EAGAIN:when=$1+" "${@:2}"
}

@test "with a process limit, up is reported and undone, and down removes everything" {
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

@test "an invalid NETNS_HOOK_TIMEOUT is refused, and nothing is started" {
  for value in '' 0 -1 1.5 soon; do
    run --separate-stderr -1 env NETNS_HOOK_TIMEOUT="$value" netnsctl up veth@a
    [[ $stderr == *'NETNS_HOOK_TIMEOUT must be a positive number of seconds'* ]]
    gone a
  done
}

@test "after a power cut with a persistent /run, active and partially active instances come up again" {
  # The state that a restarted container finds: the files, without the mounts and the processes.
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
