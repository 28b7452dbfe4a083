# shellcheck shell=bash disable=SC2004,SC2034,SC2153,SC2154 # keys of associative arrays; the files of this directory share variables
# The part of the soak that is specific to the engine systemd: steps by units, and the state of the units.

# The steps; a step in the list twice is taken twice as often.
STEPS=(
  {start,start,start,start,start,start,stop,stop,stop,restart,restart,restart}
  {edit_veth,edit_rules,delete_name,recover,recover,recover,delete_link,flush,update,fail,fail,fail,kill,kill,kill,clear,enable,disable,listing}
)

# The enabled instances.
ENABLED=()

# The units keep a namespace alive after its name was deleted.
LIVES_WITHOUT_NAME=y
# Each unit is a separate job of systemd, so a failure does not affect the other instances of the namespace.
FAILURE_ENDS_NAMESPACE=''

# Usage: manage start|stop|restart TYPE@NAME...
# Uses systemctl or netnsctl. Their exit statuses are not checked: `agrees` compares the result.
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

# On a namespace without its name, no instance can start, and all instances can be stopped.
step_recover() {
  local instance name
  for name in "${NAMES[@]}"; do
    [[ -v UNNAMED[$name] ]] || continue
    if ((RANDOM % 2)) && [[ ${STATE["lo@$name"]} != up ]]; then
      manage start "lo@$name"
      # The outside hook is refused. The inside hook does not start, so the state of its unit does not change.
      OUTSIDE_FAILED["lo@$name"]=y
      return
    fi
    model_up_on "$name"
    manage stop "${UP[@]}"
    for instance in "${UP[@]}"; do model_down "$instance" down; done
    return
  done
}

# netns-update also resets failed units.
step_update() {
  local instance
  pick '' --daemon-reload
  STEP+=" $PICKED"
  netns-update ${PICKED:+"$PICKED"} >/dev/null
  OUTSIDE_FAILED=()
  for instance in "${!STATE[@]}"; do
    [[ ${STATE[$instance]} != failed ]] || STATE[$instance]=down
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
  # Uses systemctl, because `netnsctl down` would clear the failed state.
  systemctl "$2" "netns-$3" &>/dev/null
  # The hook `down outside` runs after `systemctl stop` has returned.
  [[ $1 != */down-outside-* ]] || wait_until systemctl is-failed --quiet "netns_outside-$3"
  rm "$1"
}

# Usage: kill_hook FILE VERB TYPE@NAME
# Lets the hook hang, and kills it with SIGKILL.
kill_hook() {
  echo hang >"$1"
  systemctl --no-block "$2" "netns-$3"
  wait_until test -e "$1.pid"
  rm "$1"
  kill -KILL "$(<"$1.pid")"
  rm "$1.pid"
}

# Usage: model_hook_failed HOOK TYPE@NAME
# Updates the model after a hook has failed. The failure of an outside hook remains visible at the outside unit.
model_hook_failed() {
  local hook=$1 instance=$2
  case $hook in
    up-outside) OUTSIDE_FAILED[$instance]=y ;;
    up-inside)
      unset -v "OUTSIDE_FAILED[$instance]" # the outside unit was up
      model_down "$instance" failed
      ;;
    down-inside) model_down "$instance" failed ;;
    down-outside)
      model_down "$instance" down
      OUTSIDE_FAILED[$instance]=y
      ;;
  esac
}

# Usage: observed_states
# Prints each unit that is not inactive.
observed_states() {
  systemctl list-units --all --full --plain --no-legend --no-pager 'netns*@*.service' |
    while read -r unit _ active _; do
      [[ $active == inactive ]] || echo "unit ${unit%.service} $active"
    done
}

# Usage: expected_states NAME
# Prints the expected units of a namespace, as observed_states does.
expected_states() {
  local name=$1 type instance
  for type in "${TYPES[@]}"; do
    instance=$type@$name
    case ${STATE[$instance]} in
      up) printf 'unit netns-%s active\nunit netns_outside-%s active\n' "$instance" "$instance" ;;
      failed) echo "unit netns-$instance failed" ;;
    esac
    [[ ! -v OUTSIDE_FAILED[$instance] ]] || echo "unit netns_outside-$instance failed"
  done
  ! model_exists "$name" || echo "unit netns_name@$name active"
}

# Usage: engine_prepare
# Prepares the machine for this engine.
engine_prepare() { netns-update >/dev/null; }

# Usage: engine_log
# Prints the last messages of the journal.
engine_log() { journalctl --output=short-monotonic --lines=40 --no-pager; }

# Usage: engine_size
# Prints the memory and the descriptors of PID 1, and the mounts and interfaces of the machine.
engine_size() {
  local kilobytes descriptors=(/proc/1/fd/*) links=(/sys/class/net/*) mounts
  kilobytes=$(awk '/^VmRSS/ { print $2 }' /proc/1/status)
  mapfile -t mounts </proc/1/mountinfo
  echo "PID 1: $kilobytes kB, ${#descriptors[@]} descriptors; ${#mounts[@]} mounts, ${#links[@]} links"
}

# Usage: engine_has_not_grown EARLIER LAST FIRST
# Compares three outputs of engine_size, with all instances down. PID 1 may use little more memory than EARLIER, and few more descriptors
# than at first (of connections that are being closed). The mounts and links must be the same as at first.
engine_has_not_grown() {
  local -i more_memory=4096 more_descriptors=4
  local size_earlier size_last size_first
  read -ra size_earlier <<<"$1"
  read -ra size_last <<<"$2"
  read -ra size_first <<<"$3"
  ((size_last[2] <= size_earlier[2] + more_memory && size_last[4] <= size_first[4] + more_descriptors)) &&
    [[ ${size_last[*]:6} == "${size_first[*]:6}" ]]
}

# Usage: engine_leftovers
# Prints the units and unit files of instances.
engine_leftovers() {
  systemctl list-units --plain --no-legend --no-pager 'netns*'
  find /etc/systemd/system /run/systemd/system -name 'netns*' | sort
}

# Usage: engine_stop_all
# Stops and disables all instances.
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
