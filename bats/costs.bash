# shellcheck shell=bash
# The cost of a command in processes, programs and system calls. Unlike times, these counts are stable. System calls are only those
# of our programs: the calls of bash and ip differ between distributions.

# System calls that are not counted: the C library (glibc or musl) decides how memory is allocated and how much of a directory is
# read at a time, and the number of waits depends on the timing of the processes.
UNCOUNTED=brk,mmap,munmap,mprotect,mremap,madvise,getdents64
UNCOUNTED+=,futex,wait4,waitid,poll,ppoll,sched_yield,restart_syscall,rt_sigprocmask,rt_sigreturn,rt_sigsuspend

# Usage: trace COMMAND...
# Runs a command with the prefix in the array `at` (by default on this machine), and writes its system calls to the file $TRACE.
# Functions exported by bats are removed from the environment: they could be hooks.
trace() {
  TRACE=$BATS_TEST_TMPDIR/trace
  "${at[@]}" env --ignore-environment PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin \
    strace -f -qq --signal=none --trace="!$UNCOUNTED" --output=/dev/fd/9 "$@" 9>"$TRACE" >/dev/null
}

# Usage: count
# Sets `processes`, `programs` and `calls` to the counts in $TRACE. A process is the first process or a fork, including subshells of
# bash, but not threads. A program is a successful execve. An interrupted call is on two lines, and counts once.
# A process is ours from the execve of one of our programs to the next one, and so are its threads and forks. A fork can be traced
# before its number is known: `early` counts its calls until then.
# musl opens a file with close-on-exec, and sets the flag again: these calls are not counted.
count() {
  read -r processes programs calls < <(awk '
    BEGIN { processes = 1; calls = 0 }
    / (clone3?|v?fork)\(/ && !/CLONE_THREAD/ { processes++ }
    / execve\(/ { executes_ours[$1] = / execve\("[^"]*\/netns(ctl|init|-update|-nft-save)"/ }
    / (execve\(|<\.\.\. execve resumed>).* = 0$/ { programs++; ours[$1] = executes_ours[$1] }
    / (clone3?\(|v?fork\(|<\.\.\. (clone3?|v?fork) resumed>).* = [0-9]+$/ {
      is_ours = $1 in ours && ours[$1]
      if (is_ours) calls += early[$NF]
      if (!($NF in ours)) ours[$NF] = is_ours
    }
    / <\.\.\. [a-z0-9_]+ resumed>| fcntl\([0-9]+, F_SETFD, FD_CLOEXEC/ { next }
    !($1 in ours) { early[$1]++; next }
    ours[$1] { calls++ }
    END { print processes, programs, calls }' "$TRACE")
}

# Usage: costs PROCESSES PROGRAMS CALLS COMMAND...
# Succeeds if a command takes this many processes and programs, including itself, and our programs make at most this many system calls.
costs() { trace "${@:4}" && trace_costs "$@"; }

# Usage: trace_costs PROCESSES PROGRAMS CALLS WORD...
# The same for the contents of $TRACE. `bats --show-output-of-passing-tests` shows the counts.
trace_costs() {
  local processes programs calls
  count
  echo "$processes $programs $calls ${*:4}"
  ((processes == $1 && programs == $2 && calls <= $3)) || {
    echo "where $1 processes, $2 programs and at most $3 system calls were expected" >&2
    return 1
  }
}

# Usage: calls COMMAND...
# Prints the number of system calls of a command.
calls() {
  local processes programs calls
  trace "$@"
  count
  echo "$calls"
}

# Usage: idle_calls REST
# Prints the limit for a netns-update without instances: six system calls for each shipped type, twelve for each that has rules on the
# host, 21 for each directory of drop-ins of a type that comes up after the interfaces (it has two), and the REST.
idle_calls() {
  local types=("${BASH_SOURCE[0]%/*}"/../plugins/*.sh)
  declaring() { grep --files-with-matches "^# $1" "${types[@]}" | wc --lines; }
  echo $(($1 + ${#types[@]} * 6 + $(declaring 'Provides: host-rules') * 12 + $(declaring 'After: links') * 2 * 21))
}
