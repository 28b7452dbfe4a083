# shellcheck shell=bash
# The output of the demonstrations. A demonstration that sources this file defines `on COMMAND...`, which runs a command on
# its machine, and TOP, the root directory of the machine.

if [[ -t 1 && -z ${NO_COLOR-} ]]; then bold=$'\e[1m' green=$'\e[32m' plain=$'\e[0m'; else bold='' green='' plain=''; fi

# Usage: say TEXT
say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }

# Usage: show COMMAND...
# Prints a command as a user would type it, and runs it on the machine.
show() {
  printf '%s$ %s%s\n' "$green" "$*" "$plain"
  on "$@"
}

# Usage: refused COMMAND...
# The same for a command that must fail.
refused() {
  if show "$@"; then
    echo 'this should have failed' >&2
    exit 1
  fi
  echo '(refused, as it should be)'
}

# Usage: file PATH <<<TEXT
file() {
  mkdir -p "$(dirname "$TOP$1")"
  printf '%s$ cat %s%s\n' "$green" "$1" "$plain"
  tee "$TOP$1"
}
