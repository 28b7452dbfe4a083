#!/usr/bin/env bats
# publish: ports of the host that lead to a service in a namespace. The network consists of namespaces: `lan` is a machine next to
# the host, `a` has the service, `b` is another namespace of the host.

load kernel

SOCKETS=$ROOT/bats/sockets.py

setup_network() {
  nft flush ruleset # a test before may have left some
  create lan
  ip link add up0 type veth peer name up1 netns lan
  ip address add 192.0.2.1/24 dev up0
  ip address add 2001:db8::1/64 dev up0 nodad
  ip link set dev up0 up
  inside lan ip address add 192.0.2.9/24 dev up1
  inside lan ip address add 2001:db8::9/64 dev up1 nodad
  inside lan ip link set dev up1 up
  member a 1
  member b 2
}

# Usage: member NAME NUMBER [START]
# A namespace with 198.51.100.NUMBER2, or START2, and 2001:db8:NUMBER::2. The host, with 1 in place of 2, is its router.
member() {
  local start=${3-198.51.100.$2}
  config "veth-$1.conf" <<END
VETH_IFADDR_OUTSIDE=(${start}1/29 "2001:db8:$2::1/64 nodad")
VETH_IFADDR_INSIDE=(${start}2/29 "2001:db8:$2::2/64 nodad")
VETH_GATEWAY=(${start}1 2001:db8:$2::1)
END
  up veth "$1"
}

# Usage: publish NAME ENTRY...
publish() { printf 'PUBLISH=(%s)\n' "${*:2}" | config "publish-$1.conf"; }

# Usage: serve WHERE tcp|udp FIRST [LAST]
# Starts a service that answers with the address of its client.
serve() {
  from "$1" "$SOCKETS" serve "${@:2}" >/dev/null 2>&1 3>&- &
  BACKGROUND+=("$!")
  eventually listens "$1" "${@:2:2}" "${!#}"
}

# Usage: listens WHERE tcp|udp PORT
listens() { [[ -n $(from "$1" ss --no-header --numeric --listening "--$2" "sport = :$3") ]]; }

# Usage: ask WHERE tcp|udp ADDRESS PORT [FROM]
ask() { from "$1" "$SOCKETS" ask "${@:2}"; }

# Usage: sysctls
# Prints all sysctls of the host's network, without counters and times.
sysctls() { sysctl --all --pattern '^net\.' 2>/dev/null | grep --invert-match --extended-regexp 'nf_conntrack_count|\.(lo|up0|ve-.*)\.(base_reachable|stable_secret)|route\.flush'; }

@test "200 kB pass both ways between a client behind a router with a smaller MTU that sends no ICMP and a published port" {
  setup_network
  narrow_way client lan up0 up1
  ip route add 10.7.0.0/24 via 192.0.2.9
  ip route add 2001:db8:77::/64 via 2001:db8::9
  publish a 8080:80
  up publish a
  inside a python3 "$ROOT/bats/kernel/transfer.py" serve 80 3>&- &
  BACKGROUND+=("$!")
  eventually transfers client 192.0.2.1 8080
  transfers client 2001:db8::1 8080
  without_clamping netns_publish-a segments
  run ! transfers client 192.0.2.1 8080
  run ! transfers client 2001:db8::1 8080
}

@test "a port is reachable from the network with the source address visible: IPv4, IPv6, tcp and udp" {
  setup_network
  publish a 8080:80 5353:53/udp
  up publish a
  serve a tcp 80
  serve a udp 53
  [[ $(ask lan tcp 192.0.2.1 8080) == '192.0.2.9 80' ]]
  [[ $(ask lan udp 192.0.2.1 5353) == '192.0.2.9 53' ]]
  [[ $(ask lan tcp 2001:db8::1 8080) == '2001:db8::9 80' ]]
  [[ $(ask lan udp 2001:db8::1 5353) == '2001:db8::9 53' ]]
  run ! ask lan tcp 192.0.2.1 80
}

@test "a port is reachable from the host by its addresses and by 127.0.0.1, and refused by ::1" {
  setup_network
  publish a 8080:80 5353:53/udp
  up publish a
  serve a tcp 80
  serve a udp 53
  [[ $(ask host tcp 192.0.2.1 8080) == '192.0.2.1 80' ]]
  [[ $(ask host tcp 2001:db8::1 8080) == '2001:db8::1 80' ]]
  [[ $(ask host udp 192.0.2.1 5353) == '192.0.2.1 53' ]]
  [[ $(ask host tcp 127.0.0.1 8080) == '198.51.100.11 80' ]]
  [[ $(ask host udp 127.0.0.1 5353) == '198.51.100.11 53' ]]
  run ! ask host tcp ::1 8080
  [[ $output == *refused* ]]
}

@test "a port is reachable from another namespace with its address, and from the own namespace by the host's address" {
  setup_network
  publish a 8080:80 5353:53/udp
  up publish a
  serve a tcp 80
  serve a udp 53
  [[ $(ask b tcp 192.0.2.1 8080) == '198.51.100.22 80' ]]
  [[ $(ask b tcp 2001:db8::1 8080) == '2001:db8:2::2 80' ]]
  [[ $(ask b udp 192.0.2.1 5353) == '198.51.100.22 53' ]]
  [[ $(ask a tcp 192.0.2.1 8080) == '198.51.100.11 80' ]]
  [[ $(ask a tcp 2001:db8::1 8080) == '2001:db8:1::1 80' ]]
  [[ $(ask a udp 192.0.2.1 5353) == '198.51.100.11 53' ]]
}

@test "the settings of nat do not close published ports for the namespace, its own and those of others" {
  setup_network
  publish a 8080:80
  publish b 8081:81
  up publish a
  up publish b
  serve a tcp 80
  serve b tcp 81
  for setting in 'NAT_EXCEPT="198.51.100.0/24 2001:db8::/32"' NAT_IFNAME_OUT=up0 'NAT_TO="192.0.2.0/24 2001:db8::/64"'; do
    config nat-a.conf <<<"$setting"
    up nat a
    [[ $(ask a tcp 192.0.2.1 8080) == '198.51.100.11 80' ]]
    [[ $(ask a tcp 192.0.2.1 8081) == *' 81' ]]
    [[ $(ask a tcp 2001:db8::1 8080) == '2001:db8:1::1 80' ]]
    [[ $(ask a tcp 2001:db8::1 8081) == *' 81' ]]
    down_hooks nat a
  done
}

# Usage: same_client
# Prints the answer to a datagram, which has the same source port each time, so it belongs to the same connection.
same_client() {
  inside lan python3 -c 'import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.settimeout(1)
client.bind(("", 40000))
client.sendto(b"?", ("192.0.2.1", 5353))
print(client.recv(99).decode())'
}

@test "a client of a port that is not published any more gets no answer, also with nat" {
  setup_network
  publish a 5353:53/udp
  up publish a
  serve a udp 53
  serve a udp 54
  [[ $(same_client) == '192.0.2.9 53' ]]
  up nat a
  [[ $(same_client) == '192.0.2.9 53' ]]
  publish a 5353:54/udp
  restart_inside publish a
  run ! same_client
  publish a 8080:80
  restart_inside publish a
  run ! same_client
  down_hooks publish a
  run ! same_client
  publish a 5353:53/udp
  up publish a
  [[ $(same_client) == '192.0.2.9 53' ]]
}

@test "a range leads to the same ports, or to ports at the same distance" {
  setup_network
  publish a 9000-9002:9000-9002 9100-9102:9200-9202 9300-9301:9400-9401/udp
  up publish a
  serve a tcp 9000 9002
  serve a tcp 9200 9202
  serve a udp 9400 9401
  for address in 192.0.2.1 2001:db8::1; do
    for port in 9000 9001 9002; do [[ $(ask lan tcp "$address" "$port") == *" $port" ]]; done
    for port in 9100 9101 9102; do [[ $(ask lan tcp "$address" "$port") == *" $((port + 100))" ]]; done
    for port in 9300 9301; do [[ $(ask lan udp "$address" "$port") == *" $((port + 100))" ]]; done
  done
}

@test "HOSTADDR publishes a port on one address only" {
  setup_network
  ip address add 192.0.2.2/24 dev up0
  publish a 192.0.2.2:8080:80 '"[2001:db8::1]:8081:80"' 0.0.0.0:8082:80 127.0.0.1:8083:80
  up publish a
  serve a tcp 80
  [[ $(ask lan tcp 192.0.2.2 8080) == '192.0.2.9 80' ]]
  run ! ask lan tcp 192.0.2.1 8080
  run ! ask lan tcp 2001:db8::1 8080
  [[ $(ask lan tcp 2001:db8::1 8081) == '2001:db8::9 80' ]]
  run ! ask lan tcp 192.0.2.1 8081
  [[ $(ask lan tcp 192.0.2.1 8082) == '192.0.2.9 80' ]]
  run ! ask lan tcp 2001:db8::1 8082
  [[ $(ask host tcp 127.0.0.1 8083) == *' 80' ]]
  run ! ask lan tcp 192.0.2.1 8083
}

@test "the host does not become a router: only packets of published ports are forwarded" {
  setup_network
  serve b tcp 80
  serve a tcp 80
  serve lan tcp 80
  inside lan ip route add 198.51.100.0/24 via 192.0.2.1
  inside lan ip -6 route add 2001:db8::/32 via 2001:db8::1
  publish a 8080:80
  up publish a
  [[ $(ask lan tcp 192.0.2.1 8080) == '192.0.2.9 80' ]]
  for address in 198.51.100.12 198.51.100.22 2001:db8:1::2 2001:db8:2::2; do
    run ! ask lan tcp "$address" 80
    [[ $output == *'timed out'* ]]
  done
  for address in 192.0.2.9 2001:db8::9; do
    run ! ask a tcp "$address" 80
    run ! ask b tcp "$address" 80
  done
  # The same packets pass without these rules.
  nft flush chain inet netns_publish-a others
  for address in 198.51.100.12 198.51.100.22 2001:db8:1::2 2001:db8:2::2; do ask lan tcp "$address" 80; done
}

@test "a host that is a router stays one" {
  setup_network
  serve b tcp 80
  sysctl --quiet net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  inside lan ip route add 198.51.100.0/24 via 192.0.2.1
  inside lan ip -6 route add 2001:db8::/32 via 2001:db8::1
  publish a 8080:80
  up publish a
  for address in 198.51.100.22 2001:db8:2::2; do [[ $(ask lan tcp "$address" 80) == *9\ 80 ]]; done
  down_hooks publish a
  for address in 198.51.100.22 2001:db8:2::2; do [[ $(ask lan tcp "$address" 80) == *9\ 80 ]]; done
  sysctl --quiet net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0
}

@test "a namespace cannot reach 127.0.0.1 of the host, also after its interface was renamed, and down restores the renamed one" {
  setup_network
  publish a 8080:80
  up publish a
  "$SOCKETS" serve tcp 7000 >/dev/null 2>&1 3>&- &
  BACKGROUND+=("$!")
  eventually listens host tcp 7000
  [[ $(ask host tcp 127.0.0.1 7000) == '127.0.0.1 7000' ]]
  inside a sysctl --quiet net.ipv4.conf.all.route_localnet=1
  inside a ip rule add priority 1 to 127.0.0.1 table 7
  inside a ip route add 127.0.0.1 via 198.51.100.11 dev ve-a1 table 7
  run ! ask a tcp 127.0.0.1 7000 198.51.100.12
  rename_link host ve-a0 other
  eventually reaches a 198.51.100.11
  run ! ask a tcp 127.0.0.1 7000 198.51.100.12
  # It is reachable without these rules.
  nft flush chain inet netns_publish-a loopback
  [[ $(ask a tcp 127.0.0.1 7000 198.51.100.12) == '198.51.100.12 7000' ]]
  down_hooks publish a
  [[ $(</proc/sys/net/ipv4/conf/other/route_localnet) == 0 && $(</proc/sys/net/ipv4/conf/other/forwarding) == 0 ]]
}

@test "down restores the host: rules, and all sysctls of its network" {
  setup_network
  publish a 8080:80
  before=$(world) all=$(sysctls)
  hook publish a up outside
  hook publish a up inside
  [[ $(sysctls) != "$all" ]]
  down_hooks publish a
  unchanged "$before"
  diff <(echo "$all") <(sysctls)
}

@test "instances that come up and go down in any order leave the host as before" {
  setup_network
  publish a 8080:80
  publish b 8081:80
  before=$(world) all=$(sysctls)
  for order in 'a b' 'b a'; do
    for name in a b; do hook publish "$name" up outside && hook publish "$name" up inside; done
    for name in $order; do
      down_hooks publish "$name"
      [[ $name != "${order%% *}" ]] || {
        serve "${order##* }" tcp 80
        ask lan tcp 192.0.2.1 "$([[ $order == a* ]] && echo 8081 || echo 8080)"
      }
    done
    unchanged "$before"
    diff <(echo "$all") <(sysctls)
  done
}

@test "20 instances come and go in any order, and the host is as before" {
  setup_network
  RANDOM=$((seed = RANDOM))
  echo "seed $seed"
  names=({a..t})
  for number in {3..20}; do member "${names[number - 1]}" "$number" "10.0.$number."; done
  for number in {1..20}; do
    publish "${names[number - 1]}" "$((8000 + number)):80"
    serve "${names[number - 1]}" tcp 80
  done
  before=$(world) all=$(sysctls)
  up=()
  for step in {1..60}; do
    number=$((RANDOM % 20 + 1))
    name=${names[number - 1]}
    toggle publish "$name"
    ((step % 20)) || for number in {1..20}; do
      answer=$(ask lan tcp 192.0.2.1 "$((8000 + number))" 2>/dev/null) || answer=''
      [[ $answer == "$([[ " ${up[*]} " != *" ${names[number - 1]} "* ]] || echo '192.0.2.9 80')" ]]
    done
  done
  for name in "${up[@]}"; do down_hooks publish "$name"; done
  unchanged "$before"
  diff <(echo "$all") <(sysctls)
}

@test "a firewall of the host that drops forwarded packets is named, and PUBLISH_HOST_FIREWALL=yes opens it for the ports until down" {
  setup_network
  serve a tcp 80 81
  serve lan tcp 7
  inside lan ip route add 198.51.100.0/24 via 192.0.2.1
  for kind in policy drop reject docker; do
    nft flush ruleset
    host_rules "$kind"
    before=$(nft --stateless list ruleset)
    publish a 8080:80
    hook publish a up outside
    run --separate-stderr -0 hook publish a up inside
    [[ $stderr == *"warning: the chain '"*"' of the table '"*"' on the host drops forwarded packets; allow those of ve-a0 there, or set PUBLISH_HOST_FIREWALL=yes"* ]]
    run ! ask lan tcp 192.0.2.1 8080
    echo PUBLISH_HOST_FIREWALL=yes >>"$CONF/publish-a.conf"
    run --separate-stderr -0 restart_inside publish a
    [[ $stderr != *warning* ]]
    [[ $(ask lan tcp 192.0.2.1 8080) == '192.0.2.9 80' ]]
    # Only for the published ports.
    run ! ask lan tcp 198.51.100.12 81
    run ! ask a tcp 192.0.2.9 7
    # A restart does not add the rules again.
    now=$(nft --stateless list ruleset)
    restart_inside publish a
    [[ $(nft --stateless list ruleset) == "$now" ]]
    # A proxy does not need them.
    echo PUBLISH_BY=proxy >>"$CONF/publish-a.conf"
    restart_inside publish a
    [[ $(nft --stateless list ruleset) == "$before" ]]
    down_hooks publish a
    [[ $(nft --stateless list ruleset) == "$before" ]]
  done
}

@test "nat and publish on one namespace open a firewall of the host each for its own packets" {
  setup_network
  serve a tcp 80
  serve lan tcp 7
  host_rules policy
  before=$(nft list ruleset)
  publish a 8080:80
  echo NAT_HOST_FIREWALL=yes | config nat-a.conf
  up nat a
  up publish a
  run ! ask lan tcp 192.0.2.1 8080
  echo PUBLISH_HOST_FIREWALL=yes >>"$CONF/publish-a.conf"
  restart_inside publish a
  [[ $(ask lan tcp 192.0.2.1 8080) == '192.0.2.9 80' ]]
  [[ $(ask a tcp 192.0.2.9 7) == '192.0.2.1 7' ]]
  down_hooks nat a
  [[ $(ask lan tcp 192.0.2.1 8080) == '192.0.2.9 80' ]]
  run ! ask a tcp 192.0.2.9 7
  down_hooks publish a
  [[ $(nft list ruleset) == "$before" ]]
}

@test "a hook that fails at any step, or is terminated after it, leaves nothing" {
  setup_network
  publish a 8080:80
  all=$(sysctls)
  for step in error:claim_ports error:host_forward end:claim_ports end:host_forward end:host_table_load end:sysctl_set; do
    publish a 8080:80
    fault "${step%:*}" >>"$CONF/publish-a.conf"
    each_failure_leaves "$(world)" publish a inside "${step#*:}"
    down_hooks publish a
    diff <(echo "$all") <(sysctls)
  done
}

# Usage: ended SESSION
# Succeeds if no process of a killed hook runs.
ended() { ! pgrep --session "$1" >/dev/null; }

@test "a hook that is killed at any moment leaves nothing that down does not remove" {
  setup_network
  publish a 8080:80
  before=$(world) all=$(sysctls)
  for delay in 0.01 0.03 0.05 0.07 0.1 0.13 0.16 0.2; do
    setsid nsenter --net=/run/netns/a -- netnsinit publish a up inside >/dev/null 2>&1 3>&- &
    hook=$!
    sleep "$delay"
    kill -KILL "$hook" || true
    wait "$hook" || true
    eventually ended "$hook"
    down_hooks publish a
    unchanged "$before"
    diff <(echo "$all") <(sysctls)
  done
}

@test "a restart applies the present settings, and a changed address of the namespace" {
  setup_network
  serve a tcp 80 81
  publish a 8080:80
  up publish a
  publish a 8081:81
  restart_inside publish a
  [[ $(ask lan tcp 192.0.2.1 8081) == '192.0.2.9 81' ]]
  run ! ask lan tcp 192.0.2.1 8080
  inside a ip address delete 198.51.100.12/29 dev ve-a1
  inside a ip address add 198.51.100.13/29 dev ve-a1
  inside a ip route replace default via 198.51.100.11
  run ! ask lan tcp 192.0.2.1 8081
  restart_inside publish a
  [[ $(ask lan tcp 192.0.2.1 8081) == '192.0.2.9 81' ]]
}

@test "an entry that is invalid is refused before anything is made, with its value, its file and what is expected" {
  setup_network
  while IFS='|' read -r entry expected; do
    publish a 8080:80 "$entry"
    refused "$CONF/publish-a.conf:1: PUBLISH: '$entry': " "$expected" -- hook publish a up outside
  done <<'END'
0:80|'0' is not a port: expected a number from 1 to 65535
80:65536|'65536' is not a port
http:80|'http' is not a port
8000-8002:80-81|the ranges have different lengths, 3 and 2 ports: expected ranges of equal length
8002-8000:80-82|the range '8002-8000' is reversed
80/sctp|'sctp' is not a protocol: expected tcp or udp
192.0.2.300:80:80|'192.0.2.300' is not an IP address of the host
2001:db8::1:80:80|with an IPv6 address in brackets
8080:81|the port is already in '8080:80'
END
  publish a 8080:80 192.0.2.77:80:80
  hook publish a up outside
  refused "$CONF/publish-a.conf:1: PUBLISH: '192.0.2.77:80:80': the host does not have the address 192.0.2.77; \`ip address\`" \
    -- hook publish a up inside
  config publish-a.conf <<<''
  refused "$CONF/publish-a.conf: PUBLISH: is not set" -- hook publish a up outside
}

@test "a restart refuses an invalid setting before it publishes a port in another way" {
  setup_network
  config publish-a.conf <<<'PUBLISH=(8080:80) PUBLISH_BY=Proxy'
  run -1 hook publish a up inside
  [[ $output == *"PUBLISH_BY: 'Proxy'"* ]]
  [[ -z $(nft list tables) && $(</proc/sys/net/ipv4/conf/up0/forwarding) == 0 ]]
}

@test "a port of another instance, or of a process of the host, is refused with the name of the owner" {
  setup_network
  publish a 8080:80 '"[::]:8081:80"'
  up publish a
  for entry in 8080:81 192.0.2.1:8080:1 8070-8090:70-90 '"[2001:db8::1]:8081:1"'; do
    publish b "$entry"
    refused "$CONF/publish-b.conf:1: PUBLISH: " '`publish@a` already publishes' -- hook publish b up inside
  done
  publish b 8080:80/udp 192.0.2.1:8081:80
  hook publish b up inside
  hook publish b down outside

  "$SOCKETS" listen tcp 192.0.2.1 7000 3>&- &
  BACKGROUND+=("$!")
  eventually listens host tcp 7000
  publish b 7000:80
  refused "'7000:80': sockets.py (pid $!) listens on port 7000 of the host (192.0.2.1)" -- hook publish b up inside
  publish b 7000:80/udp '"[::]:7000:80"'
  hook publish b up inside
  hook publish b down outside
  down_hooks publish a
  publish b 8080:81
  hook publish b up inside
}

@test "a namespace without an address, or without one of the family, is refused with the next step" {
  nft flush ruleset
  create a
  publish a 8080:80
  refused "$CONF/publish-a.conf:1: PUBLISH: namespace 'a' has no address; fix: bring up a type with an address, such as veth@a" -- hook publish a up inside
  hook publish a down outside
  ip address add 2001:db8::1/64 dev lo nodad
  inside a ip address add 198.51.100.2/24 dev lo
  inside a ip link set dev lo up
  publish a '"[2001:db8::1]:443:443"'
  refused "$CONF/publish-a.conf:1: PUBLISH: '[2001:db8::1]:443:443': namespace 'a' has no IPv6 address; fix: give it one, such as in VETH_IFADDR_INSIDE of veth@a" \
    -- hook publish a up inside
  ip address delete 2001:db8::1/64 dev lo
}
