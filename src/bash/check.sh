# shellcheck shell=bash disable=SC2154 # netnsctl sets __netns_layers and __netns_function before this text
# Reads the layers of an instance like a hook, and calls its check function, if it is defined.

__netns_check() {
  local __netns_layer
  for __netns_layer in "${__netns_layers[@]}"; do
    # shellcheck disable=SC1090 # only known at run time
    source "$__netns_layer" >/dev/null || __netns_reset_parser
  done
  ! declare -F "$__netns_function" >/dev/null || "$__netns_function" "$NSNAME"
}
__netns_check
