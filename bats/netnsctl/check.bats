#!/usr/bin/env bats
# netnsctl check: mistakes and drift, found without changing anything.

load ../engine/engine

# Usage: finds [ARGUMENT...] <<<LINES
# Succeeds if `netnsctl check` finds exactly these lines, in this order.
finds() {
  local expected
  expected=$(cat)
  run --separate-stderr -1 netnsctl check "$@"
  diff --label expected --label found --unified <(echo "$expected") <(echo "$output")
}

# Usage: clean [ARGUMENT...]
clean() {
  run --separate-stderr -0 netnsctl check "$@"
  # shellcheck disable=SC2154 # set by run
  [[ -z $output$stderr ]]
}

# Usage: veth NAME [LINE...]
# Writes a correct veth-NAME.conf, with the LINEs added.
veth() {
  local number=$((++pairs * 4))
  printf '%s\n' "VETH_IFADDR_OUTSIDE=192.0.2.$((number + 1))/30" "VETH_IFADDR_INSIDE=192.0.2.$((number + 2))/30" "${@:2}" |
    config "veth-$1.conf"
}

setup() {
  pairs=0
  rm "$CONF"/*
}

@test "the installed files have no findings" {
  cp -a "$BATS_FILE_TMPDIR"/conf/* "$CONF"
  clean
}

@test "a syntax error is reported with file and line, also in a plugin" {
  config lo-a.conf <<<$'X=1\n)'
  config bad.sh <<<')'
  finds <<END
$CONF/bad.sh:1: error: syntax error near unexpected token \`)'
$CONF/lo-a.conf:2: error: syntax error near unexpected token \`)'
END
}

@test "an array without its end is reported with file and line" {
  config lo-a.conf <<<$'X=1\nY=(a\n'
  finds <<END
$CONF/lo-a.conf:2: error: unexpected EOF while looking for matching \`)'
END
}

@test "a warning of bash before a syntax error is not reported as the error" {
  config lo-a.conf <<<$'X=$(cat <<END\na\n)'
  run -1 netnsctl check
  [[ $output == "$CONF/lo-a.conf:"[1-4]": error: unexpected EOF while looking for matching \`)'" ]]
}

@test "DOS line ends are reported" {
  printf 'if true; then\r\nX=1\r\nfi\r\n' | config lo-a.conf
  run -1 netnsctl check
  # bash 5.3 adds the line of `if`.
  [[ $output == "$CONF/lo-a.conf:4: error: syntax error: unexpected end of file"*"; the file has DOS line ends; convert it with \`dos2unix\`" ]]
}

@test "findings of shellcheck are reported, if it is installed" {
  # shellcheck disable=SC2016 # for the file
  config probe.sh <<<'configure_probe_up_outside() { rm -rf $1/*; }'
  run -1 netnsctl check
  [[ $output == "$CONF/probe.sh:1:"*': warning: '*'(SC2115)' ]]
  mkdir "$BATS_TEST_TMPDIR/bin"
  ln -s "$(type -P netnsctl)" "$BATS_TEST_TMPDIR/bin/"
  run -0 env PATH="$BATS_TEST_TMPDIR/bin" netnsctl check
  [[ -z $output ]]
}

@test "functions that are nearly hooks, and hooks of other types, are reported" {
  veth a 'configure_veth_up_insde() { :; }' 'configure_vpn_up_outside() { :; }' 'helper() { :; }'
  finds <<END
$CONF/veth-a.conf:3: warning: \`configure_veth_up_insde\` is not a hook, and is never called; did you mean \`configure_veth_up_inside\`?
$CONF/veth-a.conf:4: warning: \`configure_vpn_up_outside\` is a hook of the type \`vpn\`, and is never called for \`veth\`
END
}

@test "a .conf without a plugin is reported" {
  config ghost-a.conf <<<''
  finds <<END
error: $CONF/ghost.sh does not exist, but $CONF/ghost-a.conf needs it; type \`ghost\` skipped
END
}

@test "names of interfaces over 15 bytes are reported; a default name is shortened" {
  veth a-long-name-1
  veth b VETH_IFNAME_INSIDE=sixteen-letters0
  finds <<END
$CONF/veth-b.conf:3: error: veth@b: VETH_IFNAME_INSIDE: interface name \`sixteen-letters0\` is too long: 16 characters, at most 15 are possible
END
}

@test "a list of interface names has blanks only if the plugin reads the setting as a list" {
  # shellcheck disable=SC2016 # for the file
  config t.sh <<<'configure_t_up_inside() { printf "%s\n" "${T_IFNAME_OUT[@]}" "$T_IFNAME"; }'
  config t-a.conf <<<'T_IFNAME_OUT="eth0 wan9"'
  clean
  printf '%s\n' 'T_IFNAME_OUT="eth0 wan/9"' 'T_IFNAME="eth0 wan9"' | config t-a.conf
  local reason='it is `.` or `..`, or contains a slash, a colon, a percent sign or white space'
  finds <<END
$CONF/t-a.conf:1: error: t@a: T_IFNAME_OUT: invalid interface name \`wan/9\`: $reason
$CONF/t-a.conf:2: error: t@a: T_IFNAME: invalid interface name \`eth0 wan9\`: $reason
END
}

@test "a setting that the plugin itself refuses has one finding" {
  config nat-a.conf <<<'NAT_IFNAME_OUT="eth0 a/b"'
  run -1 netnsctl check nat@a
  [[ $(grep --count 'NAT_IFNAME_OUT' <<<"$output") == 1 && $output == *"NAT_IFNAME_OUT: 'a/b' is not the name of an interface"* ]]
}

@test "the same interface name for two instances is reported only in the same place" {
  veth a VETH_IFNAME_OUTSIDE=same VETH_IFNAME_INSIDE=inner
  veth b VETH_IFNAME_OUTSIDE=same VETH_IFNAME_INSIDE=inner
  veth c VETH_IFNAME_OUTSIDE=same VETH_NSNAME_OUTSIDE=a
  finds <<END
$CONF/veth-b.conf:3: error: veth@b: the interface name \`same\` on the host is already used by veth@a ($CONF/veth-a.conf:3)
END
}

@test "the same hardware address for two instances is reported in any spelling" {
  veth a VETH_MAC_INSIDE=02:00:00:00:00:0A
  veth b VETH_MAC_OUTSIDE=2:0:0:0:0:a
  finds <<END
$CONF/veth-b.conf:3: error: veth@b: the hardware address \`02:00:00:00:00:0A\` is already used by veth@a ($CONF/veth-a.conf:3)
END
}

@test "a multicast or invalid hardware address is reported" {
  veth a VETH_MAC_INSIDE=11:22:33:44:55:66 VETH_MAC_OUTSIDE=02:00
  finds <<END
$CONF/veth-a.conf:3: error: veth@a: VETH_MAC_INSIDE: invalid hardware address \`11:22:33:44:55:66\`: this is a multicast address; use an address that begins with 02:
$CONF/veth-a.conf:4: error: veth@a: VETH_MAC_OUTSIDE: invalid hardware address \`02:00\`: expected six bytes
END
}

@test "settings of dns that libc would ignore are reported" {
  printf 'DNS_SERVERS=\n' >"$CONF/dns-a.conf"
  printf '%s\n' 'DNS_SERVERS="192.0.2.1 1.2.3 ::g"' "DNS_SEARCH='example.org a;b'" 'DNS_HOSTS=nonsense' >"$CONF/dns-b.conf"
  finds <<END_OF_FINDINGS
$CONF/dns-a.conf:1: error: dns@a: DNS_SERVERS: no server is set
$CONF/dns-b.conf:1: error: dns@b: DNS_SERVERS: '1.2.3' is not an IP address
$CONF/dns-b.conf:1: error: dns@b: DNS_SERVERS: '::g' is not an IP address
$CONF/dns-b.conf:2: error: dns@b: DNS_SEARCH: 'a;b' is not a domain
$CONF/dns-b.conf:3: error: dns@b: DNS_HOSTS: 'nonsense' is not an address with a name
END_OF_FINDINGS
}

@test "an invalid address, a duplicate address, and overlapping networks on the host are reported" {
  veth a VETH_IFADDR_INSIDE=192.0.2.300/30
  veth b VETH_IFADDR_OUTSIDE=198.51.100.1/24
  veth c VETH_IFADDR_OUTSIDE=198.51.100.129/25
  veth d VETH_IFADDR_INSIDE=192.0.2.10/30
  finds <<END
$CONF/veth-a.conf:3: error: veth@a: VETH_IFADDR_INSIDE: invalid IP address \`192.0.2.300/30\`
$CONF/veth-c.conf:3: error: veth@c: the network of \`198.51.100.129/25\` is already used by veth@b ($CONF/veth-b.conf:3)
$CONF/veth-d.conf:3: error: veth@d: the address \`192.0.2.10\` is already used by veth@b ($CONF/veth-b.conf:2)
END
}

@test "a missing parent interface is reported" {
  config macvlan-a.conf <<<$'MACVLAN_PARENT_IFNAME=nosuch0\nMACVLAN_IFNAME=m0'
  finds <<END
$CONF/macvlan-a.conf:1: error: macvlan@a: MACVLAN_PARENT_IFNAME: interface 'nosuch0' does not exist on the host; hint: \`ip link\` lists the interfaces
END
}

@test "files that other users than root can write are reported, with the fix" {
  config lo-a.conf <<<''
  config lo-b.conf <<<''
  chmod o+w "$CONF/lo-a.conf"
  chown nobody "$CONF/lo-b.conf"
  config nft.rules <<<''
  chgrp nogroup "$CONF/nft.rules"
  chmod g+w "$CONF/nft.rules"
  finds <<END
$CONF/lo-a.conf: error: any user can write it; fix: \`chmod o-w $CONF/lo-a.conf\`
$CONF/lo-b.conf: error: it belongs to the user nobody ($(id -u nobody)); fix: \`chown root $CONF/lo-b.conf\`
$CONF/nft.rules: error: the group nogroup ($(id -g nobody)) can write it; fix: \`chmod g-w $CONF/nft.rules\`
END
}

@test "a file that other users can write is reported without being run" {
  config lo-a.conf <<<": >$BATS_TEST_TMPDIR/canary"
  chmod o+w "$CONF/lo-a.conf"
  run -1 netnsctl check
  run -1 netnsctl show lo@a
  [[ $output == *"$CONF/lo-a.conf: any user can write it"* && ! -e $BATS_TEST_TMPDIR/canary ]]
  chmod o-w "$CONF/lo-a.conf"
  netnsctl show lo@a >/dev/null
  [[ -e $BATS_TEST_TMPDIR/canary ]]
}

@test "a file that exits is reported" {
  config lo-a.conf <<<$'X=1\nexit 3'
  finds <<END
$CONF/lo-a.conf:2: error: lo@a: the file calls \`exit\` here: the hooks of the instance do not run
END
}

@test "files that do not end are reported, and the rest is checked" {
  config lo-a.conf <<<'while :; do :; done'
  config lo-b.conf <<<$'X=1\nexit 3'
  finds <<END
error: lo@a: cannot read the files of the instance: timed out after 10 seconds
$CONF/lo-b.conf:2: error: lo@b: the file calls \`exit\` here: the hooks of the instance do not run
END
}

@test "a file that hangs does not delay the check and the graph of another instance for long" {
  config lo-a.conf <<<'while :; do :; done'
  config lo-b.conf <<<''
  SECONDS=0
  clean lo@b
  run --separate-stderr -0 netnsctl graph b
  # Each of both would wait 10 seconds, as for its own instance.
  ((SECONDS < 18))
}

@test "instances that a user without privilege cannot check are reported, and the status is 2" {
  netnsctl up lo@a
  run --separate-stderr -2 setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin netnsctl check
  [[ -z $output && $stderr == *'cannot check `lo@a`, which is up: the privilege CAP_SYS_ADMIN is missing'* ]]
}

@test "each missing or changed part of an active instance is reported" {
  ip link add eth0 type veth peer name eth1
  ip link set dev eth0 up
  config nft-a.rules <<<'table inet t { chain c { type filter hook input priority 0; counter accept; }; }'
  config macvlan-a.conf <<<$'MACVLAN_PARENT_IFNAME=eth0\nMACVLAN_IFNAME=m0\nMACVLAN_IFADDR=198.51.100.2/24\nMACVLAN_GATEWAY=198.51.100.1'
  veth a
  netnsctl up lo@a veth@a macvlan@a nft@a
  clean

  ip netns exec a nft flush ruleset
  ip -netns a link set dev lo down
  ip -netns a address flush dev ve-a1
  ip link set dev ve-a0 down
  ip -netns a route delete default
  fix() { echo "fix: \`netnsctl down $1@a\`, then \`netnsctl up $1@a\`"; }
  finds <<END
error: lo@a: interface 'lo' is not up; $(fix lo)
error: macvlan@a: the route 'default via 198.51.100.1' over interface 'm0' is missing; fix: \`netnsctl restart macvlan@a\`
error: nft@a: interface 'lo' is not up; $(fix nft)
error: nft@a: no rules are in force: nothing is filtered; $(fix nft)
error: veth@a: interface 've-a0' is not up; fix: \`netnsctl restart veth@a\`
error: veth@a: interface 've-a1' does not have the address '192.0.2.6'; fix: \`netnsctl restart veth@a\`
END
  ip link delete dev ve-a0
  ip -netns a link delete dev m0
  netnsctl down nft@a lo@a
  finds <<END
error: macvlan@a: interface 'm0' is missing; fix: \`netnsctl restart macvlan@a\`
error: nft@a: the firewall is configured for the active namespace \`a\`, but not up; \`netnsctl up nft@a\`
error: veth@a: interface 've-a0' is missing; fix: \`netnsctl restart veth@a\`
error: veth@a: interface 've-a1' is missing; fix: \`netnsctl restart veth@a\`
END
  netnsctl down a
  ip link delete eth0
}

@test "rules that name interfaces are compared: rules in force have no finding, flushed ones are reported" {
  ip link add eth0 type veth peer name eth1
  ip link set dev eth0 up
  config macvlan-a.conf <<<$'MACVLAN_PARENT_IFNAME=eth0\nMACVLAN_IFNAME=m0\nMACVLAN_IFADDR=198.51.100.2/24'
  veth a
  config nft-a.rules <<'END'
table inet t {
  chain in { type filter hook input priority 0; iif "m0" accept; iif { "ve-a1", "m0", "lo" } counter accept; }
  chain out { type filter hook output priority 0; oif != "ve-a1" accept; }
}
table netdev d { chain c { type filter hook ingress device "m0" priority 0; accept; }; }
END
  netnsctl up veth@a macvlan@a nft@a
  clean
  ip netns exec a nft flush chain inet t out
  finds <<END
error: nft@a: the rules in force differ from '$CONF/nft-a.rules'; fix: \`netnsctl down nft@a\`, then \`netnsctl up nft@a\`
END
  netnsctl restart nft@a
  clean
  # Another interface of the same name: the rules in force refer to the deleted one.
  netnsctl down macvlan@a
  netnsctl up macvlan@a
  run -1 netnsctl check nft
  [[ ${#lines[@]} == 1 && $output == *'the rules in force differ from'* ]]
  netnsctl down a
  ip link delete eth0
}

@test "rules that cannot be loaded any more are one line for each instance, with the first error of nft" {
  config nft-a.rules <<<'table inet t { chain c { type filter hook input priority 0; }; }'
  netnsctl up nft@a
  printf '%s\n' 'table inet t {' '  chain c { iif "gone0" accept; }' '  chain d { oif "gone1" accept; }' '}' | config nft-a.rules
  fix='fix: `netnsctl down nft@a`, then `netnsctl up nft@a`'
  finds <<END
error: nft@a: the rules cannot be loaded any more: $CONF/nft-a.rules:2:17-23: Interface does not exist: \`chain c { iif "gone0" accept; }\` (and 1 more); $fix
END
  rm "$CONF/nft-a.rules"
  finds <<END
error: nft@a: the file of the rules in force, '$CONF/nft.rules', does not exist any more; $fix
END
  netnsctl down a
}

@test "a check of one type or instance also finds its conflicts with others" {
  veth a VETH_IFNAME_OUTSIDE=same
  veth b VETH_IFNAME_OUTSIDE=same
  config lo-a.conf <<<if
  clean nft
  finds veth@b <<END
$CONF/veth-b.conf:3: error: veth@b: the interface name \`same\` on the host is already used by veth@a ($CONF/veth-a.conf:3)
END
  run -1 netnsctl check lo
  [[ ${#lines[@]} == 1 && $output == *lo-a.conf* ]]
}

@test "--root checks only a repository, not this machine" {
  mkdir -p "$BATS_TEST_TMPDIR/repository/etc/conf.d" "$BATS_TEST_TMPDIR/repository/usr/share"
  cp -r "$BATS_FILE_TMPDIR/conf" "$BATS_TEST_TMPDIR/repository/etc/conf.d/netns"
  cp -r "$ROOT/plugins" "$BATS_TEST_TMPDIR/repository/usr/share/systemd-netns"
  chmod -R go-w "$BATS_TEST_TMPDIR/repository"
  config macvlan-a.conf <<<MACVLAN_PARENT_IFNAME=nosuch0
  clean --root "$BATS_TEST_TMPDIR/repository"
  echo 'VETH_MAC_INSIDE=x' >>"$BATS_TEST_TMPDIR/repository/etc/conf.d/netns/veth-nstest.conf"
  run -1 netnsctl check --root "$BATS_TEST_TMPDIR/repository"
  [[ $output == *'/repository/etc/conf.d/netns/veth-nstest.conf:'*'invalid hardware address `x`'* ]]
}

@test "check changes nothing" {
  veth a
  netnsctl up veth@a lo@a
  # The kernel reports the carrier a moment later.
  has_carrier() { [[ $(ip -netns a -oneline link show dev ve-a1) == *' state UP '* ]]; }
  eventually has_carrier
  before=$(
    find /etc/conf.d /run/systemd-netns /run/netns -type f -printf '%p %T@ %s\n' | sort
    ip address
    ip -netns a address
  )
  ip -netns a address flush dev ve-a1
  ip -netns a address add 192.0.2.6/30 dev ve-a1
  netnsctl check
  after=$(
    find /etc/conf.d /run/systemd-netns /run/netns -type f -printf '%p %T@ %s\n' | sort
    ip address
    ip -netns a address
  )
  diff <(sed '/valid_lft/d; /inet6/d' <<<"$before") <(sed '/valid_lft/d; /inet6/d' <<<"$after")
}

@test "a check that cannot run has the status 2" {
  run --separate-stderr -2 netnsctl check --root /nosuch
  [[ $stderr == 'netnsctl: cannot read /nosuch/etc/conf.d/netns:'* ]]
  run -2 netnsctl check 'a b'
}

@test "a copy of the firewall without its declaration is reported" {
  sed '/Provides: firewall/d' /usr/share/systemd-netns/nft.sh >"$CONF/nft.sh"
  finds <<END
$CONF/nft.sh: warning: this copy of a firewall plugin does not declare that it is a firewall: the namespace is open until the rules are loaded; \
add the line \`# Provides: firewall\` to the first comment, as in /usr/share/systemd-netns/nft.sh
END
}

@test "a setting similar to one of the type is reported, unless a file reads it" {
  # shellcheck disable=SC2016 # for the file
  veth a VETH_IFNAM_INSIDE=x VETH_MTU_INSIDE=y 'helper() { echo "$VETH_MTU_INSIDE"; }'
  finds <<END
$CONF/veth-a.conf:3: warning: veth@a: \`VETH_IFNAM_INSIDE\` is not a setting of the type \`veth\`; did you mean \`VETH_IFNAME_INSIDE\`?
END
}

@test "a setting that refers to the interface of another instance is not a duplicate" {
  printf '%s\n' '# t: a client' '#' '# Settings:' '#   T_IFNAME  the interface that it uses' | config t.sh
  ip link add eth0 type veth peer name eth1
  config macvlan-a.conf <<<$'MACVLAN_PARENT_IFNAME=eth0\nMACVLAN_IFNAME=m0'
  config t-a.conf <<<T_IFNAME=m0
  clean
  ip link delete eth0
}

@test "each address of an array is checked" {
  veth a 'VETH_IFADDR_INSIDE=(192.0.2.6/30 192.0.2.300/30)'
  finds <<END
$CONF/veth-a.conf:3: error: veth@a: VETH_IFADDR_INSIDE: invalid IP address \`192.0.2.300/30\`
END
}

@test "an IPv6 gateway and several addresses in force have no finding; each missing one is reported" {
  ip link add eth0 type veth peer name eth1
  ip link set dev eth0 up
  ip link set dev eth1 up
  printf '%s\n' MACVLAN_PARENT_IFNAME=eth0 MACVLAN_IFNAME=m0 'MACVLAN_IFADDR=(198.51.100.2/24 "2001:db8::2/64 nodad")' \
    MACVLAN_GATEWAY=2001:db8::1 | config macvlan-a.conf
  netnsctl up macvlan@a lo@a
  clean
  ip -netns a address delete 198.51.100.2/24 dev m0
  ip -netns a -6 route delete default
  fix="fix: \`netnsctl restart macvlan@a\`"
  finds <<END
error: macvlan@a: interface 'm0' does not have the address '198.51.100.2'; $fix
error: macvlan@a: the route 'default via 2001:db8::1' over interface 'm0' is missing; $fix
END
  netnsctl down a
  ip link delete eth0
}

@test "duplicates of interfaces that an administrator's plugin declares are found" {
  printf '%s\n' '# t: a bridge' '#' '# Links: T_BRIDGE@' | config t.sh
  config t-a.conf <<<T_BRIDGE=br0
  config t-b.conf <<<T_BRIDGE=br0
  finds <<END
$CONF/t-b.conf:1: error: t@b: the interface name \`br0\` on the host is already used by t@a ($CONF/t-a.conf:1)
END
}

@test "a misspelt setting is reported once for each file, also one of the program, and one that a real setting begins with" {
  config default.conf <<<'NETNS_REQUIRE=lo@a'
  veth a VETH_MAC_INSDIE=02:00:00:00:00:01 VETH_IFNAM=x
  veth b vETH_MAC_INSIDE=02:00:00:00:00:01
  config lo-a.conf <<<'VETH_IFADDR_INSIDE=192.0.2.1/24' # a setting of another type
  finds <<END
$CONF/default.conf:1: warning: \`NETNS_REQUIRE\` is not a setting; did you mean \`NETNS_REQUIRES\`?
$CONF/veth-a.conf:3: warning: veth@a: \`VETH_MAC_INSDIE\` is not a setting of the type \`veth\`; did you mean \`VETH_MAC_INSIDE\`?
$CONF/veth-a.conf:4: warning: veth@a: \`VETH_IFNAM\` is not a setting of the type \`veth\`; did you mean \`VETH_IFNAME\`?
$CONF/veth-b.conf:3: warning: veth@b: \`vETH_MAC_INSIDE\` is not a setting of the type \`veth\`; did you mean \`VETH_MAC_INSIDE\`?
END
}

@test "several addresses in one setting are reported, unless they belong to a keyword or to an array" {
  veth a 'VETH_IFADDR_INSIDE="192.0.2.6/30 192.0.2.7/30"'
  veth b "VETH_IFADDR_INSIDE=('192.0.2.10/30 broadcast 192.0.2.11' '2001:db8::1/64 nodad')"
  finds <<END
$CONF/veth-a.conf:3: error: veth@a: VETH_IFADDR_INSIDE: \`192.0.2.6/30 192.0.2.7/30\` has several addresses: each needs its own element of an array, as in \`VETH_IFADDR_INSIDE=(A B)\`
END
  run -1 netnsctl up veth@a
  [[ $output == *garbage* || $output == *duplicate* ]]
  netnsctl up veth@b
}

@test "a program that a plugin requires, and that is not installed, is reported once with its package" {
  config probe.sh <<<$'# Contains: only definitions\nconfigure_probe_up_outside() {\n  assert_command no-such-program no-such-package\n}'
  config probe-a.conf <<<''
  config probe-b.conf <<<''
  finds <<END
$CONF/probe.sh:3: error: the program \`no-such-program\` is not installed; hint: \`apt install no-such-package\`
END
  run -1 netnsctl up probe@a
  [[ $output == *'the program `no-such-program` is not installed'* ]]
}

@test "without its programs, a plugin cannot find drift: only the program is reported" {
  config probe.sh <<<$'configure_probe_check_inside() {\n  assert_command no-such-program no-such-package\n}'
  config probe-a.conf <<<''
  netnsctl up probe@a
  run -1 netnsctl check
  [[ $output == "$CONF/probe.sh:2: error: the program \`no-such-program\` is not installed; hint: \`apt install no-such-package\`" ]]
}

@test "an array of which only the first element is used is reported" {
  veth a "VETH_MAC_INSIDE=(02:00:00:00:00:01 02:00:00:00:00:02)" "VETH_IFNAME=(x)"
  finds <<END
$CONF/veth-a.conf:3: error: veth@a: VETH_MAC_INSIDE: is an array of 2 elements, but only the first one is used
END
}

@test "a function of the runtime that needs netnsinit works in a query" {
  config probe.sh <<<'configure_probe_requires() { assert_command no-such-program no-such-package; }'
  config probe-a.conf <<<''
  run -1 timeout 8 netnsctl check probe
  [[ $output == *'apt install no-such-package'* ]]
}

@test "check knows what makes up fail before it creates anything: missing and invalid settings" {
  config veth-a.conf <<<VETH_IFADDR_OUTSIDE=192.0.2.1/30
  config macvlan-b.conf <<<$'MACVLAN_MODE=fast\nMACVLAN_GATEWAY="192.0.2.1 192.0.2.2"'
  config macvlan-c.conf <<<$'MACVLAN_PARENT_IFNAME=lo\nMACVLAN_IFNAME=m0\nMACVLAN_MODE=source'
  finds <<END
$CONF/macvlan-b.conf: error: macvlan@b: MACVLAN_IFNAME: is not set
$CONF/macvlan-b.conf: error: macvlan@b: MACVLAN_PARENT_IFNAME: is not set
$CONF/macvlan-b.conf:1: error: macvlan@b: MACVLAN_MODE: 'fast' is not a mode: expected private, vepa, bridge, passthru or source
$CONF/macvlan-b.conf:2: error: macvlan@b: MACVLAN_GATEWAY: '192.0.2.1 192.0.2.2' is not one IP address
$CONF/macvlan-c.conf: error: macvlan@c: MACVLAN_SOURCE_MACS: is not set, but the mode is source
$CONF/macvlan-c.conf:1: error: macvlan@c: MACVLAN_PARENT_IFNAME: 'lo' is the loopback interface, which cannot be a parent
$CONF/veth-a.conf: error: veth@a: VETH_IFADDR_INSIDE: is not set
END
  local instance
  for instance in veth@a macvlan@b macvlan@c; do
    run -1 netnsctl up "$instance"
    [[ -z $(ip netns list) ]]
  done
}

@test "rules of instances that are down are checked in a new namespace, never on the host" {
  printf '%s\n' 'table inet t {' '  chain c { iif "later0" jump nosuch; }' '}' | config nft-a.rules
  printf '%s\n' 'table inet t {' '  chain c { type filter hook inp' | config nft-b.rules
  printf '%s\n' 'define wan = later1' 'table inet t {' '  chain c { type filter hook input priority 0; iif { $wan, "later2" } ip saddr a.example accept; }' '}' | config nft-c.rules
  mkfifo "$CONF/nft-d.rules"
  config nft-e.conf <<<''
  config x.sh <<<$'# x: other rules\n#\n# Files: x-NAME.rules\n# Rules: x-NAME.rules'
  config x-a.rules <<<'add rule ip nosuch c accept'
  host=$(nft list ruleset && ip -oneline link)
  finds <<END
error: nft@e: no rules to load: $CONF/nft-e.rules or $CONF/nft.rules does not exist
$CONF/nft-a.rules:2:31: error: Could not process rule: No such file or directory: \`chain c { iif "later0" jump nosuch; }\`
$CONF/nft-b.rules:2:33: error: syntax error, unexpected newline, expecting priority: \`chain c { type filter hook inp\` (and 1 more)
$CONF/nft-d.rules: error: the rules are not a regular file
$CONF/x-a.rules:1:13: error: Could not process rule: No such file or directory: \`add rule ip nosuch c accept\`
END
  [[ $(nft list ruleset && ip -oneline link) == "$host" ]]
  # A check of one instance reads only its own rules, or those of all.
  clean nft@c
  config nft.rules <<<'table inet t {'
  run -1 netnsctl check nft@e
  [[ ${#lines[@]} == 1 && $output == "$CONF/nft.rules:"* ]]
}

@test "an unknown type, instance or namespace is an error of check, with the nearest match" {
  veth shop
  run --separate-stderr -2 netnsctl check nosuch
  [[ -z $output && $stderr == "netnsctl: cannot find plugin \`nosuch\`: "* ]]
  run --separate-stderr -2 netnsctl check vet
  [[ $stderr == *'; did you mean `veth`?' ]]
  run --separate-stderr -2 netnsctl check veth@shpo
  [[ $stderr == 'netnsctl: `veth@shpo` is unknown: '*'; did you mean `shop`?' ]]
  run --separate-stderr -2 netnsctl check shop
  [[ $stderr == 'netnsctl: `shop` is a namespace, not a type; hint: `netnsctl check veth@shop`' ]]
  clean veth@shop lo@new
}

@test "a loopback interface that is down beside another interface is reported with the next step, by check and status" {
  veth a
  netnsctl up veth@a
  text='lo is down, so 127.0.0.1 and ::1 do not work; hint: `netnsctl up lo@a`'
  run -0 netnsctl check
  [[ $output == "note: namespace \`a\`: $text" ]]
  run -0 netnsctl status a
  [[ $output == *"loopback $text"* ]]
  netnsctl up lo@a
  clean
  run -0 netnsctl status a
  [[ $output != *loopback* ]]
}

@test "a process that has changed its root has no finding about the files of its namespace" {
  veth a
  netnsctl up veth@a lo@a
  mkdir -p /etc/netns/a "$BATS_TEST_TMPDIR/jail"
  echo 'nameserver 192.0.2.53' >/etc/netns/a/resolv.conf
  netnsctl run a -- python3 -c 'import os, sys, time; os.chroot(sys.argv[1]); os.chdir("/"); time.sleep(60)' "$BATS_TEST_TMPDIR/jail" 3>&- &
  local job=$!
  jailed() { [[ $(readlink "/proc/$(pgrep --newest --full 'python3 -c import os, sys, time')/root") == "$BATS_TEST_TMPDIR/jail" ]]; }
  eventually jailed
  run netnsctl check
  pkill --parent "$job" || kill "$job"
  wait "$job" || true
  rm -r /etc/netns/a
  [[ $status == 0 && -z $output ]]
}

@test "findings of the plugin's own validation have the place of the setting" {
  # shellcheck disable=SC2016 # for the file
  config t.sh <<<'configure_t_validate() { [[ $T_PORT == [0-9]* ]] || echo "T_PORT: $T_PORT is not a port"; }'
  config t-a.conf <<<T_PORT=http
  finds <<END
$CONF/t-a.conf:1: error: t@a: T_PORT: http is not a port
END
}

@test "settings that up refuses are reported, and a restart with them is refused and changes nothing" {
  veth a
  netnsctl up lo@a veth@a
  pairs=0
  while read -r line message; do
    veth a "$line"
    pairs=0
    finds <<<"$CONF/veth-a.conf:3: error: veth@a: $message"
    run ! netnsctl restart veth@a
    [[ $output == *"cannot restart: $CONF/veth-a.conf:3: error: veth@a: $message; nothing was restarted" ]]
    ping -q -c 1 -w 5 192.0.2.6
  done <<'END'
VETH_MTU=abc VETH_MTU: 'abc' is not an MTU: expected a number of bytes from 68 to 65535
VETH_GATEWAY=bad VETH_GATEWAY: 'bad' is not one IP address
VETH_CARRIER_TIMEOUT=abc VETH_CARRIER_TIMEOUT: 'abc' is not a number of seconds
VETH_SYSCTLS_INSIDE=(ipv4.nope=1) VETH_SYSCTLS_INSIDE: unknown sysctl 'ipv4.nope': /proc/sys/net/ipv4/conf/default/nope does not exist
END
  veth a
  netnsctl restart veth@a
}

@test "for an active instance whose files up would refuse, the advice is not to take it down" {
  local correct='correct the files of the instance first; it keeps its earlier settings until then'
  veth a
  netnsctl up lo@a veth@a
  ip -netns a link set dev ve-a1 down
  pairs=0
  veth a 'X=('
  finds <<END
error: veth@a: interface 've-a1' is not up; $correct
$CONF/veth-a.conf:3: error: unexpected EOF while looking for matching \`)'
END
  pairs=0
  veth a VETH_MTU=abc
  finds <<END
error: veth@a: interface 've-a1' is not up; $correct
$CONF/veth-a.conf:3: error: veth@a: VETH_MTU: 'abc' is not an MTU: expected a number of bytes from 68 to 65535
END
}

@test "a file that is missing for an active instance is reported once, with the place of its setting" {
  config t.sh <<'END'
# t: a type with a file.
configure_t_up_outside() { :; }
configure_t_validate() { [[ -e $T_FILE ]] || echo "T_FILE: cannot read $T_FILE"; }
configure_t_check_outside() { configure_t_validate; }
END
  config t-a.conf <<<"T_FILE=$BATS_TEST_TMPDIR/file"
  touch "$BATS_TEST_TMPDIR/file"
  netnsctl up lo@a t@a
  rm "$BATS_TEST_TMPDIR/file"
  finds <<<"$CONF/t-a.conf:1: error: t@a: T_FILE: cannot read $BATS_TEST_TMPDIR/file"
}

@test "for an address that the host has lost, and a chain of the host that drops, the advice is not down and up" {
  veth a VETH_GATEWAY=outside
  config publish-a.conf <<<'PUBLISH=(203.0.113.9:8080:80)'
  ip address add 203.0.113.9/32 dev lo
  netnsctl up lo@a veth@a publish@a nat@a
  ip address delete 203.0.113.9/32 dev lo
  nft 'add table ip other; add chain ip other c { type filter hook forward priority 0; policy drop; }'
  finds <<END
error: nat@a: the chain 'c' of the table 'ip other' on the host drops forwarded packets; allow those of ve-a0 there, or set NAT_HOST_FIREWALL=yes
error: publish@a: the chain 'c' of the table 'ip other' on the host drops forwarded packets; allow those of ve-a0 there, or set PUBLISH_HOST_FIREWALL=yes
$CONF/publish-a.conf:1: error: publish@a: PUBLISH: '203.0.113.9:8080:80': the host does not have the address 203.0.113.9; \`ip address\` lists its addresses
END
  nft delete table ip other
}

@test "a named instance without a .conf file is checked, if its type needs none" {
  mkdir -p /etc/wireguard
  printf '%s\n' '[Interface]' 'Foo = 1' >/etc/wireguard/vpn.conf
  clean
  run -1 netnsctl check wireguard@vpn
  [[ $output == *"/etc/wireguard/vpn.conf:2: error: wireguard@vpn: "*Foo* ]]
  without_file=$output
  touch "$CONF/wireguard-vpn.conf"
  run -1 netnsctl check wireguard@vpn
  [[ $output == "$without_file" ]]
  rm -r /etc/wireguard
}
