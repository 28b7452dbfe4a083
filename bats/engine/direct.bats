#!/usr/bin/env bats
# Duties of the direct engine: no other program would notice that it was killed, or would remove its leftovers.

load engine

setup() { [[ $ENGINE == direct ]]; }

# Usage: stoppable
# A type that creates interfaces. Its hooks wait at /run/stop.HOOK until /run/go exists.
stoppable() {
  # shellcheck disable=SC2016 # for the hooks to expand
  plugin probe '
point() {
  [[ -e /run/stop.$UPDOWN.$INOUT ]] || return 0
  rm "/run/stop.$UPDOWN.$INOUT"
  echo "$$" >/run/stopped
  while [[ ! -e /run/go ]]; do sleep 0.01; done
}
configure_probe_up_outside() {
  [[ $(ip -oneline link show type veth) == *": pr-$1@"* ]] || ip link add "pr-$1" type veth peer name pr1 netns "$1"
  on_failure ip link delete dev "pr-$1"
  point
}
configure_probe_up_inside() { ip address replace 192.0.2.1/24 dev pr1; point; }
configure_probe_down_inside() { ip address flush dev pr1; point; }
configure_probe_down_outside() {
  [[ $(ip -oneline link show type veth) != *": pr-$1@"* ]] || ip link delete dev "pr-$1"
  point
}'
  rm -f /run/stop* /run/go
}

# Usage: stop_in PHASE SIDE VERB
# Starts `netnsctl VERB probe@a` as COMMAND, and returns when it is in this hook.
stop_in() {
  : >"/run/stop.$1.$2"
  netnsctl "$3" probe@a >/dev/null 2>&1 3>&- &
  COMMAND=$!
  eventually test -s /run/stopped
  HOOK=$(</run/stopped)
}

# Usage: killed DURING|AFTER
# Kills the command while its hook runs, or after the hook, before its end is recorded.
killed() {
  if [[ $1 == after ]]; then
    kill -STOP "$COMMAND"
    : >/run/go
    eventually ended "$HOOK"
  fi
  kill -KILL "$COMMAND"
  wait "$COMMAND" || true
  rm -f /run/stopped
  eventually ended "$HOOK"
}

# Usage: ended PID
ended() { [[ ! -e /proc/$1/exe ]]; }

# Usage: is_up
# Succeeds if probe@a is complete.
is_up() {
  [[ $(state probe@a) == up && $(ip -netns a -oneline address show dev pr1) == *192.0.2.1/24* ]] &&
    ip link show dev pr-a >/dev/null
}

# Usage: recovers_after_kill up|down
# Kills the verb at each of its steps. Succeeds if the next up and the next down recover.
recovers_after_kill() {
  local side moment next
  for side in outside inside; do
    for moment in during after; do
      for next in up down; do
        stoppable
        [[ $1 == up ]] || netnsctl up probe@a
        stop_in "$1" "$side" "$1"
        killed "$moment"
        netnsctl "$next" probe@a
        if [[ $next == up ]]; then
          is_up
          netnsctl down probe@a
        fi
        nothing_left
      done
    done
  done
}

@test "after a kill at any step of up, the next up and the next down recover" {
  recovers_after_kill up
}

@test "after a kill at any step of down, the next up and the next down recover" {
  recovers_after_kill down
}

@test "check reports an instance that a killed command has left, but not one that comes up, and down takes it down" {
  stoppable
  stop_in up inside up
  run netnsctl check probe
  [[ $output != *'partially up'* ]]
  killed during
  run -1 netnsctl check probe
  [[ $output == *'probe@a: the instance is only partially up'* ]]
  run -0 netnsctl down probe@a
  [[ $output == *'probe@a is down'* && $output != *'already down'* ]]
  nothing_left
}

@test "after a kill during a restart, the next up recovers" {
  for phase in up down; do
    stoppable
    netnsctl up probe@a
    stop_in "$phase" inside restart
    killed during
    netnsctl up probe@a
    is_up
    netnsctl down probe@a
    nothing_left
  done
}

@test "a hook does not outlive its command, and the next command removes what the hook created" {
  stoppable
  stop_in up outside up
  ip link show dev pr-a
  killed during
  netnsctl down probe@a
  nothing_left
}

@test "processes left by a killed command have ended before the next command starts, also unrecorded ones" {
  for next in up down; do
    stoppable
    # The hook is slow to undo its steps, and its child ignores signals.
    # shellcheck disable=SC2016 # for the hook to expand
    plugin probe '
configure_probe_up_outside() {
  remember NSNAME
  on_failure ip link delete dev "pr-$1"
  on_failure sleep 0.5
  [[ -e /run/go ]] || (: >/run/stopped; trap "" TERM; sleep 1)
  ip link add "pr-$1" type veth peer name pr1 netns "$1"
}
configure_probe_down_outside() { [[ $(ip -oneline link show type veth) != *": pr-$1@"* ]] || ip link delete dev "pr-$1"; }'
    netnsctl up probe@a >/dev/null 2>&1 3>&- &
    COMMAND=$!
    eventually test -e /run/stopped
    kill -KILL "$COMMAND"
    wait "$COMMAND" || true
    rm /run/stopped
    : >/run/go
    # As if the command had been killed before it recorded the process.
    jq 'del(.instances[].hook)' /run/systemd-netns/direct/a.json >"$BATS_TEST_TMPDIR/a.json"
    cat "$BATS_TEST_TMPDIR/a.json" >/run/systemd-netns/direct/a.json
    netnsctl "$next" probe@a
    sleep 0.6
    if [[ $next == up ]]; then
      ip link show dev pr-a
      [[ -e /run/systemd-netns/remembered/probe@a ]]
      netnsctl down probe@a
    fi
    nothing_left
  done
}

@test "an interrupt ends the hook, undoes its steps, and skips the other instances" {
  for signal in INT TERM HUP; do
    stoppable
    plugin later
    : >/run/stop.up.inside
    netnsctl up probe@a later@a 2>"$BATS_TEST_TMPDIR/said" 3>&- &
    COMMAND=$!
    eventually test -s /run/stopped
    kill -"$signal" "$COMMAND"
    run -1 wait_for "$COMMAND"
    rm /run/stopped
    grep 'up inside was interrupted' "$BATS_TEST_TMPDIR/said"
    grep 'rollback: ran .down outside.; namespace .a. is removed' "$BATS_TEST_TMPDIR/said"
    grep '`later@a` was not started' "$BATS_TEST_TMPDIR/said"
    netnsctl down probe@a
    nothing_left
  done
}

# The shell that started it must wait for it.
wait_for() {
  while [[ -e /proc/$1/exe ]]; do sleep 0.01; done
  return 1
}

@test "an interrupt that the hook survives lets it finish, and starts no further hook" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin deaf 'deaf() { [[ $NSNAME != "$INOUT" ]] || { trap "" TERM; : >/run/stopped; sleep 0.5; }; }
    configure_deaf_up_outside() { deaf; }
    configure_deaf_up_inside() { deaf; }'
  for name in outside inside; do
    netnsctl up "deaf@$name" 2>"$BATS_TEST_TMPDIR/said" 3>&- &
    COMMAND=$!
    eventually test -e /run/stopped
    kill -TERM "$COMMAND"
    status=0
    wait "$COMMAND" || status=$?
    rm /run/stopped
    if [[ $name == outside ]]; then
      ((status == 1))
      grep 'up inside was not started: interrupted' "$BATS_TEST_TMPDIR/said"
      grep 'rollback: ran .down outside.; namespace .outside. is removed' "$BATS_TEST_TMPDIR/said"
    else
      ((status == 0))
      [[ $(state deaf@inside) == up ]]
      netnsctl down deaf@inside
    fi
    [[ $(hooks) == "deaf@$name down "*outside ]]
    netnsctl down "deaf@$name"
    nothing_left
  done
}

@test "a command that ignores signals is killed, and its hook is undone within the timeout" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin deaf 'configure_deaf_up_outside() { on_failure touch /run/undone; bash -c "trap : TERM; while :; do sleep 1; done"; }'
  NETNS_HOOK_TIMEOUT=2 run -1 netnsctl up deaf@a
  rm /run/undone
  netnsctl down deaf@a
  nothing_left
}

# Usage: interrupt_often NAME
# Interrupts an up 40 times at any moment. Succeeds if each one leaves nothing or all of the instance.
interrupt_often() {
  local command try
  for ((try = 0; try < 40; try++)); do
    netnsctl up "veth@$1" >/dev/null 2>&1 3>&- &
    command=$!
    sleep "0.0$((RANDOM % 50 + 10))"
    kill -TERM "$command" 2>/dev/null || true
    if wait "$command"; then
      [[ $(ip -netns "$1" -oneline address show dev "ve-${1}1" up) == *192.0.* ]]
      netnsctl down "veth@$1"
    fi
    [[ $(ip -oneline link show type veth) != *" ve-${1}0@"* ]]
    [[ ! -e /run/systemd-netns/remembered/veth@$1 ]]
  done
}

@test "hundreds of interrupts on a busy machine leave an instance complete or removed" {
  names=({a..h})
  for at in "${!names[@]}"; do
    config "veth-${names[at]}.conf" <<<"VETH_IFADDR_OUTSIDE=192.0.$at.1/30 VETH_IFADDR_INSIDE=192.0.$at.2/30"
  done
  # The namespaces stay, so they remove nothing.
  netnsctl up "${names[@]/#/lo@}"
  commands=()
  for name in "${names[@]}"; do
    interrupt_often "$name" 3>&- &
    commands+=("$!")
  done
  for command in "${commands[@]}"; do wait "$command"; done
  netnsctl down "${names[@]}"
  nothing_left
}

@test "two commands on a namespace wait for each other, and a long wait is reported" {
  stoppable
  stop_in up inside up
  netnsctl down probe@a 2>"$BATS_TEST_TMPDIR/said" 3>&- &
  second=$!
  eventually grep "namespace .a. is locked by process $COMMAND; waiting" "$BATS_TEST_TMPDIR/said"
  : >/run/go
  wait "$COMMAND" "$second"
  rm /run/stopped
  nothing_left
}

@test "200 instances at once, with other namespaces added and deleted, leave nothing behind" {
  netnsctl types lo
  mapfile -t instances < <(printf 'lo@many-%d\n' {1..200})
  ip netns add theirs
  while [[ ! -e $BATS_TEST_TMPDIR/end ]]; do
    ip netns add other && ip netns delete other || exit
  done 3>&- &
  others=$!
  for round in 1 2; do
    netnsctl up "${instances[@]}" >/dev/null
    [[ $(netnsctl list --json | jq '[.items[] | select(.state == "up")] | length') == 200 ]]
    [[ $(ip netns list | grep -c '^many-') == 200 ]]
    inside=$(ip netns exec "many-$round" ip -brief address show dev lo)
    [[ $inside == *127.0.0.1* ]]
    netnsctl down "${instances[@]}" >/dev/null
  done
  # The loop ends by itself. A signal would leave an `ip netns add` that continues, and `ip netns list` reports the file of a
  # namespace that is not mounted yet: "Peer netns reference is invalid".
  touch "$BATS_TEST_TMPDIR/end"
  wait "$others"
  [[ $(ip netns list) == theirs ]]
  ip netns delete theirs
  nothing_left
}

@test "all namespaces exist before the first hook, so a hook can put an interface into another" {
  pair client VETH_NSNAME_OUTSIDE=server
  netnsctl up veth@client lo@server
  ip netns exec client ping -q -c1 -w5 192.0.2.1
  netnsctl down veth@client lo@server
  nothing_left
}

@test "an unusable state file is reported and kept, and the state is read from the kernel" {
  plugin probe
  for text in '{' '' '{"version": 2, "future": true}'; do
    netnsctl up probe@a
    echo "$text" >/run/systemd-netns/direct/a.json
    run --separate-stderr -0 netnsctl list
    # shellcheck disable=SC2154 # set by run
    [[ $stderr == *'cannot use /run/systemd-netns/direct/a.json'* ]]
    run --separate-stderr -1 netnsctl up probe@a
    [[ $stderr == *'the file is renamed to /run/systemd-netns/direct/a.json.'*'namespace `a`'*'--adopt'* ]]
    [[ $(cat /run/systemd-netns/direct/a.json.*) == "$text" ]]
    netnsctl up --adopt probe@a
    netnsctl down probe@a
    exists a
    ip netns delete a
    rm /run/systemd-netns/direct/a.json.*
  done
}

@test "a creation interrupted at any point is completed by the next command" {
  plugin probe
  mkdir -p /run/systemd-netns/direct
  # First: recorded, but the file is missing. Second: recorded, and the file has no mount.
  for file in '' /run/netns/a; do
    echo '{"version": 1, "namespace": {"device": 4, "inode": 1}, "adopted": false, "instances": []}' >/run/systemd-netns/direct/a.json
    [[ -z $file ]] || touch "$file"
    netnsctl up probe@a
    ip netns exec a true
    netnsctl down probe@a
    nothing_left
  done
}

@test "an adopted namespace is not deleted" {
  plugin probe
  ip netns add a
  netnsctl up --adopt probe@a
  [[ $(hooks) == 'probe@a up outside,probe@a up inside' ]]
  netnsctl down probe@a
  exists a
}

@test "a namespace re-created by another program is not changed" {
  plugin probe
  netnsctl up probe@a
  ip netns delete a
  ip netns add a
  hooks
  run --separate-stderr -0 netnsctl down probe@a
  [[ $stderr == *'was deleted and re-created by another program'* ]]
  [[ $(hooks) == 'probe@a down outside' ]]
  exists a
  [[ ! -e /run/systemd-netns/direct/a.json ]]
}

@test "a foreign namespace with the same inode is recognized: up, down and gc do not change it" {
  for command in 'up nft@a' 'down a' gc; do
    replace_same_inode a netnsctl up nft@a
    # shellcheck disable=SC2086 # words
    run --separate-stderr netnsctl $command
    [[ $stderr == *'was deleted and re-created by another program; the new one is not changed'* ]]
    untouched a
    [[ ! -e /run/systemd-netns/direct/a.json ]]
    ip netns delete a
  done
}

@test "a state file of an older version, without a cookie, is compared by the other fields" {
  netnsctl up lo@a
  jq 'del(.namespace.cookie)' /run/systemd-netns/direct/a.json >/run/without
  [[ $(jq .namespace.cookie /run/systemd-netns/direct/a.json) != null ]]
  cp /run/without /run/systemd-netns/direct/a.json
  netnsctl down a
  rm /run/without
  nothing_left
}

@test "up restores all instances of a manually deleted namespace" {
  stoppable
  netnsctl up probe@a
  ip netns delete a
  run --separate-stderr -0 netnsctl up probe@a
  [[ $stderr == *'was deleted manually'* ]]
  is_up
}

@test "a hook can leave a process behind, and print any amount of output" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin probe 'configure_probe_up_outside() { sleep 300 & echo "$!" >/run/left; head -c 10000000 /dev/zero | tr "\0" x; }'
  netnsctl up probe@a
  kill "$(</run/left)"
  netnsctl down probe@a
  nothing_left
}

@test "hooks run as under systemd: root as directory, no input, a known PATH, umask 022" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin probe 'configure_probe_up_outside() { echo "$PWD $(umask) $(readlink /proc/self/fd/0) ${SECRET-none} ${HOME-none}" >>'"$LOG"'; }'
  (
    cd /usr
    umask 077
    SECRET=x netnsctl up probe@a
  )
  [[ $(hooks) == '/ 0022 /dev/null none none,'* ]]
}

@test "CAP_NET_ADMIN and CAP_SYS_ADMIN are sufficient, as in a container" {
  pair a
  contained() { setpriv --bounding-set=-all,+net_admin,+sys_admin --inh-caps=-all,+net_admin,+sys_admin "$@"; }
  contained netnsctl up veth@a nft@a
  contained netnsctl restart a
  contained netnsctl down a
  nothing_left
}

@test "a missing capability is named" {
  plugin probe
  run --separate-stderr -1 setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin netnsctl up probe@a
  [[ $stderr == *'CAP_SYS_ADMIN'* ]]
  nothing_left
}

@test "up in a private mount namespace is refused, because other programs would not see the namespace" {
  config lo-a.conf </dev/null
  for propagation in private slave; do
    run --separate-stderr -1 unshare --mount --propagation "$propagation" netnsctl up lo@a
    # shellcheck disable=SC2154 # set by run
    [[ $stderr == *'cannot create namespace `a`: this process has its own mount namespace'*'run this outside of'* ]]
    gone a
    nothing_left
  done
  # Shared mounts are visible.
  netnsctl up lo@b
  unshare --mount --propagation unchanged netnsctl up lo@a
  exists a
  netnsctl down a b
  nothing_left
}
