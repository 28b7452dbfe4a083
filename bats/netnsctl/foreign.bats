#!/usr/bin/env bats
# netnsctl does not print names chosen by other programs to a terminal without escaping them.

load ../engine/engine

# A title, a colour, C1, a change of direction, DEL: sequences that a terminal interprets. The kernel accepts each as interface name.
TITLE=$'\e]0;x\a'
COLOUR=$'\e[35m'
C1=$'\u009b31m'
BIDI=$'a\u202eb\x7f'
INVALID=$'i\x9b31m'

# Usage: odd_namespace
# Brings up a namespace with hostile names of interfaces, processes and rules.
odd_namespace() {
  netnsctl up lo@a veth@nstest nft@nstest
  local at=0 name
  for name in "$TITLE" "$COLOUR" "$C1" "$BIDI" "$INVALID"; do
    ip -netns a link add "$name" type veth peer name "p$at"
    at=$((at + 1))
  done
  ip netns exec nstest nft insert rule inet filter output ip daddr 192.0.2.129 counter drop comment \""$COLOUR$C1"\"
  # A newline in a name would begin a new line.
  ip netns exec a python3 -c 'import sys, time
open("/proc/self/comm", "wb").write(b"\x1b[35mc\x9b\n\x7fz")
open("/run/started", "w")
time.sleep(600)' 3>&- &
  sleeper=$!
  eventually test -e /run/started
  echo "VETH_IFADDR_OUTSIDE=$COLOUR" >"$CONF/veth-odd.conf"
  touch "$CONF/$COLOUR.conf" "$CONF/veth-${COLOUR}.conf"
}

# Usage: clean FILE
# Succeeds if a file has no control characters except newlines and, on a terminal, the program's own styles.
clean() {
  python3 - "$1" <<'END'
import re, sys
printed = open(sys.argv[1], "rb").read()
printed = re.sub(rb"\x1b\[(0|2|4|32|33|1;31|1)m", b"", printed)
text = printed.decode()
found = re.findall("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069]", text)
sys.exit(f"{found} in {text}" if found else 0)
END
}

# All output of netnsctl.
verbs() {
  printf '%s\n' 'list' 'list --json' 'status' 'status a' 'status a --json' 'graph' 'graph --json' 'graph --format dot' \
    'graph --format mermaid' 'graph --format svg' 'check' 'check --json' 'gc --dry-run' 'gc --dry-run --json' 'types' 'types --json' \
    'show veth@odd' 'show veth@odd --json' 'cat veth@odd up outside' 'leaktest nstest 192.0.2.129:9' \
    'leaktest nstest 192.0.2.129:9 --json' 'up veth@odd' 'down veth@odd' 'update --dry-run' $'status \e[35m' $'up \e]0;x\a@a' $'nosuch\u009b' \
    $'run --user \e[35m a true' $'run a \e[35m'
}

teardown() {
  kill "$sleeper" 2>/dev/null || true
  rm -f /run/started
  # The suite's own teardown.
  ip -all netns delete
  rm -rf /run/systemd-netns "${CONF:?}"/*
  cp -a "$BATS_FILE_TMPDIR"/conf/* "$CONF"
}

@test "no verb prints control characters of any source" {
  odd_namespace
  while IFS= read -r words; do
    IFS=' ' read -ra words <<<"$words"
    netnsctl "${words[@]}" >"$BATS_TEST_TMPDIR/printed" 2>&1 3>&- </dev/null || true
    [[ -s $BATS_TEST_TMPDIR/printed || ${words[0]} == gc ]]
    clean "$BATS_TEST_TMPDIR/printed"
    TERM=xterm python3 "$ROOT/bats/netnsctl/terminal.py" -- netnsctl "${words[@]}" >"$BATS_TEST_TMPDIR/printed" 3>&- </dev/null
    clean "$BATS_TEST_TMPDIR/printed"
  done < <(verbs)
}

@test "names with control characters are escaped for a terminal, and unchanged in JSON" {
  odd_namespace
  run -0 netnsctl status a
  [[ $output == *'\x1b]0;x\x07 DOWN'* && $output == *'\u009b31m DOWN'* && $output == *'a\u202eb\x7f DOWN'* && $output == *'i\x9b31m DOWN'* ]]
  [[ $output == *" "'\x1b[35mc\x9b\n\x7fz'* ]]
  for verb in 'status a' graph; do
    # shellcheck disable=SC2086 # words
    names=$(netnsctl $verb --json | jq --raw-output '.. | .interfaces? // empty | .[].name')
    for name in "$TITLE" "$COLOUR" "$C1" "$BIDI" 'i\x9b31m'; do grep --quiet --line-regexp --fixed-strings -e "$name" <<<"$names"; done
  done
  run -0 netnsctl leaktest nstest 192.0.2.129:9
  [[ $output == *'\x1b[35m\u009b31m'* ]]
  # A value is quoted for bash.
  shown=$(netnsctl show veth@odd | awk '$1 == "VETH_IFADDR_OUTSIDE" { print $2 }')
  [[ $(eval "printf %s $shown") == "$COLOUR" ]]
}

@test "an interface with a name that is not UTF-8 is shown" {
  odd_namespace
  for verb in 'status a' graph 'graph --format dot' 'graph --format svg'; do
    # shellcheck disable=SC2086 # words
    netnsctl $verb | grep --fixed-strings -e 'i\x9b31m' -e 'i\\x9b31m'
  done
}

@test "an address with a label that is not UTF-8 is shown" {
  odd_namespace
  ip -netns a address add 198.18.8.1/24 dev lo label $'lo:\x9bz'
  netnsctl status a | grep --fixed-strings 198.18.8.1/24
  netnsctl graph a | grep --fixed-strings 198.18.8.1/24
}
