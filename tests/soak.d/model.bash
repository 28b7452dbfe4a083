# shellcheck shell=bash disable=SC2004,SC2034,SC2153,SC2154 # keys of associative arrays; the files of this directory share variables
# The model, the expected state: the state of each instance, its configured settings, the settings in force, and manual deletions.

NAMES=(n{0..19})
TYPES=(lo veth nft macvlan probe)

# By TYPE@NAME: up, failed or down. OUTSIDE_FAILED: the outside unit failed, also on the way down.
declare -A STATE=() OUTSIDE_FAILED=()
# By NAME: the generation of the configured addresses and rules, and of those in force, outside and inside.
declare -A VETH=() VETH_OUTSIDE=() VETH_INSIDE=() RULES=() RULES_NOW=()
# By NAME: lo is up. It stays up until the namespace is removed.
declare -A LO=()
# Manual deletions. By NAME: the name of the namespace. By TYPE@NAME: the interface.
declare -A UNNAMED=() LINK_DELETED=()

# Not empty if an inside hook can enter the network of the host.
ENTERS_HOST=$(nsenter --net=/proc/1/ns/net true 2>/dev/null && echo yes)

for name in "${NAMES[@]}"; do
  VETH[$name]=0 RULES[$name]=0
  for type in "${TYPES[@]}"; do STATE["$type@$name"]=down; done
done

# Usage: model_up TYPE@NAME...
# Both up hooks of each instance run, if it is not up.
model_up() {
  local instance
  for instance; do
    [[ ${STATE[$instance]} != up ]] || continue
    STATE[$instance]=up
    unset -v "OUTSIDE_FAILED[$instance]"
    if [[ $instance == veth@* ]]; then VETH_OUTSIDE[${instance#*@}]=${VETH[${instance#*@}]}; fi
    model_inside "$instance"
  done
}

# Usage: model_inside TYPE@NAME
# The hook `up inside` runs.
model_inside() {
  local name=${1#*@}
  case $1 in
    veth@*)
      VETH_INSIDE[$name]=${VETH[$name]}
      [[ ! $ENTERS_HOST ]] || VETH_OUTSIDE[$name]=${VETH[$name]}
      ;;
    nft@*) RULES_NOW[$name]=${RULES[$name]} LO[$name]=y ;;
    lo@*) LO[$name]=y ;;
  esac
}

# Usage: model_down TYPE@NAME STATE
# The instance is removed completely. The namespace is removed with its last instance.
model_down() {
  local name=${1#*@}
  STATE[$1]=$2
  unset -v "LINK_DELETED[$1]"
  if ! model_exists "$name"; then unset -v "RULES_NOW[$name]" "LO[$name]" "UNNAMED[$name]"; fi
}

# Usage: model_exists NAME
# Whether the namespace exists: an instance on it is up.
model_exists() {
  local type
  for type in "${TYPES[@]}"; do
    [[ ${STATE["$type@$1"]} != up ]] || return 0
  done
  return 1
}

# Usage: model_up_on NAME
# Sets UP to the instances that are up on a namespace.
model_up_on() {
  local type
  UP=()
  for type in "${TYPES[@]}"; do
    [[ ${STATE["$type@$1"]} != up ]] || UP+=("$type@$1")
  done
}

# Usage: model_listed
# Prints the expected output of `listed`.
model_listed() {
  local instance
  for instance in "${!STATE[@]}"; do
    if [[ ${STATE[$instance]} == failed || -v OUTSIDE_FAILED[$instance] ]]; then
      echo "$instance failed"
    elif [[ ${STATE[$instance]} == up ]]; then
      echo "$instance up"
    fi
  done | sort
}

# Usage: model_counts
# Prints the number of instances in each state, and of manual deletions.
model_counts() {
  local -A counts=([up]=0 [failed]=0 [down]=0)
  local state
  for state in "${STATE[@]}"; do counts[$state]=$((counts[$state] + 1)); done
  echo "${counts[up]} up, ${counts[down]} down, ${counts[failed]} failed," \
    "${#UNNAMED[@]} namespaces without a name, ${#LINK_DELETED[@]} interfaces deleted"
}

# Usage: is_compared_inside NAME
# Whether this step compares the inside of a namespace: if the step names it, and in every 20th step. To enter a namespace takes longer
# than a step.
is_compared_inside() { [[ $STEP == *"$1"* ]] || ((step % 20 == 0)); }

# Usage: expected
# Prints the output of `observed` (machine.bash) on a machine that agrees with the model.
expected() {
  local name index
  for name in "${NAMES[@]}"; do
    index=${name#n}
    expected_states "$name"
    model_exists "$name" || continue
    [[ -v UNNAMED[$name] ]] || echo "namespace $name"
    if [[ ${STATE["veth@$name"]} == up && ! -v LINK_DELETED[veth@$name] ]] && [[ $LIVES_WITHOUT_NAME || ! -v UNNAMED[$name] ]]; then
      printf 'host link ve-%s0\nhost ve-%s0 10.%d.%d.1/30\n' "$name" "$name" "$index" "${VETH_OUTSIDE[$name]}"
      [[ -v UNNAMED[$name] ]] || ! is_compared_inside "$name" ||
        printf '%s link ve-%s1\n%s ve-%s1 10.%d.%d.2/30\n' "$name" "$name" "$name" "$name" "$index" "${VETH_INSIDE[$name]}"
    fi
    if [[ -v UNNAMED[$name] ]] || ! is_compared_inside "$name"; then continue; fi
    if [[ ${STATE["macvlan@$name"]} == up && ! -v LINK_DELETED[macvlan@$name] ]]; then
      printf '%s link macvlan0\n%s macvlan0 10.100.%d.2/24\n' "$name" "$name" "$index"
    fi
    if [[ -v LO[$name] ]]; then echo "$name lo"; fi
    [[ ! -v RULES_NOW[$name] ]] || echo "$name rules ${RULES_NOW[$name]}"
  done | sort
}
