# shellcheck shell=bash disable=SC2034,SC2154 # the wrapper, failure.sh and trap.sh share __netns_*
# The host's own part that every hook needs. Bash takes longer to parse a line than to run it, and to define a function than
# to keep a string: so this is short, and what few hooks need stands behind the call in the wrapper, and is read from there.

# Usage: __netns_load LAST COUNT
# Defines what stands in COUNT lines of the wrapper, from the one that is the LAST-th from its end. Bash has the file open
# as 255, unless a plugin has closed that.
__netns_load() {
  local IFS=$'\n' lines
  { mapfile -t lines <"/proc/$$/fd/255"; } 2>/dev/null || return
  eval "${lines[*]: -$1:$2}"
}

# Usage: __netns_failed COMMAND [ARGUMENT...]
# Calls what is in failure.sh.
__netns_failed() { __netns_load "$__netns_failure" "$__netns_failure" && "$@"; }

# What the instance remembers is not needed any more.
__netns_forget() { [[ ! -e $__netns_state ]] || rm -f -- "$__netns_state"; }

# Notes where a command failed. Not that a `source` of the host's own did, which says nothing of the line in its file. LINENO
# is right in the first line of a trap alone.
# shellcheck disable=SC2016 # expanded when it fires
__netns_on_error='__netns_status=$?; [[ ${BASH_SOURCE[0]} == "${BASH_SOURCE[-1]}" ]] || __netns_at=${BASH_SOURCE[0]}:$LINENO __netns_at_status=$__netns_status __netns_at_command=$BASH_COMMAND'

# Has the above in the hook's own frame. Bash lets DEBUG into a function, if that is traced, but not ERR: so DEBUG goes in,
# fires before the first command, and leaves ERR in its place.
# shellcheck disable=SC2016 # as above
__netns_on_entry='[[ $FUNCNAME == autoconfigure ]] || { builtin trap "$__netns_on_error" ERR; builtin trap - DEBUG; }'

# The hook has not come to its end: what it asked to have undone is undone, and where it failed is said. A signal ends bash
# with whatever status the last command had; a plugin that exits with 0 has succeeded.
# shellcheck disable=SC2016 # as above
__netns_end='if [[ $__netns_status-$__netns_command != 0-exit* ]]; then
  builtin trap "" HUP INT TERM # a second one would end this half-way
  set +eu
  __netns_failed __netns_end_command
  ((${#__netns_undo[@]} == 0)) || __netns_roll_back
  [[ $__netns_hook != *_up_outside ]] || __netns_forget
  [[ $__netns_status == 0 || $__netns_told ]] ||
    __netns_failed __netns_explain "$__netns_status" "$__netns_command" ||
    echo "netnsinit: $NSTYPE@$NSNAME: $UPDOWN $INOUT failed with status $__netns_status" >&2
fi'
__netns_done='' __netns_told='' __netns_hook=''
# Where a signal comes as bash starts a command, it takes the status of that for the one of the first command here: set -e must not end it.
# shellcheck disable=SC2016 # as above
builtin trap '__netns_status=$? __netns_command=$BASH_COMMAND || :; [[ $__netns_done ]] || eval "$__netns_end"' EXIT
