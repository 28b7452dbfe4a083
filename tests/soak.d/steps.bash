# shellcheck shell=bash disable=SC2004,SC2034,SC2153,SC2154 # keys of associative arrays; the files of this directory share variables
# What may happen with either engine. Each step chooses by random numbers, says in STEP what it does, does it, and has the model follow.

# netnsctl's words for what one does.
declare -A VERBS=([start]=up [stop]=down [restart]=restart)

# Usage: step_take
step_take() {
  pick "${STEPS[@]}"
  STEP=$PICKED
  "step_$PICKED"
}

# Usage: choose STATE [MOST]
# Some instances in that state, on namespaces that have their names, as CHOSEN; there may be none.
choose() { choose_those "$((RANDOM % ${2:-2} + 1))" is_in "$1"; }

# Usage: choose_those COUNT COMMAND...
# Up to COUNT instances, on namespaces that have their names, for which COMMAND with TYPE@NAME succeeds, as CHOSEN.
choose_those() {
  local -i try count=$1
  local name one
  CHOSEN=()
  for ((try = 0; try < 40 && ${#CHOSEN[@]} < count; try++)); do
    pick "${NAMES[@]}"
    name=$PICKED
    pick "${TYPES[@]}"
    one=$PICKED@$name
    if [[ ! -v UNNAMED[$name] && " ${CHOSEN[*]} " != *" $one "* ]] && "${@:2}" "$one"; then CHOSEN+=("$one"); fi
  done
}

# Usage: is_in STATE TYPE@NAME
is_in() { [[ ${STATE[$2]} == "$1" ]]; }

# Usage: choose_name
# A namespace that is there under its name, as NAME; empty where chance finds none.
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
  local one
  choose up
  manage stop "${CHOSEN[@]}" || return
  for one in "${CHOSEN[@]}"; do model_down "$one" down; done
}

# Where the interface is gone, the inside hook finds nothing to configure, and the instance fails.
step_restart() {
  local one
  local -A failed=()
  pick up up up down
  choose "$PICKED"
  manage restart "${CHOSEN[@]}" || return
  for one in "${CHOSEN[@]}"; do
    if [[ $FAILURE_ENDS_WORK && -v failed[${one#*@}] ]]; then continue; fi
    if [[ -v CUT[$one] ]]; then
      failed[${one#*@}]=y
      model_down "$one" failed
    elif [[ ${STATE[$one]} == up ]]; then
      model_inside "$one"
    else
      model_up "$one"
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

step_unname() {
  choose_name
  [[ $NAME ]] || return 0
  STEP+=" $NAME"
  ip netns delete "$NAME"
  UNNAMED[$NAME]=y
}

step_cut() {
  local one
  choose up
  for one in "${CHOSEN[@]}"; do
    [[ ! -v CUT[$one] ]] || continue
    case $one in
      veth@*) ip link delete "ve-${one#*@}0" ;;
      macvlan@*) ip -netns "${one#*@}" link delete macvlan0 ;;
      *) continue ;;
    esac
    STEP+=" $one"
    CUT[$one]=y
  done
}

step_flush() {
  choose_name
  [[ $NAME ]] || return 0
  STEP+=" $NAME"
  ip netns exec "$NAME" nft flush ruleset
  unset -v "RULES_NOW[$NAME]"
}

# Usage: step_broken COMMAND...
# Has a hook of a probe come to nothing; COMMAND is called with what it is told, the verb, and the instance.
step_broken() {
  local verb hook
  choose_name
  pick "${NAMES[@]}"
  local name=${NAME:-$PICKED}
  local one=probe@$name
  [[ ! -v UNNAMED[$name] ]] || return 0
  if [[ ${STATE[$one]} == up ]]; then
    pick stop-down-inside stop-down-outside restart-up-inside
  else
    pick start-up-outside start-up-inside
  fi
  verb=${PICKED%%-*} hook=${PICKED#*-}
  STEP+=" $hook of $one"
  "$@" "$TOLD/$hook-$name" "$verb" "$one" || return
  model_broken "$hook" "$one"
}

step_fail() { step_broken fail_hook; }

step_kill() { step_broken kill_hook; }

# Usage: wait_until COMMAND...
wait_until() {
  local -i try
  for ((try = 0; try < 1000; try++)); do
    ! "$@" || return 0
    sleep 0.01
  done
}

# What has failed is cleared.
step_clear() {
  local one
  choose failed
  (("${#CHOSEN[@]}")) || return 0
  STEP+=" ${CHOSEN[*]}"
  netnsctl down "${CHOSEN[@]}" &>/dev/null
  for one in "${CHOSEN[@]}"; do
    model_down "$one" down
    unset -v "OUTSIDE_FAILED[$one]"
  done
}

# netnsctl sees what is so.
step_listing() { diff <(listed) <(model_listed); }
