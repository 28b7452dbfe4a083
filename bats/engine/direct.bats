#!/usr/bin/env bats
# What the direct engine alone has to see to: nobody else would notice that it was killed, or what it has left.

load engine

setup() { [[ $ENGINE == direct ]]; }

# Usage: stoppable
# A type that makes interfaces, whose hooks wait at /run/stop.HOOK until /run/go is there.
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
# Begins `netnsctl VERB probe@a`, as COMMAND, and returns once it is in that hook.
stop_in() {
  : >"/run/stop.$1.$2"
  netnsctl "$3" probe@a >/dev/null 2>&1 3>&- &
  COMMAND=$!
  eventually test -s /run/stopped
  HOOK=$(</run/stopped)
}

# Usage: killed DURING|AFTER
# Kills the command while its hook runs, or when that has ended and nothing of it is noted.
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
# Whether all of probe@a is there.
is_up() {
  [[ $(state probe@a) == up && $(ip -netns a -oneline address show dev pr1) == *192.0.2.1/24* ]] &&
    ip link show dev pr-a >/dev/null
}

# Usage: put_right_after_killing up|down
# Kills that verb at each of its steps, and whether the next up, and the next down, put it right.
put_right_after_killing() {
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

@test "killed at any step of an up: the next up, and the next down, put it right" {
  put_right_after_killing up
}

@test "killed at any step of a down: the next up, and the next down, put it right" {
  put_right_after_killing down
}

@test "killed in a restart: the next up puts it right" {
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

@test "a hook does not outlive the command that runs it; what it has made goes with the next one" {
  stoppable
  stop_in up outside up
  ip link show dev pr-a
  killed during
  netnsctl down probe@a
  nothing_left
}

@test "what a killed command has left running has ended before the next one begins, also what was not noted of it" {
  for next in up down; do
    stoppable
    # The hook is slow to undo its steps, and what it has started does not listen.
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
    # As if it had been killed before it could note which process it is.
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

@test "interrupted: the hook is ended, what was done is undone, and the rest is not begun" {
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

# The shell that has started it has to wait for it.
wait_for() {
  while [[ -e /proc/$1/exe ]]; do sleep 0.01; done
  return 1
}

@test "interrupted, and the hook comes to its end all the same: it is done, and none is begun after it" {
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

@test "a command that will not end: within the time that is left, what can be undone is" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin deaf 'configure_deaf_up_outside() { on_failure touch /run/undone; bash -c "trap : TERM; while :; do sleep 1; done"; }'
  NETNS_HOOK_TIMEOUT=2 run -1 netnsctl up deaf@a
  rm /run/undone
  netnsctl down deaf@a
  nothing_left
}

# Usage: interrupt_often NAME
# Whether an up that is interrupted, 40 times at any moment, leaves nothing of the instance, or all of it.
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

@test "interrupted at any moment, hundreds of times, on a machine that is busy: all of it is there, or nothing" {
  names=({a..h})
  for at in "${!names[@]}"; do
    config "veth-${names[at]}.conf" <<<"VETH_IFADDR_OUTSIDE=192.0.$at.1/30 VETH_IFADDR_INSIDE=192.0.$at.2/30"
  done
  # The namespaces stay, so that nothing goes with them.
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

@test "two commands on a namespace: one waits for the other, and says so when it takes long" {
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

@test "200 instances at once, twice, while others add and delete namespaces: nothing is lost, and nothing left" {
  netnsctl types lo
  mapfile -t instances < <(printf 'lo@many-%d\n' {1..200})
  ip netns add theirs
  while :; do
    ip netns add other && ip netns delete other || break
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
  kill -0 "$others"
  kill "$others"
  wait "$others" || true
  ip netns delete other 2>/dev/null || true
  [[ $(ip netns list) == theirs ]]
  ip netns delete theirs
  nothing_left
}

@test "namespaces come before any hook: one may put an interface into another" {
  pair client VETH_NSNAME_OUTSIDE=server
  netnsctl up veth@client lo@server
  ip netns exec client ping -q -c1 -w5 192.0.2.1
  netnsctl down veth@client lo@server
  nothing_left
}

@test "a state that cannot be used is told and kept, and the kernel is gone by" {
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

@test "a creation that was broken off at any point is made good" {
  plugin probe
  mkdir -p /run/systemd-netns/direct
  # Noted, but nothing there yet; noted, and a file that nothing is bound on.
  for file in '' /run/netns/a; do
    echo '{"version": 1, "namespace": {"device": 4, "inode": 1}, "adopted": false, "instances": []}' >/run/systemd-netns/direct/a.json
    [[ -z $file ]] || touch "$file"
    netnsctl up probe@a
    ip netns exec a true
    netnsctl down probe@a
    nothing_left
  done
}

@test "a namespace that was taken over is left where it is" {
  plugin probe
  ip netns add a
  netnsctl up --adopt probe@a
  [[ $(hooks) == 'probe@a up outside,probe@a up inside' ]]
  netnsctl down probe@a
  exists a
}

@test "a namespace that was deleted, and made again by somebody else, is left alone" {
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

@test "one that got the inode of ours is told apart: up and down leave it alone, and so does gc" {
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

@test "a state of an earlier version, without the cookie, is compared by the rest" {
  netnsctl up lo@a
  jq 'del(.namespace.cookie)' /run/systemd-netns/direct/a.json >/run/without
  [[ $(jq .namespace.cookie /run/systemd-netns/direct/a.json) != null ]]
  cp /run/without /run/systemd-netns/direct/a.json
  netnsctl down a
  rm /run/without
  nothing_left
}

@test "what is up is not lost when its namespace is deleted by hand: up brings all of it back" {
  stoppable
  netnsctl up probe@a
  ip netns delete a
  run --separate-stderr -0 netnsctl up probe@a
  [[ $stderr == *'was deleted manually'* ]]
  is_up
}

@test "a hook may leave a process behind, and print as much as it likes" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin probe 'configure_probe_up_outside() { sleep 300 & echo "$!" >/run/left; head -c 10000000 /dev/zero | tr "\0" x; }'
  netnsctl up probe@a
  kill "$(</run/left)"
  netnsctl down probe@a
  nothing_left
}

@test "hooks find what they find under systemd: root as directory, no input, a known PATH, umask 022" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin probe 'configure_probe_up_outside() { echo "$PWD $(umask) $(readlink /proc/self/fd/0) ${SECRET-none} ${HOME-none}" >>'"$LOG"'; }'
  (
    cd /usr
    umask 077
    SECRET=x netnsctl up probe@a
  )
  [[ $(hooks) == '/ 0022 /dev/null none none,'* ]]
}

@test "as in a container, CAP_NET_ADMIN and CAP_SYS_ADMIN are enough" {
  pair a
  contained() { setpriv --bounding-set=-all,+net_admin,+sys_admin --inh-caps=-all,+net_admin,+sys_admin "$@"; }
  contained netnsctl up veth@a nft@a
  contained netnsctl restart a
  contained netnsctl down a
  nothing_left
}

@test "without the privilege to, it is told which is missing" {
  plugin probe
  run --separate-stderr -1 setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin netnsctl up probe@a
  [[ $stderr == *'CAP_SYS_ADMIN'* ]]
  nothing_left
}
