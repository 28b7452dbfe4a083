#!/usr/bin/env bats
# Requirements of instances as drop-ins of systemd.

load systemd
on() { lab "$@"; }
# shellcheck source=tests/nstor.bash
source "$BATS_TEST_DIRNAME/../../tests/nstor.bash"

dropin=/etc/systemd/system/netns_outside-app@a.service.d/10-requires.conf

setup() {
  plugin app
  plugin base
  config base-b.conf <<<''
  config app-a.conf <<<'NETNS_REQUIRES="base@b c"'
}

# Usage: required
# Prints the additional requirements of the outside unit of app@a.
required() {
  lab systemctl show --value --property=Requires netns_outside-app@a | tr ' ' '\n' |
    { grep @ || :; } | { grep --invert-match netns_name@a || :; } | LC_ALL=C sort | paste -sd,
}

@test "start starts the requirements, stop stops the dependants, and a restart does both" {
  lab netns-update
  [[ $(required) == 'netns-base@b.service,netns_name@c.service' ]]
  lab systemctl start netns-app@a
  [[ $(hooks) == 'base@b up outside,base@b up inside,app@a up outside,app@a up inside' ]]
  exists c
  lab rm "$LOG"
  lab systemctl restart netns-base@b
  eventually up netns-app@a
  [[ $(hooks) == 'app@a down inside,app@a down outside,base@b down inside,base@b up inside,app@a up outside,app@a up inside' ]]
  lab systemctl stop netns-base@b
  eventually is netns_outside-app@a inactive
  eventually gone c
  nothing_left a
  nothing_left b
}

@test "check reports a stale drop-in, and netns-update removes an unneeded one" {
  run -1 lab netnsctl check
  [[ $output == *"$dropin: warning: this drop-in is stale"*'run `netns-update`'* ]]
  lab netns-update
  run lab netnsctl check
  [[ $output != *10-requires.conf* ]]
  config app-a.conf <<<''
  run -1 lab netnsctl check
  [[ $output == *"$dropin: warning: this drop-in is stale"* ]]
  run -0 lab netns-update
  [[ $output == *"Removing '$dropin'."*'Reloading systemd'* ]]
  [[ -z $(required) ]]
}

@test "an administrator's drop-in is not changed, and overrides ours at the same path" {
  lab mkdir -p "${dropin%/*}"
  lab tee "${dropin%/*}/20-mine.conf" <<<$'[Unit]\nRequires=netns-base@d.service'
  lab netns-update
  [[ $(required) == 'netns-base@b.service,netns-base@d.service,netns_name@c.service' ]]
  lab ln -sf /dev/null "$dropin"
  run -0 lab netns-update --daemon-reload
  [[ $(lab readlink "$dropin") == /dev/null && $(required) == 'netns-base@d.service' ]]
  lab netns-update --clean
  [[ $(lab readlink "$dropin") == /dev/null ]]
  lab test -e "${dropin%/*}/20-mine.conf"
}

@test "a cycle, an unknown instance and a hanging one are reported in time, and all the rest is done" {
  lab netns-update
  before=$(lab find /etc/systemd/system -path '*@a.service.d*' -printf '%p %T@ %i\n' | sort)
  [[ $before ]]
  config base-b.conf <<<'NETNS_REQUIRES=app@a'
  run -1 lab netns-update
  [[ $output == *'circular requirements: app@a -> base@b -> app@a'*'Update incomplete'* ]]
  config base-b.conf <<<'NETNS_REQUIRES=nosuch@x'
  run -1 lab netns-update
  [[ $output == *'`base@b` requires `nosuch@x`, which is unknown'*'Update incomplete'* ]]
  config base-b.conf <<<'configure_base_requires() { sleep 600 & wait; }'
  config new.sh <<<''
  config new-a.conf <<<'NETNS_REQUIRES=other'
  begun=$SECONDS
  run -1 lab netns-update
  ((SECONDS - begun < 20))
  [[ $output == *'cannot read the requirements of `base@b`: `configure_base_requires`, or a file read before it: timed out after 10 seconds'*'Update incomplete'* ]]
  lab test -e /etc/systemd/system/netns-new@.service
  lab test -e /etc/systemd/system/netns_outside-new@a.service.d/10-requires.conf
  ended() { ! lab pgrep --full 'sleep 600'; }
  eventually ended
  [[ $(lab find /etc/systemd/system -path '*@a.service.d*' ! -path '*-new@*' -printf '%p %T@ %i\n' | sort) == "$before" ]]
}

@test "if a requirement fails, times out, is masked, missing or stopped, the namespace is removed" {
  plugin bad 'configure_bad_up_outside() { sleep 1; return 1; }'
  plugin slow 'configure_slow_up_outside() { sleep 5; }'
  config bad-b.conf <<<''
  config slow-b.conf <<<''
  unit test-fails.service <<<$'[Service]\nType=oneshot\nExecStart=/bin/sh -c "sleep 1; false"'
  unit test-hangs.service <<<$'[Service]\nType=oneshot\nTimeoutStartSec=1\nExecStart=/bin/sleep 60'
  unit test-slow.service <<<$'[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 60'
  lab ln -s /dev/null /etc/systemd/system/test-masked.service
  for required in bad@b test-fails.service test-hangs.service test-masked.service test-missing.service test-slow.service slow@b; do
    config app-a.conf <<<"NETNS_REQUIRES=$required"
    lab netns-update
    case $required in
      *slow*)
        lab systemctl start netns-app@a &
        eventually exists a
        lab systemctl stop "$([[ $required == *.service ]] && echo "$required" || echo "netns-$required")"
        if wait "$!"; then return 1; fi
        ;;
      *) run ! lab systemctl start netns-app@a ;;
    esac
    eventually gone a || {
      echo "with $required" >&2
      return 1
    }
    eventually is netns_name@a.service inactive
    eventually is netns_settle@a.service inactive
    is netns-app@a inactive
    is netns_outside-app@a inactive
    lab systemctl reset-failed
  done
  run -1 lab cat "$LOG" # no hook of app was run, and the other hooks print nothing
}

@test "the namespace is also removed if its last user was stopped during a failed wait" {
  plugin slow 'configure_slow_up_outside() { while [[ ! -e /run/go ]]; do sleep 0.05; done; return 1; }'
  plugin other
  config slow-b.conf <<<''
  config app-a.conf <<<'NETNS_REQUIRES=slow@b'
  config other-a.conf <<<'NETNS_REQUIRES=c'
  lab netns-update
  lab systemctl start netns-other@a
  eventually is netns_settle@a.service inactive
  lab systemctl start netns-app@a &
  eventually exists b
  lab systemctl stop netns-other@a
  exists a
  lab touch /run/go
  if wait "$!"; then return 1; fi
  lab systemctl reset-failed
  nothing_left a
  eventually gone c
  lab rm /run/go
}

@test "after a failed wait of one instance, the namespace stays for another active one, and is removed with it" {
  plugin slow 'configure_slow_up_outside() { sleep 2; return 1; }'
  config slow-b.conf <<<''
  config app-a.conf <<<'NETNS_REQUIRES=slow@b'
  lab netns-update
  lab systemctl start netns-base@a
  run ! lab systemctl start netns-app@a
  up netns-base@a
  exists a
  lab systemctl reset-failed
  lab systemctl stop netns-base@a
  nothing_left a
}

@test "nsbrowser and nstor work after a reboot, and after a restart of each of their units" {
  nstor_files "$CONF"
  lab netns-update
  lab tee /etc/systemd/system/internet.service >/dev/null <<END
[Unit]
DefaultDependencies=no
Before=network-pre.target
Wants=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash -e /etc/internet
[Install]
WantedBy=multi-user.target
END
  # shellcheck disable=SC2016 # for that bash to expand
  printf '%s\n' "$(declare -f nstor_network)" 'on() { "$@"; }' nstor_network | lab tee /etc/internet
  lab systemctl enable --quiet internet netns-nft@nstor netns-nft@nsbrowser
  lab_reboot
  nstor_works
  nothing_failed
  for unit in netns-{macvlan,veth,nft}@nstor netns-nft@nsbrowser; do
    lab systemctl restart "$unit"
    eventually up netns-{macvlan,veth,nft}@nstor netns-nft@nsbrowser
    nstor_works
  done
  lab systemctl daemon-reload
  nstor_works
  lab systemctl stop netns-veth@nstor
  eventually gone nsbrowser
  lab systemctl start netns-nft@nstor netns-nft@nsbrowser
  nstor_works
  lab systemctl disable --quiet internet netns-nft@nstor netns-nft@nsbrowser
  lab rm /etc/systemd/system/internet.service /etc/internet
}

@test "up refuses an instance whose requirements systemd does not know: no drop-in, a stale one, or no TYPE-NAME.conf" {
  run --separate-stderr -1 lab netnsctl up app@a
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'cannot bring up `app@a`: `app@a` requires `base@b`, but systemd does not know this: '*' does not exist; run `netns-update`' ]]
  lab netns-update
  config app-a.conf <<<'NETNS_REQUIRES="base@b d"'
  run --separate-stderr -1 lab netnsctl up app@a
  [[ $stderr == *"$dropin is stale; run \`netns-update\`" ]]
  lab netns-update
  lab systemctl enable --quiet netns-app@a # so that systemd has it loaded
  lab cp -p "$dropin" /tmp/dropin
  lab rm "$dropin"
  lab systemctl daemon-reload
  lab cp /tmp/dropin "$dropin" # as netns-update writes it, but not read by systemd
  run --separate-stderr -1 lab netnsctl up app@a
  [[ $stderr == *'fix: `systemctl daemon-reload`' ]]
  lab systemctl disable --quiet netns-app@a
  lab systemctl daemon-reload
  config app.conf <<<'NETNS_REQUIRES=base@b'
  run --separate-stderr -1 lab netnsctl up app@e
  [[ $stderr == *'create /etc/conf.d/netns/app-e.conf (it may be empty), then run `netns-update`' ]]
  run --separate-stderr -1 lab netnsctl restart app@e
  [[ $stderr == 'netnsctl: cannot restart `app@e`: '* ]]
  run -1 lab cat "$LOG" # no hook was run
  config app-e.conf <<<''
  lab netns-update
  lab netnsctl up app@e
  [[ $(hooks) == 'base@b up outside,base@b up inside,app@e up outside,app@e up inside' ]]
  lab netnsctl down e b
}

@test "up refuses the same requirements as netns-update, with the message of the direct engine" {
  lab netns-update
  config base-b.conf <<<'NETNS_REQUIRES=app@a'
  run --separate-stderr -1 lab netnsctl up app@a
  [[ $stderr == *'cannot bring up `app@a`: circular requirements: app@a -> base@b -> app@a' ]]
  config base-b.conf <<<'NETNS_REQUIRES=nosuch@x'
  run --separate-stderr -1 lab netnsctl up app@a
  [[ $stderr == *'cannot bring up `app@a`: `base@b` requires `nosuch@x`, which is unknown: '* ]]
  config base-b.conf <<<'NETNS_REQUIRES=test-nosuch.service'
  run -0 lab netns-update
  [[ $output == *'`base@b` requires the unit `test-nosuch.service`, which systemd does not know'* ]]
  run -1 lab netnsctl check
  [[ $output == *'error: base@b: `base@b` requires the unit `test-nosuch.service`, which systemd does not know'* ]]
  run --separate-stderr -1 lab netnsctl up app@a
  [[ $stderr == *'cannot bring up `app@a`: `base@b` requires the unit `test-nosuch.service`, which systemd does not know'* ]]
  run -1 lab cat "$LOG" # no hook was run
}

@test "check reports active instances without their requirements, also without a TYPE-NAME.conf" {
  config app-a.conf <<<''
  lab netns-update
  lab systemctl start netns-app@a netns-app@e
  config app-a.conf <<<'NETNS_REQUIRES=base@b'
  run -1 lab netnsctl check app
  [[ $output == *'error: app@a: the instance is up, but its requirement `base@b` is not'* ]]
  config app.conf <<<'NETNS_REQUIRES=base@b'
  lab systemctl start netns-base@b
  run -1 lab netnsctl check app
  [[ $output == *'error: app@e: the instance is up, but `app@e` requires `base@b`, but systemd does not know this: '*'create /etc/conf.d/netns/app-e.conf'* ]]
  [[ $output != *'`base@b`, which it requires, is not'* ]]
  lab systemctl stop netns-app@a netns-app@e netns-base@b
}
