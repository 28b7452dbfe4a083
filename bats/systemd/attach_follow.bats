#!/usr/bin/env bats
# An attached service starts again when its namespace returns.

load systemd

setup() {
  unit test-web.service <<<$'[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target'
  lab systemctl enable test-web
}

DROP_IN=/etc/systemd/system/test-web.service.d/50-netns.conf
FOLLOWER=netns_follow@test-web.service.service

# Usage: returns
# Succeeds if the service comes back into the namespace a. The unit that starts it has finished, too.
returns() {
  eventually is_in a test-web
  eventually is "$FOLLOWER" active
}

# Usage: no_job WORD
# Succeeds if no queued or running job is about a unit with this WORD in its name.
no_job() { [[ $(lab systemctl list-jobs --no-legend) != *"$1"* ]]; }

# Usage: stays_stopped
# Succeeds if the service is stopped, and no job can start it.
stays_stopped() {
  eventually is "$FOLLOWER" active
  no_job test-web
  is test-web inactive
}

@test "a service comes back after stop and start, restart, down and up, of each of its instances" {
  lab netnsctl attach test-web lo@a nft@a
  lab systemctl start test-web
  returns
  for instance in lo@a nft@a; do
    lab systemctl stop "netns-$instance"
    is test-web inactive
    lab systemctl start "netns-$instance"
    returns
    lab systemctl restart "netns-$instance"
    returns
  done
  lab netnsctl down --recursive a
  is test-web inactive
  eventually gone a
  lab netnsctl up lo@a nft@a
  returns
  lab netnsctl restart a
  returns
  lab netnsctl check
  nothing_failed
}

@test "a service comes back when its last instance comes up, and not before" {
  lab netnsctl attach test-web lo@a nft@a
  lab systemctl start test-web
  lab netnsctl down --recursive a
  lab netnsctl up nft@a
  eventually no_job netns_follow
  is test-web inactive
  is netns-lo@a inactive
  lab netnsctl up lo@a
  returns
}

@test "a namespace can go down while the unit that starts the service again is starting, and nothing has failed" {
  lab netnsctl attach test-web lo@a
  unit "$FOLLOWER.d/90-slow.conf" <<<$'[Service]\nExecStart=\nExecStart=sleep 60'
  lab netnsctl up lo@a
  eventually is "$FOLLOWER" activating
  lab netnsctl down --recursive a
  eventually is "$FOLLOWER" inactive
  nothing_failed
}

@test "a service comes back after a manual deletion of the namespace and a restart" {
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web
  returns
  for command in 'netnsctl restart a' 'netnsctl restart lo@a'; do
    delete_manually a
    eventually is test-web inactive
    # shellcheck disable=SC2086 # words
    lab $command
    returns
  done
}

@test "a service comes back after its instance has failed and works again" {
  plugin bad 'configure_bad_up_inside() { [[ ! -e /run/broken ]]; }'
  lab netnsctl attach test-web bad@a
  lab systemctl start test-web
  lab touch /run/broken
  run ! lab systemctl restart netns-bad@a
  eventually is test-web inactive
  lab rm /run/broken
  lab systemctl start netns-bad@a
  returns
}

@test "an enabled service starts if its instance fails at boot and comes up later" {
  plugin bad 'configure_bad_up_inside() { [[ -e /run/parent ]]; }'
  lab netnsctl attach test-web bad@a
  lab_reboot
  is netns-bad@a failed
  is test-web inactive
  lab touch /run/parent
  lab netnsctl up bad@a
  returns
  lab rm /run/parent
}

@test "a service that the administrator has stopped stays stopped, also when its namespace returns" {
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web
  returns
  lab systemctl stop test-web
  lab systemctl daemon-reload
  stays_stopped
  lab systemctl restart netns-lo@a
  stays_stopped
  lab netnsctl down a
  lab netnsctl up lo@a
  stays_stopped
  delete_manually a
  lab netnsctl restart a
  stays_stopped
  # The administrator starts it: it follows again.
  lab systemctl start test-web
  lab netnsctl restart a
  returns
}

@test "a stopped service that ends with an error after SIGTERM stays stopped, and one that fails by itself comes back" {
  unit test-web.service.d/java.conf <<<$'[Service]\nExecStart=\nExecStart=/bin/bash -c "trap \\"exit 143\\" TERM; while [[ ! -e /run/broken ]]; do sleep 0.05; done; exit 1"'
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web
  eventually is "$FOLLOWER" active
  eventually is run-netns-a.mount active # see delete_manually
  lab systemctl stop test-web
  is test-web failed
  lab systemctl restart netns-lo@a
  eventually is "$FOLLOWER" active
  eventually no_job test-web
  is test-web failed
  lab systemctl start test-web
  eventually is_in a test-web
  lab touch /run/broken
  eventually is test-web failed
  lab rm /run/broken
  lab systemctl restart netns-lo@a
  returns
}

@test "a service that was stopped before a manual deletion of the namespace stays stopped" {
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web
  returns
  lab systemctl stop test-web
  delete_manually a
  eventually is 'run-netns-a.mount' inactive
  lab netnsctl restart a
  stays_stopped
}

@test "a service that is stopped when it is attached stays stopped" {
  lab netnsctl up lo@a
  lab netnsctl attach test-web lo@a
  stays_stopped
  lab netnsctl restart a
  stays_stopped
}

@test "a stop of the administrator ends with a reboot" {
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web
  lab systemctl stop test-web
  lab_reboot
  returns
}

@test "a service that has failed comes back" {
  unit test-web.service.d/fail.conf <<<$'[Service]\nExecStart=\nExecStart=/bin/sh -c "[ ! -e /run/broken ] && exec sleep infinity"'
  lab netnsctl attach test-web lo@a
  lab touch /run/broken
  lab systemctl start test-web
  eventually is test-web failed
  lab rm /run/broken
  lab netnsctl restart a
  returns
}

@test "a service comes back any number of times in a short time" {
  unit test-web.service.d/limit.conf <<<$'[Unit]\nStartLimitBurst=1\nStartLimitIntervalSec=1h'
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web
  for _ in 1 2 3; do
    lab systemctl stop netns-lo@a
    lab systemctl start netns-lo@a
    returns
    lab systemctl restart netns-lo@a
    returns
  done
}

@test "a disabled service does not come back, and follows as soon as it is enabled" {
  lab systemctl disable test-web
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web
  lab netnsctl restart a
  lab systemctl stop netns-lo@a
  lab systemctl start netns-lo@a
  stays_stopped
  lab systemctl start test-web
  lab systemctl enable test-web
  lab systemctl stop netns-lo@a
  lab systemctl start netns-lo@a
  returns
}

@test "with --no-follow a service does not come back, and attach without it changes this" {
  lab netnsctl attach --no-follow test-web lo@a
  lab grep -q '^# --no-follow' "$DROP_IN"
  lab netns-update
  lab grep -q '^# --no-follow' "$DROP_IN"
  [[ -z $(lab find /etc/systemd/system -name 10-follow.conf) ]]
  lab systemctl start test-web
  lab systemctl stop netns-lo@a
  lab systemctl start netns-lo@a
  is test-web inactive
  is "$FOLLOWER" inactive
  lab netnsctl check
  lab systemctl start test-web
  lab netnsctl attach test-web lo@a
  lab systemctl stop netns-lo@a
  lab systemctl start netns-lo@a
  returns
}

@test "netns-update lets a unit follow that an older version has attached, without a restart" {
  lab netnsctl attach --no-follow test-web lo@a
  lab sed -i '/no-follow/d' "$DROP_IN"
  lab systemctl daemon-reload
  lab systemctl start test-web
  run -1 lab netnsctl check
  [[ $output == *"$DROP_IN: warning: this drop-in is stale"* ]]
  before=$(main_pid test-web)
  run -0 lab netns-update
  [[ $output == *"Updating '$DROP_IN'"* ]]
  (($(main_pid test-web) == before))
  lab netnsctl check
  run -0 lab netns-update
  [[ $output != *Updating* && $output != *Creating* ]]
  lab systemctl stop netns-lo@a
  lab systemctl start netns-lo@a
  returns
}

@test "sockets and enabled instances of a template come back" {
  unit test-echo.socket <<<$'[Socket]\nListenStream=0.0.0.0:7000\n[Install]\nWantedBy=sockets.target'
  unit test-echo.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  unit test-many@.service <<<$'[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target'
  lab systemctl enable test-echo.socket test-many@x
  lab netnsctl attach test-echo.socket lo@a
  lab netnsctl attach test-many@ lo@a
  lab systemctl start test-echo.socket test-many@x test-many@y
  lab systemctl stop netns-lo@a
  lab systemctl start netns-lo@a
  eventually up test-echo.socket test-many@x
  eventually up netns_follow@test-many@.service.service
  is test-many@y inactive
}

@test "a socket whose service could not start in its namespace listens again as soon as the namespace is up" {
  plugin bad 'configure_bad_up_inside() { [[ -e /run/fixed ]]; }'
  unit test-echo.socket <<<$'[Socket]\nListenStream=127.0.0.1:7000\nTriggerLimitBurst=3\nTriggerLimitIntervalSec=1h'
  unit test-echo.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  lab netnsctl attach test-echo bad@a
  lab systemctl start test-echo.socket
  lab bash -c 'exec 3<>/dev/tcp/127.0.0.1/7000'
  eventually is test-echo.socket failed
  lab touch /run/fixed
  lab netnsctl up bad@a
  lab rm /run/fixed
  eventually is test-echo.socket active
  is test-echo inactive
  lab bash -c 'exec 3<>/dev/tcp/127.0.0.1/7000'
  eventually is_in a test-echo
  lab systemctl stop test-echo.socket
}

@test "detach leaves nothing of it" {
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web
  returns
  eventually is run-netns-a.mount active # see delete_manually
  lab systemctl stop test-web
  lab netnsctl restart a
  lab test -e /run/systemd-netns/stopped/test-web.service
  lab netnsctl detach test-web
  is "$FOLLOWER" inactive
  lab test ! -e /run/systemd-netns/stopped/test-web.service
  [[ -z $(lab find /etc/systemd/system -name '*-netns.conf' -o -name 10-follow.conf -o -name 'netns_follow*') ]]
  up netns-lo@a
}

@test "a oneshot service that has ended is not started again when its instance comes up in the same transaction" {
  unit test-web.service <<<$'[Service]\nType=oneshot\nExecStart=/bin/sh -c "echo run >>/run/test-web"\n[Install]\nWantedBy=multi-user.target'
  lab rm -f /run/test-web
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web
  eventually is "$FOLLOWER" active
  eventually no_job test-web
  [[ $(lab cat /run/test-web) == run ]]
}
