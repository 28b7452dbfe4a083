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

# The host's two traps. ERR is not inherited by functions: it notes lines of the files that are being sourced.
__netns_set_traps() {
  builtin trap __netns_exit EXIT
  # shellcheck disable=SC2016 # expanded when it fires
  builtin trap '__netns_note "${BASH_SOURCE[0]}" "$LINENO"' ERR
}
__netns_note() { [[ $1 == "${BASH_SOURCE[0]}" ]] || __netns_at=$1:$2; }

# Usage: __netns_require_conf DIRECTORY
__netns_require_conf() {
  [[ -n ${NO_CONFIG_REQUIRED-} || -f $1/$NSTYPE.conf || -f $1/$NSTYPE-$NSNAME.conf ]] ||
    __netns_fail "no configuration: neither $1/$NSTYPE.conf nor $1/$NSTYPE-$NSNAME.conf is a file"
}

# Usage: __netns_parses FILE
# Whether FILE is sound bash; prints what bash says otherwise. extglob changes what is sound, and a file may have set it.
__netns_parses() {
  local options=(-n)
  if shopt -q extglob; then options+=(-O extglob); fi
  "$BASH" "${options[@]}" "$1" 2>&1
}

# Usage: __netns_sourced STATUS FILE
# A .conf was sourced with errexit off. Its status counts for nothing, but a syntax error must not pass for a
# failing command: then `source` returns 2, or 1 for an array that is left open.
__netns_sourced() {
  (($1 == 1 || $1 == 2)) && [[ -f $2 ]] || return 0
  local said
  said=$(__netns_parses "$2") || __netns_complain "syntax error in ${said%%$'\n'*}"
}

# Usage: __netns_readable FILE
__netns_readable() {
  [[ -e $1 ]] || return
  [[ -r $1 ]] && return
  __netns_complain "cannot read $1: permission denied"
  return 1
}

# The EXIT trap: undoes what a failed hook asked to have undone, and says where it failed.
__netns_exit() {
  local status=$? command=$BASH_COMMAND
  set +eu
  [[ -z $__netns_done ]] || return
  # A signal ends bash with whatever status the last command had; a plugin's `exit 0` is a success.
  [[ $status != 0 || $command != exit* ]] || return
  [[ -z $__netns_hook ]] || __netns_roll_back
  [[ $status != 0 && -z $__netns_told ]] || return
  local where
  __netns_where "$command"
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
# Sets `where` to the user's file and line. Bash keeps a line for each caller on the stack, but not for the innermost
# function: that one is looked up by the text of COMMAND.
__netns_where() {
  local -i frame=2
  while [[ ${BASH_SOURCE[frame]-} == "${BASH_SOURCE[0]}" && ${FUNCNAME[frame]} != autoconfigure ]]; do frame+=1; done
  case ${FUNCNAME[frame]-} in
    source) where=${__netns_at:-${BASH_SOURCE[frame]}} ;;
    autoconfigure | main | '')
      if [[ $__netns_hook ]]; then
        __netns_search "$__netns_hook" "$1"
      else
        where=${__netns_at:-$__netns_layer}
      fi
      ;;
    *)
      if ((frame > 2)); then
        where=${BASH_SOURCE[frame]}:${BASH_LINENO[frame - 1]}
      else
        __netns_search "${FUNCNAME[frame]}" "$1"
      fi
      ;;
  esac
}

# Usage: __netns_search FUNCTION COMMAND
# Sets `where` to FILE:LINE of COMMAND in FUNCTION (every line, where it stands there more than once). White space is
# left aside: bash gives back the words of a command, not its layout.
__netns_search() {
  local file text name lines=() found=() wanted=${2//[$' \t\n\\']/}
  local -i start at
  shopt -s extdebug # declare -F then tells file and line
  read -r name start file < <(declare -F "$1")
  mapfile -t -s $((start - 1)) lines <"$file"
  for ((at = 0; at < ${#lines[@]}; at++)); do
    text=${lines[*]:at:20}
    text=${text//[$' \t\n\\']/}
    [[ $text == *"$wanted"* ]] || continue
    text=${lines[*]:at+1:20}
    [[ ${text//[$' \t\n\\']/} != *"$wanted"* || ${lines[at]//[$' \t\\']/} == *"$wanted"* ]] || continue
    found+=($((start + at)))
    [[ ${lines[at]} != "$name"*\} ]] || break
    [[ ${lines[at + 1]-} != \}* ]] || break
  done
  printf -v where ' or %s' "${found[@]:-$start}"
  where=$file:${where# or }
}

# Stands before the builtin so that a plugin that lists its traps does not find the host's two.
# shellcheck disable=SC2064 # what is passed on was quoted by the plugin
trap() {
  local line
  if (($#)) && [[ $1 != -p ]]; then
    [[ $1 != -- ]] || shift
    builtin trap -- "$@"
    # Set from in here it would fire as this function returns: that firing sets the real one.
    [[ " ${*:2} " != *' RETURN '* ]] || builtin trap "builtin trap -- ${1@Q} RETURN" RETURN
    return
  fi
  while IFS= read -r line; do
    [[ $line == "trap -- '__netns_"* ]] || printf '%s\n' "$line"
  done < <(builtin trap "$@")
}
