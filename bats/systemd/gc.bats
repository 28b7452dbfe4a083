#!/usr/bin/env bats
# netnsctl gc on a machine with systemd: what no unit needs goes, and what one needs, or may be about to, stays.

load systemd

# Usage: maker [TEXT]
# A type that makes an interface on the host, and remembers it.
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
  # It may go by itself meanwhile, with the namespace of its peer.
  ! maker_made || ip link delete dev "$MAKER_IFNAME" || ! maker_made
}'
}

@test "what units have up, and a namespace that others have made, stays" {
  maker
  lab ip netns add foreign
  lab systemctl start netns-maker@a netns-lo@b
  run -0 lab netnsctl gc
  [[ -z $output ]]
  lab ip netns exec a ip link show mk1 >/dev/null
  exists b
  exists foreign
}

@test "a namespace that we have made and no unit needs goes, unless processes run in it" {
  lab netnsinit --create a
  lab ip netns exec a sleep 1000 3>&- &
  process=$!
  entered() { [[ $(lab ip netns pids a) ]]; }
  eventually entered
  run -0 lab netnsctl gc
  [[ $output == 'left alone: /run/netns/a: no unit needs this namespace of ours, but processes run in it' ]]
  lab pkill --full 'sleep 1000'
  wait "$process" || true
  run -0 lab netnsctl gc
  [[ $output == 'removed: namespace `a`: we have made it, and no unit needs it' ]]
  gone a
  [[ -z $(lab find /run/systemd-netns -type f) ]]
}

@test "a namespace of our name that somebody else has made meanwhile is theirs, and our note goes" {
  lab netnsinit --create a
  lab ip netns delete a
  lab ip netns add a
  run -0 lab netnsctl gc
  [[ $output == 'removed: /run/systemd-netns/made/a: the namespace that it is about is gone' ]]
  exists a
}

@test "so is one that got the inode of ours" {
  lab bash -c "$(declare -f replace_same_inode); replace_same_inode a netnsinit --create a"
  run -0 lab netnsctl gc
  [[ $output == 'removed: /run/systemd-netns/made/a: the namespace that it is about is gone' ]]
  lab bash -c "$(declare -f untouched); untouched a"
}

@test "what a hook was making when the unit files went away goes by its own down outside" {
  maker
  lab systemctl start netns-maker@a
  lab cp -a /run/systemd-netns/remembered /run/remembered
  lab bash -c 'rm /etc/systemd/system/netns*-maker@.service; systemctl daemon-reload'
  # Without their files, systemd takes the namespace away under it, and runs no hook.
  lab systemctl stop netns-maker@a netns_outside-maker@a || true
  eventually gone a
  # As if that had been killed before it forgot the instance.
  lab bash -c 'rm -rf /run/systemd-netns/remembered && mv /run/remembered /run/systemd-netns'
  lab systemctl reset-failed
  lab ip link add mk-a type veth peer name mk-b
  run -0 lab netnsctl gc
  [[ $output == *'removed: what `maker@a` has made outside'* ]]
  run ! lab ip link show dev mk-a
  [[ -z $(lab find /run/systemd-netns -type f) ]]
}

@test "what is being brought up stays" {
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

@test "a namespace that somebody's own unit has made, or is in, stays, with what is remembered for it" {
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
  [[ $output == 'left alone: /run/systemd-netns/remembered/maker@foo: no engine has this instance up, but there is a namespace of its name that is not ours' ]]
  exists foo
  exists bar
  lab ip link show dev mk-foo >/dev/null
  # Each is for its own unit: without one, it goes.
  lab systemctl stop test-user
  run -0 lab netnsctl gc
  [[ $output == *'removed: namespace `bar`: we have made it, and no unit needs it'* ]]
  exists foo
  lab netnsinit maker foo down outside
  lab systemctl stop test-maker
  run -0 lab netnsctl gc
  [[ $output == 'removed: namespace `foo`: we have made it, and no unit needs it' ]]
  gone foo
}

@test "so does one that such a unit has made by a script, in a shell, or by a word that systemd fills in" {
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
    [[ $output == *"removed: namespace \`$name\`: we have made it, and no unit needs it"* ]]
    gone "$name"
  done
  lab rm /run/by-script
}

@test "a link in the place of a directory of drop-ins is not looked through: what it leads to may be needed" {
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

@test "drop-ins for what instances require go with them; an administrator's stay" {
  units=/etc/systemd/system
  lab mkdir -p "$units"/netns_outside-{veth@a,veth@b}.service.d
  for instance in a b; do
    lab tee "$units/netns_outside-veth@$instance.service.d/10-requires.conf" <<<'# Written by netns-update from what veth says' >/dev/null
  done
  lab tee "$units/netns_outside-veth@a.service.d/20-own.conf" <<<'# mine' >/dev/null
  config veth-b.conf <<<''
  run -0 lab netnsctl gc
  [[ $output == "removed: $units/netns_outside-veth@a.service.d/10-requires.conf: there is no /etc/conf.d/netns/veth-a.conf"* && ${#lines[@]} == 1 ]]
  lab test -e "$units/netns_outside-veth@a.service.d/20-own.conf"
  lab test -e "$units/netns_outside-veth@b.service.d/10-requires.conf"
}

@test "the drop-in of an attached service whose unit is away stays, with the command that removes it, and holds it when it is back" {
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
  [[ $output == "left alone: $dropin: there is no unit test-away.service now, which would start in its namespace if it came back; \`netnsctl detach test-away.service\` removes it" ]]
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

@test "a drop-in of a unit that is there stays, and a pipe in the place of one is nobody's" {
  units=/etc/systemd/system
  lab mkdir -p "$units"/{test-gone,netns-lo@}.service.d
  lab mkfifo "$units/test-gone.service.d/50-netns.conf"
  lab tee "$units/netns-lo@.service.d/50-netns.conf" <<<'# Written by `netnsctl attach`' >/dev/null
  run -0 lab timeout 60 netnsctl gc
  [[ -z $output ]]
  lab test -p "$units/test-gone.service.d/50-netns.conf"
  lab rm -r "$units"/{test-gone,netns-lo@}.service.d
}

@test "nobody waits for a pipe in the place of a note, and what nobody needs beside it goes" {
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
  [[ $output == 'removed: namespace `b`: we have made it, and no unit needs it' ]]
  for name in a o; do
    [[ $stderr == *"netnsctl: warning: /run/systemd-netns/made/$name: it is not a regular file; move it out of the way; skipped"* ]]
  done
  # Nobody can tell whose it is now: it is left alone, and that is told.
  lab systemctl stop netns-lo@a
  eventually is netns_name@a inactive
  exists a
  [[ $(journal netns_name@a) == *'/run/systemd-netns/made/a: it is not a regular file'* ]]
  lab ip netns delete a
  lab rm -f /run/systemd-netns/made/{a,o}
}
