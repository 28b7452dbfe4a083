#!/usr/bin/env bats
# The cost under a real systemd: the processes and programs that it starts for an instance, and the queries to it.

load systemd
# shellcheck source=bats/costs.bash
source "$BATS_TEST_DIRNAME/../costs.bash"

setup() { at=(nsenter --target "$(<"$LAB/leader")" --all --); }

# Usage: starts PROGRAMS FORKS INSTANCE [restart]
# Succeeds if systemd starts this many programs to bring an instance up and down, or to restart it, including the programs of hooks,
# and if hooks create this many processes. There is no other work for systemd. The processes and helpers of systemd itself
# (systemd-executor in version 255 and later) are not counted.
starts() {
  local unit=netns-$3.service forks processes programs calls tracer leader whole
  leader=$(<"$LAB/leader")
  TRACE=$BATS_TEST_TMPDIR/trace
  strace -f -qq --signal=none --trace=execve,clone,clone3,fork,vfork --attach="$leader" --output="$TRACE" 3>&- &
  tracer=$!
  eventually grep --quiet '^TracerPid:.*[1-9]' "/proc/$leader/status"
  lab systemctl "${4-start}" "$unit"
  if [[ ! ${4-} ]]; then
    lab systemctl stop "$unit"
    nothing_left "${3#*@}"
  fi
  kill -INT "$tracer"
  wait "$tracer" || true
  whole=$(<"$TRACE")
  awk -v systemd="$leader" '
    $1 == systemd { next }
    / execve\(.*"\/usr\/lib\/systemd\/systemd-executo/ { is_helper[$1] = / <unfinished \.\.\.>$/; next }
    is_helper[$1] && / <\.\.\. execve resumed>/ { is_helper[$1] = 0; next }
    { print }' <<<"$whole" >"$TRACE"
  count
  forks=$((processes - 1))
  echo "$programs $forks $3"
  ((programs == $1 && forks == $2)) || {
    echo "where $1 programs and $2 forks were expected:" >&2
    cat "$TRACE" >&2
    return 1
  }
}

# Usage: asks_once COMMAND...
# Succeeds if the command starts at most one process, systemctl. Sets `least` and `most` to the minimum and the maximum of the system
# calls of both in three runs: the number varies by a few, and while systemd is busy, there may be more.
asks_once() {
  local processes programs calls run
  least='' most=''
  for run in 1 2 3; do
    trace "$@"
    count
    echo "$processes $programs $calls $* ($run)"
    if ((processes != programs || programs > 2 || $(grep -c ' execve("[^"]*/systemctl"' "$TRACE") < programs - 1)); then
      echo 'where one systemctl at most was expected' >&2
      return 1
    fi
    ((calls >= ${least:-calls + 1})) || least=$calls
    ((calls <= ${most:-calls - 1})) || most=$calls
  done
}

@test "systemd starts six netnsinit for up and down of an instance: two for the namespace, one for each hook" {
  starts 8 1 lo@a # up inside is bash and a call of the library
}

@test "systemd starts the same six, and the programs of the plugin, for each other type" {
  parent eth0
  starts 11 5 veth@nstest
  starts 15 6 nft@a
  starts 14 7 macvlan@a
  config dns-a.conf <<<DNS_SERVERS=192.0.2.53
  starts 23 19 dns@a
}

@test "a restart is two netnsinit, for the inside hooks, and their programs" {
  lab systemctl start netns-lo@a
  starts 4 1 lo@a restart
}

@test "an idle netns-update queries systemd once, and makes eight system calls for an instance" {
  costs 2 2 "$(idle_calls 202)" netns-update
  touch "$CONF"/lo-n{1..100}.conf
  costs 2 2 $(($(idle_calls 202) + 100 * 8)) netns-update
}

@test "up and restart start one journalctl for all their instances, and none if nothing changes" {
  # Usage: journalctls NUMBER COMMAND...
  # Succeeds if this number of processes of the command run journalctl. A process tries each directory of PATH.
  journalctls() {
    trace "${@:2}"
    (($(awk '/ execve\("[^"]*\/journalctl"/ { seen[$1] } END { print length(seen) }' "$TRACE") == $1))
  }
  journalctls 1 netnsctl up lo@many-{1..3}
  journalctls 0 netnsctl up lo@many-{1..3}
  journalctls 1 netnsctl restart lo@many-{1..3}
  lab netnsctl down lo@many-{1..3}
}

@test "list queries systemd once, with 10 and with 60 active instances, and makes 38 system calls for each" {
  local least most plain json
  lab netnsctl up lo@many-{1..10} >/dev/null
  asks_once netnsctl list
  plain=$most
  asks_once netnsctl list --json
  json=$most
  lab netnsctl up lo@many-{11..60} >/dev/null
  asks_once netnsctl list
  ((least <= plain + 50 * 38))
  asks_once netnsctl list --json
  ((least <= json + 50 * 38))
}
