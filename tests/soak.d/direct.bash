# shellcheck shell=bash disable=SC2004,SC2034,SC2153,SC2154 # keys of associative arrays; the files of this directory share variables
# What is so with the engine direct alone: netnsctl is all that one has, and it may be ended at any moment.

# How often each is taken, of all.
STEPS=(
  {start,start,start,start,start,start,stop,stop,stop,stop,stop,stop,stop,stop,stop,restart,restart,restart}
  {edit_veth,edit_rules,unname,mend,mend,mend,cut,flush,fail,fail,kill,kill,clear,gc}
  {crash,crash,crash,crash,interrupt,interrupt,interrupt,parallel,parallel,parallel}
)

# Nothing but its name keeps a namespace.
KEPT=''
# "The first failure on a namespace ends the work on it", netnsctl(8).
FAILURE_ENDS_WORK=y

# What netnsctl has said; how often it was sent a signal, and how often that has found it at work.
SAID=/run/soak.said
declare -i SENT=0 MET=0

# Usage: ctl STATUS VERB WORD...
# Whether netnsctl ends with that status.
ctl() {
  local -i want=$1 status=0
  shift
  STEP+=", netnsctl $*"
  echo "$step: netnsctl $*" >>"$SAID"
  netnsctl "$@" &>>"$SAID" || status=$?
  ((status == want)) || {
    echo "netnsctl $*: status $status" >&2
    return 1
  }
}

# Usage: manage start|stop|restart TYPE@NAME...
manage() {
  local verb=$1 one want=0
  shift
  (($#)) || return 0
  for one; do
    [[ $verb != restart || ! -v CUT[$one] ]] || want=1
  done
  ctl "$want" "${VERBS[$verb]}" "$@"
}

# Usage: fail_hook FILE VERB TYPE@NAME
fail_hook() {
  echo fail >"$1"
  ctl 1 "${VERBS[$2]}" "$3" || return
  rm "$1"
}

# Usage: kill_hook FILE VERB TYPE@NAME
# The hook hangs until it is killed, by a signal that it cannot catch.
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

# Usage: model_broken HOOK TYPE@NAME
# Whichever hook has come to nothing: nothing is there any more, and the log tells why.
model_broken() { model_down "$2" failed; }

# Usage: model_done up|down|restart TYPE@NAME...
model_done() {
  local verb=$1 one
  for one in "${@:2}"; do
    case $verb-${STATE[$one]} in
      down-*) model_down "$one" down ;;
      restart-up) model_inside "$one" ;;
      *) model_up "$one" ;;
    esac
  done
}

# Usage: model_lost NAME
# A command finds that the namespace is gone, and takes down what was on it: which should be there, and is not.
model_lost() {
  local one
  model_up_on "$1"
  for one in "${UP[@]}"; do model_down "$one" failed; done
}

# By any command on a namespace without its name all comes right: what it is to bring up comes up in a new one.
step_mend() {
  local name type one verb words=()
  for name in "${NAMES[@]}"; do
    [[ -v UNNAMED[$name] ]] || continue
    pick up down restart
    verb=$PICKED
    pick "$name" "${TYPES[@]/%/@$name}"
    case $verb-$PICKED in
      *@*) words=("$PICKED") ;;
      up-*) words=("veth@$name" "macvlan@$name") ;; # these have a .conf of their own
      *)
        for type in "${TYPES[@]}"; do
          one=$type@$name
          [[ ${STATE[$one]} == down ]] || words+=("$one")
        done
        ;;
    esac
    ctl 0 "$verb" "$PICKED" || return
    model_lost "$name"
    model_done "$verb" "${words[@]}"
    return
  done
}

# It finds the namespaces without a name, and nothing else: each other command has left nothing.
step_gc() {
  local one name said
  said=$(netnsctl gc 2>>"$SAID") || return
  echo "$said" >>"$SAID"
  [[ $(grep --count . <<<"$said") == "${#UNNAMED[@]}" ]] || return
  [[ $(grep --count '^removed: .*: the namespace was deleted manually' <<<"$said") == "${#UNNAMED[@]}" ]] || return
  model_gc
}

# Usage: model_gc
# What was up on them is forgotten, with its log.
model_gc() {
  local one name
  for name in "${!UNNAMED[@]}"; do
    model_up_on "$name"
    for one in "${UP[@]}"; do model_down "$one" down; done
  done
}

# Usage: may_be_broken_off VERB TYPE@NAME
# Whether the verb has anything to do for it; what is up has its settings in force.
may_be_broken_off() {
  case $1-${STATE[$2]} in
    up-up | down-down | down-failed | restart-down | restart-failed) return 1 ;;
    *-up) model_is_current "$2" ;;
  esac
}

# Usage: break_off SIGNAL
# Sends netnsctl a signal at any moment of what it does to the instances CHOSEN. What is up has its settings in force: else it could be
# left with the old or the new ones.
break_off() {
  local signal=$1 verb delay command
  local -i status=0 count=RANDOM%4+1
  pick up up down restart
  verb=$PICKED
  choose_those "$count" may_be_broken_off "$verb"
  ((${#CHOSEN[@]})) || return 0
  printf -v delay '0.%03d' "$((RANDOM % (20 + 10 * ${#CHOSEN[@]})))"
  STEP+=", SIG$signal after $delay seconds of netnsctl $verb ${CHOSEN[*]}"
  echo "$step: netnsctl $verb ${CHOSEN[*]}; SIG$signal after $delay seconds" >>"$SAID"
  netnsctl "$verb" "${CHOSEN[@]}" &>>"$SAID" &
  command=$!
  read -rt "$delay" <>"$TOLD/fifo"
  kill -s "$signal" "$command" 2>/dev/null
  { wait "$command" || status=$?; } 2>/dev/null # or bash would say that it was killed
  SENT+=1
  MET+=$((status != 0))
  echo "$step: status $status" >>"$SAID"
  [[ $status == @(0|1|137|143) ]]
}

# Usage: model_is_current TYPE@NAME
# Whether what is up is whole, with the settings that it would come up with.
model_is_current() {
  local name=${1#*@}
  [[ ! -v CUT[$1] ]] || return
  case $1 in
    veth@*) [[ ${VETH_OUTSIDE[$name]} == "${VETH[$name]}" && ${VETH_INSIDE[$name]} == "${VETH[$name]}" ]] ;;
    nft@*) [[ ${RULES_NOW[$name]-} == "${RULES[$name]}" ]] ;;
  esac
}

# netnsctl is killed: the next command puts right what it has left.
step_crash() {
  break_off KILL || return
  ((${#CHOSEN[@]})) || return 0
  pick up down restart gc
  if [[ $PICKED == gc ]]; then
    wait_until nobody_works # a child that was just being started goes a moment later
    ctl 0 gc || return
    model_gc
    learn_states "${CHOSEN[@]}" || return
  else
    ctl 0 "$PICKED" "${CHOSEN[@]}" || return
    model_done "$PICKED" "${CHOSEN[@]}"
  fi
  learn_inside "${CHOSEN[@]}"
}

# Usage: nobody_works
# Whether nobody holds a lock.
nobody_works() {
  local lock
  for lock in /run/systemd-netns/direct/*.lock; do
    [[ ! -e $lock ]] || flock --nonblock "$lock" true || return
  done
}

# netnsctl is asked to end: it leaves nothing that had to be put right.
step_interrupt() {
  break_off TERM || return
  ((${#CHOSEN[@]})) || return 0
  learn_states "${CHOSEN[@]}" && learn_inside "${CHOSEN[@]}"
}

# Several commands at a time, also on the same namespaces.
step_parallel() {
  local -i commands=RANDOM%4+2 status=0
  local -A verb_of=()
  local one verb words pids=()
  for (( ; commands > 0; commands--)); do
    pick up up down restart
    verb=$PICKED words=()
    if [[ $verb == up ]]; then choose down 3; else choose up 3; fi
    for one in "${CHOSEN[@]}"; do
      [[ ! -v verb_of[$one] && ! -v CUT[$one] ]] || continue
      verb_of[$one]=$verb
      words+=("$one")
    done
    ((${#words[@]})) || continue
    STEP+=", netnsctl $verb ${words[*]}"
    echo "$step: netnsctl $verb ${words[*]} &" >>"$SAID"
    netnsctl "$verb" "${words[@]}" &>>"$SAID" &
    pids+=("$!")
  done
  for one in "${pids[@]}"; do wait "$one" || status=1; done
  for one in "${!verb_of[@]}"; do model_done "${verb_of[$one]}" "$one"; done
  learn_inside "${!verb_of[@]}"
  return "$status"
}

# Usage: learn_states TYPE@NAME...
# How far a command came that was broken off, only the machine knows; but each instance is there, whole, or not.
learn_states() {
  local one state
  local -A found=()
  while read -r one state; do found[$one]=$state; done < <(listed)
  for one; do
    case ${found[$one]-down} in
      up) model_up "$one" ;;
      down) model_down "$one" down ;;
      failed) model_down "$one" failed ;;
      *) return 1 ;;
    esac
  done
}

# Usage: learn_inside TYPE@NAME...
# lo and rules stay as long as the namespace does. Whether that was made anew meanwhile, or the rules of an instance were loaded before it
# went again, only the machine knows. Where something that is up answers for them, they have to be as it has them.
learn_inside() {
  local one name there
  for one; do
    name=${one#*@}
    model_exists "$name" || continue
    there=$(observed_links "$name" ip -netns "$name")
    if [[ ${STATE["lo@$name"]} != up && ${STATE["nft@$name"]} != up ]]; then
      unset -v "LO[$name]"
      [[ $'\n'$there$'\n' != *$'\n'"$name lo"$'\n'* ]] || LO[$name]=y
    fi
    if [[ ${STATE["nft@$name"]} != up ]]; then
      unset -v "RULES_NOW[$name]"
      there=$(observed_rules "$name")
      [[ -z $there ]] || RULES_NOW[$name]=${there##* }
    fi
  done
}

# Usage: observed_states
# What netnsctl says, and every file that it keeps.
observed_states() {
  listed
  find /run/systemd-netns -type f -printf 'file %P\n'
}

# Usage: expected_states NAME
expected_states() {
  local name=$1 type one
  for type in "${TYPES[@]}"; do
    one=$type@$name
    [[ ${STATE[$one]} != down ]] || continue
    printf '%s %s\nfile direct/%s.log\n' "$one" "${STATE[$one]}" "$one"
    [[ ${STATE[$one]} != up || $type != @(veth|macvlan) ]] || echo "file remembered/$one"
  done
  ! model_exists "$name" || echo "file direct/$name.json"
}

# Usage: engine_prepare
engine_prepare() { mkdir -p /run/systemd-netns; }

# Usage: engine_said
engine_said() { tail --lines=60 "$SAID"; }

# Usage: engine_size
# The mounts, interfaces and processes of the machine, and the files of the engine.
engine_size() {
  local mounts links files processes=(/proc/*/stat)
  mapfile -t mounts </proc/self/mountinfo
  mapfile -t links < <(ip -oneline link)
  mapfile -t files < <(find /run/systemd-netns -type f)
  echo "${#mounts[@]} mounts, ${#links[@]} links, ${#files[@]} files, ${#processes[@]} processes, $MET of $SENT signals met netnsctl at work"
}

# Usage: engine_has_not_grown EARLIER LAST FIRST
# With nothing up, all is as it was.
engine_has_not_grown() { [[ ${2%processes*} == "${3%processes*}" ]]; }

# Usage: engine_world
# Nobody is left to tell what there is to collect.
engine_world() { netnsctl gc --dry-run; }

# Usage: engine_stop_all
engine_stop_all() {
  netnsctl down "${NAMES[@]}" &>>"$SAID"
  # The kernel takes down links after the namespace that they are in.
  wait_until no_ends
}

no_ends() { [[ $(ip -oneline link) != *': ve-'* ]]; }
