# shellcheck shell=bash
# What a command costs: processes, programs and system calls, which unlike times do not wobble.

# What is left out of the calls. Not the program's, but its C library's (glibc or musl, as it was built) is how memory is
# had and how much of a directory is read at a time; and how often is waited depends on how the processes happen to meet.
UNCOUNTED=brk,mmap,munmap,mprotect,mremap,madvise,getdents64
UNCOUNTED+=,futex,wait4,waitid,poll,ppoll,sched_yield,restart_syscall,rt_sigprocmask,rt_sigreturn,rt_sigsuspend

# Usage: trace COMMAND...
# Runs a command where the array `at` says, on this machine if there is none, and notes its system calls in the file $TRACE.
# The functions that bats exports are kept from it: they could be hooks.
trace() {
  TRACE=$BATS_TEST_TMPDIR/trace
  "${at[@]}" env --ignore-environment PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin \
    strace -f -qq --signal=none --trace="!$UNCOUNTED" --output=/dev/fd/9 "$@" 9>"$TRACE" >/dev/null
}

# Usage: count
# Sets `processes`, `programs` and `calls` to what is in $TRACE. A process is the first one or a fork, be it a subshell of
# bash, and no thread; a program is an execve that came off; a call that others interrupt stands on two lines, and counts once.
# musl opens a file with close-on-exec, and sets that once more: these do not count.
count() {
  read -r processes programs calls < <(awk '
    BEGIN { processes = 1 }
    / (clone3?|v?fork)\(/ && !/CLONE_THREAD/ { processes++ }
    / (execve\(|<\.\.\. execve resumed>).* = 0$/ { programs++ }
    !/ <\.\.\. [a-z0-9_]+ resumed>| fcntl\([0-9]+, F_SETFD, FD_CLOEXEC/ { calls++ }
    END { print processes, programs, calls }' "$TRACE")
}

# Usage: costs PROCESSES PROGRAMS CALLS COMMAND...
# Whether a command takes that many processes and programs, itself included, and at most so many system calls.
costs() { trace "${@:4}" && took "$@"; }

# Usage: took PROCESSES PROGRAMS CALLS WORD...
# The same of what is in $TRACE. `bats --show-output-of-passing-tests` shows what was measured.
took() {
  local processes programs calls
  count
  echo "$processes $programs $calls ${*:4}"
  ((processes == $1 && programs == $2 && calls <= $3)) || {
    echo "where $1 processes, $2 programs and at most $3 system calls were expected" >&2
    return 1
  }
}

# Usage: calls COMMAND...
# Prints how many system calls it makes.
calls() {
  local processes programs calls
  trace "$@"
  count
  echo "$calls"
}
