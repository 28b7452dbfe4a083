# shellcheck shell=bash disable=SC2034,SC2154 # the wrapper and failure.sh share __netns_*
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
# (dev_valid_name in net/core/dev.c: 1 to 15 bytes, no slash, colon or white space, not `.` or `..`), and takes as it is: `%`
# makes it a pattern (dev_alloc_name).
assert_ifname() {
  assert_non_empty "$1"
  local LC_ALL=C # bytes, not characters
  local __netns_name=${!1}
  if ((${#__netns_name} > 15)); then
    echo "$1='$__netns_name': an interface name has at most 15 characters, this one has ${#__netns_name}" >&2
  elif [[ $__netns_name == . || $__netns_name == .. || $__netns_name == *[/:%[:space:]]* ]]; then
    echo "$1='$__netns_name' is no interface name: it is '.' or '..', or has a slash, a colon, a percent sign or white space in it" >&2
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
  local __netns_name __netns_entry
  {
    # What is remembered already, but for what is remembered anew.
    if [[ -e $__netns_state ]]; then
      while IFS= read -r -d '' __netns_entry; do
        [[ " $* " == *" ${__netns_entry%%=*} "* ]] || printf '%s\0' "$__netns_entry"
      done <"$__netns_state"
    fi
    for __netns_name; do
      if [[ -v $__netns_name ]]; then
        printf '%s=%s\0' "$__netns_name" "${!__netns_name}"
      else
        printf '%s\0' "$__netns_name"
      fi
    done
  } >"$__netns_state.new"
  mv -- "$__netns_state.new" "$__netns_state"
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
  [[ -z ${NO_CONFIG_REQUIRED-} && ! -f $1/$NSTYPE.conf && ! -f $1/$NSTYPE-$NSNAME.conf ]] || return 0
  local said="no configuration: neither $1/$NSTYPE.conf nor $1/$NSTYPE-$NSNAME.conf is a file"
  # It was deleted while the instance was up, which remembers what it needs.
  if [[ $__netns_phase == down && -e $__netns_state ]]; then __netns_complain "$said"; else __netns_fail "$said"; fi
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
  [[ -r $1 ]] && return
  if [[ ! -e $1 ]]; then
    [[ ! -L $1 ]] || __netns_complain "$1 is a symbolic link to nothing"
    return 1
  fi
  __netns_complain "cannot read $1: permission denied"
  return 1
}

# Usage: __netns_exit STATUS
# The EXIT trap of what has not come to its end: undoes what a failed hook asked to have undone, and says where it failed.
__netns_exit() {
  local command=$BASH_COMMAND
  builtin trap '' HUP INT TERM # a second one would end this half-way
  set +eu
  # A signal ends bash with whatever status the last command had; a plugin's `exit 0` is a success.
  [[ $1 != 0 || $command != exit* ]] || return 0
  __netns_roll_back
  [[ $1 != 0 && -z $__netns_told ]] || return 0
  if __netns_read_rest; then
    __netns_explain "$1" "$command"
  else
    printf 'netnsinit: %s failed with status %d\n' "$__netns_what" "$1" >&2
  fi
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

# What stands behind the call in the wrapper, failure.sh and trap.sh, is not read until it is needed: few hooks fail or use
# a trap. It is the last lines of the file that bash has open as 255, unless a plugin has closed that.
__netns_read_rest() {
  local IFS=$'\n' lines
  { mapfile -t lines <"/proc/$$/fd/255"; } 2>/dev/null || return
  lines=("${lines[@]: -__netns_rest}")
  eval "${lines[*]}"
}

# Usage: as the builtin
# Stands before it so that a plugin that lists its traps does not find the host's.
declare -A __netns_traps
# shellcheck disable=SC2064 # the plugin quoted it
trap() {
  if __netns_read_rest; then __netns_trap "$@"; else builtin trap "$@"; fi
}
