# shellcheck shell=bash
# How the demonstrations tell what they do. The one that sources this defines `on COMMAND...`, which runs a command on the
# machine that is shown, and TOP, where its files are.

if [[ -t 1 && -z ${NO_COLOR-} ]]; then bold=$'\e[1m' green=$'\e[32m' plain=$'\e[0m'; else bold='' green='' plain=''; fi

# Usage: say TEXT
say() { printf '\n%s# %s%s\n' "$bold" "$*" "$plain"; }

# Usage: show COMMAND...
# Runs a command on the machine, as one would type it there.
show() {
  printf '%s$ %s%s\n' "$green" "$*" "$plain"
  on "$@"
}

# Usage: refused COMMAND...
# The same for a command that has to fail.
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
