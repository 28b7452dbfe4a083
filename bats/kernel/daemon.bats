#!/usr/bin/env bats
# daemon_start, daemon_stop and daemon_restart: daemons that hooks start.

load kernel

# Usage: served [SIDE] <<<COMMANDS
# A type whose hook runs the COMMANDS.
served() {
  {
    echo 'NO_CONFIG_REQUIRED=yes'
    echo "configure_served_up_${1-inside}() {"
    cat
    echo '}'
  } | config served.sh
}

# Usage: pid_of NAME
# Prints the process ID of a daemon of served@a, or of its supervisor.
supervisor() { pgrep --full --exact "netnsinit --supervise / served@a $1"; }
pid_of() { pgrep --parent "$(supervisor "$1")"; }

# Usage: stopped
# Succeeds if no daemon and no supervisor runs, and nothing is recorded.
stopped() {
  ! pgrep --full 'netnsinit --supervis[e]|sleep 99[9]' >/dev/null && [[ -z $(find /run/systemd-netns/daemons -type f 2>/dev/null) ]]
}

setup() {
  rm -rf "$CONF" "$SHARE"
  mkdir -p "$CONF" "$SHARE"
  create a
  mkdir -p /etc/netns/a
  echo 'nameserver 192.0.2.53' >/etc/netns/a/resolv.conf
}

teardown() {
  [[ ! -e $CONF/served.sh ]] || hook served a down outside || true
  stopped
  if mountpoint --quiet /run/netns; then umount --lazy --recursive /run/netns; fi
  rm -rf /run/netns /run/systemd-netns /etc/netns /run/said
}

@test "a daemon runs in the namespace with its files, an empty stdin and a clean environment, in its own session, until down" {
  # shellcheck disable=SC2016 # for the daemon to expand
  served <<'END'
    export SECRET=x
    daemon_start one bash -c '
      readlink /proc/self/ns/net /proc/self/fd/0 >/run/said
      cat /etc/resolv.conf >>/run/said
      echo "$PWD $(umask) ${SECRET-clean}" >>/run/said
      grep SigBlk /proc/self/status >>/run/said
      ls /proc/self/fd >>/run/said
      exec sleep 999'
END
  hook served a up inside
  readarray -t said </run/said
  [[ ${said[0]} == "net:[$(stat --format %i /run/netns/a)]" ]]
  [[ ${said[1]} == /dev/null && ${said[2]} == 'nameserver 192.0.2.53' && ${said[3]} == '/ 0022 clean' ]]
  [[ ${said[4]} =~ ^SigBlk:[[:space:]]0+$ ]]
  [[ ${said[*]:5} == '0 1 2 3' ]] # 3 is the directory
  pid=$(pid_of one)
  [[ $(ps -o sid= -p "$pid" | tr -d ' ') == "$(supervisor one)" ]]
  hook served a down inside
  [[ -e /proc/$pid ]]
  hook served a down outside
  [[ ! -e /proc/$pid ]]
  stopped
}

@test "--host-files, --outside and --user" {
  rm -f /etc/resolv.conf
  echo '# the host' >/etc/resolv.conf
  # shellcheck disable=SC2016 # for the daemon to expand
  served <<'END'
    say='readlink /proc/self/ns/net; cat /etc/resolv.conf; echo "$(id -un) $(id -Gn) $HOME $USER"; exec sleep 999'
    mkdir -p /run/said
    chmod 1777 /run/said
    daemon_start files --host-files bash -c "exec >/run/said/files; $say"
    daemon_start outside --outside bash -c "exec >/run/said/outside; $say"
    daemon_start user --user nobody bash -c "exec >/run/said/user; $say"
END
  hook served a up inside
  [[ $(</run/said/files) == "net:"*$'\n# the host\nroot root '* && $(</run/said/files) != "$(readlink /proc/self/ns/net)"* ]]
  [[ $(</run/said/outside) == "$(readlink /proc/self/ns/net)"$'\n# the host\nroot '* ]]
  [[ $(</run/said/user) == *$'\nnameserver 192.0.2.53\nnobody nogroup /nonexistent nobody' ]]
}

@test "an outside hook starts a daemon in the namespace, too" {
  served outside <<<"daemon_start one bash -c 'readlink /proc/self/ns/net >/run/said; exec sleep 999'"
  hook served a up outside
  [[ $(</run/said) == "$(inside a readlink /proc/self/ns/net)" ]]
}

@test "the hook fails if the command does not exist, ends at once, or the user is unknown, and nothing is left" {
  for command in 'nosuch-program' "bash -c 'echo too early; exit 3'" true '--user nosuch sleep 999' '--nosuch sleep 999' ''; do
    served <<<"daemon_start one $command"
    run -1 hook served a up inside
    case $command in
      nosuch-program) [[ $output == *"cannot start daemon 'one': "*'cannot run nosuch-program'* ]] ;;
      bash*) [[ $output == *'too early'*"cannot start daemon 'one': it has ended at once (exit status: 3)"* ]] ;;
      true) [[ $output == *'a daemon must stay in the foreground'* ]] ;;
      *nobody*) [[ $output == *'unknown user'* ]] ;;
      --nosuch*) [[ $output == *'unknown option --nosuch'* ]] ;;
    esac
    [[ $output == *"served.sh:3"* ]]
    stopped
    [[ ! -e $MEMORY/served@a ]]
  done
  served <<<'daemon_start ../x sleep 999'
  run -1 hook served a up inside
  [[ $output == *"invalid name of a daemon '../x'"* ]]
}

@test "--ready waits until the command succeeds in the namespace, and fails if the daemon ends before" {
  inside a ip link set dev lo up
  served <<<"daemon_start one --ready 'exec 4<>/dev/tcp/127.0.0.1/8080' python3 -m http.server 8080"
  hook served a up inside
  inside a bash -c 'exec 4<>/dev/tcp/127.0.0.1/8080'
  hook served a down outside
  served <<<"daemon_start one --ready 'test -e /run/nosuch' bash -c 'sleep 0.5; exit 4'"
  run -1 hook served a up inside
  [[ $output == *'it has ended at once (exit status: 4)'* ]]
}

@test "the same arguments keep the daemon, and other ones restart it" {
  served <<<'daemon_start one sleep 999'
  hook served a up inside
  first=$(pid_of one)
  restart_inside served a
  [[ $(pid_of one) == "$first" ]]
  served <<<'daemon_start one sleep 9999'
  restart_inside served a
  [[ $(pid_of one) != "$first" && ! -e /proc/$first ]]
}

@test "daemon_restart and daemon_stop" {
  served <<'END'
    daemon_start one sleep 999
    daemon_start two sleep 999
    pgrep --parent "$(pgrep --full --exact 'netnsinit --supervise / served@a one')" >/run/said
    daemon_restart one
    daemon_stop two
    daemon_stop two
END
  hook served a up inside
  [[ $(pid_of one) != "$(</run/said)" ]]
  run ! supervisor two
  served <<<'daemon_restart two'
  run -1 hook served a up inside
  [[ $output == *"daemon 'two' was not started with daemon_start"* ]]
}

@test "a daemon that ends is started again, after a delay that doubles" {
  served <<<"daemon_start one bash -c 'date +%s%N >>/run/said; sleep 0.4; exit 5'"
  hook served a up inside
  eventually bash -c '(($(wc -l </run/said) >= 3))'
  readarray -t times </run/said
  ((times[1] - times[0] >= 1400000000 && times[2] - times[1] >= 2400000000))
}

@test "a hook that fails later stops the daemons that it has started" {
  served <<<'daemon_start one sleep 999; false'
  run -1 hook served a up inside
  stopped
}

@test "down ends processes that ignore SIGTERM or have left the process group, also if the supervisor was killed" {
  served <<<"daemon_start one bash -c 'trap \"\" TERM; setsid sleep 999 & sleep 999 & wait; sleep 999'"
  hook served a up inside
  hook served a down outside
  stopped
  served <<<"daemon_start one bash -c 'trap \"\" TERM; sleep 999 & wait; sleep 999'"
  hook served a up inside
  kill -KILL "$(supervisor one)"
  hook served a down outside
  stopped
}

@test "a hook that is killed at any moment leaves nothing that down does not end" {
  served <<<'daemon_start one sleep 999; daemon_start two sleep 999'
  for delay in 0 0.01 0.02 0.03 0.05 0.1 0.2 0.3; do
    nsenter --net=/run/netns/a -- setsid netnsinit served a up inside >/dev/null 2>&1 3>&- &
    sleep "$delay"
    kill -KILL -- "-$!" 2>/dev/null || kill -KILL "$!" || true
    wait "$!" || true
    hook served a down outside
    eventually stopped
  done
}

@test "a traced hook prints the command" {
  served <<<"daemon_start one sleep 999; daemon_start two --outside sleep '99 9' || :"
  # The daemon has the stderr of the hook, so `run` would wait for its end.
  inside a netnsinit --trace served a up inside >/run/said 2>&1
  grep --quiet --line-regexp --fixed-strings '+ ip netns exec a sleep 999 &' /run/said
  grep --quiet --line-regexp --fixed-strings "+ sleep '99 9' &" /run/said
}
