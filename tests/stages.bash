# shellcheck shell=bash
# Stages of tests, and their results. A script that sources this file prints `$passed passed, $failed failed` as its last line.

passed=0 failed=0 failures=() pids=()
recordings=$(mktemp --directory)
trap end_background EXIT

# Usage: stage NAME COUNT COMMAND...
# Runs a command and adds its results with the function COUNT. A failed command is always a failure.
stage() {
  local name=$1 count=$2 output status good bad
  shift 2
  printf '\n== %s\n' "$name"
  output=$(mktemp)
  "$@" 2>&1 | tee "$output"
  status=${PIPESTATUS[0]}
  read -r good bad < <("$count" <"$output")
  if ((status != 0 && bad == 0 || good + bad == 0)); then
    echo "$name ended with status $status after $good tests" | tee -a "$output" >&2
    bad=$((bad + 1))
  fi
  ((bad == 0)) || failures+=("$name"$'\n'"$(summarize_failures <"$output")")
  grep '^# shown: ' "$output" >>"$recordings/shown" || true
  rm -f "$output"
  passed=$((passed + good)) failed=$((failed + bad))
}

# Prints the first lines of each failure in the output of a stage, or the end of the output if no failure is found.
summarize_failures() {
  awk '
    /^(ok|passed|test) / { left = 0 }
    /^(not ok|FAILED) / || /^---- .* stdout ----$/ { left = 25; found = 1 }
    left-- > 0 { print "  " $0 }
    { last[NR % 25] = $0 }
    END { if (!found) for (line = NR - 24; line <= NR; line++) if (line > 0) print "  " last[line % 25] }'
}

# Repeats the failures at the end, because the first report is far above.
repeat_failures() {
  local failure
  for failure in "${failures[@]}"; do printf '\nFAILED: %s\n' "$failure"; done
}

# bats: `1..N` for each run, `ok`, `not ok`. A skipped or missing test is a failure.
count_tap() {
  awk '/^1\.\./ { planned += substr($1, 4) } /^ok / && !/ # skip/ { good++ } END { print good + 0, planned - good }'
}

# The kit: its last line.
count_kit() { awk '/ passed, / { good = $1; bad = $3 } END { print good + 0, bad + 0 }'; }

# Prints the state that the tests must not change: links and rules on the host and in every namespace, mounts, settings with their
# contents, processes of the program. Parts that change by themselves are left out.
machine_state() {
  local namespace
  for namespace in /proc/self/ns/net /run/netns/*; do
    [[ -e $namespace ]] || continue
    echo "$namespace"
    nsenter --net="$namespace" ip -json -details link | sed -E 's/"[a-z_]+_timer": ?[0-9.]+,?//g'
    nsenter --net="$namespace" nft --json list ruleset
  done
  find /etc/conf.d /etc/netns /etc/systemd -xdev -type f -exec sha256sum {} + 2>/dev/null | sort
  cut -d ' ' -f 4- /proc/self/mountinfo | sort
  find /etc /run -xdev -regextype posix-extended \
    -regex '/run/(lock|log|udev|user|utmp|systemd/(inhibit|journal|sessions|transient|units|users))' -prune \
    -o -printf '%p %l %M %s\n' 2>/dev/null | sort
  pgrep '^netns' | xargs --no-run-if-empty ps -o comm= | sort
}

# Usage: table_is_current
# Compares the table of docs/types.md with what the tests have shown.
table_is_current() {
  diff --label docs/types.md --label 'the tests' --unified=0 <(grep '^| [a-z]* | [0-9]' docs/types.md) \
    <(tests/types-table <"$recordings/shown" | tail -n +3) && echo 'the table is current'
}

count_table() { awk '{ good = /^the table is current$/ } END { print good + 0, 1 - good }'; }

# Usage: unchanged BEFORE
# Compares the state of the machine with an earlier state.
unchanged() { diff <(echo "$1") <(machine_state) && echo 'the machine is unchanged'; }

count_unchanged() { awk '{ good = /^the machine is unchanged$/ } END { print good + 0, 1 - good }'; }

# Usage: record NAME COMMAND...
# Runs a command, and records its output and status. `replay NAME` later prints the output and returns the status.
record() {
  "${@:2}" >"$recordings/$1" 2>&1
  echo "$?" >"$recordings/$1.status"
}
replay() {
  cat "$recordings/$1"
  return "$(<"$recordings/$1.status")"
}

# Usage: in_background FUNCTION...
# Runs functions one after the other in the background, in their own process group, at the same time as the stages.
in_background() {
  local function
  set -m
  for function; do "$function"; done &
  set +m
  pids+=("$!")
}

# Ends the background processes, and removes their recordings.
end_background() {
  local pid
  for pid in "${pids[@]}"; do kill -- "-$pid" 2>/dev/null; done
  rm -rf "$recordings"
}
