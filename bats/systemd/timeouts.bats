#!/usr/bin/env bats
# Hooks that hang: start and stop have finite timeouts, which an administrator can override.

load systemd

# Usage: dropin UNIT <<<TEXT
dropin() {
  lab mkdir -p "/etc/systemd/system/$1.service.d"
  lab tee "/etc/systemd/system/$1.service.d/test.conf" >/dev/null
  lab systemctl daemon-reload
}

# Usage: timeout_of UNIT
timeout_of() { lab systemctl show --value --property=TimeoutStartUSec --property=TimeoutStopUSec "$1" | paste -sd' '; }

@test "start and stop have finite timeouts" {
  [[ $(timeout_of netns-lo@x) == '1min 30s 30s' ]]
  [[ $(timeout_of netns_outside-lo@x) == '1min 30s 1min 30s' ]]
  [[ $(timeout_of netns_name@x) == '30s 30s' ]]
}

@test "drop-ins of a type and of an instance override them" {
  dropin netns-lo@ <<<$'[Service]\nTimeoutStartSec=5s'
  dropin netns_outside-lo@x <<<$'[Service]\nTimeoutStopSec=7s'
  lab netns-update >/dev/null
  [[ $(timeout_of netns-lo@x) == '5s 30s' ]]
  [[ $(timeout_of netns_outside-lo@x) == '1min 30s 7s' ]]
}

@test "a hanging up inside is ended, down outside runs, and the namespace is removed" {
  plugin t "configure_t_up_inside() { sleep infinity; }"
  dropin netns-t@ <<<$'[Service]\nTimeoutStartSec=1s'
  run ! lab systemctl start netns-t@n
  eventually gone n
  [[ $(lab systemctl show --value --property=Result netns-t@n) == timeout ]]
  [[ $(hooks) == 't@n up outside,t@n down outside' ]]
  run -1 lab pgrep --exact sleep
}

@test "a hanging up outside is ended, its on_failure commands run, and the namespace is removed" {
  plugin t "configure_t_up_outside() { on_failure ip link delete hang0; ip link add hang0 type veth peer name hang1; sleep infinity; }"
  dropin netns_outside-t@ <<<$'[Service]\nTimeoutStartSec=1s'
  cannot_start t n
}

@test "a hanging down inside is ended, down outside runs, and the namespace is removed" {
  plugin t "configure_t_down_inside() { sleep infinity; }"
  dropin netns-t@ <<<$'[Service]\nTimeoutStopSec=1s'
  lab systemctl start netns-t@n
  lab systemctl stop netns-t@n
  eventually gone n
  [[ $(hooks) == 't@n up outside,t@n up inside,t@n down outside' ]]
}

@test "a hanging down outside is ended, and the namespace is removed" {
  plugin t "configure_t_down_outside() { sleep infinity; }"
  dropin netns_outside-t@ <<<$'[Service]\nTimeoutStopSec=1s'
  lab systemctl start netns-t@n
  lab systemctl stop netns-t@n
  eventually gone n
  lab systemctl start netns-t@n
}

# Usage: limit_resource descriptors|processes UNIT SIDE
# Writes a drop-in: hooks of UNIT get no more of these, and have a timeout of a second.
limit_resource() {
  local limited='strace -f -qq -o /dev/null -e trace=clone,clone3,fork,vfork -e inject=clone,clone3,fork,vfork:error=EAGAIN'
  [[ $1 == processes ]] || limited='prlimit --nofile=4'
  dropin "$2@" <<END
[Service]
TimeoutSec=1s
ExecStart=
ExecStart=$limited netnsinit "%j" "%i" up $3
ExecStop=
ExecStop=$limited netnsinit "%j" "%i" down $3
END
}

# Usage: remove_limit
remove_limit() {
  lab rm -rf /etc/systemd/system/netns{,_outside}-t@.service.d
  lab systemctl daemon-reload
}

@test "hooks without file descriptors or processes are reported and undone, and a stop removes everything" {
  plugin t 'for hook in up_outside up_inside down_inside down_outside; do source /dev/stdin <<<"configure_t_$hook() { /bin/true; }"; done'
  for what in descriptors processes; do
    for side in outside inside; do
      unit=netns_outside-t
      [[ $side == outside ]] || unit=netns-t
      limit_resource "$what" "$unit" "$side"
      run ! lab systemctl start netns-t@n
      eventually gone n
      eventually is "$unit@n" failed
      [[ $(journal "$unit@n") == *@('Too many open files'|'Error 24'|'Resource temporarily unavailable')* ]] || {
        journal "$unit@n" >&2
        false
      }
      remove_limit
      lab systemctl reset-failed 'netns*'
      nothing_left n

      lab systemctl start netns-t@n
      limit_resource "$what" "$unit" "$side"
      lab systemctl stop netns-t@n
      eventually gone n
      eventually is "$unit@n" failed
      remove_limit
      lab systemctl reset-failed 'netns*'
      nothing_left n
    done
  done
}

@test "a stop during up inside ends the hook, runs down outside and removes the namespace" {
  plugin t "configure_t_up_inside() { echo begun >>$LOG; sleep infinity; }"
  lab systemctl start --no-block netns-t@n
  eventually lab grep -q begun "$LOG"
  lab systemctl stop netns-t@n
  eventually gone n
  [[ $(hooks) == 't@n up outside,begun,t@n down outside' ]]
}
