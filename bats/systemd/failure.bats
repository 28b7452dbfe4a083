#!/usr/bin/env bats
# Hooks fail, namespaces exist already or are deleted manually.

load systemd

@test "after a failed up inside, down outside runs, the namespace is removed, and the next start works" {
  plugin t "configure_t_up_inside() { echo \"t@\$1 up inside\" >>$LOG; [[ -e /run/fixed ]]; }"
  run ! lab systemctl start netns-t@n
  eventually gone n
  [[ $(hooks) == 't@n up outside,t@n up inside,t@n down outside' ]]
  is netns-t@n failed
  is netns_outside-t@n inactive
  is netns_name@n inactive
  [[ $(journal netns-t@n) == *'t@n: up inside (configure_t_up_inside) failed with status 1 at /etc/conf.d/netns/t.sh:'* ]]

  lab touch /run/fixed
  lab systemctl start netns-t@n
  up netns-t@n
}

@test "after a failed up outside, the namespace is removed, and no other hook runs" {
  plugin t "configure_t_up_outside() { echo 'up outside' >>$LOG; return 7; }"
  run ! lab systemctl start netns-t@n
  eventually gone n
  [[ $(hooks) == 'up outside' ]]
  is netns-t@n inactive
  is netns_outside-t@n failed
}

@test "a failed down inside does not prevent the rest of the teardown" {
  plugin t "configure_t_down_inside() { echo 'down inside' >>$LOG; return 7; }"
  lab systemctl start netns-t@n
  lab systemctl stop netns-t@n
  eventually gone n
  [[ $(hooks) == 't@n up outside,t@n up inside,down inside,t@n down outside' ]]
  is netns_name@n inactive
  lab systemctl start netns-t@n
}

@test "a failed down outside keeps neither the namespace nor the next start from working" {
  plugin t "configure_t_down_outside() { return 7; }"
  lab systemctl start netns-t@n
  lab systemctl stop netns-t@n
  eventually gone n
  eventually is netns_outside-t@n failed
  lab systemctl start netns-t@n
  up netns-t@n
}

@test "a second type that fails does not affect the first one and the namespace" {
  plugin t "configure_t_up_inside() { return 1; }"
  lab systemctl start netns-veth@nstest
  run ! lab systemctl start netns-t@nstest
  eventually is netns_outside-t@nstest inactive
  up netns-veth@nstest netns_name@nstest
  lab ping -c1 -W1 -q 192.0.2.130
}

@test "a killed hook counts as failed, and the teardown continues" {
  plugin t "configure_t_up_inside() { kill -9 \$\$; }"
  run ! lab systemctl start netns-t@n
  eventually gone n
  run -0 lab systemctl show --property=Result netns-t@n
  [[ $output == Result=signal ]]
  [[ $(hooks) == 't@n up outside,t@n down outside' ]]
}

@test "an existing namespace fails the start, is not changed, and the message has the next step" {
  lab ip netns add mine
  lab ip -netns mine link add inmine type veth peer name inmine-peer
  run ! lab systemctl start netns-lo@mine
  said=$(journal netns_name@mine)
  [[ $said == *'a foreign namespace of this name exists'*'ip netns delete mine'* ]]
  lab ip -netns mine link show dev inmine
  is netns-lo@mine inactive

  lab ip netns delete mine
  lab systemctl start netns-lo@mine
  up netns-lo@mine
}

@test "a namespace that cannot be removed is reported by down and the next up, with the fix" {
  lab netnsctl up lo@x
  unit netns_name@x.service.d/test.conf <<<$'[Service]\nExecStop=\nExecStop=/bin/false'
  run -1 lab netnsctl down lo@x
  [[ $output == *'`lo@x` is down, but with errors: netns_name@x.service has failed, and the namespace was not removed'*'netnsctl gc'* ]]
  run -1 lab netnsctl up lo@x
  [[ $output == *'`x` exists already, created by an earlier run of systemd-netns'*'netnsinit --delete x'* ]]
  lab bash -c 'rm -r /etc/systemd/system/netns_name@x.service.d; systemctl daemon-reload'
  lab netnsctl gc
  gone x
  lab netnsctl up lo@x
  lab netnsctl down lo@x
}

@test "a setting that hides the mounts of the namespace unit fails up, and up and check report the setting" {
  config veth-x.conf </dev/null
  pair x
  for setting in PrivateTmp=yes ProtectHome=yes ProtectHome=read-only PrivateDevices=yes ProtectSystem=yes PrivateMounts=yes \
    ProtectKernelTunables=yes ReadOnlyPaths=/srv InaccessiblePaths=/srv BindPaths=/srv TemporaryFileSystem=/srv; do
    unit netns_name@x.service.d/test.conf <<<"[Service]"$'\n'"$setting"
    run -1 lab netnsctl check
    [[ $output == *"error: $setting"*'in the files of netns_name@x.service: a namespace that it creates is hidden'*'`systemctl cat netns_name@x.service`'* ]]
    run -1 lab netnsctl up veth@x
    [[ $output == *"namespace \`x\` is hidden from the host by $setting"*'`systemctl cat netns_name@x.service`'* && $output != *'netnsctl restart'* ]]
    cannot_start veth x
  done
  lab bash -c 'rm -r /etc/systemd/system/netns_name@x.service.d; systemctl daemon-reload; netnsctl check; netnsctl up veth@x'
}

@test "a setting for all services that hides mounts is reported, once for all units" {
  for name in x y; do pair "$name"; done
  lab mkdir -p /etc/systemd/system/service.d
  lab bash -c 'printf "[Service]\nPrivateTmp=yes\n" >/etc/systemd/system/service.d/hard.conf; systemctl daemon-reload'
  run -1 lab netnsctl check
  lab rm -r /etc/systemd/system/service.d
  lab systemctl daemon-reload
  [[ $(grep --count 'error: PrivateTmp=yes' <<<"$output") == 1 && $(grep --count 'warning: PrivateTmp=yes' <<<"$output") == 1 ]]
  [[ $output == *'netns_name@'*'.service and '*' more units: a namespace that it creates'* ]]
  [[ $output == *'more units: its hooks do not work on the mounts or the network of the host'* ]]
}

@test "a stale file in place of the namespace is not changed, and the message has its path" {
  lab mkdir -p /run/netns
  lab touch /run/netns/stale
  run ! lab systemctl start netns-lo@stale
  [[ $(journal netns_name@stale) == */run/netns/stale* ]]
  lab test -f /run/netns/stale
  lab rm /run/netns/stale
}

@test "after a manual deletion of the namespace, stop and start work without reset-failed, and no unit stays failed" {
  config macvlan-nstest.conf <<<'MACVLAN_PARENT_IFNAME=eth0'
  parent eth0
  for type in lo veth nft macvlan; do
    lab systemctl start "netns-$type@nstest"
    lab ip netns delete nstest
    lab systemctl stop "netns-$type@nstest"
    eventually is netns_name@nstest inactive
    nothing_failed
    lab systemctl start "netns-$type@nstest"
    up "netns-$type@nstest"
    exists nstest
    lab systemctl stop "netns-$type@nstest"
    eventually gone nstest
    nothing_failed
  done
  nothing_left nstest
}

@test "after a manual deletion of the namespace, all its types stop and start together" {
  lab systemctl start netns-{lo,veth,nft}@nstest
  lab ip netns delete nstest
  lab systemctl stop netns-{lo,veth,nft}@nstest
  eventually is netns_name@nstest inactive
  nothing_failed
  lab systemctl start netns-{lo,veth,nft}@nstest
  lab systemctl stop netns-nft@nstest
  up netns-{lo,veth}@nstest
  reaches nstest 127.0.0.1
  lab systemctl stop netns-{lo,veth}@nstest
  nothing_left nstest
}

@test "after a manual deletion of the namespace, systemctl restart re-creates it with all its types" {
  lab systemctl start netns-{lo,veth,nft}@nstest
  for types in netns-{lo,veth,nft} 'netns-lo netns-nft' 'netns-veth netns-lo netns-nft'; do
    lab ip netns delete nstest
    read -r -a units <<<"$types"
    lab systemctl restart "${units[@]/%/@nstest}"
    # systemctl waits for the units of its arguments only.
    eventually up netns-{lo,veth,nft}@nstest netns_name@nstest
    lab netnsctl check
    lab ip -netns nstest link show dev ve-nstest1
  done
  [[ $(journal netns-nft@nstest) == *'`nstest` was deleted manually: re-creating it with all its instances'* ]]
  lab systemctl stop netns-{lo,veth,nft}@nstest
  nothing_left nstest
}

@test "after a manual deletion of the namespace, systemctl restart restarts the instances that require it" {
  config veth-other.conf <<<$'VETH_NSNAME_OUTSIDE=nstest\nVETH_IFADDR_OUTSIDE=198.51.100.1/30\nVETH_IFADDR_INSIDE=198.51.100.2/30'
  lab netns-update >/dev/null
  lab systemctl start netns-veth@other netns-lo@other netns-lo@nstest
  lab ip netns delete nstest
  lab systemctl restart netns-lo@nstest
  eventually up netns-veth@other netns-lo@nstest
  eventually reaches other 198.51.100.1
  lab netnsctl check
  lab netnsctl down other nstest
  nothing_left nstest
}

@test "a manually deleted interface does not prevent the stop" {
  lab systemctl start netns-veth@nstest
  lab ip link delete ve-nstest0
  lab systemctl stop netns-veth@nstest
  nothing_left nstest
}

@test "an up outside that fails leaves nothing on the host" {
  pair bad VETH_IFADDR_OUTSIDE=no-address
  cannot_start veth bad
}

@test "an up inside that fails leaves nothing on the host" {
  pair bad VETH_IFADDR_INSIDE=no-address
  cannot_start veth bad
}

@test "after the removal of the plugin of an active instance, the stop still removes the namespace" {
  plugin t
  lab systemctl start netns-t@n
  rm "$CONF/t.sh"
  lab systemctl stop netns-t@n
  eventually gone n
  [[ $(journal netns-t@n) == *'/etc/conf.d/netns/t.sh'*'/usr/share/systemd-netns/t.sh'* ]]
}

@test "the name of a namespace is removed, also while a process is in it" {
  lab systemctl start netns-lo@busy
  lab systemd-run --quiet --unit=busy --property=NetworkNamespacePath=/run/netns/busy sleep infinity
  lab systemctl stop netns-lo@busy
  nothing_left busy
  lab systemctl stop busy
}

# Usage: replaced NAME / theirs NAME
# Replaces our namespace by a foreign one; succeeds if the foreign one is unchanged.
replaced() { lab bash -c "$(declare -f replace); replace $1"; }
theirs() { lab bash -c "$(declare -f untouched); untouched $1"; }

# Usage: fixed_by_restart INSTANCE
# Succeeds if the commands in the error help.
fixed_by_restart() {
  lab ip netns delete "${1#*@}"
  lab netnsctl restart "${1#*@}"
  up "netns-$1"
  lab netnsctl down "${1#*@}"
  nothing_left "${1#*@}"
}

@test "systemctl restart in a foreign namespace fails with the next step, and changes nothing" {
  lab netnsctl up nft@a
  replaced a
  run ! lab systemctl restart netns-nft@a
  theirs a
  said=$(journal netns-nft@a)
  [[ $said == *'continuing, to remove leftovers'*'was deleted and re-created by another program'*'`ip netns delete a`'* ]]
  # Only the reported resources of ours are left.
  eventually is netns_name@a inactive
  theirs a
  lab ip netns delete a
  lab systemctl restart netns-nft@a
  up netns-nft@a
}

@test "systemctl start of a second type in a foreign namespace fails, and changes nothing" {
  lab netnsctl up lo@a
  replaced a
  for type in nft veth; do
    pair a
    run ! lab systemctl start "netns-$type@a"
    # A firewall closes its namespace first.
    local unit=netns_outside-$type@a
    [[ $type != nft ]] || unit=netns_closed@a
    [[ $(journal "$unit") == *'was deleted and re-created by another program'*'`netnsctl restart a`'* ]]
    theirs a
  done
  [[ $(lab ip -oneline link) != *ve-a* ]]
  lab systemctl reset-failed 'netns*'
  fixed_by_restart lo@a
}

@test "systemctl stop with a foreign namespace runs down inside in our old namespace" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin t 'configure_t_down_inside() { echo "t@$1 down inside of $(stat -Lc %i /proc/self/ns/net)" >>'"$LOG"'; }'
  lab systemctl start netns-t@n
  # systemd has kept the namespace (NetworkNamespacePath=).
  ours=$(lab stat -Lc %i /run/netns/n)
  replaced n
  lab systemctl stop netns-t@n
  eventually is netns_name@n inactive
  [[ $(hooks) == 't@n up outside,t@n up inside,t@n down inside of '"$ours"',t@n down outside' ]]
  theirs n
  nothing_failed
}

@test "netnsctl up and restart refuse a foreign namespace, also for an active instance" {
  lab netnsctl up lo@a nft@a
  replaced a
  pair a
  for words in 'up veth@a' 'up nft@a' 'restart nft@a' 'restart a'; do
    # shellcheck disable=SC2086 # words
    run --separate-stderr -1 lab netnsctl $words
    # shellcheck disable=SC2154 # set by run
    [[ $stderr == *'was deleted and re-created by another program'*'`ip netns delete a`, then `netnsctl restart a`'* ]]
    theirs a
  done
  [[ $(lab ip -oneline link) != *ve-a* ]]
  lab systemctl reset-failed 'netns*'
  fixed_by_restart nft@a
}

@test "netnsctl up of an active instance reports a manually deleted namespace" {
  lab netnsctl up nft@a
  lab ip netns delete a
  run --separate-stderr -1 lab netnsctl up nft@a
  [[ $stderr == *'`nft@a` is not up: namespace `a` was deleted manually; fix: `netnsctl restart a`'* ]]
  lab netnsctl restart a
  lab netnsctl down a
  nothing_left a
}
