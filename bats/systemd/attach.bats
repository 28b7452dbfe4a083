#!/usr/bin/env bats
# `netnsctl attach` puts services and sockets into a namespace.

load systemd

setup() {
  unit test-web.service <<'END'
[Service]
ExecStart=/usr/bin/python3 -m http.server --directory /usr/share/systemd-netns 8000
[Install]
WantedBy=multi-user.target
END
}

DROP_IN=/etc/systemd/system/test-web.service.d/50-netns.conf

# Usage: answers NAME|host ADDRESS [PORT]
# Succeeds if a client there gets an answer on this port, or on port 8000.
answers() {
  local where=()
  [[ $1 == host ]] || where=(ip netns exec "$1")
  lab "${where[@]}" timeout 2 bash -c "exec 3<>/dev/tcp/$2/${3-8000} && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && grep -q '200 OK' <&3" 2>/dev/null
}

@test "an attached service is reachable from the other namespace, and not from the host" {
  pair client VETH_NSNAME_OUTSIDE=server
  lab netns-update
  lab netnsctl attach test-web lo@server
  lab systemctl start test-web
  lab netnsctl up veth@client lo@client
  is_in server test-web
  eventually answers client 192.0.2.1
  run ! answers host 192.0.2.1
  run ! answers host 127.0.0.1
  lab netnsctl check
  run -0 lab netnsctl status server
  [[ $output == *'attached'*'test-web.service'* ]]
  # Before it is attached, the host reaches it.
  lab netnsctl detach test-web --now
  eventually answers host 127.0.0.1
  run ! answers client 192.0.2.1
  lab netnsctl down client server
}

@test "a unit of another program whose name begins with netns- can be attached" {
  lab tee /etc/systemd/system/netns-exporter.service <<<$'[Service]\nExecStart=/bin/sleep infinity' >/dev/null
  lab systemctl daemon-reload
  lab netnsctl attach netns-exporter lo@a
  lab systemctl start netns-exporter
  eventually is_in a netns-exporter
  lab systemctl stop netns-exporter
  lab netnsctl detach netns-exporter
  lab rm /etc/systemd/system/netns-exporter.service
  lab systemctl daemon-reload
}

@test "attach reports a loopback interface that is down, or stays down, unless a type sets it up" {
  pair a
  text='so 127.0.0.1 and ::1 do not work; hint: `netnsctl up lo@a`'
  run -0 lab netnsctl attach test-web veth@a
  [[ $output == *"namespace \`a\`: lo stays down, $text"* ]]
  lab netnsctl up veth@a
  run -0 lab netnsctl attach test-web veth@a
  [[ $output == *"namespace \`a\`: lo is down, $text"* ]]
  run -0 lab netnsctl check veth@a
  [[ $output == "note: namespace \`a\`: lo is down, $text" ]]
  lab netnsctl up lo@a
  run -0 lab netnsctl attach test-web veth@a
  [[ $output != *'lo is down'* ]]
  lab netnsctl down a
  run -0 lab netnsctl attach test-web veth@a lo@a
  [[ $output != *'lo stays down'* ]]
}

@test "--dry-run prints the drop-in, and changes nothing" {
  before=$(lab find /etc/systemd /run/systemd/system | sort)
  run -0 lab netnsctl attach --dry-run test-web lo@a nft@a
  [[ $output == *$'\nAfter=netns-lo@a.service netns-nft@a.service\n'*$'\nRequires=netns-nft@a.service\nBindsTo=netns-nft@a.service\n'* ]]
  [[ $output == *$'\nRequires=netns_up@lo@a.service\nAfter=netns_up@lo@a.service\nStopPropagatedFrom=netns-lo@a.service '* ]]
  [[ $output == *$'\nRequires=netns_made@a.service\nAfter=netns_made@a.service\n'* ]]
  [[ $output == *$'\n[Service]\nNetworkNamespacePath=/run/netns/a\n'* ]]
  [[ $(lab find /etc/systemd /run/systemd/system | sort) == "$before" ]]
  printed=$output
  lab netnsctl attach test-web lo@a nft@a
  [[ $(lab cat "$DROP_IN") == "$printed" ]]
  run -0 lab netnsctl detach --dry-run test-web
  [[ $output == "would remove $DROP_IN" ]]
  lab test -e "$DROP_IN"
}

@test "attach asks for a restart of a running unit, or restarts it with --now; detach removes only the drop-in" {
  unit test-web.service.d/override.conf <<<$'[Service]\nEnvironment=MINE=1'
  lab systemctl start test-web
  run --separate-stderr -1 lab netnsctl attach test-web lo@a
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'`lo@a` is not up, so the unit cannot continue to run; run `netnsctl up lo@a` first'* ]]
  up test-web
  lab netnsctl up lo@a
  run -0 lab netnsctl attach test-web lo@a
  up test-web
  [[ $output == *'`systemctl restart test-web.service`' ]]
  run ! is_in a test-web
  run -0 lab netnsctl attach test-web lo@a --now
  [[ $output == *'already attached to a'*'test-web.service was restarted' ]]
  is_in a test-web
  lab netnsctl detach test-web --now
  [[ $(lab ls /etc/systemd/system/test-web.service.d) == override.conf ]]
  up test-web
  run ! is_in a test-web
  rm -r "$LAB/root/etc/systemd/system/test-web.service.d"
  lab netnsctl attach test-web lo@a
  lab netnsctl detach test-web
  lab test ! -e "${DROP_IN%/*}"
  run --separate-stderr -1 lab netnsctl detach test-web
  [[ $stderr == *'`test-web.service` is not attached'* ]]
}

@test "attach --now stops a running service only if its new place is certain" {
  config veth-nstest.conf <<<$'VETH_IFADDR_OUTSIDE=192.0.2.1/30\nVETH_IFADDR_INSIDE=192.0.2.2/30'
  config veth-bad.conf <<<$'VETH_IFADDR_OUTSIDE=192.0.2.300/30\nVETH_IFADDR_INSIDE=192.0.2.2/30'
  lab systemctl start test-web
  pid=$(lab systemctl show --property=MainPID --value test-web)
  run -1 lab netnsctl attach --now test-web veth@nstset
  [[ $output == *'`veth@nstset` is unknown'*'did you mean `nstest`?'* ]]
  run -1 lab netnsctl attach --now test-web veth@bad
  [[ $output == *'`test-web.service` still runs, and is not attached'* ]]
  [[ $(lab systemctl show --property=MainPID --value test-web) == "$pid" ]]
  run ! lab test -e "$DROP_IN"
  lab netnsctl attach --now test-web veth@nstest
  is_in nstest test-web
  lab netnsctl detach --now test-web
}

@test "starting the service starts its requirements, and restarting the firewall restarts it" {
  lab netnsctl attach test-web lo@a nft@a
  lab systemctl start test-web
  up netns-lo@a netns-nft@a
  is_in a test-web
  for command in 'systemctl restart netns-nft@a' 'netnsctl restart nft@a' 'netnsctl restart a'; do
    before=$(main_pid test-web)
    # shellcheck disable=SC2086 # words
    lab $command
    eventually up test-web
    eventually is_in a test-web
    (($(main_pid test-web) != before))
  done
}

@test "the service keeps running when an instance that is no firewall restarts, and stops before it stops" {
  pair a
  lab netnsctl attach test-web veth@a lo@a
  lab systemctl start test-web
  pid=$(main_pid test-web)
  mtu=1400
  for command in 'systemctl restart netns-veth@a' 'netnsctl restart veth@a' 'netnsctl restart a' 'systemctl restart netns-veth@a netns-lo@a'; do
    pair a "VETH_MTU=$((++mtu))"
    # shellcheck disable=SC2086 # words
    lab $command
    [[ $(lab ip -netns a link show dev ve-a1) == *" mtu $mtu "* ]]
    is_in a test-web
    (($(main_pid test-web) == pid))
  done
  run --separate-stderr -1 lab netnsctl down a
  [[ $stderr == *'active units require it: `test-web.service`'* ]]
  is_in a test-web
  lab systemctl stop netns-veth@a
  is test-web inactive
  [[ $(lab systemctl show --property=Result test-web) == Result=success ]]
}

@test "the service does not start if one of its instances fails" {
  plugin bad 'configure_bad_up_inside() { [[ ! -e /run/broken ]]; }'
  lab netnsctl attach test-web lo@a bad@a
  lab touch /run/broken
  run -1 lab systemctl start test-web
  is test-web inactive
  lab rm /run/broken
  lab systemctl start test-web
  is_in a test-web
}

@test "a reload of an instance applies its settings, and the service keeps running" {
  pair a
  lab netnsctl attach test-web veth@a
  lab systemctl start test-web
  before=$(main_pid test-web)
  pair a VETH_MTU=1400
  lab systemctl reload netns-veth@a
  [[ $(lab ip -netns a link show dev ve-a1) == *' mtu 1400 '* ]]
  is_in a test-web
  (($(main_pid test-web) == before))
}

@test "the service stops with the instance, and a later start uses the new namespace" {
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web
  lab systemctl stop netns-lo@a
  is test-web inactive
  eventually gone a
  # The service is not enabled: attach_follow.bats.
  lab systemctl start netns-lo@a
  is test-web inactive
  lab systemctl start test-web
  is_in a test-web
}

@test "the service stops if its instance fails to restart, or the namespace is deleted manually" {
  plugin bad 'configure_bad_up_inside() { [[ ! -e /run/broken ]]; }'
  lab netnsctl attach test-web bad@a
  lab systemctl start test-web
  lab touch /run/broken
  run ! lab systemctl restart netns-bad@a
  lab rm /run/broken
  eventually is test-web inactive
  lab systemctl start test-web
  is_in a test-web
  delete_manually a
  eventually is test-web inactive
}

@test "a service does not start after a manual deletion of the namespace, and restart re-creates the namespace" {
  lab netnsctl attach test-web lo@a nft@a
  lab systemctl start test-web
  delete_manually a
  eventually is test-web inactive
  run -1 lab systemctl start test-web
  [[ $(journal netns_made@a) == *'namespace `a` was deleted manually; fix: `netnsctl restart a`'* ]]
  run -1 lab netnsctl check lo@a
  [[ $output == *'error: lo@a: namespace `a` was deleted manually; fix: `netnsctl restart a`'* ]]
  run -0 lab netnsctl restart lo@a
  [[ $output == *'nft@a was restarted'* ]]
  lab netnsctl check lo@a
  lab systemctl start test-web
  is_in a test-web
  nothing_failed
}

@test "a service does not start in a foreign namespace of the same name" {
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web
  delete_manually a
  eventually is test-web inactive
  lab ip netns add a
  run -1 lab systemctl start test-web
  is test-web inactive
  [[ $(journal netns_made@a) == *'namespace `a` was deleted and re-created by another program'* ]]
  run -1 lab netnsctl check lo@a
  [[ $output == *'error: lo@a: namespace `a` was deleted and re-created by another program'*'`ip netns delete a`, then `netnsctl restart a`'* ]]
  run --separate-stderr -1 lab netnsctl restart lo@a
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'was deleted and re-created by another program'* ]]
  # The suggested command helps.
  delete_manually a
  lab netnsctl restart a
  lab systemctl start test-web
  is_in a test-web
}

@test "a service does not start in a namespace with the same inode and another cookie, and a stop does not change it" {
  lab netnsctl attach test-web lo@a
  lab systemctl start netns-lo@a
  # While systemd keeps a namespace, the kernel does not reuse its inode: so the ownership record is edited.
  note=$(lab cat /run/systemd-netns/made/a)
  printf '%s' "${note%:*}:$((${note##*:} + 1))" | lab tee /run/systemd-netns/made/a >/dev/null
  run -1 lab systemctl start test-web
  [[ $(journal netns_made@a) == *'namespace `a` was deleted and re-created by another program'* ]]
  lab systemctl stop netns-lo@a
  eventually is netns_name@a inactive
  [[ $(journal netns_name@a) == *'was re-created by another program, and is not deleted'* ]]
  exists a
}

@test "detach is refused while the service would stay in the namespace without its protection" {
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web
  run --separate-stderr -1 lab netnsctl detach test-web
  [[ $stderr == *'cannot detach `test-web.service`: test-web.service runs in `a`'*'`systemctl stop test-web.service` first'*'--now'* ]]
  lab test -e "$DROP_IN"
  lab systemctl stop test-web
  lab netnsctl detach test-web
}

@test "attach reports dropped instances, the host's resolvers, duplicates, and instances of the direct engine" {
  run --separate-stderr -0 lab netnsctl attach test-web lo@a lo@a nft@a
  [[ $output == *'resolvers of the host; add dns@a'* ]]
  lab grep -qx 'After=netns-lo@a.service netns-nft@a.service' "$DROP_IN"
  run --separate-stderr -0 lab netnsctl attach test-web lo@a
  [[ $stderr == *'warning: `test-web.service` is attached to `nft@a`, and does not require this any more after the command'* ]]
  lab netnsctl up --engine direct lo@b
  run --separate-stderr -1 lab netnsctl attach test-web lo@b
  [[ $stderr == *'`lo@b` is up under the direct engine'*'`netnsctl down lo@b`, then `netnsctl up --engine systemd lo@b`'* ]]
  lab netnsctl down lo@b
  lab grep -qx 'After=netns-lo@a.service' "$DROP_IN"
}

@test "a unit of systemd-run is refused: its drop-in would remain" {
  lab systemd-run --quiet --unit=test-run sleep infinity
  run --separate-stderr -1 lab netnsctl attach test-run lo@a
  [[ $stderr == *'cannot attach `test-run.service`: systemd-run created it'* ]]
  lab test ! -e /etc/systemd/system/test-run.service.d
}

@test "a template and one of its instances can be attached to different namespaces" {
  unit test-many@.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  lab netnsctl attach test-many@ lo@a
  run --separate-stderr -0 lab netnsctl attach test-many@x lo@b
  [[ $stderr != *warning* ]]
  lab systemctl start test-many@x test-many@y
  is_in b test-many@x
  is_in a test-many@y
  lab netnsctl check
}

@test "if the restart of --now fails, the error has the state and the cause" {
  unit test-web.service.d/first.conf <<<$'[Service]\nType=exec\nExecStartPre=/usr/bin/test ! -e /run/broken'
  lab systemctl start test-web
  lab touch /run/broken
  run --separate-stderr -1 lab netnsctl attach test-web lo@a --now
  lab rm /run/broken
  [[ $stderr == *'test-web.service did not come up again, and is failed;'*'`systemctl start test-web.service`'*'  | '* ]]
  lab systemctl start test-web
  is_in a test-web
}

@test "the service never runs before the namespace is complete" {
  plugin slow 'configure_slow_up_inside() { sleep 1; touch /run/set-up; }; configure_slow_down_outside() { rm -f /run/set-up; }'
  unit test-web.service.d/first.conf <<<$'[Service]\nExecStartPre=/usr/bin/test -e /run/set-up'
  lab netnsctl attach test-web slow@a
  lab systemctl start test-web
  is_in a test-web
}

@test "an attached service survives daemon-reload and a reboot" {
  lab netnsctl attach test-web lo@a
  lab systemctl enable --now test-web
  lab systemctl daemon-reload
  is_in a test-web
  lab_reboot
  is_in a test-web
  lab systemctl stop netns-lo@a
  is test-web inactive
}

@test "a foreign drop-in is refused, and not changed" {
  unit test-web.service.d/50-netns.conf <<<$'[Service]\n# mine'
  for verb in 'attach test-web lo@a' 'detach test-web'; do
    # shellcheck disable=SC2086 # words
    run --separate-stderr -1 lab netnsctl $verb
    [[ $stderr == *"$DROP_IN was not written by "* ]]
  done
  [[ $(lab cat "$DROP_IN") == $'[Service]\n# mine' ]]
}

@test "a template is attached with all its instances, or only one instance" {
  unit test-many@.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  lab netnsctl attach test-many@ lo@a
  lab systemctl start test-many@x test-many@y
  is_in a test-many@x
  is_in a test-many@y
  lab netnsctl detach test-many@ --now
  run ! is_in a test-many@x
  lab netnsctl attach test-many@x lo@my-net --now
  is_in my-net test-many@x
  run ! is_in my-net test-many@y
  lab netnsctl check
  delete_manually my-net
  eventually is test-many@x inactive
}

@test "an attached socket listens in the namespace, and the unattached half of a pair is reported" {
  unit test-echo.socket <<<$'[Socket]\nListenStream=0.0.0.0:7000\nAccept=no'
  unit test-echo.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  run --separate-stderr -0 lab netnsctl attach test-echo lo@a
  [[ $stderr == *'warning: `test-echo.socket` listens for `test-echo.service` in another namespace than `a`'* ]]
  lab netnsctl detach test-echo
  run --separate-stderr -0 lab netnsctl attach test-echo.socket lo@a
  [[ $stderr == *'warning: `test-echo.service`, which `test-echo.socket` starts, is in another namespace than `a`'* ]]
  run --separate-stderr -0 lab netnsctl attach test-echo lo@a
  [[ $stderr != *warning* ]]
  lab systemctl start test-echo.socket
  up netns-lo@a
  [[ -n $(lab ip netns exec a ss -Hltn sport = :7000) ]]
  [[ -z $(lab ss -Hltn sport = :7000) ]]
  lab systemctl stop netns-lo@a
  is test-echo.socket inactive
}

@test "with Accept=yes, the unattached half of a socket and its template is reported" {
  unit test-each.socket <<<$'[Socket]\nListenStream=0.0.0.0:7001\nAccept=yes'
  unit test-each@.service <<<$'[Service]\nExecStart=/bin/cat\nStandardInput=socket'
  run --separate-stderr -0 lab netnsctl attach --dry-run test-each@ lo@a
  [[ $stderr == *'warning: `test-each.socket` listens for `test-each@.service` in another namespace than `a`'* ]]
  run --separate-stderr -0 lab netnsctl attach test-each.socket lo@a
  [[ $stderr == *'warning: `test-each@.service`, which `test-each.socket` starts, is in another namespace than `a`'* ]]
  run --separate-stderr -0 lab netnsctl attach test-each@ lo@a
  [[ $stderr != *warning* ]]
  lab systemctl start test-each.socket
  eventually accepts_in a
  lab netnsctl check
}

# Usage: accepts_in NAME
# Succeeds if a process answers a connection there on port 7001.
accepts_in() {
  lab ip netns exec "$1" bash -c 'exec 3<>/dev/tcp/127.0.0.1/7001; echo x >&3; read -r -t 2 said <&3; [[ $said == x ]]
    for pid in $(pgrep -x cat); do [[ /proc/$pid/ns/net -ef /proc/self/ns/net ]] && exit 0; done; exit 1'
}

@test "an alias means the unit itself, also for a template" {
  unit test-many@.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  lab ln -s test-many@.service /etc/systemd/system/test-alias@.service
  lab ln -s test-web.service /etc/systemd/system/test-alias.service
  lab systemctl daemon-reload
  lab netnsctl attach test-alias@ lo@a
  lab netnsctl attach test-alias lo@a
  [[ $(lab find /etc/systemd/system -name 50-netns.conf | sort) == /etc/systemd/system/test-many@.service.d/50-netns.conf$'\n'"$DROP_IN" ]]
  lab systemctl start test-many@x test-alias@y test-alias
  is_in a test-many@x
  is_in a test-many@y
  is_in a test-web
  lab netnsctl detach test-alias@ --now
  lab netnsctl detach test-alias --now
  [[ -z $(lab find /etc/systemd/system -name 50-netns.conf) ]]
}

@test "units with escaped names, of /run, and templates with an @ in the instance can be attached" {
  lab tee '/run/systemd/system/test-a\x20b\xc3\xa9.service' '/run/systemd/system/test-many@.service' <<<$'[Service]\nExecStart=/bin/sleep infinity' >/dev/null
  lab systemctl daemon-reload
  lab systemctl start 'test-a\x20b\xc3\xa9' test-many@x@
  lab netnsctl up lo@a
  lab netnsctl attach 'test-a\x20b\xc3\xa9' lo@a --now
  lab netnsctl attach test-many@x@ lo@a --now
  is_in a 'test-a\x20b\xc3\xa9'
  is_in a test-many@x@
  lab netnsctl check
  run --separate-stderr ! lab netnsctl attach 'test-a b' lo@a
  [[ $stderr == *'invalid unit name'* ]]
  lab netnsctl detach 'test-a\x20b\xc3\xa9' --now
  lab netnsctl detach test-many@x@ --now
  run ! is_in a test-many@x@
  lab systemctl stop 'test-*'
  lab rm '/run/systemd/system/test-a\x20b\xc3\xa9.service' '/run/systemd/system/test-many@.service'
}

@test "a drop-in directory that is a link to a shared one is refused" {
  lab mkdir /etc/systemd/system/test-shared.d
  lab ln -s test-shared.d /etc/systemd/system/test-web.service.d
  run --separate-stderr -1 lab netnsctl attach test-web lo@a
  [[ $stderr == *'/etc/systemd/system/test-web.service.d is a link'* ]]
  [[ -z $(lab ls /etc/systemd/system/test-shared.d) ]]
}

@test "conflicting settings are reported" {
  unit test-web.service.d/first.conf <<<$'[Service]\nNetworkNamespacePath=/run/netns/other\nRestrictAddressFamilies=AF_UNIX\nBindReadOnlyPaths=/etc/hostname:/etc/hosts'
  run --separate-stderr -0 lab netnsctl attach --dry-run test-web lo@a
  [[ $stderr == *'sets NetworkNamespacePath=/run/netns/other'* && $stderr == *'RestrictAddressFamilies=AF_UNIX of `test-web.service` blocks the network'* ]]
  [[ $stderr == *'BindReadOnlyPaths=/etc/hostname:/etc/hosts of `test-web.service` conflicts with the files of /etc/netns/a'* ]]
}

@test "a service that starts before the network is reported as a cycle" {
  unit test-web.service.d/first.conf <<<$'[Unit]\nWants=network.target\nBefore=network.target'
  run --separate-stderr -0 lab netnsctl attach test-web lo@a
  [[ $stderr == *'`test-web.service` starts before network.target, '* ]]
  run lab systemd-analyze verify --man=no test-web.service
  [[ $output == *'ordering cycle'* ]]
}

@test "PrivateNetwork= has no effect, and RestrictNamespaces=, DynamicUser= and PrivateUsers= work in an attached service" {
  unit test-web.service.d/first.conf <<<$'[Service]\nPrivateNetwork=yes\nRestrictNamespaces=yes\nDynamicUser=yes\nPrivateUsers=yes'
  run --separate-stderr -0 lab netnsctl attach test-web lo@a
  [[ $stderr == 'netnsctl: warning: PrivateNetwork=yes of `test-web.service` has no effect: the service gets the network of `a`' ]]
  lab systemctl start test-web
  is_in a test-web
  lab netnsctl check
}

@test "settings that defeat the network of the namespace are reported with the effect, by check too" {
  unit test-web.service.d/first.conf <<<$'[Service]\nRestrictNetworkInterfaces=lo\nIPAddressDeny=any\nIPAddressAllow=192.0.2.0/24'
  run --separate-stderr -0 lab netnsctl attach test-web lo@a
  [[ $stderr == *'RestrictNetworkInterfaces=lo of `test-web.service` means interfaces of the host'* ]]
  [[ $stderr == *'IPAddressDeny='*'0.0.0.0/0'*'of `test-web.service` also blocks these addresses in `a`, except IPAddressAllow=192.0.2.0/24'* ]]
  run -1 lab netnsctl check
  [[ $output == *'warning: RestrictNetworkInterfaces=lo of `test-web.service`'* ]]
}

@test "with InaccessiblePaths=/run an attached service cannot start, and attach and check report it" {
  unit test-web.service.d/first.conf <<<$'[Service]\nType=exec\nInaccessiblePaths=/run'
  run --separate-stderr -0 lab netnsctl attach test-web lo@a
  [[ $stderr == *'InaccessiblePaths=/run prevents the start of `test-web.service` (status 226)'* ]]
  run ! lab systemctl start test-web
  [[ $(lab systemctl show --property=ExecMainStatus --value test-web) == 226 ]]
  run -1 lab netnsctl check
  [[ $output == *'warning: InaccessiblePaths=/run prevents the start of `test-web.service`'* ]]
  # The suggested setting helps.
  unit test-web.service.d/first.conf <<<$'[Service]\nType=exec\nTemporaryFileSystem=/run'
  lab systemctl start test-web
  is_in a test-web
  lab netnsctl check
}

@test "a socket on the host with systemd-socket-proxyd in the namespace works, without a warning" {
  unit test-proxy.socket <<<$'[Socket]\nListenStream=127.0.0.1:7000'
  unit test-proxy.service <<<$'[Service]\nExecStart=/lib/systemd/systemd-socket-proxyd 127.0.0.1:8000'
  run --separate-stderr -0 lab netnsctl attach test-proxy lo@a
  [[ $stderr != *warning* ]]
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web test-proxy.socket
  eventually answers host 127.0.0.1 7000
  lab netnsctl check
  lab systemctl stop test-proxy.socket
}

@test "before systemd 254, /sys/class/net of an attached service shows the interfaces of the host" {
  lab ip link add only-host type veth peer name only-host1
  unit test-web.service <<<$'[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sh -c "test -e /sys/class/net/only-host"'
  lab netnsctl attach test-web lo@a
  local version
  version=$(lab systemctl --version | sed -n '1s/systemd \([0-9]*\).*/\1/p')
  if ((version < 254)); then
    lab systemctl start test-web
  else
    run ! lab systemctl start test-web
  fi
  lab ip link delete only-host
}

@test "a later file of the unit that overrides the namespace is an error" {
  unit test-web.service.d/override.conf <<<$'[Service]\nNetworkNamespacePath=/run/netns/other'
  run --separate-stderr -1 lab netnsctl attach test-web lo@a
  [[ $stderr == *'another file of `test-web.service` overrides the namespace `a`: NetworkNamespacePath=/run/netns/other'* ]]
  run -1 lab netnsctl check
  [[ $output == *'error: another file of `test-web.service` overrides the namespace `a`'* ]]
}

@test "a unit with JoinsNamespaceOf= is refused: it would run in the host's network" {
  unit test-other.service <<<$'[Service]\nPrivateTmp=yes\nExecStart=/bin/sleep infinity'
  unit test-web.service.d/first.conf <<<$'[Unit]\nJoinsNamespaceOf=test-other.service\n[Service]\nPrivateTmp=yes'
  run --separate-stderr -1 lab netnsctl attach test-web lo@a
  [[ $stderr == *'`test-web.service` shares the namespaces of test-other.service'* ]]
  lab test ! -e "$DROP_IN"
  # The message is true: such a unit runs in the network of the host.
  rm "$LAB/root/etc/systemd/system/test-web.service.d/first.conf"
  lab netnsctl attach test-web lo@a
  unit test-web.service.d/first.conf <<<$'[Unit]\nJoinsNamespaceOf=test-other.service\n[Service]\nPrivateTmp=yes'
  lab systemctl start test-other test-web
  run ! is_in a test-web
  run -1 lab netnsctl check
  [[ $output == *'error: `test-web.service` (process '*') runs in another network namespace than `a`'* ]]
}

@test "down is refused while units require the instance, and --recursive stops and lists them" {
  unit test-other.service <<<$'[Unit]\nRequires=netns-veth@a.service\nAfter=netns-veth@a.service\n[Service]\nExecStart=/bin/sleep infinity'
  pair a
  lab netnsctl attach test-web lo@a
  lab systemctl start test-web test-other
  run --separate-stderr -1 lab netnsctl down a
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'cannot take down `lo@a`: active units require it: `test-web.service`; run `systemctl stop test-web.service` first, or `netnsctl down --recursive lo@a`'* ]]
  [[ $stderr == *'cannot take down `veth@a`: active units require it: `test-other.service`'* ]]
  up netns-{lo,veth}@a test-web test-other
  run --separate-stderr -0 lab netnsctl down --recursive veth@a
  [[ $stderr == *'also stopping test-other.service'* && $output == 'veth@a is down' ]]
  up netns-lo@a test-web
  lab systemctl stop test-web
  lab netnsctl down a
  nothing_left a
}

@test "down is refused for all instances of a namespace if one of them is in use, and units that stop indirectly are listed" {
  unit test-part.service <<<$'[Unit]\nPartOf=netns-lo@a.service\n[Service]\nExecStart=/bin/sleep infinity'
  unit test-bound.service <<<$'[Unit]\nBindsTo=test-part.service\n[Service]\nExecStart=/bin/sleep infinity'
  pair a
  lab netnsctl up lo@a veth@a
  lab systemctl start test-part test-bound
  run --separate-stderr -1 lab netnsctl down a
  [[ $stderr == *'cannot take down `lo@a`: active units require it: `test-bound.service`, `test-part.service`'* ]]
  [[ $stderr == *'cannot take down `veth@a`: another instance of its namespace stays up'* ]]
  up netns-{lo,veth}@a test-part test-bound
  run --separate-stderr -0 lab netnsctl down --recursive a
  [[ $stderr == *'also stopping test-bound.service'* && $stderr == *'also stopping test-part.service'* ]]
  is test-bound inactive
}

@test "units that cannot be attached are refused, and nothing is written" {
  before=$(lab find /etc/systemd | sort)
  says() {
    local said=$1
    shift
    run --separate-stderr ! lab netnsctl attach "$@"
    [[ $stderr == *"$said"* ]] || {
      echo "$stderr"
      return 1
    }
  }
  says 'unit `nosuch.service` does not exist' nosuch lo@a
  says 'expected a service or a socket' test.timer lo@a
  says 'a unit of systemd-netns cannot be attached' netns-veth@a lo@a
  says 'not on several: `a`, `b`' test-web lo@a lo@b
  says 'cannot find plugin `nosuch`' test-web nosuch@a
  says 'nothing is configured for namespace `a`' test-web a
  [[ $(lab find /etc/systemd | sort) == "$before" ]]
}

@test "check finds a service that still runs in its old network" {
  lab systemctl start test-web
  lab netnsctl up lo@a
  lab netnsctl attach test-web lo@a
  run -1 lab netnsctl check
  [[ $output == *"$DROP_IN: error: "'`test-web.service` (process '*') runs in another network namespace than `a`; `systemctl restart test-web.service`' ]]
  lab systemctl restart test-web
  lab netnsctl check
}
