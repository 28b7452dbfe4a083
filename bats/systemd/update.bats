#!/usr/bin/env bats
# netns-update on a running systemd.

load systemd

units=/etc/systemd/system

@test "a new type is usable at once; without changes there is no reload" {
  cat >"$CONF/new.sh" <<<'NO_CONFIG_REQUIRED=y'
  run -0 lab netns-update
  [[ $output == *"Creating '$units/netns-new@.service'."*'Reloading systemd'* ]]
  lab systemctl start netns-new@n
  run -0 lab netns-update
  [[ $output != *Creating* && $output != *Reloading* && $output == *'Update successful'* ]]
  run -0 lab netns-update --daemon-reload
  [[ $output == *'Reloading systemd'* ]]
}

@test "a deleted type loses its units, unless an instance is active: this is reported, and the status is 1" {
  plugin t
  lab systemctl start netns-t@n
  rm "$CONF/t.sh"
  run -1 lab netns-update
  [[ $output == *"netns-t@.service is not removed: netns-t@n.service is active"*"systemctl stop 'netns-t@n.service'"* ]]
  lab test -e "$units/netns-t@.service"
  lab test -e "$units/netns_outside-t@.service"
  exists n
  up netns-t@n netns_outside-t@n netns_name@n

  # Without the plugin, the hooks of the stop fail.
  lab systemctl stop netns-t@n
  eventually gone n
  eventually is netns_outside-t@n failed
  run -0 lab netns-update
  [[ $output == *"netns_outside-t@n.service is failed, and its unit files are removed"*'`netnsctl gc`'*"Removing '$units/netns-t@.service'."* ]]
  run ! lab test -e "$units/netns-t@.service"
  is netns-t@n inactive
  is netns_outside-t@n inactive
}

@test "the units of a removed type stay while one of its instances is up, also if another has failed" {
  plugin t '[[ $NSNAME != bad ]] || configure_t_up_inside() { return 1; }'
  lab systemctl start netns-t@n
  run lab systemctl start netns-t@bad
  eventually gone bad
  rm "$CONF/t.sh"
  run -1 lab netns-update
  [[ $output == *"netns-t@.service is not removed: netns-t@n.service is active"* ]]
  lab test -e "$units/netns-t@.service"
  is netns-t@bad failed
}

@test "--clean keeps the units of active instances, and removes all others" {
  lab systemctl start netns-veth@nstest
  run -1 lab netns-update --clean
  [[ $output == *'netns-veth@nstest.service is active'* ]]
  lab test -e "$units/netns-veth@.service"
  run ! lab test -e "$units/netns-lo@.service"
  lab ping -c1 -W1 -q 192.0.2.130
}

@test "--clean --now stops the instances first, and waits until their namespaces are removed" {
  lab systemctl start netns-veth@nstest netns-lo@other
  lab netns-update --clean --now
  gone nstest
  gone other
  [[ -z $(lab find "$units" -name 'netns*@.service') ]]
  nothing_left nstest
}

@test "while a service is attached, --clean changes nothing, with or without --now, and names the service" {
  unit test-web.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  unit test-many@.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  lab netnsctl attach test-web lo@n nft@n
  lab netnsctl attach test-many@ lo@n
  before=$(lab find /etc/systemd -newermt @0 -printf '%p %T@ %i\n' | sort)
  for now in '' --now; do
    for dry in '' --dry-run; do
      lab systemctl start test-web
      # shellcheck disable=SC2086 # words, or none
      run -1 lab netns-update --clean $now $dry
      [[ $output == *'test-many@.service is attached to lo@n; run `netnsctl detach test-many@.service`, then run this again'* ]]
      [[ $output == *'test-web.service is attached to lo@n nft@n; '*'`netnsctl detach test-web.service`'*'Nothing was changed'* ]]
      up test-web netns-lo@n netns-nft@n
      lab systemctl stop test-web
    done
  done
  [[ $(lab find /etc/systemd -newermt @0 -printf '%p %T@ %i\n' | sort) == "$before" ]]
  lab systemctl start test-many@x
  is_in n test-many@x
  # The suggested command helps.
  lab netnsctl detach test-web
  lab netnsctl detach test-many@ --now
  lab netns-update --clean --now
  [[ -z $(lab find "$units" -name 'netns*@.service') ]]
}

@test "a deleted type keeps its units while a service is attached to it" {
  plugin t
  unit test-web.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  lab netnsctl attach test-web t@n
  mv "$CONF/t.sh" "$LAB/t.sh"
  run -1 lab netns-update
  for file in netns-t@.service netns_outside-t@.service; do
    [[ $output == *"$units/$file is not removed: test-web.service is attached to t@n; "*'`netnsctl detach test-web.service`'* ]]
    lab test -e "$units/$file"
  done
  [[ $output == *'Update incomplete'* ]]
  # When the plugin is back, the service starts.
  mv "$LAB/t.sh" "$CONF/t.sh"
  lab systemctl start test-web
  is_in n test-web
  lab systemctl stop netns-t@n
  eventually gone n
  rm "$CONF/t.sh"
  lab netnsctl detach test-web
  run -0 lab netns-update
  [[ $output == *"Removing '$units/netns-t@.service'."* ]]
}

@test "--now without --clean is refused" {
  run -1 lab netns-update --now
  [[ $output == *--clean* ]]
}

@test "a dry run prints the changes, and changes nothing" {
  cat >"$CONF/new.sh" <<<'NO_CONFIG_REQUIRED=y'
  before=$(lab find "$units" -newermt @0 -printf '%p %T@ %i\n' | sort)
  run -0 lab netns-update --dry-run
  [[ $output == *"Creating '$units/netns-new@.service'."*'nothing was changed'* ]]
  [[ $(lab find "$units" -newermt @0 -printf '%p %T@ %i\n' | sort) == "$before" ]]
}

@test "failed instances are reset; failed units of other programs are not" {
  plugin t 'configure_t_up_inside() { return 1; }'
  run lab systemctl start netns-t@n
  lab ip netns add taken
  run lab systemctl start netns-lo@taken
  run lab systemd-run --quiet --wait --unit=netns-not-ours false
  is netns-t@n failed
  is netns_name@taken failed
  lab netns-update
  is netns-t@n inactive
  is netns_name@taken inactive
  is netns-not-ours failed
}

@test "a changed template updates the copies, and active instances stay active" {
  lab systemctl start netns-veth@nstest
  lab sed -i 's/^TimeoutStopSec=.*/TimeoutStopSec=31s/' /usr/lib/systemd/system/netns@.service
  run -0 lab netns-update
  [[ $output == *"Updating '$units/netns-veth@.service'."* ]]
  up netns-veth@nstest
  lab ping -c1 -W1 -q 192.0.2.130
  [[ $(lab systemctl show --value --property=TimeoutStopUSec netns-veth@nstest) == 31s ]]
  lab sed -i 's/^TimeoutStopSec=.*/TimeoutStopSec=30s/' /usr/lib/systemd/system/netns@.service
}

@test "masks and drop-ins are not changed" {
  lab ln -sf /dev/null "$units/netns-lo@.service"
  lab systemctl daemon-reload
  lab mkdir -p "$units/netns-veth@.service.d"
  lab touch "$units/netns-veth@.service.d/mine.conf"
  lab netns-update
  [[ $(lab readlink "$units/netns-lo@.service") == /dev/null ]]
  lab test -e "$units/netns-veth@.service.d/mine.conf"
  run ! lab systemctl start netns-lo@n
  lab rm "$units/netns-lo@.service"
}

@test "foreign units of the same name pattern are not changed" {
  lab tee "$units/netns-foo@.service" >/dev/null <<<$'[Service]\nType=oneshot\nExecStart=/bin/true'
  lab netns-update
  lab netns-update --clean
  lab test -e "$units/netns-foo@.service"
  lab rm "$units/netns-foo@.service"
}

@test "two concurrent runs, while instances start and stop, succeed" {
  lab bash -c 'for ((turn = 0; turn < 10; turn++)); do systemctl start netns-lo@n; systemctl stop netns-lo@n; done' &
  instances=$!
  for ((turn = 0; turn < 5; turn++)); do
    cat >"$CONF/t$turn.sh" <<<'NO_CONFIG_REQUIRED=y'
    lab netns-update &
    one=$!
    lab netns-update
    wait "$one"
  done
  wait "$instances"
  nothing_left n
}

@test "without systemd as PID 1 the files are written, and the missing reload is reported" {
  cat >"$CONF/new.sh" <<<'NO_CONFIG_REQUIRED=y'
  run -0 lab unshare --mount bash -c 'umount /run/systemd 2>/dev/null; mount -t tmpfs none /run/systemd; netns-update'
  [[ $output == *Creating*'daemon-reload was left out'* ]]
  lab test -e "$units/netns-new@.service"
}

@test "after a failed or missing reload, the next run reloads systemd" {
  lab tee -a /etc/conf.d/netns/veth-nstest.conf <<<'NETNS_REQUIRES=nft@nstest' >/dev/null
  lab mkdir -p /run/bin
  for end in 'exit 1' "kill -KILL \$PPID"; do
    lab install -m 755 /dev/stdin /run/bin/systemctl <<END
#!/bin/sh
[ "\$1" != daemon-reload ] || $end
exec /bin/systemctl "\$@"
END
    run ! lab env PATH="/run/bin:$PATH" netns-update
    lab test -e "$units/netns_outside-veth@nstest.service.d/10-requires.conf"
    run -0 lab netns-update
    [[ $output == *'keep '*'Update successful.'* ]]
    lab systemctl start netns-veth@nstest
    up netns-nft@nstest
    lab systemctl stop netns-veth@nstest netns-nft@nstest
    nothing_left nstest
    lab rm -r "$units/netns_outside-veth@nstest.service.d"
    lab systemctl daemon-reload
  done
}

@test "a systemd older than the supported versions is refused, and nothing is changed" {
  lab mkdir -p /run/bin
  # A mock: its version is older.
  lab install -m 755 /dev/stdin /run/bin/systemctl <<<$'#!/bin/sh
[ "$1" != --version ] || { echo "systemd 248 (248.3-1)"; exit; }
exec /bin/systemctl "$@"'
  unit test-a.service <<<$'[Service]\nExecStart=/bin/sleep 1000'
  cat >"$CONF/new.sh" <<<'NO_CONFIG_REQUIRED=y'
  for command in netns-update 'netnsctl attach test-a lo@n'; do
    # shellcheck disable=SC2086 # words
    run --separate-stderr ! lab env PATH="/run/bin:$PATH" $command
    # shellcheck disable=SC2154 # set by run
    [[ $stderr == *'systemd 248 is too old'*'version 249 or later'*'`netnsctl --engine direct`'* ]]
  done
  lab test ! -e "$units/netns-new@.service"
  [[ -z $(lab find "$units/test-a.service.d" 2>/dev/null) ]]
  # Without changes the version does not matter.
  rm "$CONF/new.sh"
  lab env PATH="/run/bin:$PATH" netns-update
  lab env PATH="/run/bin:$PATH" netns-update --clean
}
