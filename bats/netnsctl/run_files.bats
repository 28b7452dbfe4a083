#!/usr/bin/env bats
# A command of `netnsctl run` keeps the files of its namespace after changes on the host.

load ../engine/engine

setup() {
  netnsctl up lo@a
  mkdir -p /etc/netns/a
  echo 'nameserver 192.0.2.53' >/etc/netns/a/resolv.conf
  rm -rf /run/nscd /run/systemd/resolve
  # `tests/private` ends this process with the suite.
  netnsctl run a -- sleep 60 2>"$BATS_TEST_TMPDIR/warnings" 3>&- &
  COMMAND=$!
  eventually is_started
}

teardown() {
  kill "$COMMAND" || true
  rm -rf /etc/netns/a /run/nscd /run/systemd/resolve /etc/resolver
  netnsctl down a
}

# Usage: is_started
# Succeeds if netnsctl has executed the command.
is_started() { [[ $(<"/proc/$COMMAND/comm") == sleep ]]; }

# Usage: sees COMMAND...
# Runs a command in the mount namespace of the command under test.
sees() { nsenter --target "$COMMAND" --mount -- "$@"; }

@test "resolvers of the host that start later are hidden from the command" {
  mkdir -p /run/nscd /run/systemd/resolve
  touch /run/nscd/socket /run/systemd/resolve/io.systemd.Resolve
  run -0 sees find /run/nscd /run/systemd/resolve -mindepth 1
  [[ -z $output ]]
  [[ $(stat -c %a /run/nscd) == 755 ]]
  netnsctl check
}

@test "the command does not start if the directory of a resolver cannot be created" {
  kill "$COMMAND"
  rm -rf /run/nscd
  ln -s nowhere/nscd /run/nscd
  run --separate-stderr -1 netnsctl run a -- true
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'cannot create /run/nscd, a directory that is needed to hide a service of the host'* ]]
}

@test "run warns about a rename over /etc/resolv.conf, and check finds it" {
  grep 'warning: if a program on the host replaces /etc/resolv.conf, the command gets the host.s resolver' "$BATS_TEST_TMPDIR/warnings"
  netnsctl check
  [[ $(sees cat /etc/resolv.conf) == 'nameserver 192.0.2.53' ]]
  cp /etc/resolv.conf "$BATS_TEST_TMPDIR/resolv.conf"
  echo 'nameserver 203.0.113.53' >/etc/resolv.conf.new
  mv /etc/resolv.conf.new /etc/resolv.conf
  run -1 netnsctl check
  cp "$BATS_TEST_TMPDIR/resolv.conf" /etc/resolv.conf
  [[ $output == *"error: /etc/resolv.conf of process $COMMAND (sleep) in \`a\` differs from /etc/netns/a/resolv.conf: it uses 203.0.113.53; end it, then repeat \`netnsctl run\`"* ]]
}

@test "with a link into a separate directory, a rename over the file does not affect the command" {
  kill "$COMMAND"
  mkdir /etc/resolver
  cp /etc/resolv.conf "$BATS_TEST_TMPDIR/resolv.conf"
  mv /etc/resolv.conf /etc/resolver/
  ln -s resolver/resolv.conf /etc/resolv.conf
  netnsctl run a -- sleep 60 2>"$BATS_TEST_TMPDIR/warnings" 3>&- &
  COMMAND=$!
  eventually is_started
  grep 'warning: /etc/resolv.conf is a link: .* the command keeps its resolver' "$BATS_TEST_TMPDIR/warnings"
  echo 'nameserver 203.0.113.53' >/etc/resolver/new
  mv /etc/resolver/new /etc/resolver/resolv.conf
  run -0 sees cat /etc/resolv.conf
  netnsctl check
  rm /etc/resolv.conf
  cp "$BATS_TEST_TMPDIR/resolv.conf" /etc/resolv.conf
  [[ $output == 'nameserver 192.0.2.53' ]]
}

@test "a command that has lost all its mounts is found by check" {
  rmdir /run/nscd /run/systemd/resolve
  mkdir -p /run/nscd /run/systemd/resolve
  touch /run/nscd/socket /run/systemd/resolve/io.systemd.Resolve
  run -1 netnsctl check
  [[ $output == *"process $COMMAND (sleep) in \`a\` can query a resolver of the host, through /run/nscd/socket"* ]]
}

@test "a link into a missing directory of a resolver is covered" {
  kill "$COMMAND"
  rm -rf /run/systemd/resolve
  cp -P /etc/resolv.conf "$BATS_TEST_TMPDIR/resolv.conf"
  ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
  run --separate-stderr netnsctl run a -- cat /etc/resolv.conf
  rm /etc/resolv.conf
  cp -P "$BATS_TEST_TMPDIR/resolv.conf" /etc/resolv.conf
  [[ $status == 0 && $output == 'nameserver 192.0.2.53' ]]
}
