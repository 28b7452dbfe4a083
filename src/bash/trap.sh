# shellcheck shell=bash disable=SC2034 # the runtime shares __netns_*
# The implementation of `trap` in a hook. Like failure.sh, it is after the call in the wrapper.
#
# In a function, bash hides the caller's traps for DEBUG, ERR and RETURN, and restores them when the function returns, unless it
# has set others. So the traps of a plugin are stored here for `trap -p`. A trap that a plugin resets is set to the empty
# command, which has the same effect.

# Usage: __netns_trap ARGUMENT...
# Called by `trap` with its arguments.
declare -gA __netns_traps
__netns_trap() {
  local spec specs action again
  local -i status=0
  [[ ${1-} != -- ]] || shift
  case ${1--p} in
    -p)
      if (($# > 1)); then shift; else set -- {0..31} {34..64} DEBUG ERR RETURN; fi
      for spec; do
        case ${spec^^} in
          0 | EXIT) [[ ! -v __netns_traps[EXIT] ]] || builtin trap -p EXIT ;;
          DEBUG | ERR | RETURN)
            [[ ! -v __netns_traps[${spec^^}] ]] ||
              printf "trap -- '%s' %s\n" "${__netns_traps[${spec^^}]//\'/\'\\\'\'}" "${spec^^}"
            ;;
          *) builtin trap -p "$spec" || status=$? ;;
        esac
      done
      return "$status"
      ;;
    -?*)
      # shellcheck disable=SC2064 # only options
      builtin trap "$@"
      return
      ;;
  esac
  if (($# == 1)) || [[ $1 && $1 != *[!0-9]* ]]; then set -- - "$@"; fi
  for spec in "${@:2}"; do
    case ${spec^^} in
      0 | EXIT) __netns_traps[EXIT]= ;;
      DEBUG | ERR | RETURN)
        if [[ $1 != - ]]; then __netns_traps[${spec^^}]=$1; else unset -v "__netns_traps[${spec^^}]"; fi
        continue
        ;;
    esac
    builtin trap -- "$1" "$spec" || status=$?
  done
  action=$1 specs=" ${*:2} "
  [[ $1 != - ]] || action=''
  [[ ${specs^^} != *' ERR '* ]] || builtin trap -- "$action" ERR
  # A RETURN trap that is set here fires when this function returns, and again when its caller returns. These two firings set
  # the trap of the plugin. A DEBUG trap fires before the next command, so it is set last.
  again="builtin trap -- ${action@Q} RETURN"
  again="builtin trap -- ${again@Q} RETURN"
  [[ ${specs^^} != *' RETURN '* ]] || builtin trap -- "${action:+$again}" RETURN
  [[ ${specs^^} == *' DEBUG '* ]] || return "$status"
  builtin trap -- "$action" DEBUG
}
