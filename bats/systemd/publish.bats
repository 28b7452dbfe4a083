#!/usr/bin/env bats
# Published ports by a proxy under systemd: sockets on the host, which wake the namespace at the first connection.

load systemd

setup() {
  lab install /dev/stdin /run/sockets.py <"$BATS_TEST_DIRNAME/../sockets.py"
  pair n
  config lo-n.conf </dev/null
  unit test-web.service <<<$'[Service]\nType=exec\nExecStart=/run/sockets.py serve tcp 80'
  lab netnsctl attach test-web n
  publish PUBLISH_IDLE=200ms PUBLISH_WAKES=test-web.service
}

# Usage: publish LINE...
# Publishes port 8080 by a proxy.
publish() { printf '%s\n' 'PUBLISH=(8080:80)' PUBLISH_BY=proxy "$@" | config publish-n.conf; }

# Usage: answers [ADDRESS [PORT]]
# Succeeds if a connection gets an answer.
answers() { [[ $(lab env SECONDS_TO_WAIT=60 /run/sockets.py ask tcp "${1-127.0.0.1}" "${2-8080}" 2>/dev/null) == *' 80' ]]; }

# Usage: asleep
# Succeeds if only the instance of the ports is up, and listens.
asleep() {
  down test-web netns-veth@n netns-lo@n netns_outside-veth@n netns_outside-lo@n netns_awake@publish@n netns_proxy-1@publish@n &&
    up netns-publish@n netns_proxy-1@publish@n.socket && [[ $(lab ip -netns n -oneline link) != *veth* ]]
}

# Usage: down UNIT...
# Succeeds if all units are inactive.
down() {
  local unit
  for unit; do is "$unit" inactive || return; done
}

# Opens a connection, until `systemctl stop test-client`.
hold() {
  unit test-client.service <<'END'
[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080 && systemd-notify --ready && exec sleep infinity'
END
  lab systemctl start test-client
}

@test "the first connection brings up the namespace and its service, and gets the answer; the end of the last one takes them down" {
  lab systemctl start netns-publish@n
  asleep
  for address in 127.0.0.1 ::1 127.0.0.1; do
    answers "$address"
    eventually asleep
  done
  # Several first connections at once.
  for client in {1..10}; do
    answers &
    clients[client]=$!
  done
  for client in {1..10}; do wait "${clients[client]}"; done
  eventually asleep
  nothing_failed
  lab netnsctl check publish@n
  lab systemctl stop netns-publish@n
  nothing_left n
  run ! answers
}

# Usage: connect
# Opens a connection that gets no answer.
connect() { run ! lab env SECONDS_TO_WAIT=1 /run/sockets.py ask tcp 127.0.0.1 8080; }

@test "check reports a unit of PUBLISH_WAKES that does not exist, and a failed connection leaves no failed unit after down or after a change to rules" {
  publish PUBLISH_WAKES=nosuch.service
  run -1 lab netnsctl check publish@n
  [[ $output == *"publish-n.conf:3: error: publish@n: PUBLISH_WAKES: 'nosuch.service': systemd does not find this unit; fix: create it, or correct the name;"* ]]
  for change in down rules; do
    publish PUBLISH_WAKES=nosuch.service
    lab netnsctl up publish@n
    connect
    eventually is netns_awake@publish@n failed
    if [[ $change == rules ]]; then
      lab netnsctl up veth@n
      config publish-n.conf <<<'PUBLISH=(8080:80)'
      lab netnsctl restart publish@n
      is netns_awake@publish@n inactive
    fi
    lab netnsctl down n
    is netns_awake@publish@n inactive
  done
  # The attempt fails after the sockets are gone.
  unit test-slow.service <<<$'[Service]\nType=oneshot\nExecStart=/bin/sh -c "sleep 3; exit 1"'
  publish PUBLISH_WAKES=test-slow.service
  lab netnsctl up publish@n
  connect
  eventually is test-slow activating
  lab netnsctl down publish@n
  eventually is test-slow failed
  eventually is netns_awake@publish@n inactive
  lab netnsctl down n
}

@test "a connection that comes while the namespace goes down is answered" {
  lab systemctl start netns-publish@n
  # Some of these pauses end while the program that passes connections on, or the namespace, goes down.
  for pause in 0.1{5..9} 0.2{0..9} 0.3{0..5} 0.4; do
    answers
    sleep "$pause"
  done
  eventually asleep
  nothing_failed
}

@test "a failed or killed hook leaves no socket" {
  for kill in 'kill -KILL "$PPID"' 'systemctl kill --signal=KILL netns-publish@n.service'; do
    lab install /dev/stdin /usr/local/sbin/systemd-run <<<$'#!/bin/bash\n/usr/bin/systemd-run "$@"\n'"$kill"
    run ! lab systemctl start netns-publish@n
    eventually gone n
    lab systemctl reset-failed 'netns*'
    [[ -z $(lab systemctl list-units --all --plain --no-legend 'netns_proxy*') ]]
    nothing_left n
  done
  lab rm /usr/local/sbin/systemd-run
}

@test "an open connection keeps the namespace up; without PUBLISH_IDLE it stays up" {
  unit test-web.service <<<$'[Service]\nType=exec\nExecStart=/run/sockets.py listen tcp 127.0.0.1 80'
  lab systemctl start netns-publish@n
  hold
  eventually up netns-veth@n netns-lo@n test-web
  sleep 2
  up netns-veth@n netns-lo@n test-web
  lab systemctl stop test-client
  eventually asleep
  publish PUBLISH_WAKES=test-web.service
  lab systemctl restart netns-publish@n
  hold
  eventually up netns-veth@n netns-lo@n test-web
  lab systemctl stop test-client
  sleep 2
  up netns-veth@n netns-lo@n test-web
  lab systemctl stop netns-publish@n netns-veth@n netns-lo@n
  nothing_left n
}

@test "an instance that was started manually, or is enabled, stays up" {
  lab systemctl start netns-publish@n netns-lo@n
  answers
  eventually down netns_awake@publish@n test-web netns-veth@n
  up netns-lo@n netns-publish@n
  lab systemctl stop netns-lo@n
  eventually asleep
  # It is enabled while the namespace is awake.
  unit test-web.service <<<$'[Service]\nType=exec\nExecStart=/run/sockets.py listen tcp 127.0.0.1 80'
  hold
  eventually up netns-veth@n netns-lo@n test-web
  lab systemctl enable netns-veth@n
  lab systemctl stop test-client
  eventually down netns_awake@publish@n
  up netns-veth@n netns-lo@n test-web
  [[ $(journal netns_awake@publish@n) == *'namespace `n` has no connections, and stays up: multi-user.target needs netns-veth@n.service'* ]]
  # The next end of the connections tries again.
  lab systemctl disable netns-veth@n
  hold
  eventually up netns_awake@publish@n
  lab systemctl stop test-client
  eventually asleep
}

@test "an attached service that a connection has not started keeps the namespace up" {
  unit test-other.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  lab netnsctl attach test-other n
  lab systemctl start netns-publish@n
  lab systemctl start test-other
  answers
  eventually down netns_awake@publish@n test-web
  up test-other netns-veth@n netns-lo@n
  lab systemctl stop test-other netns-veth@n netns-lo@n
  lab netnsctl up publish@n
  # It starts while the namespace is awake.
  unit test-web.service <<<$'[Service]\nType=exec\nExecStart=/run/sockets.py listen tcp 127.0.0.1 80'
  hold
  eventually up test-web
  lab systemctl start test-other
  lab systemctl stop test-client
  eventually down netns_awake@publish@n
  up test-other netns-veth@n netns-lo@n test-web
  [[ $(journal netns_awake@publish@n) == *'stays up: test-other.service needs netns-'* ]]
}

@test "a namespace that cannot come up closes the connection, leaves nothing, and is tried again" {
  pair n VETH_GATEWAY=192.0.2.77
  lab systemctl start netns-publish@n
  run ! answers
  eventually down netns_proxy-1@publish@n
  [[ $(journal netns_awake@publish@n) == *'cannot wake namespace `n`'* ]]
  [[ $(journal netns_proxy-1@publish@n) == *'no service has listened on port 80 of the namespace within 10 seconds'* ]]
  up netns-publish@n netns_proxy-1@publish@n.socket
  lab systemctl reset-failed 'netns*'
  eventually asleep
  pair n
  answers
  eventually asleep
  nothing_failed
}

# Usage: refusals NUMBER
# Succeeds if the program that passes connections on has refused them this number of times.
refusals() { (($(journal netns_proxy-1@publish@n | grep --count 'no service has listened on port 80') >= $1)); }

@test "without a service, a client that connects again without a pause starts a new attempt, and without PUBLISH_IDLE the namespace stays up" {
  unit test-web.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  publish PUBLISH_WAKES=test-web.service
  lab systemctl start netns-publish@n
  before=$(journal netns_proxy-1@publish@n | grep --count 'no service has listened on port 80') || true
  unit test-client.service <<<$'[Service]\nExecStart=/bin/bash -c "while :; do exec 3<>/dev/tcp/127.0.0.1/8080 && read -u 3; done"'
  lab systemctl start test-client
  eventually refusals "$((before + 1))"
  eventually refusals "$((before + 2))"
  lab systemctl stop test-client
  eventually down netns_awake@publish@n
  up netns-veth@n netns-lo@n test-web
  [[ $(journal netns_awake@publish@n) == *'namespace `n` has no connections, and stays up: no idle time is set'* ]]
  unit test-web.service <<<$'[Service]\nType=exec\nExecStart=/run/sockets.py serve tcp 80'
  lab systemctl stop test-web
  # The next connection also starts the units again.
  answers
  up test-web
  lab systemctl stop netns-publish@n netns-veth@n netns-lo@n
  nothing_left n
}

@test "a unit of PUBLISH_WAKES that does not exist is named in the journal, and the namespace goes down again" {
  publish PUBLISH_WAKES=test-none.service
  lab systemctl start netns-publish@n
  run ! answers
  [[ $(journal netns_awake@publish@n) == *'cannot wake namespace `n`: cannot start test-none.service: '*'not found'* ]]
  lab systemctl reset-failed netns_awake@publish@n
  eventually asleep
}

@test "an enabled instance listens after a boot, and the namespace comes up at the first connection" {
  lab systemctl enable netns-publish@n
  for _ in 1 2; do
    lab_reboot
    lab install /dev/stdin /run/sockets.py <"$BATS_TEST_DIRNAME/../sockets.py"
    asleep
    answers
    eventually asleep
  done
  # Also at a shutdown while the namespace is awake.
  unit test-web.service <<<$'[Service]\nType=exec\nExecStart=/run/sockets.py listen tcp 127.0.0.1 80'
  hold
  eventually up netns_awake@publish@n
  lab_reboot
  asleep
  nothing_failed
  lab systemctl disable netns-publish@n
}

@test "a stop or restart while the namespace is awake changes only the ports" {
  unit test-web.service <<<$'[Service]\nType=exec\nExecStart=/run/sockets.py listen tcp 127.0.0.1 80'
  lab systemctl start netns-publish@n
  hold
  eventually up test-web
  # With the same settings, the connection stays.
  lab systemctl restart netns-publish@n
  up netns_proxy-1@publish@n
  lab systemctl stop netns-publish@n
  eventually down netns_awake@publish@n
  up netns-veth@n netns-lo@n test-web
  lab systemctl start netns-publish@n
  printf '%s\n' 'PUBLISH=(8081:80)' PUBLISH_BY=proxy PUBLISH_IDLE=200ms | config publish-n.conf
  lab systemctl restart netns-publish@n
  unit test-web.service <<<$'[Service]\nType=exec\nExecStart=/run/sockets.py serve tcp 80'
  lab systemctl restart test-web
  answers 127.0.0.1 8081
  run ! answers
  lab netnsctl check publish@n
  lab systemctl stop test-client
  lab netnsctl down --recursive n
  nothing_left n
}

@test "check reports a socket that does not listen, and a restart repairs it" {
  lab systemctl start netns-publish@n
  lab systemctl stop netns_proxy-1@publish@n.socket
  run -1 lab netnsctl check publish@n
  [[ $output == *'netns_proxy-1@publish@n.socket does not listen on port 8080 of the host; fix: `netnsctl restart publish@n`'* ]]
  lab netnsctl restart publish@n
  lab netnsctl check publish@n
  answers
}

@test "a range has a socket for each port, and other owners of a port are named before anything is made" {
  printf '%s\n' 'PUBLISH=(127.0.0.1:8080-8082:79-81 "[::1]:8081:80")' PUBLISH_BY=proxy PUBLISH_WAKES=test-web.service | config publish-n.conf
  lab systemctl start netns-publish@n
  up netns_proxy-{1,2,3,4}@publish@n.socket
  answers 127.0.0.1 8081
  answers ::1 8081
  run ! answers ::1 8082
  printf '%s\n' 'PUBLISH=(8082:1)' PUBLISH_BY=proxy | config publish-o.conf
  run -1 lab netnsctl up publish@o
  [[ $output == *"PUBLISH: '8082:1': \`publish@n\` already publishes '127.0.0.1:8080-8082:79-81/tcp'"* ]]
  gone o
  lab netnsctl down publish@n
  lab /run/sockets.py listen tcp 127.0.0.1 8082 3>&- &
  listener=$!
  eventually lab bash -c 'exec 3<>/dev/tcp/127.0.0.1/8082'
  run -1 lab netnsctl up publish@n
  [[ $output == *"sockets.py (pid "*') listens on port 8082 of the host (127.0.0.1)'* ]]
  lab pkill -f 'sockets.py listen'
  wait "$listener" || true
  printf '%s\n' 'PUBLISH=(20000-20600)' PUBLISH_BY=proxy | config publish-o.conf
  run -1 lab netnsctl up publish@o
  [[ $output == *'601 ports are too many for a proxy: expected at most 500'* ]]
}
