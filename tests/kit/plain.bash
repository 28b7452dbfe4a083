# shellcheck shell=bash
# What netnsinit does for a type, as plain as it can be put: what `like_bash` compares with.
set -e
autoconfigure() {
  local args=("$@")
  # shellcheck disable=SC1090
  source "/etc/conf.d/netns/$1.sh"
  # shellcheck disable=SC1090
  if [[ -e /etc/conf.d/netns/$1.conf ]]; then source "/etc/conf.d/netns/$1.conf" || :; fi
  if declare -F "configure_$1_up_outside" >/dev/null; then "configure_${args[0]}_up_outside" "${args[1]}"; fi
}
autoconfigure "$@"
