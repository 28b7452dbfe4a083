# shellcheck shell=bash
# Functions of the demonstrations. A script that sources this file defines `on COMMAND...`, which runs a command on the machine of
# the demonstration, and TOP, the root directory of the machine.

if [[ -t 1 && -z ${NO_COLOR-} ]]; then bold=$'\e[1m' green=$'\e[32m' plain=$'\e[0m'; else bold='' green='' plain=''; fi

# Usage: say TEXT
# Prints an explanation.
say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }

# Usage: show COMMAND...
# Prints a command as a user would type it, and runs it on the machine.
show() {
  printf '%s$ %s%s\n' "$green" "$*" "$plain"
  on "$@"
}

# Usage: refused COMMAND...
# Like show, for a command that must fail.
refused() {
  if show "$@"; then
    echo 'error: this command must fail, but succeeded' >&2
    exit 1
  fi
  echo '(failed as expected)'
}

# Usage: file PATH <<<TEXT
# Writes a file on the machine, and prints its contents.
file() {
  mkdir -p "$(dirname "$TOP$1")"
  printf '%s$ cat %s%s\n' "$green" "$1" "$plain"
  tee "$TOP$1"
}
