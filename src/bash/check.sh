# shellcheck shell=bash disable=SC2154 # netnsctl sets __netns_layers and __netns_function in front
# Reads the layers of an instance as a hook does, and calls its check function, if it has one.

__netns_check() {
  local __netns_layer
  for __netns_layer in "${__netns_layers[@]}"; do
    # shellcheck disable=SC1090 # only known by then
    source "$__netns_layer" >/dev/null || :
  done
  ! declare -F "$__netns_function" >/dev/null || "$__netns_function" "$NSNAME"
}
__netns_check
