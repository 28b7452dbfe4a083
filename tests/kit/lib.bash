# shellcheck shell=bash
# Helpers for the `do` files. CMD holds the command under test.

# Usage: note WORD...
# Adds a line to what was seen.
note() { printf '%s\n' "$*" >>/mnt/obs; }

# Usage: nn WORD...
# Runs the command under test and notes its exit status.
nn() {
  "${CMD[@]}" "$@" >/mnt/out 2>/mnt/err
  note "rc=$?"
}

# Usage: nx WORD...
# The same, but notes only whether it succeeded.
nx() { if "${CMD[@]}" "$@" >/mnt/out 2>/mnt/err; then note ok; else note failed; fi; }

# Usage: inns NAMESPACE WORD...
# As nn, with only the network namespace changed.
inns() {
  nsenter --net="/run/netns/$1" "${CMD[@]}" "${@:2}" >/mnt/out 2>/mnt/err
  note "rc=$?"
}

# Usage: innx NAMESPACE WORD...
# As nx, with only the network namespace changed.
innx() {
  if nsenter --net="/run/netns/$1" "${CMD[@]}" "${@:2}" >/mnt/out 2>/mnt/err; then note ok; else note failed; fi
}

# Usage: said TEXT
# Notes whether the last run had TEXT on its stdout.
said() { if grep -qF -- "$1" /mnt/out; then note "stdout has: $1"; else note "stdout lacks: $1"; fi; }

# Usage: err_has TEXT
# Notes whether the last run had TEXT on its stderr.
err_has() { if grep -qF -- "$1" /mnt/err; then note "stderr has: $1"; else note "stderr lacks: $1"; fi; }

# Usage: told TEXT
# Notes whether either stream had TEXT, shell tracing left aside.
told() { if cat /mnt/out <(grep -v '^+' /mnt/err) | grep -qF -- "$1"; then note "told: $1"; else note "not told: $1"; fi; }

# Usage: blamed TEXT...
# Notes whether the last line on stderr has each TEXT in it (`t.sh:1` is not in `t.sh:12`); shows that line if not.
blamed() {
  local last text
  last=$(tail -n 1 /mnt/err)
  for text; do
    if [[ $last != *"$text"?([!0-9]*) ]]; then
      note "does not blame '$text': $last"
      return
    fi
  done
  note "blamed: $*"
}

# Usage: unblamed
# Notes whether stderr is free of any line of netnsinit's own.
unblamed() { if grep -q '^netnsinit:' /mnt/err; then note "blames: $(grep '^netnsinit:' /mnt/err)"; else note 'blames nothing'; fi; }

# Usage: hook TEXT
# Makes TEXT the body of the only hook of type t. It begins on line 3 of t.sh.
hook() { printf 'NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() {\n%s\n}\n' "$1" >"$etc/t.sh"; }

# Usage: like_bash LABEL
# Notes whether the type t does in netnsinit what it does in a bare bash: the same stdout, the same status.
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

# The two directories, for the `do` files.
# shellcheck disable=SC2034
etc=/etc/conf.d/netns usr=/usr/share/systemd-netns
