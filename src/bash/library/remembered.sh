# shellcheck shell=bash disable=SC2154 # the wrapper sets __netns_*
# Values that pass from one hook to the next.

# Usage: remember VARIABLE...
#   remember VETH_IFNAME_OUTSIDE
# Stores values for the later hooks of the instance, because its .conf file may be edited before `down`. An array keeps its
# elements in their order; its indices are stored as 0, 1, 2 ...
remember() { __netns_remember "$@"; }

# Usage: __netns_remember VARIABLE...
__netns_remember() {
  if [[ ! -d ${__netns_state%/*} ]]; then (umask 077 && mkdir -p -- "${__netns_state%/*}"); fi
  local - __netns_name __netns_entries=()
  set +u # a layer may have set it
  for __netns_name; do
    local -n __netns_variable=$__netns_name
    if [[ ${__netns_variable[*]@a} == *A* ]]; then
      echo "cannot keep the value of '$__netns_name': it is an associative array" >&2
      return 1
    elif [[ ${__netns_variable[*]@a} == *a* ]]; then
      __netns_entries+=("$__netns_name()" "${__netns_variable[@]/#/$__netns_name+=}")
    elif [[ -v $__netns_name ]]; then
      __netns_entries+=("$__netns_name=${!__netns_name}")
    else
      __netns_entries+=("$__netns_name")
    fi
    unset -n __netns_variable
  done
  if [[ ! -e $__netns_state ]]; then
    printf '%s\0' "${__netns_entries[@]}" >"$__netns_state"
    return
  fi
  if [[ ! -f $__netns_state ]]; then
    echo "$__netns_state is not a regular file; move it out of the way" >&2
    return 1
  fi
  # The values that are stored already and have no new value.
  while IFS= read -r -d '' __netns_name; do
    [[ " $* " == *" ${__netns_name%%[=+(]*} "* ]] || __netns_entries+=("$__netns_name")
  done <"$__netns_state"
  if ! printf '%s\0' "${__netns_entries[@]}" >"$__netns_state~"; then
    rm -f -- "$__netns_state~" # the disk may be full
    return 1
  fi
  mv -- "$__netns_state~" "$__netns_state"
}

# Usage: recall
# Restores the values that the instance has stored. Changes nothing if there are none.
recall() {
  [[ -f $__netns_state ]] || return 0
  local - __netns_entry __netns_name
  set +u # a layer may have set it
  while IFS= read -r -d '' __netns_entry; do
    __netns_name=${__netns_entry%%[=+(]*}
    [[ ${!__netns_name@a} != *r* ]] || continue # a .conf file has made it readonly
    case ${__netns_entry#"$__netns_name"} in
      =*) printf -v "$__netns_name" %s "${__netns_entry#*=}" ;;
      +=*)
        local -n __netns_variable=$__netns_name
        __netns_variable+=("${__netns_entry#*=}")
        unset -n __netns_variable
        ;;
      *) unset -v "$__netns_name" ;;
    esac
  done <"$__netns_state"
}
