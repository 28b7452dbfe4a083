#!/usr/bin/env bats
# The cost of hooks and commands: a test fails when processes, programs or system calls increase. The numbers are in this
# order. The limit of calls is a few above the measured number.

load ../engine/engine
# shellcheck source=bats/costs.bash
source "$ROOT/bats/costs.bash"

# Usage: outside PROCESSES PROGRAMS CALLS TYPE NAME up|down
# The cost of an outside hook, in our own namespace. / inside: the same for an inside hook.
outside() { costs "${@:1:3}" netnsinit "${@:4}" outside; }
inside() {
  local at=(nsenter --net="/run/netns/$5" --)
  costs "${@:1:3}" netnsinit "${@:4}" inside
}

# Usage: before_bash NETNS COMMAND...
# Prints the number of system calls of a hook before bash starts, or before the end.
before_bash() {
  local at=(nsenter --net="$1" --)
  trace "${@:2}"
  awk '/execve\("\/bin\/bash"/ { exit } { calls++ } END { print calls }' "$TRACE"
}

# Usage: engine PROCESSES PROGRAMS CALLS up|down INSTANCE
# The cost of the direct engine. Polling of a running hook, from pipe2 to statx, is not counted: there is one poll each 20 ms.
# A process started for it is always counted.
engine() {
  local whole
  trace netnsctl "${@:4}"
  whole=$(<"$TRACE")
  awk 'NR == 1 { netnsctl = $1 }
    $1 == netnsctl && / pipe2\(/ { looks = 1 }
    !(looks && $1 == netnsctl) || / (clone3?|v?fork)\(/ && !/CLONE_THREAD/
    $1 == netnsctl && / statx\(/ { looks = 0 }' <<<"$whole" >"$TRACE"
  trace_costs "${@:1:3}" netnsctl "${@:4}"
}

# Usage: fewest_calls COMMAND...
# Prints the fewest system calls of five runs. On a busy machine, bash waits for a program with a few calls more.
fewest_calls() {
  for _ in 1 2 3 4 5; do calls "$@"; done | sort --numeric-sort | head --lines 1
}

# Usage: image
# Creates an image, $IMAGE, with up to date units: the enabled units of this machine do not count.
image() {
  IMAGE=$BATS_TEST_TMPDIR/image
  CONF=$IMAGE/etc/conf.d/netns
  make --silent --directory "$ROOT" install DESTDIR="$IMAGE" >/dev/null
  cp "$ROOT"/etc/{default.conf,macvlan.conf,nft.rules} "$CONF"
  netns-update --root "$IMAGE" >/dev/null
}

# Usage: instances TYPE LINE
# Writes the files of 100 instances, and runs netns-update.
instances() {
  local number
  for ((number = 1; number <= 100; number++)); do config "$1-n$number.conf" <<<"$2"; done
  netns-update --root "$IMAGE" >/dev/null
}

@test "the counter counts a subshell as a process, a thread as none, and a missing file as no program" {
  costs 3 1 0 bash -c '(:); (:); :'
  run -1 costs 2 1 0 bash -c '(:); (:); :'
  run -1 costs 3 2 0 bash -c '(:); (:); :'
  netnsctl up lo@a
  costs 1 1 143 netnsctl up lo@a
  run -1 costs 1 1 100 netnsctl up lo@a
  grep --quiet CLONE_THREAD "$TRACE"
  costs 1 2 0 env PATH=/nowhere:/usr/bin true
  grep --quiet 'execve("/nowhere/true".* = -1 ENOENT' "$TRACE"
}

@test "a hook of lo without work is netnsinit alone; up inside is bash and a call of the library" {
  netnsinit --create a
  outside 1 1 62 lo a up
  inside 2 3 90 lo a up
  inside 1 1 58 lo a down
  outside 1 1 62 lo a down
}

@test "a hook of veth is bash, a check of the settings, and a call of the library for each function; down is netnsinit alone, and a fork that waits for the kernel" {
  netnsinit --create nstest
  outside 4 4 335 veth nstest up
  inside 2 3 275 veth nstest up
  inside 1 1 58 veth nstest down
  outside 2 1 136 veth nstest down
}

@test "a hook of macvlan is bash and calls of the library, which use ip to create the interface and for an address with a broadcast" {
  ip link add eth0 type veth peer name eth1
  ip link set eth1 up
  ip link set eth0 up
  netnsinit --create a
  outside 5 5 323 macvlan a up
  inside 4 5 432 macvlan a up
  inside 1 1 58 macvlan a down
  outside 1 1 113 macvlan a down
}

@test "a hook of nft is bash; up closes the namespace with one nft, and inside starts ip, nft and netnsinit" {
  netnsinit --create a
  outside 2 3 181 nft a up
  inside 6 5 159 nft a up
  inside 1 2 58 nft a down
  outside 1 2 63 nft a down
}

@test "saving the rules on down is netns-nft-save and nft, and eight system calls for each shipped type" {
  local types=("$ROOT"/plugins/*.sh)
  config nft.conf <<<NFT_AUTO_SAVE=yes
  netnsinit --create a
  inside 7 6 231 nft a up
  inside 4 5 $((219 + ${#types[@]} * 8)) nft a down
}

@test "a hook of dns is bash, a mkdir, and a few forks for each file and for the check of the settings" {
  config dns-a.conf <<<DNS_SERVERS=192.0.2.53
  netnsinit --create a
  outside 6 6 75 dns a up
  inside 7 6 69 dns a up
  inside 1 1 55 dns a down
  outside 9 8 68 dns a down
}

@test "creating, verifying and deleting a namespace, and checking a file, is netnsinit alone" {
  netnsinit --create other
  costs 1 1 41 netnsinit --create a
  costs 1 1 27 netnsinit --verify a
  costs 1 1 40 netnsinit --delete a
  costs 1 1 16 netnsinit --check-trust /etc/conf.d/netns/default.conf
}

@test "netnsinit makes 51 system calls before bash; the ownership check adds 7 inside, 12 outside" {
  ip netns add theirs
  netnsinit --create ours
  (($(before_bash /run/netns/theirs netnsinit lo theirs up inside) <= 51))
  (($(before_bash /run/netns/ours netnsinit lo ours up inside) <= 51 + 7))
  (($(before_bash /proc/1/ns/net netnsinit lo theirs up outside) <= 51))
  (($(before_bash /proc/1/ns/net netnsinit lo ours up outside) <= 51 + 12))
}

@test "the direct engine starts a bash for each hook with work, and the programs of the hook" {
  # Seven system calls of an instance that comes up read its log, for warnings.
  engine 3 3 $((333 + 7)) up lo@a
  engine 1 1 140 up lo@a
  engine 1 1 465 down lo@a
  engine 7 6 $((855 + 7)) up veth@nstest
  engine 2 1 560 down veth@nstest # and a fork that waits for the kernel
}

@test "a hook costs the same with 1000 other namespaces and 1000 other files" {
  local at=(nsenter --net=/run/netns/a --) before after
  ip netns add a
  before=$(fewest_calls netnsinit lo a up inside)
  mapfile -t instances < <(printf 'lo@many-%d\n' {1..1000})
  netnsctl up "${instances[@]}" >/dev/null 2>&1
  touch "$CONF"/other-{1..1000}.conf
  after=$(fewest_calls netnsinit lo a up inside)
  ((after <= before))
  netnsctl down "${instances[@]}" >/dev/null 2>&1
}

@test "an idle netns-update starts no process, and makes six system calls for a type" {
  image
  costs 1 1 "$(idle_calls 137)" netns-update --root "$IMAGE"
  for ((number = 1; number <= 100; number++)); do : >"$CONF/type$number.sh"; done
  netns-update --root "$IMAGE" >/dev/null
  costs 1 1 $(($(idle_calls 137) + 100 * 6)) netns-update --root "$IMAGE"
}

@test "an idle netns-update starts no process for an instance that requires nothing, and makes eight system calls" {
  image
  instances veth VETH_IFADDR_INSIDE=192.0.2.130/30
  costs 1 1 $(($(idle_calls 137) + 90 + 100 * 8)) netns-update --root "$IMAGE"
  instances lo ''
  costs 1 1 $(($(idle_calls 137) + 65 + 200 * 8)) netns-update --root "$IMAGE"
}

@test "an idle netns-update starts one bash for an instance that requires something" {
  image
  instances veth VETH_NSNAME_OUTSIDE=b
  costs 101 101 $(($(idle_calls 137) + 100 * 235)) netns-update --root "$IMAGE"
  rm "$CONF"/veth-*
  instances lo NETNS_REQUIRES=b
  costs 101 101 $(($(idle_calls 137) + 100 * 235)) netns-update --root "$IMAGE"
}

@test "list starts no process, and accesses each file three times" {
  costs 1 1 34 netnsctl list
  touch "$CONF"/lo-many-{1..100}.conf
  costs 1 1 $((34 + 100 * 3)) netnsctl list
  costs 1 1 $((34 + 100 * 3)) netnsctl list --json
}

@test "list starts no process with instances up, and makes 41 system calls for each, and 72 for the local time" {
  netnsctl up lo@many-{1..10} >/dev/null
  costs 1 1 $((40 + 72 + 10 * 41)) netnsctl list
  costs 1 1 $((40 + 10 * 41)) netnsctl list --json
  netnsctl up lo@many-{11..60} >/dev/null
  costs 1 1 $((40 + 72 + 60 * 41)) netnsctl list
  costs 1 1 $((40 + 60 * 41)) netnsctl list --json
}
