#!/usr/bin/env bats
# netnsctl check: what can be known to be wrong without changing anything.

load ../engine/engine

# Usage: finds [WORD...] <<<LINES
# Whether `netnsctl check` finds these lines and no others, in this order.
finds() {
  local expected
  expected=$(cat)
  run --separate-stderr -1 netnsctl check "$@"
  diff --label expected --label found --unified <(echo "$expected") <(echo "$output")
}

# Usage: clean [WORD...]
clean() {
  run --separate-stderr -0 netnsctl check "$@"
  # shellcheck disable=SC2154 # set by run
  [[ -z $output$stderr ]]
}

# Usage: veth NAME [LINE...]
# A pair that is sound but for LINE.
veth() {
  local number=$((++pairs * 4))
  printf '%s\n' "VETH_IFADDR_OUTSIDE=192.0.2.$((number + 1))/30" "VETH_IFADDR_INSIDE=192.0.2.$((number + 2))/30" "${@:2}" |
    config "veth-$1.conf"
}

setup() {
  pairs=0
  rm "$CONF"/*
}

@test "what is installed is clean" {
  cp -a "$BATS_FILE_TMPDIR"/conf/* "$CONF"
  clean
}

@test "a syntax error is told with file and line, also in a plugin" {
  config lo-a.conf <<<$'X=1\nif'
  config bad.sh <<<'f() {'
  finds <<END
$CONF/bad.sh:2: error: syntax error: unexpected end of file
$CONF/lo-a.conf:3: error: syntax error: unexpected end of file
END
}

@test "the line ends of DOS are told" {
  printf 'if true; then\r\nX=1\r\nfi\r\n' | config lo-a.conf
  finds <<END
$CONF/lo-a.conf:4: error: syntax error: unexpected end of file; it has the line ends of DOS: convert it, e.g. by \`dos2unix\`
END
}

@test "what shellcheck finds is told, where it is installed" {
  # shellcheck disable=SC2016 # for the file
  config probe.sh <<<'configure_probe_up_outside() { rm -rf $1/*; }'
  run -1 netnsctl check
  [[ $output == "$CONF/probe.sh:1:"*': warning: '*'(SC2115)' ]]
  mkdir "$BATS_TEST_TMPDIR/bin"
  ln -s "$(type -P netnsctl)" "$BATS_TEST_TMPDIR/bin/"
  run -0 env PATH="$BATS_TEST_TMPDIR/bin" netnsctl check
  [[ -z $output ]]
}

@test "functions that are nearly hooks, and hooks of other types, are told" {
  veth a 'configure_veth_up_insde() { :; }' 'configure_vpn_up_outside() { :; }' 'helper() { :; }'
  finds <<END
$CONF/veth-a.conf:3: warning: \`configure_veth_up_insde\` is no hook, and is never called: is \`configure_veth_up_inside\` meant?
$CONF/veth-a.conf:4: warning: \`configure_vpn_up_outside\` is a hook of the type \`vpn\`, and is not called for \`veth\`
END
}

@test "a .conf without a plugin is told" {
  config ghost-a.conf <<<''
  finds <<END
error: $CONF/ghost.sh does not exist, but $CONF/ghost-a.conf needs it; type \`ghost\` skipped
END
}

@test "names of interfaces over 15 bytes are told, also those that the plugin makes up" {
  veth a-long-name-1
  veth b VETH_IFNAME_INSIDE=sixteen-letters0
  finds <<END
$CONF/veth-a-long-name-1.conf: error: veth@a-long-name-1: VETH_IFNAME_INSIDE: \`ve-a-long-name-11\` has 17 characters, and an interface name has at most 15
$CONF/veth-a-long-name-1.conf: error: veth@a-long-name-1: VETH_IFNAME_OUTSIDE: \`ve-a-long-name-10\` has 17 characters, and an interface name has at most 15
$CONF/veth-b.conf:3: error: veth@b: VETH_IFNAME_INSIDE: \`sixteen-letters0\` has 16 characters, and an interface name has at most 15
END
}

@test "the same interface name for two instances is told where they would meet, and only there" {
  veth a VETH_IFNAME_OUTSIDE=same VETH_IFNAME_INSIDE=inner
  veth b VETH_IFNAME_OUTSIDE=same VETH_IFNAME_INSIDE=inner
  veth c VETH_IFNAME_OUTSIDE=same VETH_NSNAME_OUTSIDE=a
  finds <<END
$CONF/veth-b.conf:3: error: veth@b: the interface name \`same\` on the host is that of veth@a as well ($CONF/veth-a.conf:3)
END
}

@test "the same hardware address for two instances is told, however it is written" {
  veth a VETH_MAC_INSIDE=02:00:00:00:00:0A
  veth b VETH_MAC_OUTSIDE=2:0:0:0:0:a
  finds <<END
$CONF/veth-b.conf:3: error: veth@b: the hardware address \`02:00:00:00:00:0A\` is that of veth@a as well ($CONF/veth-a.conf:3)
END
}

@test "a multicast or broken hardware address is told" {
  veth a VETH_MAC_INSIDE=11:22:33:44:55:66 VETH_MAC_OUTSIDE=02:00
  finds <<END
$CONF/veth-a.conf:3: error: veth@a: VETH_MAC_INSIDE: \`11:22:33:44:55:66\` is a multicast address, which no interface can have: use one that begins with 02:
$CONF/veth-a.conf:4: error: veth@a: VETH_MAC_OUTSIDE: \`02:00\` is no hardware address: six bytes are needed
END
}

@test "settings of dns that libc would pass over are told" {
  printf 'DNS_SERVERS=\n' >"$CONF/dns-a.conf"
  printf '%s\n' 'DNS_SERVERS="192.0.2.1 1.2.3 ::g"' "DNS_SEARCH='example.org a;b'" 'DNS_HOSTS=nonsense' >"$CONF/dns-b.conf"
  finds <<END_OF_FINDINGS
$CONF/dns-a.conf:1: error: dns@a: DNS_SERVERS: it names no server
$CONF/dns-b.conf:1: error: dns@b: DNS_SERVERS: '1.2.3' is not an IP address
$CONF/dns-b.conf:1: error: dns@b: DNS_SERVERS: '::g' is not an IP address
$CONF/dns-b.conf:2: error: dns@b: DNS_SEARCH: 'a;b' is not a domain
$CONF/dns-b.conf:3: error: dns@b: DNS_HOSTS: 'nonsense' is not an address with a name
END_OF_FINDINGS
}

@test "a broken address, the same one twice, and networks that overlap on the host are told" {
  veth a VETH_IFADDR_INSIDE=192.0.2.300/30
  veth b VETH_IFADDR_OUTSIDE=198.51.100.1/24
  veth c VETH_IFADDR_OUTSIDE=198.51.100.129/25
  veth d VETH_IFADDR_INSIDE=192.0.2.10/30
  finds <<END
$CONF/veth-a.conf:3: error: veth@a: VETH_IFADDR_INSIDE: \`192.0.2.300/30\` is no IP address
$CONF/veth-c.conf:3: error: veth@c: the network of \`198.51.100.129/25\` is that of veth@b as well ($CONF/veth-b.conf:3)
$CONF/veth-d.conf:3: error: veth@d: the address \`192.0.2.10\` is that of veth@b as well ($CONF/veth-b.conf:2)
END
}

@test "a parent that the host has not is told" {
  config macvlan-a.conf <<<$'MACVLAN_PARENT_IFNAME=nosuch0\nMACVLAN_IFNAME=m0'
  finds <<END
$CONF/macvlan-a.conf:1: error: macvlan@a: MACVLAN_PARENT_IFNAME: the host has no interface \`nosuch0\`; \`ip link\` lists those that there are
END
}

@test "files that others than root can write are told, with what mends it" {
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

@test "a file that others can write is told without being run" {
  config lo-a.conf <<<": >$BATS_TEST_TMPDIR/canary"
  chmod o+w "$CONF/lo-a.conf"
  run -1 netnsctl check
  run -1 netnsctl show lo@a
  [[ $output == *"$CONF/lo-a.conf: any user can write it"* && ! -e $BATS_TEST_TMPDIR/canary ]]
  chmod o-w "$CONF/lo-a.conf"
  netnsctl show lo@a >/dev/null
  [[ -e $BATS_TEST_TMPDIR/canary ]]
}

@test "a file that exits is told" {
  config lo-a.conf <<<$'X=1\nexit 3'
  finds <<END
$CONF/lo-a.conf:2: error: lo@a: the file ends the hook here
END
}

@test "files that do not come to an end are told, and the rest is checked" {
  config lo-a.conf <<<'while :; do :; done'
  config lo-b.conf <<<$'X=1\nexit 3'
  finds <<END
error: lo@a: cannot read its files: timed out after 10 seconds
$CONF/lo-b.conf:2: error: lo@b: the file ends the hook here
END
}

@test "what a plain user cannot look into is told, and is not called clean" {
  netnsctl up lo@a
  run --separate-stderr -2 setpriv --bounding-set=-sys_admin --inh-caps=-sys_admin netnsctl check
  [[ -z $output && $stderr == *'`lo@a` is up, and is not looked at: the privilege CAP_SYS_ADMIN is missing'* ]]
}

@test "of what is up, each thing that is gone or different is told" {
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
  anew() { echo "\`netnsctl down $1@a\`, then \`up\`, make it anew"; }
  finds <<END
error: lo@a: interface 'lo' is not up; $(anew lo)
error: macvlan@a: the default route by '198.51.100.1' is gone; $(anew macvlan)
error: nft@a: interface 'lo' is not up; $(anew nft)
error: nft@a: no rules are in force: nothing is filtered; $(anew nft)
error: veth@a: interface 've-a0' is not up; $(anew veth)
error: veth@a: interface 've-a1' has lost its address '192.0.2.6'; $(anew veth)
END
  ip link delete dev ve-a0
  ip -netns a link delete dev m0
  netnsctl down nft@a lo@a
  finds <<END
error: macvlan@a: interface 'm0' is gone; $(anew macvlan)
error: nft@a: this firewall is configured, but not up, and namespace \`a\` is; \`netnsctl up nft@a\`
error: veth@a: interface 've-a0' is gone; $(anew veth)
error: veth@a: interface 've-a1' is gone; $(anew veth)
END
  netnsctl down a
  ip link delete eth0
}

@test "rules that name interfaces are compared as they are: what is in force is clean, what is flushed is told" {
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
error: nft@a: the rules in force are not those of '$CONF/nft-a.rules'; \`netnsctl down nft@a\`, then \`up\`, make it anew
END
  netnsctl restart nft@a
  clean
  # An interface of that name that is another one: the rules in force are about one that is gone.
  netnsctl down macvlan@a
  netnsctl up macvlan@a
  run -1 netnsctl check nft
  [[ ${#lines[@]} == 1 && $output == *'the rules in force are not those of'* ]]
  netnsctl down a
  ip link delete eth0
}

@test "rules that would not load any more are one line each instance, with nft's first error" {
  config nft-a.rules <<<'table inet t { chain c { type filter hook input priority 0; }; }'
  netnsctl up nft@a
  printf '%s\n' 'table inet t {' '  chain c { iif "gone0" accept; }' '  chain d { oif "gone1" accept; }' '}' | config nft-a.rules
  anew='`netnsctl down nft@a`, then `up`, make it anew'
  finds <<END
error: nft@a: the rules cannot be loaded any more: $CONF/nft-a.rules:2:17-23: Interface does not exist: \`chain c { iif "gone0" accept; }\` (and 1 more); $anew
END
  rm "$CONF/nft-a.rules"
  finds <<END
error: nft@a: the rules in force have no file any more: '$CONF/nft.rules' does not exist; $anew
END
  netnsctl down a
}

@test "it can be asked for a type or an instance alone, which also meets those that are not asked for" {
  veth a VETH_IFNAME_OUTSIDE=same
  veth b VETH_IFNAME_OUTSIDE=same
  config lo-a.conf <<<if
  clean nft
  finds veth@b <<END
$CONF/veth-b.conf:3: error: veth@b: the interface name \`same\` on the host is that of veth@a as well ($CONF/veth-a.conf:3)
END
  run -1 netnsctl check lo
  [[ ${#lines[@]} == 1 && $output == *lo-a.conf* ]]
}

@test "--root checks a repository, without a word of this machine" {
  mkdir -p "$BATS_TEST_TMPDIR/repository/etc/conf.d" "$BATS_TEST_TMPDIR/repository/usr/share"
  cp -r "$BATS_FILE_TMPDIR/conf" "$BATS_TEST_TMPDIR/repository/etc/conf.d/netns"
  cp -r "$ROOT/plugins" "$BATS_TEST_TMPDIR/repository/usr/share/systemd-netns"
  chmod -R go-w "$BATS_TEST_TMPDIR/repository"
  config macvlan-a.conf <<<MACVLAN_PARENT_IFNAME=nosuch0
  clean --root "$BATS_TEST_TMPDIR/repository"
  echo 'VETH_MAC_INSIDE=x' >>"$BATS_TEST_TMPDIR/repository/etc/conf.d/netns/veth-nstest.conf"
  run -1 netnsctl check --root "$BATS_TEST_TMPDIR/repository"
  [[ $output == *'/repository/etc/conf.d/netns/veth-nstest.conf:'*'`x` is no hardware address'* ]]
}

@test "it changes nothing" {
  veth a
  netnsctl up veth@a
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

@test "what cannot be checked ends with 2" {
  run --separate-stderr -2 netnsctl check --root /nosuch
  [[ $stderr == 'netnsctl: cannot read /nosuch/etc/conf.d/netns:'* ]]
  run -2 netnsctl check 'a b'
}

@test "a copy of the firewall that does not declare that it is one is reported" {
  sed '/Provides: firewall/d' /usr/share/systemd-netns/nft.sh >"$CONF/nft.sh"
  finds <<END
$CONF/nft.sh: warning: this copy does not declare that it is a firewall: the namespace is open until its rules are loaded; \
add the line \`# Provides: firewall\` to its first comment, as in /usr/share/systemd-netns/nft.sh
END
}

@test "a setting that is nearly one of the type is told, unless a file reads it" {
  # shellcheck disable=SC2016 # for the file
  veth a VETH_IFNAM_INSIDE=x VETH_MTU_INSIDE=y 'helper() { echo "$VETH_MTU_INSIDE"; }'
  finds <<END
$CONF/veth-a.conf:3: warning: veth@a: \`VETH_IFNAM_INSIDE\` is no setting of the type \`veth\`: is \`VETH_IFNAME_INSIDE\` meant?
END
}

@test "a plugin of an administrator declares its interfaces, and two in one place are found" {
  printf '%s\n' '# t: a bridge' '#' '# Links: T_BRIDGE@' | config t.sh
  config t-a.conf <<<T_BRIDGE=br0
  config t-b.conf <<<T_BRIDGE=br0
  finds <<END
$CONF/t-b.conf:1: error: t@b: the interface name \`br0\` on the host is that of t@a as well ($CONF/t-a.conf:1)
END
}

@test "a plugin says what is wrong with its settings, where they are" {
  # shellcheck disable=SC2016 # for the file
  config t.sh <<<'configure_t_validate() { [[ $T_PORT == [0-9]* ]] || echo "T_PORT: $T_PORT is not a port"; }'
  config t-a.conf <<<T_PORT=http
  finds <<END
$CONF/t-a.conf:1: error: t@a: T_PORT: http is not a port
END
}
