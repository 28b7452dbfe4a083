#!/usr/bin/env bats
# Attached sockets start at boot without an ordering cycle; attach and check report the cycles of other units.

load systemd

setup() {
  unit test-echo.socket <<'END'
[Socket]
ListenStream=7000
Accept=yes
ExecStopPost=/bin/sh -c 'test -e /run/netns/a && echo stopped >>/etc/systemd/system/test-stops'
[Install]
WantedBy=sockets.target
END
  unit test-echo@.service <<<$'[Service]\nExecStart=/bin/cat\nStandardInput=socket'
}

# Usage: echoes_in NAME
# Succeeds if the service of the socket answers a connection in this namespace.
echoes_in() {
  lab ip netns exec "$1" timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7000 && echo x >&3 && read -r said <&3 && [[ $said == x ]]' 2>/dev/null
}

@test "an attached socket listens after each of 10 boots, and no job is dropped for an ordering cycle" {
  lab netnsctl attach test-echo.socket lo@a
  lab netnsctl attach test-echo@ lo@a
  lab systemctl enable test-echo.socket
  lab netnsctl check
  for boot in {1..10}; do
    lab_reboot
    # PID 1 prints to the console until the journal runs.
    run ! grep --ignore-case 'ordering cycle' "$LAB/boot.log"
    [[ $(lab journalctl --boot --output=cat) != *'ordering cycle'* ]]
    up basic.target sockets.target test-echo.socket netns-lo@a
    eventually echoes_in a
    run ! lab timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/7000'
    # At each shutdown the socket stopped before its namespace.
    [[ $(lab sh -c 'cat /etc/systemd/system/test-stops 2>/dev/null | wc -l') == $((boot - 1)) ]]
  done
}

@test "attach warns about an ordering cycle before it writes the drop-in, and check reports it" {
  unit test-echo.socket.d/first.conf <<<$'[Unit]\nBefore=sockets.target'
  lab systemctl enable test-echo.socket
  run --separate-stderr -0 lab netnsctl attach --dry-run test-echo.socket lo@a
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'warning: ordering cycle: '*'`test-echo.socket`'* ]]
  lab test ! -e /etc/systemd/system/test-echo.socket.d/50-netns.conf
  lab netnsctl attach test-echo.socket lo@a
  run lab systemd-analyze verify --man=no test-echo.socket default.target
  [[ $output == *'ordering cycle'* ]]
  run -1 lab netnsctl check
  [[ $output == *'error: ordering cycle: '*'`test-echo.socket`'* ]]
  lab rm /etc/systemd/system/test-echo.socket.d/first.conf
  lab systemctl daemon-reload
  lab netnsctl check
}

@test "check reports a cycle of an instance that is not enabled, through a required unit" {
  unit test-late.service <<<$'[Unit]\nAfter=netns-lo@a.service\n[Service]\nExecStart=/bin/sleep infinity'
  config lo-a.conf <<<'NETNS_REQUIRES=test-late.service'
  lab netns-update
  run -1 lab netnsctl check
  [[ $output == *'error: ordering cycle: '*'`netns-lo@a.service`'*'`test-late.service`'* ]]
  run -1 lab netnsctl check lo@a
  [[ $output == *'error: ordering cycle: '* ]]
  run -0 lab netnsctl check nft
}

@test "the drop-in of an attached socket of an older version is reported, and attach updates it" {
  lab netnsctl attach test-echo@ lo@a
  lab netnsctl attach test-echo.socket lo@a
  lab sed -i '/^DefaultDependencies=no/d' /etc/systemd/system/test-echo.socket.d/50-netns.conf
  lab systemctl daemon-reload
  run -1 lab netnsctl check
  [[ $output == *'an older version wrote it'*'run `netnsctl attach test-echo.socket lo@a` again'* ]]
  lab netnsctl attach test-echo.socket lo@a
  lab netnsctl check
}
