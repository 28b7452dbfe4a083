#!/usr/bin/env bats
# Daemons that hooks start, with both engines.

load engine

setup() { served sleep 999; }

# Usage: served COMMAND...
# A type whose inside hook starts the COMMAND as a daemon, and waits if /run/hang exists.
served() { plugin served "configure_served_up_inside() { daemon_start one $*; [[ ! -e /run/hang ]] || sleep 60; }"; }

# Usage: pid_of
# Prints the process ID of the daemon.
# shellcheck disable=SC2016 # for the machine to expand
pid_of() { on bash -c 'pgrep --parent "$(pgrep --full "^netnsinit --supervise / served@a one")"'; }

# Usage: ended PID
ended() { on test ! -e "/proc/$1"; }

# Usage: started_again PID
# Succeeds if the daemon has another process ID than PID.
started_again() {
  local now
  now=$(pid_of)
  [[ $now && $now != "$1" ]]
}

# Usage: no_daemon
no_daemon() { ! on pgrep --full '^netnsinit --supervis[e]|^sleep 99[9]$' >/dev/null; }

# Usage: forget_failures
# Units that have failed stay loaded.
forget_failures() { [[ $ENGINE == direct ]] || on systemctl reset-failed 'netns*'; }

@test "up starts the daemon in the control group of the instance, and down leaves nothing" {
  before=$(machine)
  on netnsctl up served@a
  pid=$(pid_of)
  [[ $(on readlink "/proc/$pid/ns/net") == "$(on ip netns exec a readlink /proc/self/ns/net)" ]]
  if [[ $ENGINE == systemd ]]; then on grep --quiet '/netns-served@a.service$' "/proc/$pid/cgroup"; fi
  on netnsctl check served@a
  on netnsctl down served@a
  ended "$pid"
  no_daemon
  nothing_left
  undone "$before"
}

@test "the output is in the journal, with the name of the daemon, or in the log" {
  served bash -c '"echo spoken; exec sleep 999"'
  on netnsctl up served@a
  if [[ $ENGINE == systemd ]]; then
    on journalctl --sync
    on journalctl --output cat --unit netns-served@a --identifier one | grep --line-regexp spoken
  else
    grep --line-regexp spoken /run/systemd-netns/direct/served@a.log
  fi
  on netnsctl down served@a
}

@test "after a restart the daemon runs, with the present arguments" {
  on netnsctl up served@a
  pid=$(pid_of)
  on netnsctl restart served@a
  if [[ $ENGINE == direct ]]; then [[ $(pid_of) == "$pid" ]]; else [[ $(pid_of) != "$pid" ]]; fi
  pid=$(pid_of)
  served sleep 9999
  on netnsctl restart served@a
  ended "$pid"
  [[ $(on cat "/proc/$(pid_of)/cmdline" | tr '\0' ' ') == 'sleep 9999 ' ]]
  on netnsctl check served@a
  on netnsctl down served@a
  nothing_left
}

@test "a killed daemon is started again, and check has a note until a restart" {
  on netnsctl up served@a
  pid=$(pid_of)
  on kill -KILL "$pid"
  eventually started_again "$pid"
  run -0 on netnsctl check served@a
  [[ $output == *"note: served@a: daemon 'one' has ended (signal: 9 (SIGKILL)), and runs again; restarts: 1; \`netnsctl restart served@a\`"* ]]
  on netnsctl restart served@a
  run -0 on netnsctl check served@a
  [[ $output != *daemon* ]]
  pid=$(pid_of)
  on kill -KILL "$pid"
  eventually started_again "$pid"
  run -0 on netnsctl check served@a
  [[ $output == *"restarts: 1;"* ]]
  on netnsctl down served@a
  nothing_left
}

@test "check reports a daemon that ends again and again, and does not run" {
  served bash -c '"[[ ! -e /run/broken ]] || exit 1; exec sleep 999"'
  on netnsctl up served@a
  on touch /run/broken
  on kill -KILL "$(pid_of)"
  # shellcheck disable=SC2317 # called by eventually
  is_reported() {
    run on netnsctl check served@a
    [[ $status == 1 && $output == *"error: served@a: daemon 'one' has ended (exit status: 1), and is started again soon; restarts: "* ]]
  }
  eventually is_reported
  on rm /run/broken
  on netnsctl restart served@a
  run -0 on netnsctl check served@a
  [[ $output != *daemon* ]]
  on netnsctl down served@a
  nothing_left
}

@test "check reports a killed supervisor, whose daemon ends, and a restart repairs it" {
  on netnsctl up served@a
  pid=$(pid_of)
  on pkill -KILL --full '^netnsinit --supervise / served@a one'
  eventually ended "$pid"
  run -1 on netnsctl check served@a
  # shellcheck disable=SC2016 # backquotes of the message
  [[ $output == *"daemon 'one' is not running"*'`netnsctl restart served@a`'* ]]
  on netnsctl restart served@a
  on netnsctl check served@a
  on netnsctl down served@a
  nothing_left
}

@test "a daemon that ends at once fails up, with its output, and leaves nothing" {
  served bash -c '"echo no such key >&2; exit 1"'
  run -1 on netnsctl up served@a
  [[ $output == *'no such key'*"cannot start daemon 'one': it has ended at once (exit status: 1)"* ]]
  no_daemon
  forget_failures
  on netnsctl down served@a # removes the log of the direct engine
  nothing_left
}

@test "a hook that is killed after it has started the daemon leaves nothing" {
  on touch /run/hang
  on netnsctl up served@a >/dev/null 2>&1 3>&- &
  eventually pid_of
  on pkill -KILL --full '^/bin/bash /proc/self/fd/[0-9]+ served a up inside'
  run ! wait "$!"
  on rm /run/hang
  eventually no_daemon
  forget_failures
  on netnsctl down served@a
  nothing_left
}

@test "an outside hook's daemon survives a restart" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin served 'configure_served_up_outside() { daemon_start one sleep 999; }'
  on netnsctl up served@a
  pid=$(pid_of)
  on netnsctl restart served@a
  [[ $(pid_of) == "$pid" ]]
  on netnsctl down served@a
  ended "$pid"
  nothing_left
}
