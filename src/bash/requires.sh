# shellcheck shell=bash disable=SC2154 # netnsctl sets __netns_layers and __netns_settings in front
# Reads the layers of an instance as a hook does, and prints what the instance requires, a line each.

# Usage: __netns_requires NAME
# Files are read in a function, as in a hook: `local` is legal in them, and what they declare so is seen here alone.
__netns_requires() {
  local __netns_layer __netns_setting
  for __netns_layer in "${__netns_layers[@]}"; do
    # What the last command returns counts for nothing, but a syntax error must not pass for `requires nothing`.
    # shellcheck disable=SC1090 # only known by then
    source "$__netns_layer" >&2 || [[ $? != [12] ]] || "$BASH" -O extglob -n "$__netns_layer" || builtin exit 1
  done
  set -e
  if declare -F "configure_${NSTYPE}_requires" >/dev/null; then
    "configure_${NSTYPE}_requires" "$1"
  else
    set -f # words are no patterns
    # shellcheck disable=SC2048,SC2086 # words, also of an array
    printf '%s\n' ${NETNS_REQUIRES[*]-}
    for __netns_setting in "${__netns_settings[@]}"; do
      # shellcheck disable=SC2086 # words
      printf '%s\n' ${!__netns_setting-}
    done
  fi
}

unset -v NETNS_REQUIRES
__netns_requires "$NSNAME"
