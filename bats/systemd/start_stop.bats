#!/usr/bin/env bats
# Instances are started and stopped.

load systemd

@test "veth: both ends are up, a ping passes each way, and a stop leaves nothing" {
  lab systemctl start netns-veth@nstest
  up netns-veth@nstest netns_outside-veth@nstest netns_name@nstest
  lab ping -c1 -W1 -q 192.0.2.130
  reaches nstest 192.0.2.129

  lab systemctl stop netns-veth@nstest
  nothing_left nstest
}

@test "up by a service before which the units cannot start is refused at once, and the suggested command works" {
  lab mkdir -p /etc/systemd/system/netns_outside-lo@early.service.d
  lab tee /etc/systemd/system/netns_outside-lo@early.service.d/order.conf <<<$'[Unit]\nAfter=test-late.target' >/dev/null
  unit test-late.target <<<$'[Unit]\nDescription=late'
  unit test-hook.service <<'END'
[Unit]
DefaultDependencies=no
Before=test-late.target
[Service]
Type=oneshot
TimeoutStartSec=60
ExecStart=/bin/bash /run/test-hook
END
  lab tee /run/test-hook <<'END' >/dev/null
netnsctl up lo@early 2>/run/test-hook.error && exit 1
[[ $(</run/test-hook.error) =~ 'fix: `'([^\`]*) ]] && ${BASH_REMATCH[1]}
END
  SECONDS=0
  lab systemctl start test-hook.service test-late.target
  ((SECONDS < 30))
  run -0 lab cat /run/test-hook.error
  [[ $output == *'the start would wait for test-hook.service, which waits for this command; fix: `systemctl start --no-block netns-lo@early.service`'* ]]
  eventually up netns-lo@early
  lab systemctl stop netns-lo@early
  lab rm -r /etc/systemd/system/netns_outside-lo@early.service.d /run/test-hook{,.error}
  nothing_left early
}

@test "macvlan: the interface has its address and gateway, and a stop leaves nothing" {
  parent eth0
  config macvlan-shop.conf <<'END'
MACVLAN_MAC=02:00:00:00:00:07
MACVLAN_IFADDR="192.0.2.7/24 broadcast 192.0.2.255"
MACVLAN_GATEWAY=192.0.2.1
END
  lab systemctl start netns-macvlan@shop
  run -0 lab ip -netns shop -oneline address show dev macvlan0
  [[ $output == *'192.0.2.7/24 brd 192.0.2.255'* ]]
  run -0 lab ip -netns shop route show default
  [[ $output == *'via 192.0.2.1 dev macvlan0'* ]]
  run -0 lab ip -netns shop link show dev macvlan0
  [[ $output == *02:00:00:00:00:07* ]]
  run -0 lab ip -oneline link show type macvlan
  [[ -z $output ]]

  lab systemctl stop netns-macvlan@shop
  nothing_left shop
}

@test "lo: the interface is up in the namespace, and a stop leaves nothing" {
  lab systemctl start netns-lo@quiet
  reaches quiet 127.0.0.1
  lab systemctl stop netns-lo@quiet
  nothing_left quiet
}

@test "nft: start and stop leave no namespace behind" {
  lab systemctl start netns-nft@x
  reaches x 127.0.0.1
  lab systemctl stop netns-nft@x
  nothing_left x
}

@test "names with hyphens work from end to end" {
  pair my-net
  lab systemctl start netns-veth@my-net netns-nft@my-net
  lab ip netns exec my-net ip link show dev ve-my-net1
  lab ip link show dev ve-my-net0
  config nft-my-net.rules <<<'flush ruleset'
  lab systemctl restart netns-nft@my-net
  reaches my-net 192.0.2.1
  lab netns-nft-save my-net
  lab systemctl stop netns-veth@my-net netns-nft@my-net
  nothing_left my-net
}

@test "names with dots, colons, underscores and capitals work from end to end" {
  for name in a.b a:b a_b AbC 0x default; do
    lab systemctl start "netns-lo@$name"
    exists "$name"
    lab systemctl stop "netns-lo@$name"
    nothing_left "$name"
  done
}

@test "invalid names start nothing, and the journal has the allowed characters" {
  for name in 'a\x20b' a-; do
    run ! lab systemctl start "netns-lo@$name"
    [[ $(journal "netns_name@$name") == *'invalid NSNAME'*'use letters, digits'* ]]
  done
  run -0 lab ip netns list
  [[ -z $output ]]
}

@test "the hooks run in order, each on its side" {
  plugin t
  lab systemctl start netns-t@n
  lab systemctl stop netns-t@n
  eventually gone n
  [[ $(hooks) == 't@n up outside,t@n up inside,t@n down inside,t@n down outside' ]]
}

@test "a hook gets its arguments, its side and its namespace" {
  plugin t "
    configure_t_up_outside() { echo \"\$# \$1 \$NSTYPE \$NSNAME \$UPDOWN \$INOUT \$(ip netns identify \$\$)\" >>$LOG; }
    configure_t_up_inside() { echo \"\$# \$1 \$NSTYPE \$NSNAME \$UPDOWN \$INOUT \$(ip netns identify \$\$)\" >>$LOG; }"
  lab systemctl start netns-t@n
  [[ $(hooks) == '1 n t n up outside ,1 n t n up inside n' ]]
}

@test "the stop of one type does not affect another on the same namespace; the last one removes it" {
  lab systemctl start netns-veth@nstest netns-lo@nstest netns-nft@nstest
  lab systemctl stop netns-nft@nstest
  lab systemctl stop netns-lo@nstest
  up netns-veth@nstest netns_name@nstest
  lab ip -netns nstest link show dev ve-nstest1
  lab systemctl start netns-lo@nstest
  lab systemctl stop netns-veth@nstest
  up netns-lo@nstest netns_name@nstest
  reaches nstest 127.0.0.1
  eventually is netns_outside-veth@nstest inactive
  run ! lab ip link show dev ve-nstest0
  lab systemctl stop netns-lo@nstest
  nothing_left nstest
}

@test "a stop of one type and an immediate start of another keep or re-create the namespace" {
  plugin a
  plugin b
  for ((turn = 0; turn < 5; turn++)); do
    lab systemctl start netns-a@n
    lab bash -c 'systemctl stop netns-a@n; systemctl start netns-b@n'
    up netns-b@n netns_name@n
    exists n
    lab systemctl stop netns-b@n
    eventually gone n
  done
  nothing_left n
}

@test "two namespaces joined by veth reach each other, after the netns-update that the error suggests" {
  pair left VETH_NSNAME_OUTSIDE=right
  run ! lab systemctl start netns-veth@left
  [[ $(journal netns_outside-veth@left) == *"namespace 'right' (VETH_NSNAME_OUTSIDE) of the outside end does not exist"*'run `netns-update`'* ]]
  eventually gone left

  lab netns-update
  lab systemctl start netns-veth@left
  up netns_name@right netns_name@left
  reaches right 192.0.2.2
  reaches left 192.0.2.1
  lab systemctl stop netns-veth@left
  nothing_left left
  nothing_left right
}

@test "a stop removes what the start created, also after a change of the .conf" {
  pair edit VETH_IFNAME_OUTSIDE=before0 VETH_IFNAME_INSIDE=before1
  lab systemctl start netns-lo@edit netns-veth@edit
  sed -i 's/before/after/' "$CONF/veth-edit.conf"
  lab systemctl stop netns-veth@edit
  eventually is netns_outside-veth@edit inactive
  run ! lab ip link show dev before0
  lab systemctl stop netns-lo@edit
  nothing_left edit
}

@test "a service in the namespace is reachable only there" {
  lab systemctl start netns-veth@nstest
  lab systemd-run --quiet --unit=web --property=NetworkNamespacePath=/run/netns/nstest \
    --property=BindsTo=netns-veth@nstest.service --property=After=netns-veth@nstest.service \
    systemd-socket-activate --listen=8080 cat
  eventually lab bash -c 'exec 3<>/dev/tcp/192.0.2.130/8080'
  run ! lab bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080'
  lab systemctl stop netns-veth@nstest
  eventually is web inactive
  nothing_left nstest
}
