#!/usr/bin/env bats
# The type nat, with both engines. The host has eth0, 198.51.100.2, to the namespace `internet`, 198.51.100.1, which has no route back
# to the namespaces.

load engine

setup() {
  internet on
  pair a VETH_GATEWAY=outside
}

# Usage: passes NAME [ADDRESS]
# Succeeds if the namespace reaches the network of the host.
passes() { on ip netns exec "$1" ping -q -c 1 -i 0.1 -w 5 "${2-198.51.100.1}" >/dev/null; }

# Usage: appear
# Adds eth1 to the host, 203.0.113.2, to the namespace `internet`, 203.0.113.1.
appear() {
  on bash -c '
    ip link add eth1 type veth peer name up1 netns internet
    ip link set dev eth1 up
    ip -netns internet link set dev up1 up
    ip -netns internet address add 203.0.113.1/24 dev up1
    ip address add 203.0.113.2/24 dev eth1'
}

# Usage: repaired LINE
# Succeeds if nat@a is repaired: by systemd, or else by a restart, which check demands with this line.
repaired() {
  if [[ $ENGINE == direct ]]; then
    run -1 on netnsctl check nat@a
    [[ $output == *"error: nat@a: $1; fix: \`netnsctl restart nat@a\`"* ]] || return
    on netnsctl restart nat@a
  fi
  eventually on netnsctl check nat@a
}

# Usage: forwarding IFNAME
forwarding() { on cat "/proc/sys/net/ipv4/conf/$1/forwarding"; }

# Usage: left
# Prints what nat has left on the host.
left() {
  on nft list ruleset
  [[ $(forwarding eth0) == 0 ]] || echo 'eth0 forwards'
  on bash -c 'cd /run/systemd-netns && find . -path "*sysctls/*" -o -path "*remembered/nat@*"' || true
}

@test "nat comes up after the interface of its namespace, in whatever order they are named, without a file" {
  for order in 'veth@a nat@a' 'nat@a veth@a'; do
    # shellcheck disable=SC2086 # split into words
    on netnsctl up $order
    passes a
    [[ $(forwarding eth0) == 1 ]]
    on netnsctl check veth@a nat@a
    # shellcheck disable=SC2086 # as above
    on netnsctl down $order
    [[ -z $(left) ]]
  done
}

@test "graph, status and show have the masqueraded addresses, also as JSON" {
  on netnsctl up veth@a nat@a
  [[ $(on netnsctl graph a) == *'nat up masquerades 192.0.2.0/30'* ]]
  [[ $(on netnsctl graph --format dot a) == *'"nat up\lmasquerades 192.0.2.0/30\l"'* ]]
  [[ $(on netnsctl graph --format mermaid a) == *'nat up<br>masquerades 192.0.2.0/30'* ]]
  [[ $(on netnsctl status a) == *'masquerades 192.0.2.0/30'* ]]
  [[ $(on netnsctl show nat@a) == *'addresses that the host replaces with its own'*'  192.0.2.0/30'* ]]
  for verb in 'graph a' 'status a' 'show nat@a'; do
    # shellcheck disable=SC2086 # two words
    on netnsctl $verb --json >"$BATS_TEST_TMPDIR/json"
    [[ $(jq --compact-output '[.. | .masqueraded? // empty] | add' "$BATS_TEST_TMPDIR/json") == '["192.0.2.0/30"]' ]]
    /usr/bin/jsonschema -i "$BATS_TEST_TMPDIR/json" "$ROOT/docs/json/${verb%% *}.json"
  done
  on netnsctl down nat@a veth@a
  [[ $(on netnsctl graph a) != *masquerades* ]]
}

@test "an interface does not go down alone, and a restart of it restarts nat" {
  on netnsctl up nat@a veth@a
  run -1 on netnsctl down veth@a
  [[ $output == *'nat@a'* ]]
  on nft delete table inet netns_nat-a
  on netnsctl restart veth@a
  passes a
  on netnsctl check nat@a
  on netnsctl down --recursive veth@a
  [[ -z $(left) ]]
}

@test "nat without an interface fails with the next step, and nothing is left" {
  run -1 on netnsctl up nat@a
  [[ $output == *"namespace 'a' has no way to the host"*'veth@a with VETH_GATEWAY=outside'* ]]
  eventually gone a
  [[ -z $(left) ]]
}

@test "a restart applies an edited file" {
  on netnsctl up veth@a nat@a
  config nat-a.conf <<<NAT_EXCEPT=198.51.100.0/24
  on netnsctl restart nat@a
  run ! passes a
  config nat-a.conf <<<NAT_EXCEPT=198.51.100.0/33
  run -1 on netnsctl check nat@a
  [[ $output == *"nat-a.conf:1"*"NAT_EXCEPT: '198.51.100.0/33' is not a prefix"* ]]
  on netnsctl down nat@a veth@a
  [[ -z $(left) ]]
}

# Usage: restart_refused LINE EXPECTED
# Succeeds if check and a restart refuse this line of nat-a.conf with the EXPECTED message.
restart_refused() {
  local command
  config nat-a.conf <<<"$1"
  for command in check restart; do
    run -1 on netnsctl "$command" nat@a
    [[ $output == *"nat-a.conf:1: error: nat@a: $2"* ]] || return
  done
  [[ $output == *'nothing was restarted'* ]]
}

@test "a restart with settings that do not match the namespace is refused, and the running instance keeps its way out" {
  on netnsctl up veth@a nat@a
  restart_refused NAT_TO=fd00::/64 "NAT_TO: 'fd00::/64': expected a prefix of the family of the sources, '192.0.2.2/30'"
  restart_refused NAT_SOURCES=10.9.9.0/24 "NAT_SOURCES: '10.9.9.0/24': the host does not reach it over ve-a0; fix: add a route"
  restart_refused NAT_SOURCES=2001:db8::/64 "NAT_SOURCES: '2001:db8::/64': no gateway of namespace 'a' with an address of this family is on the host; fix: "
  restart_refused NAT_IFNAME_OUT=ve-a0 "NAT_IFNAME_OUT: 've-a0' leads to the namespace itself; fix: "
  restart_refused NAT_IFNAME_OUT=lo "NAT_IFNAME_OUT: 'lo' is the loopback interface"
  passes a
  # A restart of the interface, too, can change the network.
  config nat-a.conf <<<NAT_SOURCES=10.9.9.0/24
  pair a VETH_GATEWAY=outside 'VETH_ROUTES_OUTSIDE=10.9.9.0/24'
  on netnsctl restart a
  on netnsctl check nat@a
  on netnsctl down a
  # Before up, there is no network to compare the settings with.
  config nat-a.conf <<<NAT_SOURCES=10.8.8.0/24
  on netnsctl check nat@a
  run -1 on netnsctl up a
  [[ $output == *"nat-a.conf:1: NAT_SOURCES: '10.8.8.0/24': the host does not reach it over ve-a0; fix: add a route"* ]]
  [[ $output != *'failed with status'*'nat.sh'* ]]
  on netnsctl down a
  [[ -z $(left) ]]
}

@test "an interface of NAT_IFNAME_OUT that does not exist is a warning of up and a note of check, also after it has disappeared" {
  config nat-a.conf <<<'NAT_IFNAME_OUT="eth0 eth1"'
  run -0 on netnsctl up veth@a nat@a
  [[ $output == *"warning: nat@a: interface 'eth1' does not exist on the host yet: no packet passes over it before it appears; if the name is wrong, correct it"* ]]
  [[ $output != *"interface 'eth0'"* ]]
  run -0 on netnsctl check nat@a
  [[ $output == *"note: nat@a: interface 'eth1' does not exist on the host yet: no packet passes over it before it appears; bring up the type that creates it, or correct the name"* ]]
  appear
  repaired "interface 'eth1' has appeared on the host, which does not forward packets from it"
  run -0 on netnsctl check nat@a
  [[ $output != *eth1* ]]
  on ip link delete dev eth1
  # systemd may have reloaded the instance since.
  run -0 on netnsctl check nat@a
  [[ $output == *"note: nat@a: interface 'eth1' does not exist on the host "@(any more|yet)": no packet passes"* ]]
  on netnsctl down nat@a veth@a
  [[ -z $(left) ]]
}

@test "check reports a changed sysctl, and a restart repairs it" {
  on netnsctl up veth@a nat@a
  # It would repair this at the next change of rules.
  [[ $ENGINE == direct ]] || on systemctl stop netns_watch
  on sysctl -q -w net.ipv4.conf.eth0.forwarding=0
  run -1 on netnsctl check nat@a
  [[ $output == *"sysctl 'net.ipv4.conf.eth0.forwarding' on the host is '0', not '1'; fix: \`netnsctl restart nat@a\`"* ]]
  on netnsctl restart nat@a
  on netnsctl check nat@a
  passes a
  on netnsctl down nat@a veth@a
  [[ -z $(left) ]]
}

@test "an interface of the host that appears later, or returns, is used, with and without NAT_IFNAME_OUT, and may disappear" {
  for line in '' NAT_IFNAME_OUT=eth1; do
    config nat-a.conf <<<"$line"
    on netnsctl up veth@a nat@a
    appear
    repaired "interface 'eth1' has appeared on the host, which does not forward packets from it"
    passes a 203.0.113.1
    [[ $(forwarding eth1) == 1 ]]
    on ip link delete dev eth1
    on netnsctl check nat@a
    appear
    repaired "sysctl 'net.ipv4.conf.eth1.forwarding' on the host is '0', not '1'"
    passes a 203.0.113.1
    on ip link delete dev eth1
    on netnsctl down nat@a veth@a
    [[ -z $(left) ]]
  done
}

@test "an interface of the host that is renamed is used under its new name, and down restores its sysctls" {
  on netnsctl up veth@a nat@a
  on bash -c 'ip link set dev eth0 down; ip link set dev eth0 name wan0 up'
  repaired "interface 'eth0' on the host was renamed to 'wan0', and rules of this instance still name 'eth0'"
  passes a
  [[ $(forwarding wan0) == 1 ]]
  on netnsctl down nat@a veth@a
  [[ $(forwarding wan0) == 0 && $(on cat /proc/sys/net/ipv6/conf/wan0/forwarding) == 0 ]]
  on bash -c 'ip link set dev wan0 down; ip link set dev wan0 name eth0 up'
  [[ -z $(left) ]]
}

@test "a host that becomes a router while nat is up forwards after the repair and after down" {
  on netnsctl up veth@a nat@a
  on sysctl -q -w net.ipv4.ip_forward=1
  # Such a program also changes rules, as docker does.
  on nft add table ip other
  repaired "sysctl 'net.ipv4.ip_forward' on the host is '1' now, and rules of this instance drop what the host forwards"
  [[ $(on nft list chain inet netns_nat-a others) != *'nfproto ipv4'* ]]
  passes a
  on netnsctl down nat@a veth@a
  [[ $(forwarding eth0) == 1 ]]
  on nft delete table ip other
  on sysctl -q -w net.ipv4.ip_forward=0
  [[ -z $(left) ]]
}

@test "an interface that appears later is not used without a route, or if NAT_IFNAME_OUT has others" {
  config nat-a.conf <<<NAT_IFNAME_OUT=eth0
  on netnsctl up veth@a nat@a
  appear
  on netnsctl check nat@a
  config nat-a.conf </dev/null
  on netnsctl restart nat@a
  on netnsctl check nat@a
  on ip link add spare0 type veth peer name spare1
  on ip link set dev spare0 up
  on ip link set dev spare1 up
  on netnsctl check nat@a
  [[ $(forwarding spare0) == 0 ]]
}

@test "check notes a strict reverse path filter on a second interface with a default route, with the command that changes it" {
  appear
  on bash -c 'ip route add default via 198.51.100.1; ip route add default via 203.0.113.1 table 7'
  on sysctl -q -w net.ipv4.conf.{all,eth0,eth1}.rp_filter=0
  on netnsctl up veth@a nat@a
  [[ $(on netnsctl check nat@a) != *rp_filter* ]]
  on sysctl -q -w net.ipv4.conf.eth0.rp_filter=1
  [[ $(on netnsctl check nat@a) != *rp_filter* ]]
  on sysctl -q -w net.ipv4.conf.eth1.rp_filter=1
  run -0 on netnsctl check nat@a
  [[ $output == *"note: nat@a: net.ipv4.conf.eth1.rp_filter is 1, and the host's default route uses eth0: packets from the Internet that arrive on eth1 are dropped; fix: \`sysctl -w net.ipv4.conf.eth1.rp_filter=2\`"* ]]
  on sysctl -q -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth1.rp_filter=0
  [[ $(on netnsctl check nat@a) == *'net.ipv4.conf.all.rp_filter is 1, '*'`sysctl -w net.ipv4.conf.eth1.rp_filter=2`'* ]]
  on sysctl -q -w net.ipv4.conf.eth1.rp_filter=2
  [[ $(on netnsctl check nat@a) != *rp_filter* ]]
  on sysctl -q -w net.ipv4.conf.all.rp_filter=0
}
