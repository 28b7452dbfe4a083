# shellcheck shell=bash disable=SC2154 # netnsctl sets __netns_layers and __netns_settings before this text
# Reads the layers of an instance like a hook, and prints the requirements of the instance, one per line.

# Usage: __netns_requires NAME
# Sources the files in a function, like a hook. So `local` is legal in them, and their local variables are visible only here.
__netns_requires() {
  local __netns_layer __netns_setting
  for __netns_layer in "${__netns_layers[@]}"; do
    # A failed command is ignored. A syntax error is fatal: without the check, the instance would seem to have no requirements.
    # shellcheck disable=SC1090 # only known at run time
    source "$__netns_layer" >&2 || [[ $? != [12] ]] || __netns_parses "$__netns_layer" || builtin exit 1
  done
  set -e
  if declare -F "configure_${NSTYPE}_requires" >/dev/null; then
    "configure_${NSTYPE}_requires" "$1"
  else
    set -f # the values are not glob patterns
    # shellcheck disable=SC2048,SC2086 # split into words, also for an array
    printf '%s\n' ${NETNS_REQUIRES[*]-}
    for __netns_setting in "${__netns_settings[@]}"; do
      # shellcheck disable=SC2086 # split into words
      printf '%s\n' ${!__netns_setting-}
    done
  fi
}

unset -v NETNS_REQUIRES
__netns_requires "$NSNAME"
