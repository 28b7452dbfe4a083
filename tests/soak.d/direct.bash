# shellcheck shell=bash disable=SC2004,SC2034,SC2153,SC2154 # keys of associative arrays; the files of this directory share variables
# The part of the soak that is specific to the engine direct: netnsctl does all work, and can be ended at any moment.

# The steps; a step in the list twice is taken twice as often.
STEPS=(
  {start,start,start,start,start,start,stop,stop,stop,stop,stop,stop,stop,stop,stop,restart,restart,restart}
  {edit_veth,edit_rules,delete_name,recover,recover,recover,delete_link,flush,fail,fail,kill,kill,clear,gc}
  {crash,crash,crash,crash,interrupt,interrupt,interrupt,parallel,parallel,parallel}
)

# Only its name keeps a namespace alive.
LIVES_WITHOUT_NAME=''
# netnsctl(8): "With the direct engine, the first failure also ends the work on the namespace."
FAILURE_ENDS_NAMESPACE=y

# The output of netnsctl; the number of signals sent to it, and the number of signals that arrived before it had finished.
OUTPUT=/run/soak.output
declare -i SIGNALS=0 INTERRUPTED=0

# Usage: ctl STATUS VERB ARGUMENT...
# Runs netnsctl, and fails if its exit status is not STATUS.
ctl() {
  local -i expected=$1 status=0
  shift
  STEP+=", netnsctl $*"
  echo "$step: netnsctl $*" >>"$OUTPUT"
  netnsctl "$@" &>>"$OUTPUT" || status=$?
  ((status == expected)) || {
    echo "netnsctl $*: status $status" >&2
    return 1
  }
}

# Usage: manage start|stop|restart TYPE@NAME...
# Runs netnsctl. A restart fails if an interface was deleted that the hook cannot create again.
manage() {
  local verb=$1 instance status=0
  shift
  (($#)) || return 0
  for instance; do
    [[ $verb != restart || ! -v LINK_DELETED[$instance] || $ENTERS_HOST ]] || status=1
  done
  ctl "$status" "${VERBS[$verb]}" "$@"
}

# Usage: fail_hook FILE VERB TYPE@NAME
fail_hook() {
  echo fail >"$1"
  ctl 1 "${VERBS[$2]}" "$3" || return
  rm "$1"
}

# Usage: kill_hook FILE VERB TYPE@NAME
# Lets the hook hang, and kills it with SIGKILL.
kill_hook() {
  local command
  echo hang >"$1"
  ctl 1 "${VERBS[$2]}" "$3" &
  command=$!
  wait_until test -e "$1.pid"
  rm "$1"
  kill -KILL "$(<"$1.pid")"
  rm "$1.pid"
  wait "$command"
}

# Usage: model_hook_failed HOOK TYPE@NAME
# Updates the model after a hook has failed: the instance is removed completely, and its log has the reason.
model_hook_failed() { model_down "$2" failed; }

# Usage: model_verb up|down|restart TYPE@NAME...
# Updates the model after a successful command.
model_verb() {
  local verb=$1 instance
  for instance in "${@:2}"; do
    case $verb-${STATE[$instance]} in
      down-*) model_down "$instance" down ;;
      restart-up) model_inside "$instance" ;;
      *) model_up "$instance" ;;
    esac
  done
}

# Usage: model_namespace_lost NAME
# Updates the model after a command has found that the name was deleted. The command takes down all instances on the namespace, and they
# count as failed.
model_namespace_lost() {
  local instance
  model_up_on "$1"
  for instance in "${UP[@]}"; do model_down "$instance" failed; done
}

# Runs a command on a namespace without its name. Each command succeeds; `up` and `restart` bring the instances up in a new namespace.
step_recover() {
  local name type file instance verb instances=()
  for name in "${NAMES[@]}"; do
    [[ -v UNNAMED[$name] ]] || continue
    pick up down restart
    verb=$PICKED
    pick "$name" "${TYPES[@]/%/@$name}"
    case $verb-$PICKED in
      *@*) instances=("$PICKED") ;;
      up-*)
        for file in "$CONF"/*-"$name".*; do
          type=${file##*/}
          instances+=("${type%%-*}@$name")
        done
        ;;
      *)
        for type in "${TYPES[@]}"; do
          instance=$type@$name
          [[ ${STATE[$instance]} == down ]] || instances+=("$instance")
        done
        ;;
    esac
    ctl 0 "$verb" "$PICKED" || return
    model_namespace_lost "$name"
    model_verb "$verb" "${instances[@]}"
    return
  done
}

# `gc` finds the namespaces without a name and nothing else, because the other commands leave nothing.
step_gc() {
  local output
  output=$(netnsctl gc 2>>"$OUTPUT") || return
  echo "$output" >>"$OUTPUT"
  [[ $(grep --count . <<<"$output") == "${#UNNAMED[@]}" ]] || return
  [[ $(grep --count '^removed: .*: the namespace was deleted manually' <<<"$output") == "${#UNNAMED[@]}" ]] || return
  model_gc
}

# Usage: model_gc
# Updates the model after `gc`: instances on namespaces without a name are down, and have no log.
model_gc() {
  local instance name
  for name in "${!UNNAMED[@]}"; do
    model_up_on "$name"
    for instance in "${UP[@]}"; do model_down "$instance" down; done
  done
}

# Usage: can_be_interrupted VERB TYPE@NAME
# Whether the verb has work to do for the instance. An instance that is up must have its configured settings in force.
can_be_interrupted() {
  case $1-${STATE[$2]} in
    up-up | down-down | down-failed | restart-down | restart-failed) return 1 ;;
    *-up) model_is_current "$2" ;;
  esac
}

# Usage: interrupt_command SIGNAL
# Runs netnsctl on random instances, and sends it a signal at a random time. Sets CHOSEN to the instances. Instances that are up have their
# configured settings in force. Otherwise the old or the new settings could be in force after the signal.
interrupt_command() {
  local signal=$1 verb delay command
  local -i status=0 count=RANDOM%4+1
  pick up up down restart
  verb=$PICKED
  choose_matching "$count" can_be_interrupted "$verb"
  ((${#CHOSEN[@]})) || return 0
  printf -v delay '0.%03d' "$((RANDOM % (20 + 10 * ${#CHOSEN[@]})))"
  STEP+=", SIG$signal after $delay seconds of netnsctl $verb ${CHOSEN[*]}"
  echo "$step: netnsctl $verb ${CHOSEN[*]}; SIG$signal after $delay seconds" >>"$OUTPUT"
  netnsctl "$verb" "${CHOSEN[@]}" &>>"$OUTPUT" &
  command=$!
  read -rt "$delay" <>"$PROBE/fifo"
  kill -s "$signal" "$command" 2>/dev/null
  { wait "$command" || status=$?; } 2>/dev/null # otherwise bash reports the signal
  SIGNALS+=1
  INTERRUPTED+=$((status != 0))
  echo "$step: status $status" >>"$OUTPUT"
  [[ $status == @(0|1|137|143) ]]
}

# Usage: model_is_current TYPE@NAME
# Whether an instance that is up is complete, and has its configured settings in force.
model_is_current() {
  local name=${1#*@}
  [[ ! -v LINK_DELETED[$1] ]] || return
  case $1 in
    veth@*) [[ ${VETH_OUTSIDE[$name]} == "${VETH[$name]}" && ${VETH_INSIDE[$name]} == "${VETH[$name]}" ]] ;;
    nft@*) [[ ${RULES_NOW[$name]-} == "${RULES[$name]}" ]] ;;
  esac
}

# Kills netnsctl. The next command repairs the state.
step_crash() {
  interrupt_command KILL || return
  ((${#CHOSEN[@]})) || return 0
  pick up down restart gc
  if [[ $PICKED == gc ]]; then
    wait_until no_lock_is_held # a child that was just started ends a moment later
    ctl 0 gc || return
    model_gc
    learn_states "${CHOSEN[@]}" || return
  else
    ctl 0 "$PICKED" "${CHOSEN[@]}" || return
    model_verb "$PICKED" "${CHOSEN[@]}"
  fi
  learn_inside "${CHOSEN[@]}"
}

# Usage: no_lock_is_held
no_lock_is_held() {
  local lock
  for lock in /run/systemd-netns/direct/*.lock; do
    [[ ! -e $lock ]] || flock --nonblock "$lock" true || return
  done
}

# Terminates netnsctl. It leaves a state that needs no repair.
step_interrupt() {
  interrupt_command TERM || return
  ((${#CHOSEN[@]})) || return 0
  learn_states "${CHOSEN[@]}" && learn_inside "${CHOSEN[@]}"
}

# Runs several commands at the same time, also on the same namespaces.
step_parallel() {
  local -i commands=RANDOM%4+2 status=0
  local -A verb_of=()
  local instance verb instances pid pids=()
  for (( ; commands > 0; commands--)); do
    pick up up down restart
    verb=$PICKED instances=()
    if [[ $verb == up ]]; then choose down 3; else choose up 3; fi
    for instance in "${CHOSEN[@]}"; do
      [[ ! -v verb_of[$instance] && ! -v LINK_DELETED[$instance] ]] || continue
      verb_of[$instance]=$verb
      instances+=("$instance")
    done
    ((${#instances[@]})) || continue
    STEP+=", netnsctl $verb ${instances[*]}"
    echo "$step: netnsctl $verb ${instances[*]} &" >>"$OUTPUT"
    netnsctl "$verb" "${instances[@]}" &>>"$OUTPUT" &
    pids+=("$!")
  done
  for pid in "${pids[@]}"; do wait "$pid" || status=1; done
  for instance in "${!verb_of[@]}"; do model_verb "${verb_of[$instance]}" "$instance"; done
  learn_inside "${!verb_of[@]}"
  return "$status"
}

# Usage: learn_states TYPE@NAME...
# Updates the model from the machine after an interrupted command, since its progress is not known. Each instance must be up or down
# completely.
learn_states() {
  local instance state
  local -A found=()
  while read -r instance state; do found[$instance]=$state; done < <(listed)
  for instance; do
    case ${found[$instance]-down} in
      up) model_up "$instance" ;;
      down) model_down "$instance" down ;;
      failed) model_down "$instance" failed ;;
      *) return 1 ;;
    esac
  done
}

# Usage: learn_inside TYPE@NAME...
# Updates lo and the rules in the model from the machine. They exist until the namespace is removed. An interrupted command may have
# re-created the namespace, or loaded the rules of an instance that it then removed. If an instance that is up sets lo or the rules, the
# model already has their state, and `agrees` checks it.
learn_inside() {
  local instance name found
  for instance; do
    name=${instance#*@}
    model_exists "$name" || continue
    found=$(observed_links "$name" ip -netns "$name")
    if [[ ${STATE["lo@$name"]} != up && ${STATE["nft@$name"]} != up ]]; then
      unset -v "LO[$name]"
      [[ $'\n'$found$'\n' != *$'\n'"$name lo"$'\n'* ]] || LO[$name]=y
    fi
    if [[ ${STATE["nft@$name"]} != up ]]; then
      unset -v "RULES_NOW[$name]"
      found=$(observed_rules "$name")
      [[ -z $found ]] || RULES_NOW[$name]=${found##* }
    fi
  done
}

# Usage: observed_states
# Prints the states that netnsctl lists, and all its files in /run.
observed_states() {
  listed
  find /run/systemd-netns -type f -printf 'file %P\n'
}

# Usage: expected_states NAME
# Prints the expected states and files of a namespace, as observed_states does.
expected_states() {
  local name=$1 type instance
  for type in "${TYPES[@]}"; do
    instance=$type@$name
    [[ ${STATE[$instance]} != down ]] || continue
    printf '%s %s\nfile direct/%s.log\n' "$instance" "${STATE[$instance]}" "$instance"
    [[ ${STATE[$instance]} != up || $type != @(veth|macvlan) ]] || echo "file remembered/$instance"
  done
  ! model_exists "$name" || echo "file direct/$name.json"
}

# Usage: engine_prepare
# Prepares the machine for this engine.
engine_prepare() { mkdir -p /run/systemd-netns; }

# Usage: engine_log
# Prints the last messages of netnsctl.
engine_log() { tail --lines=60 "$OUTPUT"; }

# Usage: engine_size
# Prints the number of mounts, interfaces and processes of the machine, and of files of the engine.
engine_size() {
  local mounts links files processes=(/proc/*/stat)
  mapfile -t mounts </proc/self/mountinfo
  mapfile -t links < <(ip -oneline link)
  mapfile -t files < <(find /run/systemd-netns -type f)
  echo "${#mounts[@]} mounts, ${#links[@]} links, ${#files[@]} files, ${#processes[@]} processes, $INTERRUPTED of $SIGNALS signals interrupted netnsctl"
}

# Usage: engine_has_not_grown EARLIER LAST FIRST
# With all instances down, the numbers must be the same as at first; processes are not compared.
engine_has_not_grown() { [[ ${2%processes*} == "${3%processes*}" ]]; }

# Usage: engine_leftovers
# Prints the leftovers that `gc` finds.
engine_leftovers() { netnsctl gc --dry-run; }

# Usage: engine_stop_all
# Takes all instances down.
engine_stop_all() {
  netnsctl down "${NAMES[@]}" &>>"$OUTPUT"
  # The kernel deletes the links of a namespace after the namespace.
  wait_until no_veth_is_left
}

no_veth_is_left() { [[ $(ip -oneline link) != *': ve-'* ]]; }
