# shellcheck shell=bash disable=SC2034 # the runtime shares __netns_*
# What `trap` does in a hook. As failure.sh it stands behind the call in the wrapper.
#
# In a function, bash hides the caller's DEBUG, ERR and RETURN, and brings them back unless others were set: so what a
# plugin sets is kept here for the listing, and what it resets is ignored, which comes to the same.

# Usage: __netns_trap WORD...
# Called by `trap` with its words.
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
  # Set from in here, DEBUG would fire before the next command, and RETURN as this function returns, and as its caller
  # does: these two firings set the real one.
  again="builtin trap -- ${action@Q} RETURN"
  again="builtin trap -- ${again@Q} RETURN"
  [[ ${specs^^} != *' RETURN '* ]] || builtin trap -- "${action:+$again}" RETURN
  [[ ${specs^^} == *' DEBUG '* ]] || return "$status"
  builtin trap -- "$action" DEBUG
}
