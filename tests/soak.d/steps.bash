# shellcheck shell=bash disable=SC2004,SC2034,SC2153,SC2154 # keys of associative arrays; the files of this directory share variables
# What may happen. Each step chooses by random numbers, says in STEP what it does, does it, and has the model follow.

ENABLED=()

# How often each is taken, of all.
STEPS=(
  {start,start,start,start,start,start,stop,stop,stop,restart,restart,restart}
  {edit_veth,edit_rules,unname,mend,mend,mend,cut,flush,update,fail,fail,fail,kill,kill,kill,clear,enable,disable,listing}
)

# Usage: step_take
step_take() {
  pick "${STEPS[@]}"
  STEP=$PICKED
  "step_$PICKED"
}

# Usage: choose STATE [MOST]
# Some instances in that state, on namespaces that have their names, as CHOSEN; there may be none.
choose() {
  local -i try count=RANDOM%${2:-2}+1
  CHOSEN=()
  for ((try = 0; try < 40 && ${#CHOSEN[@]} < count; try++)); do
    pick "${NAMES[@]}"
    local name=$PICKED
    pick "${TYPES[@]}"
    local one=$PICKED@$name
    [[ ${STATE[$one]} != "$1" || -v UNNAMED[$name] || " ${CHOSEN[*]} " == *" $one "* ]] || CHOSEN+=("$one")
  done
}

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
    local -A verbs=([start]=up [stop]=down [restart]=restart)
    netnsctl "${verbs[$verb]}" "$@" &>/dev/null
  fi
}

step_start() {
  pick down down failed up
  choose "$PICKED" 6
  manage start "${CHOSEN[@]}"
  model_up "${CHOSEN[@]}"
}

step_stop() {
  local one
  choose up
  manage stop "${CHOSEN[@]}"
  for one in "${CHOSEN[@]}"; do model_down "$one" down; done
}

# Where the interface is gone, the inside hook finds nothing to configure, and the instance fails.
step_restart() {
  local one
  pick up up up down
  choose "$PICKED"
  manage restart "${CHOSEN[@]}"
  for one in "${CHOSEN[@]}"; do
    if [[ -v CUT[$one] ]]; then
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

# A namespace without its name takes nothing new, and all that is up on it goes in order.
step_mend() {
  local one name
  for name in "${NAMES[@]}"; do
    [[ -v UNNAMED[$name] ]] || continue
    if ((RANDOM % 2)) && [[ ${STATE["lo@$name"]} != up ]]; then
      manage start "lo@$name"
      model_down "lo@$name" failed
      return
    fi
    model_up_on "$name"
    manage stop "${UP[@]}"
    for one in "${UP[@]}"; do model_down "$one" down; done
    return
  done
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
  "$@" "$TOLD/$hook-$name" "$verb" "$one"
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

step_fail() { step_broken fail_hook; }

step_kill() { step_broken kill_hook; }

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

# netnsctl sees what systemd says.
step_listing() {
  local one
  diff <(netnsctl list --json | jq --raw-output '.items[] | select(.state != "down") | "\(.instance) \(.state)"' | sort) <(
    for one in "${!STATE[@]}"; do
      if [[ ${STATE[$one]} == failed || -v OUTSIDE_FAILED[$one] ]]; then
        echo "$one failed"
      elif [[ ${STATE[$one]} == up ]]; then
        echo "$one up"
      fi
    done | sort
  )
}
