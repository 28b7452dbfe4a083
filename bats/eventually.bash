# shellcheck shell=bash
# Waiting, for all suites.

# Usage: eventually COMMAND...
# Waits until COMMAND succeeds: the kernel and systemd finish some of their work after they have answered.
eventually() {
  local try
  for ((try = 0; try < 400; try++)); do
    ! "$@" || return 0
    sleep 0.05
  done
  echo "not within 20 seconds: $*" >&2
  return 1
}

# Usage: locked PATH
# Succeeds if a process has locked a file or a directory.
locked() { ! flock --nonblock "$1" true; }
