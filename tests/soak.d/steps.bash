# shellcheck shell=bash disable=SC2004,SC2034,SC2153,SC2154 # keys of associative arrays; the files of this directory share variables
# The steps for both engines. Each step chooses by random numbers, describes itself in STEP, changes the machine, and updates the model.

# The verbs of netnsctl.
declare -A VERBS=([start]=up [stop]=down [restart]=restart)

# Usage: step_take
# Takes a random step.
step_take() {
  pick "${STEPS[@]}"
  STEP=$PICKED
  "step_$PICKED"
}

# Usage: choose STATE [MAXIMUM]
# Sets CHOSEN to random instances in a state, at most MAXIMUM, possibly none. Namespaces without a name are not used.
choose() { choose_matching "$((RANDOM % ${2:-2} + 1))" has_state "$1"; }

# Usage: choose_matching COUNT COMMAND...
# Sets CHOSEN to at most COUNT random instances for which COMMAND TYPE@NAME succeeds. Namespaces without a name are not used.
choose_matching() {
  local -i try count=$1
  local name instance
  CHOSEN=()
  for ((try = 0; try < 40 && ${#CHOSEN[@]} < count; try++)); do
    pick "${NAMES[@]}"
    name=$PICKED
    pick "${TYPES[@]}"
    instance=$PICKED@$name
    if [[ ! -v UNNAMED[$name] && " ${CHOSEN[*]} " != *" $instance "* ]] && "${@:2}" "$instance"; then CHOSEN+=("$instance"); fi
  done
}

# Usage: has_state STATE TYPE@NAME
has_state() { [[ ${STATE[$2]} == "$1" ]]; }

# Usage: choose_name
# Sets NAME to a random namespace that exists and has its name, or to an empty string if 20 attempts find none.
choose_name() {
  local -i try
  for ((try = 0; try < 20; try++)); do
    pick "${NAMES[@]}"
    NAME=$PICKED
    if model_exists "$NAME" && [[ ! -v UNNAMED[$NAME] ]]; then return; fi
  done
  NAME=''
}

step_start() {
  pick down down failed up
  choose "$PICKED" 6
  manage start "${CHOSEN[@]}" || return
  model_up "${CHOSEN[@]}"
}

step_stop() {
  local instance
  choose up
  manage stop "${CHOSEN[@]}" || return
  for instance in "${CHOSEN[@]}"; do model_down "$instance" down; done
}

# If the interface was deleted, the inside hook creates it again. Without the privilege to enter the host, the instance fails.
step_restart() {
  local instance
  local -A failed=()
  pick up up up down
  choose "$PICKED"
  manage restart "${CHOSEN[@]}" || return
  for instance in "${CHOSEN[@]}"; do
    if [[ $FAILURE_ENDS_NAMESPACE && -v failed[${instance#*@}] ]]; then continue; fi
    if [[ -v LINK_DELETED[$instance] && ! $ENTERS_HOST ]]; then
      failed[${instance#*@}]=y
      model_down "$instance" failed
    elif [[ ${STATE[$instance]} == up ]]; then
      unset -v "LINK_DELETED[$instance]"
      model_inside "$instance"
    else
      model_up "$instance"
    fi
  done
}

step_edit_veth() {
  pick "${NAMES[@]}"
  STEP+=" $PICKED"
  VETH[$PICKED]=$(((VETH[$PICKED] + 1) % 200))
  machine_configure "$PICKED"
}

step_edit_rules() {
  pick "${NAMES[@]}"
  STEP+=" $PICKED"
  RULES[$PICKED]=$((RULES[$PICKED] + 1))
  machine_configure "$PICKED"
}

# Deletes the name of a namespace manually.
step_delete_name() {
  choose_name
  [[ $NAME ]] || return 0
  STEP+=" $NAME"
  ip netns delete "$NAME"
  UNNAMED[$NAME]=y
}

# Deletes interfaces manually.
step_delete_link() {
  local instance
  choose up
  for instance in "${CHOSEN[@]}"; do
    [[ ! -v LINK_DELETED[$instance] ]] || continue
    case $instance in
      veth@*) ip link delete "ve-${instance#*@}0" ;;
      macvlan@*) ip -netns "${instance#*@}" link delete macvlan0 ;;
      *) continue ;;
    esac
    STEP+=" $instance"
    LINK_DELETED[$instance]=y
  done
}

# Deletes the rules of a namespace manually.
step_flush() {
  choose_name
  [[ $NAME ]] || return 0
  STEP+=" $NAME"
  ip netns exec "$NAME" nft flush ruleset
  unset -v "RULES_NOW[$NAME]"
}

# Usage: break_hook COMMAND...
# Lets a hook of a probe fail. Calls COMMAND with the command file of the hook, the verb, and the instance.
break_hook() {
  local verb hook
  choose_name
  pick "${NAMES[@]}"
  local name=${NAME:-$PICKED}
  local instance=probe@$name
  [[ ! -v UNNAMED[$name] ]] || return 0
  if [[ ${STATE[$instance]} == up ]]; then
    pick stop-down-inside stop-down-outside restart-up-inside
  else
    pick start-up-outside start-up-inside
  fi
  verb=${PICKED%%-*} hook=${PICKED#*-}
  STEP+=" $hook of $instance"
  "$@" "$PROBE/$hook-$name" "$verb" "$instance" || return
  model_hook_failed "$hook" "$instance"
}

step_fail() { break_hook fail_hook; }

step_kill() { break_hook kill_hook; }

# Usage: wait_until COMMAND...
# Waits until COMMAND succeeds, at most some seconds.
wait_until() {
  local -i try
  for ((try = 0; try < 1000; try++)); do
    ! "$@" || return 0
    sleep 0.01
  done
}

# Clears failed instances with `down`.
step_clear() {
  local instance
  choose failed
  (("${#CHOSEN[@]}")) || return 0
  STEP+=" ${CHOSEN[*]}"
  netnsctl down "${CHOSEN[@]}" &>/dev/null
  for instance in "${CHOSEN[@]}"; do
    model_down "$instance" down
    unset -v "OUTSIDE_FAILED[$instance]"
  done
}

# Compares `netnsctl list` with the model.
step_listing() { diff <(listed) <(model_listed); }
