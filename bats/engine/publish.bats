#!/usr/bin/env bats
# Published ports, with both engines.

load engine

SOCKETS=$ROOT/bats/sockets.py

setup() {
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 VETH_GATEWAY=outside | config veth-a.conf
  config publish-a.conf <<<'PUBLISH=(8080:80)'
  on install /dev/stdin /run/sockets.py <"$SOCKETS"
  on ip link set dev lo up
}

# Usage: asks [PORT]
# Succeeds if a client on the host gets an answer from the namespace.
asks() {
  # shellcheck disable=SC2016 # for the machine to expand
  on bash -c '
    ip netns exec a /run/sockets.py serve tcp 80 & server=$!
    trap "kill $server" EXIT
    for ((try = 0; try < 100; try++)); do
      [[ $(/run/sockets.py ask tcp 192.0.2.1 "$1" 2>/dev/null) != "192.0.2.1 80" ]] || exit 0
      sleep 0.1
    done
    exit 1' bash "${1-8080}" 3>&-
}

# Usage: refused_on PORT
refused_on() { run ! on /run/sockets.py ask tcp 192.0.2.1 "$1"; }

@test "the port is published in whatever order the instances are given; down leaves nothing" {
  for order in 'veth@a publish@a' 'publish@a veth@a' 'a'; do
    # shellcheck disable=SC2086 # several words
    on netnsctl up $order
    asks
    on netnsctl check publish@a
    on netnsctl down a
    [[ -z $(on nft list tables) ]]
    nothing_left
  done
}

@test "publish works together with nat on one namespace, in any order of up and down" {
  on netnsctl up veth@a
  for order in 'nat publish' 'publish nat'; do
    for nstype in $order; do on netnsctl up "$nstype@a"; done
    asks
    on netnsctl check nat@a publish@a
    on netnsctl down "${order% *}@a"
    [[ $order == publish* ]] || asks
    on netnsctl down "${order#* }@a"
    [[ -z $(on nft list tables) ]]
  done
  on netnsctl down a
  nothing_left
}

@test "without an interface in the namespace, up fails with the next step, and leaves nothing" {
  run -1 on netnsctl up publish@a
  [[ $output == *"publish-a.conf:1: PUBLISH: namespace 'a' has no address; fix: bring up a type with an address, such as veth@a"* ]]
  gone a
  on test ! -e /run/systemd-netns/remembered/publish@a
  [[ -z $(on nft list tables) ]]
}

@test "a restart applies the present settings; check reports an invalid one" {
  on netnsctl up veth@a publish@a
  config publish-a.conf <<<'PUBLISH=(8081:80)'
  on netnsctl restart publish@a
  asks 8081
  refused_on 8080
  on netnsctl check publish@a
  config publish-a.conf <<<'PUBLISH=(8081:80 http:80)'
  run -1 on netnsctl check publish@a
  [[ $output == *"PUBLISH: 'http:80': 'http' is not a port"* ]]
  on netnsctl down a
  nothing_left
}

@test "flushed rules are reported and repaired by a restart, or return by themselves under systemd; check reports a changed address" {
  on netnsctl up veth@a publish@a
  on nft flush ruleset
  if [[ $ENGINE == direct ]]; then
    run -1 on netnsctl check publish@a
    [[ $output == *"the table 'inet netns_publish-a' on the host does not exist"*'`netnsctl restart publish@a`'* ]]
    on netnsctl restart publish@a
  fi
  eventually on netnsctl check publish@a
  asks
  on ip -netns a address delete 192.0.2.2/30 dev ve-a1
  on ip -netns a address add 192.0.2.3/29 dev ve-a1
  run -1 on netnsctl check publish@a
  [[ $output == *"the published ports do not lead to '192.0.2.3', the present address of the namespace"* ]]
  on netnsctl down a
  nothing_left
}

@test "an instance that goes down is no difference for another one that publishes ports" {
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.5/30 VETH_IFADDR_INSIDE=192.0.2.6/30 VETH_GATEWAY=outside | config veth-b.conf
  on netnsctl up veth@a veth@b
  on netnsctl up publish@a
  [[ $(on cat /proc/sys/net/ipv4/conf/ve-b0/forwarding) == 1 ]]
  on netnsctl down veth@b
  on netnsctl check publish@a
  on netnsctl down a
  nothing_left
}

@test "a port of another instance is refused with its name, also when both come up at the same time" {
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.5/30 VETH_IFADDR_INSIDE=192.0.2.6/30 VETH_GATEWAY=outside | config veth-b.conf
  config publish-b.conf <<<'PUBLISH=(192.0.2.5:8080:80)'
  config publish-a.conf <<<'PUBLISH=(8080:80)'
  run -1 on netnsctl up a b
  [[ $output == *"PUBLISH: '"*"': \`publish@"[ab]"\` already publishes '"* ]]
  [[ $(state publish@a) == up || $(state publish@b) == up ]]
  on netnsctl down a b
  nothing_left
}

# Usage: restart_refused EXPECTED LINE...
# Succeeds if these LINEs of publish-a.conf are refused by check and by a restart with the EXPECTED message, while a program of the host
# listens on port 7000.
restart_refused() {
  local command expected=$1
  printf '%s\n' "${@:2}" | config publish-a.conf
  for command in check restart; do
    # shellcheck disable=SC2016 # for the machine to expand
    run -1 on bash -c '
      /run/sockets.py listen tcp 127.0.0.1 7000 & server=$!
      trap "kill $server" EXIT
      until [[ $(ss --no-header --listening --tcp "sport = :7000") ]]; do sleep 0.1; done
      netnsctl "$1" publish@a' bash "$command" 3>&-
    [[ $output == *"publish-a.conf:"[12]": "*"$expected"* ]] || return
  done
  [[ $output == *'cannot restart: '*'nothing was restarted'* ]]
}

@test "a restart with ports that the host or the namespace does not have is refused, and the running instance keeps its ports" {
  on netnsctl up veth@a publish@a
  restart_refused "PUBLISH: '7000:81': sockets.py (pid " 'PUBLISH=(8080:80 7000:81)'
  [[ $output == *' listens on port 7000 of the host (127.0.0.1); fix: stop it, or choose another port'* ]]
  restart_refused "PUBLISH: '192.0.2.77:80:80': the host does not have the address 192.0.2.77" 'PUBLISH=(8080:80 192.0.2.77:80:80)'
  restart_refused "PUBLISH: '[::]:443:443': namespace 'a' has no IPv6 address; fix: give it one, such as in VETH_IFADDR_INSIDE of veth@a" \
    'PUBLISH=(8080:80 "[::]:443:443")'
  restart_refused "PUBLISH: '[::1]:443:443': the kernel does not forward packets from ::1; use 127.0.0.1" 'PUBLISH=(8080:80 "[::1]:443:443")'
  asks
  # The ports of the instance itself are allowed, also to a proxy.
  by proxy
  on netnsctl restart publish@a
  config publish-a.conf <<<'PUBLISH=(192.0.2.1:8080:80)'
  on netnsctl restart publish@a
  asks
  # A process may listen on a port of rules, but a proxy could not.
  config publish-a.conf <<<'PUBLISH=(7000:80)'
  on netnsctl restart publish@a
  restart_refused "PUBLISH: '7000:80': sockets.py" 'PUBLISH=(7000:80)' PUBLISH_BY=proxy
  on netnsctl down a
  nothing_left
}

@test "a restart with a proxy that the engine cannot run is refused, and the running instance keeps its ports" {
  rm "$CONF/veth-a.conf"
  by proxy
  on netnsctl up lo@a publish@a
  restart_refused "PUBLISH: '7000:81': sockets.py" 'PUBLISH=(8080:80 7000:81)' PUBLISH_BY=proxy
  if [[ $ENGINE == direct ]]; then
    restart_refused "PUBLISH_WAKES: 'web.service': units need the systemd engine; remove the setting" 'PUBLISH=(8080:80) PUBLISH_BY=proxy' 'PUBLISH_WAKES=(web.service)'
  else
    restart_refused 'PUBLISH: 501 ports are too many for a proxy: expected at most 500' 'PUBLISH=(8080:80 20000-20499:20000-20499)' PUBLISH_BY=proxy
    restart_refused "PUBLISH_WAKES: 'nosuch.service': systemd does not find this unit" 'PUBLISH=(8080:80) PUBLISH_BY=proxy' 'PUBLISH_WAKES=(nosuch.service)'
  fi
  asks_proxy
  # The namespace has no address.
  restart_refused "PUBLISH: namespace 'a' has no address; fix: bring up a type with an address, such as veth@a" 'PUBLISH=(8081:80)'
  by proxy
  on netnsctl check publish@a
  on netnsctl down a
  nothing_left
}

@test "a restart of the whole namespace, and check before up, do not compare the ports with the present network" {
  on netnsctl up veth@a publish@a
  printf '%s\n' 'VETH_IFADDR_OUTSIDE=(192.0.2.1/30 "2001:db8::1/64 nodad")' 'VETH_IFADDR_INSIDE=(192.0.2.2/30 "2001:db8::2/64 nodad")' \
    VETH_GATEWAY=outside | config veth-a.conf
  config publish-a.conf <<<'PUBLISH=(8080:80 "[2001:db8::1]:443:443")'
  run -1 on netnsctl restart publish@a
  on netnsctl restart a
  on netnsctl check publish@a
  on netnsctl down a
  config publish-a.conf <<<'PUBLISH=("[2001:db8::77]:443:443")'
  on netnsctl check publish@a
  nothing_left
}

# Usage: by WORD
# Publishes port 8080 with this PUBLISH_BY.
by() { printf '%s\n' 'PUBLISH=(8080:80)' "PUBLISH_BY=$1" | config publish-a.conf; }

@test "a proxy needs no interface in the namespace, and changes no rules and no sysctls of the host" {
  rm "$CONF/veth-a.conf"
  before=$(on sysctl --all --pattern forwarding)
  by proxy
  on netnsctl up lo@a publish@a
  asks_proxy
  [[ -z $(on nft list tables) && $(on sysctl --all --pattern forwarding) == "$before" ]]
  on netnsctl check publish@a
  on netnsctl down a
  refused_on 8080
  nothing_left
}

# Usage: asks_proxy
# Succeeds if clients get an answer by IPv4, IPv6 and several connections at once. The service sees the namespace itself.
asks_proxy() {
  # shellcheck disable=SC2016 # for the machine to expand
  on bash -c '
    ip netns exec a /run/sockets.py serve tcp 80 & server=$!
    trap "kill $server" EXIT
    for ((try = 0; try < 100; try++)); do
      ! /run/sockets.py ask tcp 127.0.0.1 8080 || break
      sleep 0.1
    done
    for ((client = 0; client < 20; client++)); do /run/sockets.py ask tcp 127.0.0.1 8080 & clients+=($!); done
    wait "${clients[@]}"
    [[ $(/run/sockets.py ask tcp 127.0.0.1 8080) == "127.0.0.1 80" && $(/run/sockets.py ask tcp ::1 8080) == "127.0.0.1 80" ]]' 3>&-
}

@test "a restart changes between dnat and a proxy" {
  on netnsctl up lo@a veth@a publish@a
  by proxy
  on netnsctl restart publish@a
  asks_proxy
  [[ -z $(on nft list tables) ]]
  on netnsctl check publish@a
  by dnat
  on netnsctl restart publish@a
  asks
  [[ -z $(on ss --no-header --listening --tcp 'sport = :8080') ]]
  on netnsctl check publish@a
  on netnsctl down a
  nothing_left
}

# Prints the process of the proxy.
proxy_pid() { on bash -c 'pgrep --full "^(netnsinit|[^ ]*/netnsinit) --proxy|^[^ ]*/systemd-socket-proxyd"'; }

@test "a proxy is started again after a crash, and udp is refused" {
  by proxy
  on netnsctl up lo@a publish@a
  asks_proxy
  on kill -KILL "$(proxy_pid)"
  asks_proxy
  run -0 on netnsctl check publish@a
  [[ $ENGINE == systemd || $output == *"note: publish@a: daemon 'proxy' has ended"*', and runs again'* ]]
  on netnsctl down a
  printf '%s\n' 'PUBLISH=(5353:53/udp)' PUBLISH_BY=proxy | config publish-a.conf
  run -1 on netnsctl up publish@a
  [[ $output == *"publish-a.conf:1: PUBLISH: '5353:53/udp': a proxy is only for tcp; set PUBLISH_BY=dnat"* ]]
}

# Usage: awake / asleep
# Succeeds if the other instances of the namespace are up / down.
awake() { [[ "$(state lo@a) $(state veth@a)" == 'up up' ]]; }
asleep() { [[ "$(state publish@a) $(state lo@a) $(state veth@a)" == 'up down down' ]]; }

only_veth_asleep() { [[ "$(state publish@a) $(state lo@a) $(state veth@a)" == 'up up down' ]]; }

@test "the first connection brings up the namespace, and PUBLISH_IDLE after the last one takes it down" {
  config lo-a.conf </dev/null
  by proxy
  echo PUBLISH_IDLE=300ms >>"$CONF/publish-a.conf"
  for _ in 1 2; do
    on netnsctl up publish@a
    asleep
    asks_proxy
    eventually asleep
    on netnsctl check publish@a
    # What is up before stays up.
    on netnsctl up lo@a
    asks_proxy
    eventually only_veth_asleep
    on netnsctl down a
    nothing_left
  done
}

@test "without PUBLISH_IDLE, the namespace stays up after the first connection" {
  config lo-a.conf </dev/null
  by proxy
  on netnsctl up publish@a
  asleep
  asks_proxy
  sleep 1
  awake
  # The instance with the ports takes down only itself.
  on netnsctl down publish@a
  sleep 1
  awake
  on netnsctl down a
  nothing_left
}

# Usage: not_awake
# Succeeds if none of the other instances is up, also if one has failed.
not_awake() { [[ $(state lo@a) != up && $(state veth@a) != up ]]; }

# Usage: awake_after_connection
# Connects, and succeeds if the other instances are up then. No service answers.
awake_after_connection() { on /run/sockets.py ask tcp 127.0.0.1 8080 2>/dev/null || awake; }

@test "a namespace that cannot come up is not left half up, and comes up at a later connection" {
  config lo-a.conf </dev/null
  cp "$CONF/veth-a.conf" "$BATS_TEST_TMPDIR"
  echo VETH_GATEWAY=192.0.2.77 >>"$CONF/veth-a.conf"
  by proxy
  on netnsctl up publish@a
  run ! on env SECONDS_TO_WAIT=60 /run/sockets.py ask tcp 127.0.0.1 8080
  eventually not_awake
  cp "$BATS_TEST_TMPDIR/veth-a.conf" "$CONF"
  eventually awake_after_connection
  on netnsctl down a
  nothing_left
}

@test "an invalid PUBLISH_IDLE or PUBLISH_WAKES is refused with its value and what is expected" {
  while IFS='|' read -r line expected; do
    printf '%s\n' 'PUBLISH=(8080:80)' PUBLISH_BY=proxy "$line" | config publish-a.conf
    run -1 on netnsctl up publish@a
    [[ $output == *"publish-a.conf:3: ${line%%=*}: $expected"* ]]
  done <<'END'
PUBLISH_IDLE=soon|'soon' is not a time span: expected a number and a unit, such as 10min, 90s or 1h 30min
PUBLISH_WAKES=(web)|'web' is not a unit: expected NAME.service, NAME.socket or NAME.target
END
  printf '%s\n' 'PUBLISH=(8080:80)' PUBLISH_IDLE=10min | config publish-a.conf
  run -1 on netnsctl up publish@a
  [[ $output == *'PUBLISH_BY: PUBLISH_IDLE and PUBLISH_WAKES need PUBLISH_BY=proxy'* ]]
  [[ $ENGINE == systemd ]] || {
    printf '%s\n' 'PUBLISH=(8080:80)' PUBLISH_BY=proxy 'PUBLISH_WAKES=(web.service)' | config publish-a.conf
    run -1 on netnsctl up publish@a
    [[ $output == *"publish-a.conf:3: PUBLISH_WAKES: 'web.service': units need the systemd engine; remove the setting"* ]]
  }
  gone a
}

@test "graph, status and show have the published ports, also as JSON" {
  config publish-a.conf <<<'PUBLISH=(8080:80 127.0.0.1:5353:53/udp)'
  on netnsctl up veth@a publish@a
  [[ $(on netnsctl graph a) == *'publish up 8080:80/tcp 127.0.0.1:5353:53/udp'* ]]
  [[ $(on netnsctl graph --format dot a) == *'"publish up\l8080:80/tcp\l127.0.0.1:5353:53/udp\l"'* ]]
  [[ $(on netnsctl graph --format mermaid a) == *'publish up<br>8080:80/tcp<br>'* ]]
  [[ $(on netnsctl status a) == *'published 8080:80/tcp'*'published 127.0.0.1:5353:53/udp'* ]]
  [[ $(on netnsctl show publish@a) == *'published ports: host, namespace'*'  8080:80/tcp'*'  127.0.0.1:5353:53/udp'* ]]
  for verb in 'graph a' 'status a' 'show publish@a'; do
    # shellcheck disable=SC2086 # two words
    on netnsctl $verb --json >"$BATS_TEST_TMPDIR/json"
    [[ $(jq --compact-output '[.. | .published? // empty] | add' "$BATS_TEST_TMPDIR/json") == '["8080:80/tcp","127.0.0.1:5353:53/udp"]' ]]
    /usr/bin/jsonschema -i "$BATS_TEST_TMPDIR/json" "$ROOT/docs/json/${verb%% *}.json"
  done
  on netnsctl down a
  [[ $(on netnsctl graph a) != *8080* ]]
}

@test "check reports a port that two configured instances publish" {
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.5/30 VETH_IFADDR_INSIDE=192.0.2.6/30 | config veth-b.conf
  config publish-b.conf <<<'PUBLISH=(80 8000-8080:1-81)'
  run -1 on netnsctl check publish
  [[ $output == *"publish-b.conf:1: "*"8000-8080:1-81/tcp"*"8080:80/tcp"*"publish@a"* ]]
}

@test "from a machine of the network, ports on addresses of the host that lead to namespaces alone need not be reached" {
  on ip netns add lan
  on ip link add eth0 type veth peer name up netns lan
  on ip address add 203.0.113.1/24 dev eth0
  on ip link set dev eth0 up
  on ip -netns lan address add 203.0.113.2/24 dev up
  on ip -netns lan link set dev up up
  on netnsctl up veth@a publish@a
  # No service listens.
  run -1 on netnsctl leaktest --from lan a
  [[ $output == *'tcp 203.0.113.1:8080 is published by `publish@a`, but refused'* && $output != *192.0.2.1:8080* ]]
  # An address that is reached is shown.
  on ip -netns lan route add default via 203.0.113.1
  # shellcheck disable=SC2016 # for the machine to expand
  on bash -c '
    ip netns exec a /run/sockets.py serve tcp 80 & server=$!
    trap "kill $server" EXIT
    until [[ $(ip netns exec a ss --no-header --listening --tcp "sport = :80") ]]; do sleep 0.1; done
    netnsctl leaktest --from lan a' 3>&- >"$BATS_TEST_TMPDIR/out"
  grep --quiet --extended-regexp '^tcp +203.0.113.1:8080 +passes .* publish@a$' "$BATS_TEST_TMPDIR/out"
  grep --quiet --extended-regexp '^tcp +192.0.2.1:8080 +passes .* publish@a$' "$BATS_TEST_TMPDIR/out"
  on netnsctl down a
  # The kernel deletes the interfaces of a deleted namespace later.
  on ip link delete dev eth0
  on ip netns delete lan
  nothing_left
}

@test "leaktest --from tests which ports can be reached from the host and from a namespace, and which should be" {
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.5/30 VETH_IFADDR_INSIDE=192.0.2.6/30 VETH_GATEWAY=outside | config veth-b.conf
  on netnsctl up veth@a veth@b
  on netnsctl up publish@a
  # shellcheck disable=SC2016 # for the machine to expand
  on bash -c '
    ip netns exec a /run/sockets.py serve tcp 80 & server=$!
    trap "kill $server" EXIT
    until [[ $(ip netns exec a ss --no-header --listening --tcp "sport = :80") ]]; do sleep 0.1; done
    netnsctl leaktest --from host a && netnsctl leaktest --from b --json a' 3>&- >"$BATS_TEST_TMPDIR/out"
  grep --quiet --extended-regexp '^tcp +192.0.2.1:8080 +passes .* publish@a$' "$BATS_TEST_TMPDIR/out"
  grep --quiet --extended-regexp '^tcp +192.0.2.2:80 +passes ' "$BATS_TEST_TMPDIR/out"
  sed '0,/^{/{/^{/!d}' "$BATS_TEST_TMPDIR/out" >"$BATS_TEST_TMPDIR/json"
  /usr/bin/jsonschema -i "$BATS_TEST_TMPDIR/json" "$ROOT/docs/json/leaktest.json"
  [[ $(jq --raw-output '.items[] | "\(.target) \(.verdict) \(.publisher)"' "$BATS_TEST_TMPDIR/json") == $'192.0.2.1:8080 passes publish@a\n192.0.2.2:80 '*$' null\n192.0.2.5:8080 passes publish@a' ]]
  # No service listens.
  run -1 on netnsctl leaktest --from host a
  [[ $output == *'tcp 192.0.2.1:8080 is published by `publish@a`, but refused'* ]]
  run ! on netnsctl leaktest --from a a
  on netnsctl down a b
  nothing_left
}
