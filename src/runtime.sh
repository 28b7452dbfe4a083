# shellcheck shell=bash disable=SC2154 # the wrapper sets __netns_dir, _state, _what, _phase, _hook, _layer, _done
# The runtime: what plugins and .conf files may call. netnsinit puts it in front of every hook.
# Names that begin with `__netns_` belong to the host; all others are for plugins.

# Usage: assert_non_empty VARIABLE
#   assert_non_empty VETH_IFADDR_INSIDE
# Ends the hook with status 1 unless VARIABLE is set and not empty.
assert_non_empty() {
  if [[ -z ${1-} ]]; then
    echo 'Error: No variable name specified.' >&2
  elif [[ -z ${!1+set} ]]; then
    echo "Variable $1 is not set!" >&2
  elif [[ -z ${!1} ]]; then
    echo "Variable $1 is empty!" >&2
  else
    return 0
  fi
  builtin exit 1
}

# Usage: assert_ifname VARIABLE
#   assert_ifname VETH_IFNAME_OUTSIDE
# Ends the hook with status 1 unless VARIABLE holds a name that the kernel takes for an interface
# (dev_valid_name in net/core/dev.c: 1 to 15 bytes, no slash, colon or white space, not `.` or `..`).
assert_ifname() {
  assert_non_empty "$1"
  local LC_ALL=C # bytes, not characters
  local __netns_name=${!1}
  if ((${#__netns_name} > 15)); then
    echo "$1='$__netns_name': an interface name has at most 15 characters, this one has ${#__netns_name}" >&2
  elif [[ $__netns_name == . || $__netns_name == .. || $__netns_name == *[/:[:space:]]* ]]; then
    echo "$1='$__netns_name' is no interface name: it is '.' or '..', or has a slash, a colon or white space in it" >&2
  else
    return 0
  fi
  builtin exit 1
}

# Usage: assert_command COMMAND PACKAGE
#   assert_command nft nftables
# Ends the hook with status 1 unless COMMAND is in PATH; says which Debian package has it.
assert_command() {
  type -P "$1" >/dev/null && return
  echo "the program \`$1\` is not installed, or not in PATH ($PATH): install it, on Debian with 'apt install $2'" >&2
  builtin exit 1
}

# Usage: inside_check NSNAME
#   inside_check "$NSNAME" || echo 'the name is gone'
# Whether this shell is in the network namespace that is called NSNAME now.
inside_check() { [[ /proc/self/ns/net -ef $__netns_dir/$1 ]]; }

# Usage: on_failure COMMAND [ARGUMENT...]
#   ip link add "$IFNAME" type bridge
#   on_failure ip link delete dev "$IFNAME"
# Undoes a step: COMMAND runs if the hook fails or is terminated after this; the last one named runs first.
on_failure() { __netns_undo+=("$@" "$#"); }

# Usage: remember VARIABLE...
#   remember VETH_IFNAME_OUTSIDE
# Keeps values (not arrays) for the instance's later hooks, since its .conf may be edited before it goes down.
remember() {
  if [[ ! -d ${__netns_state%/*} ]]; then (umask 077 && mkdir -p -- "${__netns_state%/*}"); fi
  local __netns_name
  for __netns_name; do
    if [[ -v $__netns_name ]]; then
      printf '%s=%s\0' "$__netns_name" "${!__netns_name}"
    else
      printf '%s\0' "$__netns_name"
    fi
  done >>"$__netns_state"
}

# Usage: recall
# Gives the remembered variables back the values that they had; changes nothing where none are remembered.
recall() {
  [[ -e $__netns_state ]] || return 0
  local __netns_entry __netns_name
  while IFS= read -r -d '' __netns_entry; do
    __netns_name=${__netns_entry%%=*}
    [[ ${!__netns_name@a} != *r* ]] || continue # readonly: a .conf insists on it
    if [[ $__netns_entry == *=* ]]; then
      printf -v "$__netns_name" %s "${__netns_entry#*=}"
    else
      unset -v "$__netns_name"
    fi
  done <"$__netns_state"
}

# Usage: display_usage
display_usage() { "$0" --help; }

# From here on: the host's own part.

# The instance is gone, and what it remembered with it.
__netns_forget() { [[ ! -e $__netns_state ]] || rm -f -- "$__netns_state"; }

# Usage: __netns_fail MESSAGE
# The host itself has a reason to stop; also where a file has switched errexit off or has redefined exit.
__netns_fail() {
  __netns_told=y
  printf 'netnsinit: %s: %s\n' "$__netns_what" "$1" >&2
  builtin exit 1
}

# Usage: __netns_complain MESSAGE
# Stops `up`; `down` is only warned, since a tear-down half done beats none.
__netns_complain() {
  [[ $__netns_phase == down ]] || __netns_fail "$1"
  printf 'netnsinit: %s: warning: %s\n' "$__netns_what" "$1" >&2
}

# The host's two traps. ERR is not inherited by functions: it notes lines of what is sourced in the frame that calls this.
# shellcheck disable=SC2016 # expanded when they fire
__netns_exit_trap() { builtin trap 'case $__netns_done in "") __netns_exit "$?" ;; esac' EXIT; }
# shellcheck disable=SC2016
__netns_error_trap() { builtin trap '__netns_note "$?" "$LINENO" "$BASH_COMMAND"' ERR; }

# Usage: __netns_note STATUS LINE COMMAND
# Where COMMAND failed. That a `source` of the host's own did says nothing of the line in its file.
__netns_note() {
  [[ ${BASH_SOURCE[1]} != "${BASH_SOURCE[0]}" ]] || return 0
  __netns_at=${BASH_SOURCE[1]}:$2 __netns_at_status=$1 __netns_at_command=$3
}

# Has the ERR trap in the hook's own frame instead. Bash lets DEBUG into a function, if that is traced, but not ERR: so DEBUG
# goes in, fires before the first command, and leaves ERR in its place. Not where a plugin would notice.
__netns_watch_hook() {
  [[ -v __netns_traps[ERR] ]] || builtin trap '' ERR
  [[ $- != *[xET]* && ! -v __netns_traps[DEBUG] && ! -v __netns_traps[RETURN] ]] || return 0
  declare -ft "$__netns_hook"
  # shellcheck disable=SC2016 # expanded when it fires
  builtin trap '[[ ${FUNCNAME[0]} == autoconfigure ]] || { __netns_error_trap; builtin trap - DEBUG; }' DEBUG
}

# Usage: __netns_require_conf DIRECTORY
__netns_require_conf() {
  [[ -n ${NO_CONFIG_REQUIRED-} || -f $1/$NSTYPE.conf || -f $1/$NSTYPE-$NSNAME.conf ]] ||
    __netns_fail "no configuration: neither $1/$NSTYPE.conf nor $1/$NSTYPE-$NSNAME.conf is a file"
}

# Usage: __netns_parses FILE
# Whether FILE is sound bash; sets __netns_said to what bash says otherwise. A file may set extglob and so change what is sound.
__netns_parses() {
  __netns_said=$("$BASH" -n "$1" 2>&1 || "$BASH" -O extglob -n "$1" 2>&1) && return 0 # said, since in a trap it would be the status before
  __netns_said="syntax error in ${__netns_said%%$'\n'*}"
  [[ $(<"$1") != *$'\r\n'* ]] || __netns_said+=", which has the line ends of DOS (\\r\\n)"
  return 1
}

# Usage: __netns_sourced STATUS FILE
# A .conf was sourced with errexit off. Its status counts for nothing, but a syntax error must not pass for a
# failing command: then `source` returns 2, or 1 for an array that is left open.
__netns_sourced() {
  if (($1 == 1 || $1 == 2)) && [[ -f $2 ]]; then __netns_parses "$2" || __netns_complain "$__netns_said"; fi
}

# Usage: __netns_readable FILE
__netns_readable() {
  [[ -e $1 ]] || return
  [[ -r $1 ]] && return
  __netns_complain "cannot read $1: permission denied"
  return 1
}

# Usage: __netns_exit STATUS
# The EXIT trap: undoes what a failed hook asked to have undone, and says where it failed.
__netns_exit() {
  local status=$1 command=$BASH_COMMAND
  set +eu
  # A signal ends bash with whatever status the last command had; a plugin's `exit 0` is a success.
  [[ $status != 0 || $command != exit* ]] || return 0
  [[ -z $__netns_hook ]] || __netns_roll_back
  [[ $status != 0 && -z $__netns_told ]] || return 0
  local where
  __netns_where "$command"
  if [[ -z $__netns_hook && $status == [12] && -f $__netns_layer ]] && ! __netns_parses "$__netns_layer"; then
    printf 'netnsinit: %s: %s\n' "$__netns_what" "$__netns_said" >&2
    return 0
  fi
  printf 'netnsinit: %s failed with status %d at %s\n' "$__netns_what" "$status" "$where" >&2
}

__netns_roll_back() {
  local -i words
  while ((${#__netns_undo[@]})); do
    words=${__netns_undo[-1]}
    "${__netns_undo[@]: -words-1:words}"
    __netns_undo=("${__netns_undo[@]:0:${#__netns_undo[@]}-words-1}")
  done
  [[ $__netns_hook != *_up_outside ]] || __netns_forget
}

# Usage: __netns_where COMMAND
# Sets `where` to the user's file and line of COMMAND, which failed. Bash keeps a line for each caller on the stack. For the
# innermost function it has none in an EXIT trap: what the ERR trap did not note is looked up by the text of COMMAND.
__netns_where() {
  local -i frame=2
  while [[ ${BASH_SOURCE[frame]-} == "${BASH_SOURCE[0]}" && ${FUNCNAME[frame]} != autoconfigure ]]; do frame+=1; done
  if ((frame > 2)) && [[ ${BASH_SOURCE[frame]-} != "${BASH_SOURCE[0]}" ]]; then
    where=${BASH_SOURCE[frame]}:${BASH_LINENO[frame - 1]}
  elif [[ -z $__netns_hook || ${FUNCNAME[frame]-} == source ]]; then
    # Bash does not follow the command through a file that is being sourced.
    where=$__netns_layer
    [[ ${FUNCNAME[frame]-} != source ]] || where=${BASH_SOURCE[frame]}
    if [[ $__netns_at == "$where":* && $__netns_at_status == "$status" ]]; then
      where=$__netns_at
    elif [[ ${FUNCNAME[frame]-} != source ]]; then
      __netns_last_list
    fi
  elif [[ $__netns_at_status == "$status" && $__netns_at_command == "$1" ]]; then
    where=$__netns_at
  elif [[ ${FUNCNAME[frame]-autoconfigure} == @(autoconfigure|main) ]]; then
    __netns_search "$__netns_hook" "$1"
  else
    __netns_search "${FUNCNAME[frame]}" "$1"
  fi
}

# Usage: __netns_last_list
# Adds to `where`, a file that failed as a whole, its last line if that is an && or || list: the usual reason.
__netns_last_list() {
  local lines
  local -i last
  mapfile -t lines <"$where"
  last=${#lines[@]}
  while ((last)) && [[ ${lines[last - 1]} =~ ^[[:space:]]*(#|$) ]]; do last+=-1; done
  [[ ${lines[last - 1]-} != *@(&&|\|\|)* ]] || where+=:$last
}

# Usage: __netns_search FUNCTION COMMAND
# Sets `where` to FILE:LINE of COMMAND in FUNCTION (to every line, where it stands there more than once). Blanks are left
# aside: bash gives back the words of a command, not its layout.
__netns_search() {
  local IFS=$'\n' name file text command=${2//[ $'\t']/} lines=() found=()
  local -i start at
  # What stands before and after a command, where there are no blanks: here it has to begin in the first line.
  local before=$'^(|[^\n]*[;|&{)!`]|[^\n]*[^$\n][(]|[(])(if|elif|then|else|while|until|do|!|time)*'
  local after=$'($|[\n;|&)}#<>`])'
  shopt -s extdebug # declare -F then tells file and line
  IFS=' ' read -r name start file < <(declare -F "$1")
  mapfile -t -s $((start - 1)) lines <"$file"
  for ((at = 0; at < ${#lines[@]}; at++)); do
    text=${lines[*]:at:20}
    text=${text//\\$'\n'/}
    [[ ! ${text//[ $'\t']/} =~ $before"$command"$after ]] || found+=($((start + at)))
    [[ ${lines[at]} != "$name"*[\)\}] && ${lines[at + 1]-} != [\)\}]* ]] || break
  done
  printf -v where ' or %s' "${found[@]:-$start}"
  where=$file:${where# or }
}

# Usage: as the builtin
# Stands before the builtin so that a plugin that lists its traps does not find the host's. In a function, bash hides the
# caller's DEBUG, ERR and RETURN and brings them back unless others were set: so what a plugin sets is kept here for the
# listing, and what it resets is ignored, which comes to the same.
declare -A __netns_traps
trap() {
  local spec action
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
  action=$1
  [[ $1 != - ]] || action=''
  [[ " ${*^^} " != *' ERR '* ]] || builtin trap -- "$action" ERR
  # Set from in here, RETURN would fire as this function returns (that firing sets the real one), and DEBUG before its next command.
  [[ " ${*^^} " != *' RETURN '* ]] || builtin trap -- "${action:+builtin trap -- ${action@Q} RETURN}" RETURN
  [[ " ${*^^} " == *' DEBUG '* ]] || return "$status"
  builtin trap -- "$action" DEBUG
}
