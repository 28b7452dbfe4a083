# shellcheck shell=bash disable=SC2034,SC2154 # the wrapper, failure.sh and trap.sh share __netns_*
# The part of the host's code that every hook needs. Bash takes longer to parse a line than to run it, and longer to define a
# function than to store a string. So this file is short. Code that few hooks need is after the call in the wrapper, and is
# loaded on demand.

# Usage: __netns_load LAST COUNT
# Runs COUNT lines of the wrapper, which begin LAST lines before its end. Bash has the wrapper open as file descriptor 255,
# unless a plugin has closed it.
__netns_load() {
  local IFS=$'\n' lines
  { mapfile -t lines <"/proc/$$/fd/255"; } 2>/dev/null || return
  __netns_reset_parser
  eval "${lines[*]: -$1:$2}"
}

# Usage: __netns_failed COMMAND [ARGUMENT...]
# Loads failure.sh, and runs a function that it defines.
__netns_failed() { __netns_load "$__netns_failure" "$__netns_failure" && "$@"; }

# Removes the remembered values of the instance.
__netns_forget() { [[ ! -e $__netns_state ]] || rm -f -- "$__netns_state"; }

# Records where a command failed. A failed `source` of the host is not recorded, because its line is not in a user's file.
# LINENO is correct only in the first line of a trap.
# shellcheck disable=SC2016 # expanded when it fires
__netns_on_error='__netns_status=$?; [[ ${BASH_SOURCE[0]} == "${BASH_SOURCE[-1]}" ]] || __netns_at=${BASH_SOURCE[0]}:$LINENO __netns_at_status=$__netns_status __netns_at_command=$BASH_COMMAND'

# Sets this ERR trap in the frame of the hook. A traced function inherits DEBUG, but not ERR. So the inherited DEBUG trap fires
# before the first command of the hook, sets the ERR trap, and removes itself.
# shellcheck disable=SC2016 # as above
__netns_on_entry='[[ $FUNCNAME == autoconfigure ]] || { builtin trap "$__netns_on_error" ERR; builtin trap - DEBUG; }'

# Runs if the hook has not completed: rolls back its steps, and reports the place of the failure. After a signal, the status is
# that of the last command, so it can be 0. A plugin that calls `exit 0` has succeeded.
# shellcheck disable=SC2016 # as above
__netns_end='if [[ $__netns_status-$__netns_command != 0-exit* ]]; then
  builtin trap "" HUP INT TERM # a second signal would interrupt the rollback
  set +eu
  __netns_failed __netns_end_command
  ((${#__netns_undo[@]} == 0)) || __netns_roll_back
  [[ $__netns_hook != *_up_outside ]] || __netns_forget
  [[ $__netns_status == 0 || $__netns_reported ]] ||
    __netns_failed __netns_explain "$__netns_status" "$__netns_command" ||
    echo "netnsinit: $NSTYPE@$NSNAME: $UPDOWN $INOUT failed with status $__netns_status" >&2
fi'
__netns_done='' __netns_reported='' __netns_hook=''
# If a signal arrives while bash starts a command, bash uses the status of that command for the first command of this trap.
# Because of the `||`, set -e does not end the trap.
# shellcheck disable=SC2016 # as above
builtin trap '__netns_status=$? __netns_command=$BASH_COMMAND || :; [[ $__netns_done ]] || eval "$__netns_end"' EXIT
