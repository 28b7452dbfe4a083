# shellcheck shell=bash
# Undoes the steps of a hook that fails.

# Usage: on_failure COMMAND [ARGUMENT...]
#   ip link add "$IFNAME" type bridge
#   on_failure ip link delete dev "$IFNAME"
# Registers COMMAND to undo a step. It runs if the hook fails or is terminated later. The last registered command runs first.
on_failure() { __netns_on_failure "$@"; }

# Usage: __netns_on_failure COMMAND [ARGUMENT...]
__netns_on_failure() { __netns_undo+=("$@" "$#"); }
__netns_roll_back() {
  local -i length
  while ((${#__netns_undo[@]})); do
    length=${__netns_undo[-1]}
    "${__netns_undo[@]: -length-1:length}"
    __netns_undo=("${__netns_undo[@]:0:${#__netns_undo[@]}-length-1}")
  done
}
