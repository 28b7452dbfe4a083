#!/usr/bin/env bats
# What things cost: processes and system calls, which unlike times do not wobble. A test fails when they grow.

load ../engine/engine

# Usage: costs PROCESSES CALLS COMMAND...
# Whether a command executes that many programs, itself included, and makes at most so many system calls. The functions
# that bats exports are kept from it: they could be hooks.
costs() {
  local trace=$BATS_TEST_TMPDIR/trace programs calls
  env --ignore-environment PATH="$PATH" strace -f -qq -o "$trace" "${@:3}" >/dev/null
  # A call that others interrupt stands on two lines.
  programs=$(grep -c 'execve(' "$trace")
  calls=$(grep -vc resumed "$trace")
  ((programs == $1 && calls <= $2)) || {
    echo "${*:3}: $programs programs and $calls system calls, where $1 and at most $2 were expected" >&2
    return 1
  }
}

@test "a hook is netnsinit, bash, and what the plugin runs" {
  ip netns add a
  enter() { nsenter --net=/run/netns/a -- "$@"; }
  enter strace -f -qq -o "$BATS_TEST_TMPDIR/trace" netnsinit lo a up inside >/dev/null
  [[ $(grep -c 'execve(' "$BATS_TEST_TMPDIR/trace") == 3 ]]
  # Until it is bash.
  own=$(awk '/execve\("\/bin\/bash"/ { exit } { calls++ } END { print calls }' "$BATS_TEST_TMPDIR/trace")
  ((own <= 51))
}

@test "a hook that has nothing to do is netnsinit alone" {
  ip netns add a
  costs 1 50 netnsinit lo a up outside
  costs 1 54 netnsinit lo a down outside
}

@test "to make sure that the namespace is ours costs a hook inside at most seven system calls more, one outside thirteen" {
  ip netns add theirs
  netnsinit --create ours
  calls() {
    nsenter --net="$1" -- strace -f -qq -o "$BATS_TEST_TMPDIR/trace" netnsinit lo "${@:2}" >/dev/null
    awk '/execve\("\/bin\/bash"/ { exit } { calls++ } END { print calls }' "$BATS_TEST_TMPDIR/trace"
  }
  (($(calls /run/netns/ours ours up inside) <= $(calls /run/netns/theirs theirs up inside) + 7))
  (($(calls /proc/1/ns/net ours up outside) <= $(calls /proc/1/ns/net theirs up outside) + 13))
  netnsinit --delete ours
}

@test "an instance costs the direct engine a bash for each hook that does something, and what that runs" {
  # bash and ip; for the pair six times ip, and mkdir the first time.
  costs 3 850 netnsctl up lo@a
  costs 1 380 netnsctl down lo@a
  costs 9 2200 netnsctl up veth@nstest
  costs 8 2260 netnsctl down veth@nstest
}

@test "a hook costs the same with 1000 other namespaces and 1000 other files" {
  ip netns add a
  calls() {
    nsenter --net=/run/netns/a -- strace -f -qq -o "$BATS_TEST_TMPDIR/trace" netnsinit lo a up inside >/dev/null
    grep -vc resumed "$BATS_TEST_TMPDIR/trace"
  }
  before=$(calls)
  mapfile -t instances < <(printf 'lo@many-%d\n' {1..1000})
  netnsctl up "${instances[@]}" >/dev/null 2>&1
  touch "$CONF"/other-{1..1000}.conf
  after=$(calls)
  # A wait more or less, as the processes happen to meet.
  ((after <= before + 10))
  rm "$CONF"/other-*
  netnsctl down "${instances[@]}" >/dev/null 2>&1
}

@test "an idle netns-update starts no process, and makes three system calls for a type" {
  netns-update >/dev/null
  costs 1 200 netns-update
  for ((number = 0; number < 100; number++)); do : >"$CONF/type$number.sh"; done
  netns-update >/dev/null
  costs 1 $((200 + 100 * 3)) netns-update
  netns-update --clean >/dev/null
}

@test "list starts no process, and looks three times at each file" {
  touch "$CONF"/lo-{1..100}.conf
  costs 1 $((40 + 100 * 3)) netnsctl list
}
