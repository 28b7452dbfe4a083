#!/usr/bin/env bats
# netnsctl gc on a machine with systemd removes unneeded leftovers, and keeps everything that a unit needs or may need soon.

load systemd

# Usage: maker [TEXT]
# A type that creates an interface on the host, and remembers its name.
maker() {
  plugin maker '
configure_maker_up_outside() {
  MAKER_IFNAME=mk-$1 && remember MAKER_IFNAME
  ip link add "$MAKER_IFNAME" type veth peer name mk1 netns "$1"
  '"${1-}"'
}
configure_maker_up_inside() { :; }
configure_maker_down_inside() { :; }
maker_made() { [[ $(ip -oneline link show type veth) == *": $MAKER_IFNAME@"* ]]; }
configure_maker_down_outside() {
  recall
  # The kernel may remove it with the namespace of its peer.
  ! maker_made || ip link delete dev "$MAKER_IFNAME" || ! maker_made
}'
}

@test "active namespaces of units, and foreign namespaces, stay" {
  maker
  lab ip netns add foreign
  lab systemctl start netns-maker@a netns-lo@b
  run -0 lab netnsctl gc
  [[ -z $output ]]
  lab ip netns exec a ip link show mk1 >/dev/null
  exists b
  exists foreign
}

@test "an own namespace that no unit needs is removed, unless processes run in it" {
  lab netnsinit --create a
  lab ip netns exec a sleep 1000 3>&- &
  process=$!
  entered() { [[ $(lab ip netns pids a) ]]; }
  eventually entered
  run -0 lab netnsctl gc
  [[ $output == 'left alone: /run/netns/a: no unit needs this namespace, but processes run in it' ]]
  lab pkill --full 'sleep 1000'
  wait "$process" || true
  run -0 lab netnsctl gc
  [[ $output == 'removed: namespace `a`: created by systemd-netns, and no unit needs it' ]]
  gone a
  [[ -z $(lab find /run/systemd-netns -type f) ]]
}

@test "a foreign namespace of our name stays, and our ownership record is removed" {
  lab netnsinit --create a
  lab ip netns delete a
  lab ip netns add a
  run -0 lab netnsctl gc
  [[ $output == 'removed: /run/systemd-netns/made/a: the namespace of this ownership record was deleted' ]]
  exists a
}

@test "a foreign namespace with the inode of ours stays too" {
  lab bash -c "$(declare -f replace_same_inode); replace_same_inode a netnsinit --create a"
  run -0 lab netnsctl gc
  [[ $output == 'removed: /run/systemd-netns/made/a: the namespace of this ownership record was deleted' ]]
  lab bash -c "$(declare -f untouched); untouched a"
}

@test "the resources of a hook whose unit files were removed are removed by its down outside" {
  maker
  lab systemctl start netns-maker@a
  lab cp -a /run/systemd-netns/remembered /run/remembered
  lab bash -c 'rm /etc/systemd/system/netns*-maker@.service; systemctl daemon-reload'
  # Without the unit files, systemd removes the namespace, and runs no hook.
  lab systemctl stop netns-maker@a netns_outside-maker@a || true
  eventually gone a
  # As if the hook had been killed before it removed the remembered values.
  lab bash -c 'rm -rf /run/systemd-netns/remembered && mv /run/remembered /run/systemd-netns'
  lab systemctl reset-failed
  # The kernel removes the interface with the namespace, a little later.
  has_no_link() { ! lab ip link show dev mk-a; }
  eventually has_no_link
  lab ip link add mk-a type veth peer name mk-b
  run -0 lab netnsctl gc
  [[ $output == *'removed: leftovers of `maker@a` on the host'* ]]
  run ! lab ip link show dev mk-a
  [[ -z $(lab find /run/systemd-netns -type f) ]]
}

@test "an instance that is being brought up stays" {
  maker 'while [[ ! -e /run/go ]]; do sleep 0.05; done'
  lab systemctl start --no-block netns-maker@a
  eventually lab test -e /run/systemd-netns/remembered/maker@a
  run -0 lab netnsctl gc
  [[ -z $output ]]
  lab touch /run/go
  eventually is netns-maker@a.service active
  lab ip link show dev mk-a >/dev/null
  lab rm /run/go
}

@test "a namespace that an administrator's unit created or uses stays, with its remembered values" {
  maker
  unit test-maker.service <<'END'
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c "netnsinit --create foo && exec netnsinit maker foo up outside"
END
  unit test-user.service <<'END'
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStartPre=/bin/true
ExecStart=/bin/true
NetworkNamespacePath=/run/netns/bar
END
  lab netnsinit --create bar
  lab systemctl start test-maker test-user
  run -0 lab netnsctl gc
  [[ $output == 'left alone: /run/systemd-netns/remembered/maker@foo: the instance is not up, but a foreign namespace has its name' ]]
  exists foo
  exists bar
  lab ip link show dev mk-foo >/dev/null
  # Each namespace is kept for its own unit: without the unit it is removed.
  lab systemctl stop test-user
  run -0 lab netnsctl gc
  [[ $output == *'removed: namespace `bar`: created by systemd-netns, and no unit needs it'* ]]
  exists foo
  lab netnsinit maker foo down outside
  lab systemctl stop test-maker
  run -0 lab netnsctl gc
  [[ $output == 'removed: namespace `foo`: created by systemd-netns, and no unit needs it' ]]
  gone foo
}

@test "a namespace that such a unit creates by a script, in a shell, or with a specifier of systemd stays too" {
  unit test-maker.service <<'END'
[Service]
Type=oneshot
RemainAfterExit=yes
Environment=NAME=by-word
ExecStart=netnsinit --create ${NAME}
ExecStart=/bin/sh -c "(netnsinit --create by-shell)"
ExecStart=/run/by-script
ExecStartPost=netnsinit --create by-post
END
  lab install -m 755 /dev/stdin /run/by-script < <(printf '#!/bin/sh\nnetnsinit --create by-script\n')
  lab systemctl start test-maker
  run -0 lab netnsctl gc
  [[ -z $output ]]
  lab netnsinit --verify by-word
  lab systemctl stop test-maker
  run -0 lab netnsctl gc
  for name in by-post by-script by-shell by-word; do
    [[ $output == *"removed: namespace \`$name\`: created by systemd-netns, and no unit needs it"* ]]
    gone "$name"
  done
  lab rm /run/by-script
}

@test "a link in place of a drop-in directory is not followed: its target may be in use" {
  units=/etc/systemd/system
  config veth-a.conf <<<''
  lab mkdir -p "$units/netns_outside-veth@a.service.d"
  lab tee "$units/netns_outside-veth@a.service.d/10-requires.conf" <<<'# Written by netns-update from what veth says' >/dev/null
  lab ln -s netns_outside-veth@a.service.d "$units/netns_outside-veth@b.service.d"
  run -0 lab netnsctl gc
  [[ -z $output ]]
  lab test -e "$units/netns_outside-veth@a.service.d/10-requires.conf"
  lab rm -r "$units"/netns_outside-veth@{a,b}.service.d
}

@test "drop-ins for requirements are removed with them; an administrator's drop-ins stay" {
  units=/etc/systemd/system
  lab mkdir -p "$units"/netns_outside-{veth@a,veth@b}.service.d
  for instance in a b; do
    lab tee "$units/netns_outside-veth@$instance.service.d/10-requires.conf" <<<'# Written by netns-update from what veth says' >/dev/null
  done
  lab tee "$units/netns_outside-veth@a.service.d/20-own.conf" <<<'# mine' >/dev/null
  config veth-b.conf <<<''
  run -0 lab netnsctl gc
  [[ $output == "removed: $units/netns_outside-veth@a.service.d/10-requires.conf: /etc/conf.d/netns/veth-a.conf does not exist"* && ${#lines[@]} == 1 ]]
  lab test -e "$units/netns_outside-veth@a.service.d/20-own.conf"
  lab test -e "$units/netns_outside-veth@b.service.d/10-requires.conf"
}

@test "the drop-in of an attached service whose unit is missing stays, with the command that removes it" {
  dropin=/etc/systemd/system/test-away.service.d/50-netns.conf
  away() {
    lab tee /run/systemd/system/test-away.service >/dev/null <<<$'[Service]\nExecStart=/bin/sleep 1000'
    lab systemctl daemon-reload
  }
  away
  lab netnsctl attach test-away lo@a
  lab bash -c "echo '# an administrator has added this' >>$dropin && rm /run/systemd/system/test-away.service && systemctl daemon-reload"
  run -0 lab netnsctl gc
  [[ ${#lines[@]} == 1 ]]
  [[ $output == "left alone: $dropin: unit test-away.service does not exist; the drop-in is kept in case the unit is installed again; \`netnsctl detach test-away.service\` removes the drop-in" ]]
  lab grep -q 'an administrator' "$dropin"
  run -0 lab netnsctl gc --json
  [[ $(jq -c '.items | map([.kind, .removed])' <<<"$output") == '[["foreign",false]]' ]]
  away
  lab systemctl start test-away
  is_in a test-away
  run -0 lab netnsctl gc
  [[ -z $output ]]
  lab bash -c 'systemctl stop test-away netns-lo@a && rm /run/systemd/system/test-away.service && systemctl daemon-reload'
  run -0 lab netnsctl gc
  command=${output#*\`}
  # shellcheck disable=SC2086 # it is a command
  run -0 lab ${command%%\`*}
  [[ $output == 'test-away.service is detached' ]]
  run ! lab test -e "${dropin%/*}"
  run -0 lab netnsctl gc
  [[ -z $output ]]
}

@test "a drop-in of an existing unit stays, and so does a pipe in its place" {
  units=/etc/systemd/system
  lab mkdir -p "$units"/{test-gone,netns-lo@}.service.d
  lab mkfifo "$units/test-gone.service.d/50-netns.conf"
  lab tee "$units/netns-lo@.service.d/50-netns.conf" <<<'# Written by `netnsctl attach`' >/dev/null
  run -0 lab timeout 60 netnsctl gc
  [[ -z $output ]]
  lab test -p "$units/test-gone.service.d/50-netns.conf"
  lab rm -r "$units"/{test-gone,netns-lo@}.service.d
}

@test "a pipe in place of an ownership record does not block gc, and other leftovers are removed" {
  lab systemctl start netns-lo@a
  lab bash -c 'rm /run/systemd-netns/made/a && mkfifo /run/systemd-netns/made/{a,o}'
  lab netnsinit --create b
  for verb in list 'status a' 'check lo@a' 'restart lo@a'; do
    status=0
    # shellcheck disable=SC2086 # the verb and its words
    lab timeout 30 netnsctl $verb >/dev/null 2>&1 || status=$?
    ((status < 2))
  done
  run -1 --separate-stderr lab timeout 30 netnsctl gc
  [[ $output == 'removed: namespace `b`: created by systemd-netns, and no unit needs it' ]]
  for name in a o; do
    [[ $stderr == *"netnsctl: warning: /run/systemd-netns/made/$name: it is not a regular file; move it out of the way; skipped"* ]]
  done
  # The owner is unknown now: the namespace is kept, and reported.
  lab systemctl stop netns-lo@a
  eventually is netns_name@a inactive
  exists a
  [[ $(journal netns_name@a) == *'/run/systemd-netns/made/a: it is not a regular file'* ]]
  lab ip netns delete a
  lab rm -f /run/systemd-netns/made/{a,o}
}
