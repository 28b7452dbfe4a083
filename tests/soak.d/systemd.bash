# shellcheck shell=bash disable=SC2004,SC2034,SC2153,SC2154 # keys of associative arrays; the files of this directory share variables
# What is so with the engine systemd alone: what one does by units, and sees of them.

# How often each is taken, of all.
STEPS=(
  {start,start,start,start,start,start,stop,stop,stop,restart,restart,restart}
  {edit_veth,edit_rules,unname,mend,mend,mend,cut,flush,update,fail,fail,fail,kill,kill,kill,clear,enable,disable,listing}
)

# What was enabled.
ENABLED=()

# A namespace is there as long as its units are, whatever becomes of its name.
KEPT=y
# Each unit is a job of its own.
FAILURE_ENDS_WORK=''

# Usage: manage start|stop|restart TYPE@NAME...
# By systemctl or by netnsctl; whether they find it good is for `agrees` to see.
manage() {
  local verb=$1
  shift
  (($#)) || return 0
  pick systemctl systemctl netnsctl
  STEP+=", by $PICKED: $verb $*"
  if [[ $PICKED == systemctl ]]; then
    systemctl "$verb" "${@/#/netns-}" &>/dev/null
  else
    netnsctl "${VERBS[$verb]}" "$@" &>/dev/null
  fi
  return 0
}

# A namespace without its name takes nothing new, and all that is up on it goes in order.
step_mend() {
  local one name
  for name in "${NAMES[@]}"; do
    [[ -v UNNAMED[$name] ]] || continue
    if ((RANDOM % 2)) && [[ ${STATE["lo@$name"]} != up ]]; then
      manage start "lo@$name"
      # Its outside hook is refused; the inside one is not begun, so that unit stays what it was.
      OUTSIDE_FAILED["lo@$name"]=y
      return
    fi
    model_up_on "$name"
    manage stop "${UP[@]}"
    for one in "${UP[@]}"; do model_down "$one" down; done
    return
  done
}

# It also resets what has failed.
step_update() {
  local one
  pick '' --daemon-reload
  STEP+=" $PICKED"
  netns-update ${PICKED:+"$PICKED"} >/dev/null
  OUTSIDE_FAILED=()
  for one in "${!STATE[@]}"; do
    [[ ${STATE[$one]} != failed ]] || STATE[$one]=down
  done
}

step_enable() {
  choose down
  (("${#CHOSEN[@]}")) || return 0
  STEP+=" ${CHOSEN[*]}"
  ENABLED+=("${CHOSEN[@]}")
  systemctl enable --quiet "${CHOSEN[@]/#/netns-}"
}

step_disable() {
  (("${#ENABLED[@]}")) || return 0
  STEP+=" ${ENABLED[*]}"
  systemctl disable --quiet "${ENABLED[@]/#/netns-}"
  ENABLED=()
}

# Usage: fail_hook FILE VERB TYPE@NAME
fail_hook() {
  echo fail >"$1"
  # By systemctl: netnsctl would clear on `down` what had failed.
  systemctl "$2" "netns-$3" &>/dev/null
  # `down outside` runs after `systemctl stop` has returned.
  [[ $1 != */down-outside-* ]] || wait_until systemctl is-failed --quiet "netns_outside-$3"
  rm "$1"
}

# Usage: kill_hook FILE VERB TYPE@NAME
# The hook hangs until it is killed, by a signal that it cannot catch.
kill_hook() {
  echo hang >"$1"
  systemctl --no-block "$2" "netns-$3"
  wait_until test -e "$1.pid"
  rm "$1"
  kill -KILL "$(<"$1.pid")"
  rm "$1.pid"
}

# Usage: model_broken HOOK TYPE@NAME
# That hook has come to nothing. What has failed outside stays to be seen at the outside unit.
model_broken() {
  local hook=$1 one=$2
  case $hook in
    up-outside) OUTSIDE_FAILED[$one]=y ;;
    up-inside)
      unset -v "OUTSIDE_FAILED[$one]" # it was up meanwhile
      model_down "$one" failed
      ;;
    down-inside) model_down "$one" failed ;;
    down-outside)
      model_down "$one" down
      OUTSIDE_FAILED[$one]=y
      ;;
  esac
}

# Usage: observed_states
# Each unit that is not inactive.
observed_states() {
  systemctl list-units --all --full --plain --no-legend --no-pager 'netns*@*.service' |
    while read -r unit _ active _; do
      [[ $active == inactive ]] || echo "unit ${unit%.service} $active"
    done
}

# Usage: expected_states NAME
expected_states() {
  local name=$1 type one
  for type in "${TYPES[@]}"; do
    one=$type@$name
    case ${STATE[$one]} in
      up) printf 'unit netns-%s active\nunit netns_outside-%s active\n' "$one" "$one" ;;
      failed) echo "unit netns-$one failed" ;;
    esac
    [[ ! -v OUTSIDE_FAILED[$one] ]] || echo "unit netns_outside-$one failed"
  done
  ! model_exists "$name" || echo "unit netns_name@$name active"
}

# Usage: engine_prepare
engine_prepare() { netns-update >/dev/null; }

# Usage: engine_said
engine_said() { journalctl --output=short-monotonic --lines=40 --no-pager; }

# Usage: engine_size
# Of PID 1: its memory in kB and its descriptors; the mounts and interfaces of the machine.
engine_size() {
  local kilobytes descriptors=(/proc/1/fd/*) links=(/sys/class/net/*) mounts
  kilobytes=$(awk '/^VmRSS/ { print $2 }' /proc/1/status)
  mapfile -t mounts </proc/1/mountinfo
  echo "PID 1: $kilobytes kB, ${#descriptors[@]} descriptors; ${#mounts[@]} mounts, ${#links[@]} links"
}

# Usage: engine_has_not_grown EARLIER LAST FIRST
# With nothing up, PID 1 has no more memory than after a part of the time, and no more descriptors than at first, give or take
# (those of connections that are just being closed). Mounts and links are as they were.
engine_has_not_grown() {
  local -i more_memory=4096 more_descriptors=4
  local was is began
  read -ra was <<<"$1"
  read -ra is <<<"$2"
  read -ra began <<<"$3"
  ((is[2] <= was[2] + more_memory && is[4] <= began[4] + more_descriptors)) &&
    [[ ${is[*]:6} == "${began[*]:6}" ]]
}

# Usage: engine_world
# What could be left of units.
engine_world() {
  systemctl list-units --plain --no-legend --no-pager 'netns*'
  find /etc/systemd/system /run/systemd/system -name 'netns*' | sort
}

# Usage: engine_stop_all
engine_stop_all() {
  local -i try
  systemctl stop 'netns-*@*.service'
  systemctl disable --quiet "${ENABLED[@]/#/netns-}" 2>/dev/null
  for ((try = 0; try < 1000; try++)); do
    systemctl reset-failed 'netns*' 2>/dev/null
    [[ $(systemctl list-units --plain --no-legend --state=active,activating,deactivating 'netns*') ]] || break
    sleep 0.02
  done
}
