# shellcheck shell=bash
# Runs the hook of a type in a bare bash, without netnsinit. `like_bash` compares netnsinit with this script.
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
