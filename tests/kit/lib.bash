# shellcheck shell=bash
# Functions for the `do` files. CMD is the command under test.

# Usage: note TEXT...
# Adds a line to the observations.
note() { printf '%s\n' "$*" >>/mnt/obs; }

# Usage: run ARGUMENT...
# Runs the command under test, and notes its exit status.
run() {
  "${CMD[@]}" "$@" >/mnt/out 2>/mnt/err
  note "rc=$?"
}

# Usage: run_ok ARGUMENT...
# Runs the command under test, and notes only if it succeeded.
run_ok() { if "${CMD[@]}" "$@" >/mnt/out 2>/mnt/err; then note ok; else note failed; fi; }

# Usage: run_in NAMESPACE ARGUMENT...
# Like run, in a network namespace.
run_in() {
  nsenter --net="/run/netns/$1" "${CMD[@]}" "${@:2}" >/mnt/out 2>/mnt/err
  note "rc=$?"
}

# Usage: run_ok_in NAMESPACE ARGUMENT...
# Like run_ok, in a network namespace.
run_ok_in() {
  if nsenter --net="/run/netns/$1" "${CMD[@]}" "${@:2}" >/mnt/out 2>/mnt/err; then note ok; else note failed; fi
}

# Usage: stdout_has TEXT
# Notes if stdout of the last run has TEXT.
stdout_has() { if grep -qF -- "$1" /mnt/out; then note "stdout has: $1"; else note "stdout lacks: $1"; fi; }

# Usage: stderr_has TEXT
# Notes if stderr of the last run has TEXT.
stderr_has() { if grep -qF -- "$1" /mnt/err; then note "stderr has: $1"; else note "stderr lacks: $1"; fi; }

# Usage: output_has TEXT
# Notes if stdout or stderr of the last run has TEXT. Lines of a bash trace do not count.
output_has() {
  if cat /mnt/out <(grep -v '^+' /mnt/err) | grep -qF -- "$1"; then note "output has: $1"; else note "output lacks: $1"; fi
}

# Usage: reported TEXT...
# Notes if the last line on stderr has each TEXT (`t.sh:12` does not have `t.sh:1`). Otherwise, notes the line.
reported() {
  local last text
  last=$(tail -n 1 /mnt/err)
  for text; do
    if [[ $last != *"$text"?([!0-9]*) ]]; then
      note "does not report '$text': $last"
      return
    fi
  done
  note "reported: $*"
}

# Usage: nothing_reported
# Notes if netnsinit itself has printed nothing to stderr. Otherwise, notes its lines.
nothing_reported() {
  if grep -q '^netnsinit:' /mnt/err; then note "reports: $(grep '^netnsinit:' /mnt/err)"; else note 'reports nothing'; fi
}

# Usage: write_hook TEXT
# Writes t.sh with one hook. TEXT is the body of the hook, and begins on line 3.
write_hook() { printf 'NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() {\n%s\n}\n' "$1" >"$etc/t.sh"; }

# Usage: like_bash LABEL
# Notes if the type t has the same stdout and the same status in netnsinit and in a bare bash.
like_bash() {
  local ours plain ours_status plain_status
  ours=$("${CMD[@]}" t n up outside 2>/mnt/err)
  ours_status=$?
  plain=$(bash "$KIT/plain.bash" t n up outside 2>/mnt/plain.err)
  plain_status=$?
  ours=$(grep -v "^Starting 'configure_\|^No configuration required" <<<"$ours")
  if [[ $ours == "$plain" && $ours_status == "$plain_status" ]]; then
    note "$1: like bash"
  else
    note "$1: netnsinit (status $ours_status):" "${ours@Q}" "bash (status $plain_status):" "${plain@Q}"
  fi
}

# The two directories.
# shellcheck disable=SC2034 # the `do` files use them
etc=/etc/conf.d/netns usr=/usr/share/systemd-netns
