#!/usr/bin/env bats
# netnsctl run --user: the terminal, file descriptors and environment that another user gets from root.

load ../engine/engine

TERMINAL=(python3 "$ROOT/bats/netnsctl/terminal.py")
RUN=(netnsctl run --user bob a --)

setup() {
  # A user with their own groups, none of which root is in.
  grep --quiet '^bob:' /etc/passwd || {
    echo 'bob:x:12345:12345:Bob:/run/bob:/bin/bash' >>/etc/passwd
    printf '%s\n' 'bob:x:12345:' 'team:x:12346:bob' 'other:x:12347:bob' >>/etc/group
    install -d -o 12345 -g 12345 /run/bob
  }
  netnsctl up lo@a
}

# Usage: on_terminal STEP... -- COMMAND...
# Sets `output` to the output of COMMAND on a terminal, and its exit status.
on_terminal() { run -0 "${TERMINAL[@]}" "$@"; }

# Usage: ended STATUS
# Succeeds if the command has this status (negative: a signal), and the terminal is unchanged.
ended() { [[ ${lines[-1]} == "ended with $1, terminal restored" ]]; }

@test "another user cannot type on root's terminal" {
  cat >/run/push.py <<'END'
import fcntl, os, termios
for fd in 0, 1, 2, os.open("/dev/tty", os.O_RDWR):
    for byte in b"touch /run/pushed\n":
        try:
            fcntl.ioctl(fd, termios.TIOCSTI, bytes([byte]))
        except OSError:
            pass
END
  # Each way to get root's terminal: through all three descriptors, through one, and only through /dev/tty.
  for redirection in '' '</dev/null' '>/dev/null' '</dev/null >/dev/null 2>&1'; do
    # shellcheck disable=SC2016 # for the shell on the terminal
    on_terminal 'expect:root$ ' "send:${RUN[*]} python3 /run/push.py $redirection\n" 'expect:root$ ' \
      'send:echo all $((1 + 1)) done\n' 'expect:all 2 done' 'expect:root$ ' 'send:exit\n' -- \
      env 'PS1=root$ ' bash --norc --noprofile -i
    [[ ! -e /run/pushed ]]
  done
  rm /run/push.py
}

@test "another user gets none of root's terminals: not as stdin, stdout or stderr, and not as /dev/tty" {
  on_terminal -- bash -c "tty; ${RUN[*]} bash -c 'tty <&0; tty <&1; tty <&2; ps -o tty= -p \$\$'"
  mapfile -t seen < <(grep -E 'pts/|not a tty' <<<"$output")
  ((${#seen[@]} == 5))
  for at in 1 2 3; do [[ ${seen[at]} == /dev/pts/* && ${seen[at]} != "${seen[0]}" ]]; done
  [[ /dev/${seen[4]} == "${seen[1]}" ]]
  # The terminal belongs to the user.
  on_terminal -- "${RUN[@]}" bash -c 'stat --format=%U "$(tty)"; echo opened >"$(tty)"'
  [[ $output == bob*opened* ]]
}

@test "the command has the groups of the user, no capability, and no_new_privs unchanged" {
  show='id --user --real; id --groups; grep -E "^(Cap(Inh|Prm|Eff|Amb)|NoNewPrivs|Uid|Gid)" /proc/self/status'
  expected=$(printf '%s\n' 12345 '12345 12346 12347' $'Uid:\t12345\t12345\t12345\t12345' \
    $'Gid:\t12345\t12345\t12345\t12345' $'CapInh:\t0000000000000000' $'CapPrm:\t0000000000000000' \
    $'CapEff:\t0000000000000000' $'CapAmb:\t0000000000000000' $'NoNewPrivs:\t')
  run -0 setpriv --inh-caps=+net_raw --ambient-caps=+net_raw "${RUN[@]}" bash -c "$show"
  [[ $output == "${expected}0" ]]
  run -0 setpriv --no-new-privs "${RUN[@]}" bash -c "$show"
  [[ $output == "${expected}1" ]]
  on_terminal -- setpriv --inh-caps=+net_raw --ambient-caps=+net_raw "${RUN[@]}" bash -c "$show"
  [[ $output == "${expected}0"* ]]
  # Also if the kernel was configured to keep capabilities when the user changes.
  run -0 setpriv --securebits=+no_setuid_fixup "${RUN[@]}" bash -c "$show"
  [[ $output == "${expected}0" ]]
}

@test "no file descriptor above 2 is inherited" {
  exec {secret}</etc/shadow
  run -0 "${RUN[@]}" bash -c 'ls -1 /proc/$$/fd; true'
  [[ $output == $'0\n1\n2' ]]
  on_terminal -- "${RUN[@]}" bash -c 'ls -1 /proc/$$/fd; true'
  [[ $output == $'0\n1\n2\n'* ]]
  exec {secret}<&-
}

@test "the environment is that of a login, and --preserve-env keeps the listed variables" {
  export SECRET=s3cret KEPT='a b' OTHER=c SSH_AUTH_SOCK=/run/agent TERM=vt100
  run -0 "${RUN[@]}" env
  path=$(sed -n 's/^ENV_PATH[[:space:]]*PATH=//p' /etc/login.defs)
  [[ $(sort <<<"$output") == $(printf '%s\n' HOME=/run/bob LOGNAME=bob "PATH=$path" SHELL=/bin/bash TERM=vt100 USER=bob) ]]
  run -0 netnsctl run --user bob --preserve-env=KEPT,OTHER,UNSET a -- env
  [[ $output == *'KEPT=a b'* && $output == *OTHER=c* && $output != *UNSET* && $output != *s3cret* && $output == *HOME=/run/bob* ]]
  run -2 netnsctl run --preserve-env=KEPT a -- env
  # Also for root, if root is the argument.
  run -0 netnsctl run --user root a -- env
  [[ $output == *HOME=/root* && $output != *s3cret* ]]
  cd /usr
  run -0 "${RUN[@]}" pwd
  [[ $output == /usr ]]
}

@test "the exit status is that of the command, 126 or 127 without one, and a signal is passed on" {
  install -m 700 /dev/null /run/closed
  for way in 'run' on_terminal; do
    status_of() { if [[ $way == run ]]; then
      run "$1" "${RUN[@]}" "${@:2}"
    else
      on_terminal -- "${RUN[@]}" "${@:2}"
      ended "${1#-}"
    fi; }
    status_of -7 bash -c 'exit 7'
    status_of -0 true
    status_of -127 nosuch
    status_of -126 /etc/passwd
    status_of -126 /run/closed
  done
  run -143 "${RUN[@]}" bash -c 'kill -TERM $$'
  on_terminal -- "${RUN[@]}" bash -c 'kill -TERM $$'
  ended -15
  on_terminal -- "${RUN[@]}" bash -c 'kill -KILL $$'
  ended -9
  run -7 bash -o pipefail -c "${RUN[*]} sh -c 'exit 7' </dev/null | cat"
  rm /run/closed
}

@test "an unknown user is an error, and nothing is started" {
  netnsctl down a
  run --separate-stderr -2 netnsctl run --up --user nosuch a -- true
  [[ $stderr == *'unknown user `nosuch`'* ]]
  gone a
}

@test "the size of the window and its changes are passed on" {
  on_terminal expect:ready resize:40x100 expect:40 -- \
    "${RUN[@]}" bash -c 'trap "stty size; exit" WINCH; stty size; echo ready; while :; do sleep 0.05; done'
  [[ $output == *'24 80'*'40 100'* ]]
  ended 0
}

@test "^C interrupts the command" {
  on_terminal expect:ready 'send:\x03' expect:interrupted -- \
    "${RUN[@]}" bash -c 'trap "echo interrupted; exit 3" INT; echo ready; while :; do sleep 0.05; done'
  ended 3
  # Also if stdin and stdout are redirected, and the terminal belongs to another program.
  # shellcheck disable=SC2016 # for the shell on the terminal
  on_terminal expect:ready 'send:\x03' expect:interrupted 'expect:root$ ' 'send:exit\n' -- \
    env 'PS1=root$ ' bash --norc --noprofile -ic "trap : INT; ${RUN[*]} bash -c 'trap \"echo interrupted >&2; exit 3\" INT; echo ready >&2; while :; do sleep 0.05; done' </dev/null | cat; exec bash --norc --noprofile -i"
}

@test "^C ends the script that runs the command" {
  on_terminal expect:ready 'send:\x03' -- \
    bash -c "for i in 1 2; do ${RUN[*]} bash -c 'echo ready; for n in {1..400}; do sleep 0.05; done'; done; echo after"
  [[ $output != *after* ]]
  ended -2
}

@test "^Z stops the command, and fg continues it" {
  # shellcheck disable=SC2016 # for the shell on the terminal
  on_terminal 'expect:root$ ' "send:${RUN[*]} bash -c 'echo st\"\"arted; read line; echo got \$line'\n" expect:started \
    'send:\x1a' expect:Stopped 'expect:root$ ' 'send:stty -a | grep -w -e "[-]icanon" || echo can""onical\n' expect:canonical 'expect:root$ ' \
    'send:fg\n' 'expect:read line' 'send:words\n' 'expect:got words' 'expect:root$ ' 'send:exit\n' -- \
    env 'PS1=root$ ' bash --norc --noprofile -i
}

@test "a shell of the user has job control" {
  # shellcheck disable=SC2016 # for the shell on the terminal
  on_terminal 'send:PS1="bo""b> "\n' 'expect:bob> ' 'send:bash -c "echo re\"\"ady; exec sed -u s/^/got:/"\n' expect:ready 'send:a\n' expect:got:a \
    'send:\x1a' expect:Stopped 'expect:bob> ' 'send:jobs\n' expect:Stopped 'expect:bob> ' \
    'send:fg\n' 'send:b\n' expect:got:b 'send:\x03' 'expect:bob> ' 'send:exit 5\n' -- \
    "${RUN[@]}" bash --norc --noprofile -i
  [[ $output != *'no job control'* ]]
  ended 5
}

@test "a background job that reads is stopped, and continues in the foreground" {
  # shellcheck disable=SC2016 # for the shell on the terminal
  on_terminal 'expect:root$ ' "send:${RUN[*]} bash -c 'read line; echo got \$line' &\n" 'expect:root$ ' 'send:\n' 'expect:root$ ' \
    'send:until jobs | grep -q Stopped; do sleep 0.05; done; echo it waits\n' 'expect:it waits' 'expect:root$ ' \
    'send:fg\n' 'expect:netnsctl' 'send:words\n' 'expect:got words' 'expect:root$ ' 'send:exit\n' -- \
    env 'PS1=root$ ' bash --norc --noprofile -i
}

@test "in a pipe, the keys belong to the program that reads them" {
  # The last program reads the terminal, as a pager does.
  on_terminal expect:ready 'send:words\n' expect:pager -- \
    bash -c "${RUN[*]} bash -c 'echo line; sleep 300' | { read -r line; echo ready >&2; read -r key </dev/tty; echo \"pager got \$line and \$key\" >&2; kill 0; }"
  [[ $output == *'pager got line and words'* ]]
  # The first program reads it.
  on_terminal expect:ready 'send:words\n' expect:got -- \
    bash -c "${RUN[*]} bash -c 'echo ready >&2; read -r line; echo got \$line' | cat"
  [[ $output == *'got words'* ]]
  ended 0
}

@test "redirected output does not appear on the terminal, and is unchanged" {
  on_terminal -- bash -c "${RUN[*]} bash -c 'printf \"a\\nb\\n\"; tty <&2 >&2' >/run/printed"
  [[ $(od -An -c /run/printed | tr -d ' ') == 'a\nb\n' && $output == */dev/pts/* ]]
  rm /run/printed
  on_terminal -- bash -c "echo words | ${RUN[*]} cat"
  [[ ${lines[0]} == words ]]
  ended 0
}

@test "all output of a command appears before it ends" {
  on_terminal -- "${RUN[@]}" bash -c 'yes 0123456789 | head -c 1100000; echo; echo end'
  ((${#output} > 1100000))
  [[ ${lines[-2]} == end ]]
  ended 0
}

@test "the terminal gets its settings back after any end of the command and of netnsctl" {
  for kill in TERM HUP INT QUIT; do
    # Bash ignores SIGQUIT until the exec.
    on_terminal expect:ready "kill:$kill" -- "${RUN[@]}" sh -c 'echo ready; exec sleep 300'
    [[ ${lines[-1]} == "ended with -"*", terminal restored" ]]
  done
  on_terminal expect:ready kill:TERM expect:terminated -- \
    "${RUN[@]}" bash -c 'trap "echo terminated; exit 4" TERM; stty raw; echo ready; while :; do sleep 0.05; done'
  ended 4
}

@test "no process is left if the terminal disappears, or netnsctl is killed" {
  on_terminal expect:ready hangup -- "${RUN[@]}" bash -c 'echo ready; exec sleep 31415'
  eventually bash -c '! pgrep -f "[s]leep 31415"'
  # Also if the command ignores the signal: it reads the end of its terminal.
  on_terminal expect:ready hangup -- "${RUN[@]}" bash -c 'trap "" HUP; echo ready; exec sed s/no-such-31415//'
  eventually bash -c '! pgrep -f "[n]o-such-31415"'
  on_terminal expect:ready kill:KILL -- "${RUN[@]}" bash -c 'echo ready; exec sleep 31415'
  eventually bash -c '! pgrep -f "[s]leep 31415"'
}
