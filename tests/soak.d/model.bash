# shellcheck shell=bash disable=SC2004,SC2034,SC2153,SC2154 # keys of associative arrays; the files of this directory share variables
# What should be so: the state of each instance, what its settings are and which of them are in force, and what was taken
# away by hand.

NAMES=(n{0..19})
TYPES=(lo veth nft macvlan probe)

# By TYPE@NAME: up, failed or down. What has failed on the way down is a failed outside unit.
declare -A STATE=() OUTSIDE_FAILED=()
# By NAME: the generation of the addresses and rules that are configured, and that are in force, outside and inside.
declare -A VETH=() VETH_OUTSIDE=() VETH_INSIDE=() RULES=() RULES_NOW=()
# Where lo is up: it stays so as long as the namespace does.
declare -A LO=()
# What somebody has taken away: by NAME the name of the namespace, by TYPE@NAME the interface.
declare -A UNNAMED=() CUT=()

for name in "${NAMES[@]}"; do
  VETH[$name]=0 RULES[$name]=0
  for type in "${TYPES[@]}"; do STATE["$type@$name"]=down; done
done

# Usage: model_up TYPE@NAME...
# It comes up from nothing, outside and inside.
model_up() {
  local one
  for one; do
    [[ ${STATE[$one]} != up ]] || continue
    STATE[$one]=up
    unset -v "OUTSIDE_FAILED[$one]"
    if [[ $one == veth@* ]]; then VETH_OUTSIDE[${one#*@}]=${VETH[${one#*@}]}; fi
    model_inside "$one"
  done
}

# Usage: model_inside TYPE@NAME
# Its inside hook runs.
model_inside() {
  local name=${1#*@}
  case $1 in
    veth@*) VETH_INSIDE[$name]=${VETH[$name]} ;;
    nft@*) RULES_NOW[$name]=${RULES[$name]} LO[$name]=y ;;
    lo@*) LO[$name]=y ;;
  esac
}

# Usage: model_down TYPE@NAME STATE
# Nothing of it is there any more; the namespace goes with the last one.
model_down() {
  local name=${1#*@}
  STATE[$1]=$2
  unset -v "CUT[$1]"
  if ! model_exists "$name"; then unset -v "RULES_NOW[$name]" "LO[$name]" "UNNAMED[$name]"; fi
}

# Usage: model_exists NAME
model_exists() {
  local type
  for type in "${TYPES[@]}"; do
    [[ ${STATE["$type@$1"]} != up ]] || return 0
  done
  return 1
}

# Usage: model_up_on NAME
# What is up on a namespace, as UP.
model_up_on() {
  local type
  UP=()
  for type in "${TYPES[@]}"; do
    [[ ${STATE["$type@$1"]} != up ]] || UP+=("$type@$1")
  done
}

# Usage: model_listed
# The lines of `listed`.
model_listed() {
  local one
  for one in "${!STATE[@]}"; do
    if [[ ${STATE[$one]} == failed || -v OUTSIDE_FAILED[$one] ]]; then
      echo "$one failed"
    elif [[ ${STATE[$one]} == up ]]; then
      echo "$one up"
    fi
  done | sort
}

# Usage: model_counts
model_counts() {
  local -A counts=([up]=0 [failed]=0 [down]=0)
  local one
  for one in "${STATE[@]}"; do counts[$one]=$((counts[$one] + 1)); done
  echo "${counts[up]} up, ${counts[down]} down, ${counts[failed]} failed, ${#UNNAMED[@]} unnamed, ${#CUT[@]} cut"
}

# Usage: looks_into NAME
# Whether the inside of a namespace is compared after this step: of those that the step names, and now and then of all, since to look into
# one takes longer than the step.
looks_into() { [[ $STEP == *"$1"* ]] || ((step % 20 == 0)); }

# Usage: expected
# The lines that machine.bash makes of a machine that is as the model says.
expected() {
  local name index
  for name in "${NAMES[@]}"; do
    index=${name#n}
    expected_states "$name"
    model_exists "$name" || continue
    [[ -v UNNAMED[$name] ]] || echo "namespace $name"
    if [[ ${STATE["veth@$name"]} == up && ! -v CUT[veth@$name] ]] && [[ $KEPT || ! -v UNNAMED[$name] ]]; then
      printf 'host link ve-%s0\nhost ve-%s0 10.%d.%d.1/30\n' "$name" "$name" "$index" "${VETH_OUTSIDE[$name]}"
      [[ -v UNNAMED[$name] ]] || ! looks_into "$name" ||
        printf '%s link ve-%s1\n%s ve-%s1 10.%d.%d.2/30\n' "$name" "$name" "$name" "$name" "$index" "${VETH_INSIDE[$name]}"
    fi
    if [[ -v UNNAMED[$name] ]] || ! looks_into "$name"; then continue; fi
    if [[ ${STATE["macvlan@$name"]} == up && ! -v CUT[macvlan@$name] ]]; then
      printf '%s link macvlan0\n%s macvlan0 10.100.%d.2/24\n' "$name" "$name" "$index"
    fi
    if [[ -v LO[$name] ]]; then echo "$name lo"; fi
    [[ ! -v RULES_NOW[$name] ]] || echo "$name rules ${RULES_NOW[$name]}"
  done | sort
}
