#!/usr/bin/env bats
# The type wireguard. The namespace `peer` is a provider and the network behind it: 203.0.113.1 and 2001:db8:f::1 are reached only
# through its tunnel. The host and the peer are joined by the network 198.51.100.0/24. bats/kernel/wireguard.bats has the tests that
# need no tunnel. Run with `tests/vm --systemd bats bats/vm/wireguard.bats`.

load vm
load ../kernel/kernel
# shellcheck source=bats/replay.bash
source "$ROOT/bats/replay.bash"

FILE=/etc/wireguard/vpn.conf
KEYS=/run/keys # of the client, the peer, and others

# The peer is the same for all tests: a process takes long to start here.
setup_file() {
  local name
  vm_install
  mkdir -p "$CONF" /etc/wireguard
  mkdir --mode=700 "$KEYS"
  for name in client peer other; do
    wg genkey >"$KEYS/$name"
    wg pubkey <"$KEYS/$name" >"$KEYS/$name.pub"
  done
  wg genpsk >"$KEYS/preshared"
  chmod --recursive go= "$KEYS"
  ip netns add peer
  ip link add up0 type veth peer name up1 netns peer
  address host up0 198.51.100.1/24
  address peer up1 198.51.100.2/24
  address peer lo 203.0.113.1/32
  address peer lo 2001:db8:f::1/128
  create_peer
}

teardown_file() {
  ip netns delete peer
  delete_links
  rm -rf "$KEYS" /etc/wireguard
}

setup() {
  # Packets of the namespace that arrive without the tunnel.
  in_peer nft 'add table inet t; delete table inet t; add table inet t
    add chain inet t c { type filter hook prerouting priority 0; }
    add rule inet t c iifname up1 ip saddr != 198.51.100.1 counter
    add rule inet t c iifname up1 ip6 saddr fd00:2::/64 counter'
  serve "$KEYS/peer" "$(<"$KEYS/client.pub")" "PresharedKey = $(<"$KEYS/preshared")"
  provide
}

teardown() {
  [[ ${BATS_TEST_COMPLETED-} ]] || journalctl --boot --lines=30 --no-pager >&2
  local pid name
  for pid in "${BACKGROUND[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  systemctl stop client.service transmission.service 2>/dev/null || true
  for name in vpn other; do
    [[ ! -e /run/netns/$name ]] || netnsctl down "$name" 2>/dev/null || ip netns delete "$name"
  done
  rm -rf "${CONF:?}"/* /etc/netns /etc/wireguard/* /etc/systemd/system/{client,transmission}.service.d
}

# Usage: address WHERE IFNAME ADDRESS
# Gives an interface an address, and sets it up.
address() {
  from "$1" ip address add "$3" dev "$2"
  from "$1" ip link set dev "$2" up
}

# Usage: in_peer COMMAND...
in_peer() { inside peer "$@"; }

# Usage: create_peer
# Creates the tunnel of the peer.
create_peer() {
  ip -netns peer link add wg0 type wireguard
  address peer wg0 10.2.0.1/24
  address peer wg0 fd00:2::1/64
}

# Usage: serve KEY_FILE PUBLIC_KEY [LINE]
# Gives the tunnel of the peer a key, and lets the client with PUBLIC_KEY in, with one more line for it.
serve() {
  printf '%s\n' '[Interface]' 'ListenPort = 51820' "PrivateKey = $(<"$1")" '[Peer]' "PublicKey = $2" \
    'AllowedIPs = 10.2.0.2/32, 10.2.0.3/32, fd00:2::2/128' "${@:3}" |
    in_peer wg syncconf wg0 /dev/stdin
}

# Usage: provide [LINE...]
# Writes the file of the provider, with more lines for [Interface], and for the endpoint ENDPOINT.
provide() {
  (
    umask 077
    printf '%s\n' '[Interface]' "PrivateKey = $(<"$KEYS/client")" "Address = ${ADDRESS-10.2.0.2/32, fd00:2::2/128}" 'DNS = 10.2.0.1' "$@" \
      '[Peer]' "PublicKey = $(<"$KEYS/peer.pub")" "PresharedKey = $(<"$KEYS/preshared")" 'AllowedIPs = 0.0.0.0/0, ::/0' \
      "Endpoint = ${ENDPOINT-198.51.100.2:51820}" 'PersistentKeepalive = 1' >"$FILE"
  )
}

# Usage: traffic
# Succeeds if pings pass both ways, by IPv4 and IPv6.
traffic() {
  reaches vpn 203.0.113.1 && reaches vpn 2001:db8:f::1 && reaches peer 10.2.0.2 && reaches peer fd00:2::2
}

# Usage: no_traffic
# Succeeds if no ping of the namespace is answered.
no_traffic() { cut_off vpn 203.0.113.1 && cut_off vpn 2001:db8:f::1 && cut_off vpn 198.51.100.2; }

# Usage: only_by_tunnel
# Succeeds if no packet of the namespace has arrived at the peer outside of the tunnel.
only_by_tunnel() { [[ ! $(in_peer nft list chain inet t c) =~ 'counter packets '[1-9] ]]; }

# Usage: findings TEXT...
# Succeeds if check reports these texts.
findings() {
  local text
  run -1 netnsctl check wireguard@vpn
  for text; do [[ $output == *"error: wireguard@vpn: "*"$text"* ]] || return; done
}

# Usage: world
# Prints everything that an instance can leave behind. In place of that of the other suite, which starts many processes.
world() {
  local name
  for name in host $(cd /run/netns && ls); do
    echo "in $name:"
    from "$name" ip -json address | jq --compact-output '.[] | [.ifname, .address, (.flags | contains(["UP"])),
      (.addr_info[] | select(.scope == "global") | .local)]'
  done
  find "$MEMORY" "$CONF" /etc/netns -type f 2>/dev/null | sort
}

# Usage: open_connection
# Opens a connection of the namespace, by the tunnel, to a service that sends each line back: the coprocess COPROC.
open_connection() {
  # Not `in_peer`, which would be a process of its own.
  nsenter --net=/run/netns/peer -- python3 -c 'import socket
s = socket.create_server(("203.0.113.1", 7)); c = s.accept()[0]
while d := c.recv(9): c.send(d)' 3>&- &
  BACKGROUND+=("$!")
  eventually in_peer bash -c '[[ $(ss -Hltn sport = 7) ]]'
  coproc inside vpn bash -c 'exec 4<>/dev/tcp/203.0.113.1/7; while read -r line; do echo "$line" >&4; read -r line <&4; echo "$line"; done'
}

# Usage: connection_lives
connection_lives() {
  local line word=$RANDOM
  echo "$word" >&"${COPROC[1]}"
  read -r -t 60 line <&"${COPROC[0]}" && [[ $line == "$word" ]]
}

# Usage: run_service NAME
# Starts a service that does nothing.
run_service() {
  printf '%s\n' '[Service]' 'ExecStart=sleep infinity' >"/run/systemd/system/$1.service"
  systemctl daemon-reload
  systemctl start "$1"
}

# Usage: service_pid
# Prints the process of the attached service, after a check of its network and its resolver.
service_pid() {
  local pid
  pid=$(systemctl show --property=MainPID --value client)
  [[ /proc/$pid/ns/net -ef /run/netns/vpn ]] || return
  [[ $(nsenter --target="$pid" --mount -- grep nameserver /etc/resolv.conf) == 'nameserver 10.2.0.1' ]] || return
  echo "$pid"
}

# Usage: drift
# Changes each property of the tunnel. check reports it, and a restart repairs it.
drift() {
  inside vpn wg set wg0 private-key "$KEYS/other" fwmark 7 peer "$(<"$KEYS/peer.pub")" preshared-key "$KEYS/other" allowed-ips 203.0.113.1/32 persistent-keepalive 7
  inside vpn wg set wg0 peer "$(<"$KEYS/client.pub")" # not its own any more
  ip -netns vpn route delete default dev wg0
  ip -netns vpn link set dev wg0 mtu 1300
  echo other >/etc/netns/vpn/resolv.conf
  findings "the route 'default' over interface 'wg0' is missing" "interface 'wg0' has the MTU '1300', not '1420'" \
    "interface 'wg0' has another private key" "interface 'wg0' has a peer '$(<"$KEYS/client.pub")' that is not in the settings" \
    "peer '$(<"$KEYS/peer.pub")' of interface 'wg0' has the allowed addresses 203.0.113.1/32, not 0.0.0.0/0, ::/0" \
    "interface 'wg0' has the mark 0x7, not 0x0" 'has another preshared key' 'has the keepalive interval 7, not 1' "'/etc/netns/vpn/resolv.conf' differs"
  rm /etc/netns/vpn/resolv.conf
  netnsctl restart wireguard@vpn
  netnsctl check wireguard@vpn
  traffic
}

# Usage: life ENGINE
# Takes the instance through its life. The service that is attached with systemd stays confined. Drift is tested only with the direct
# engine: both engines run the same hooks.
life() {
  local before index pid fact
  before=$(world)

  echo '# the file alone gives a confined service'
  netnsctl up --engine "$1" wireguard@vpn
  if [[ $1 == systemd ]]; then
    run_service client
    netnsctl attach --now client vpn
    pid=$(service_pid)
  fi
  traffic
  printf '%s\n' 'icmp 203.0.113.1 passes' 'icmp 2001:db8:f::1 passes' >"$BATS_TEST_TMPDIR/expect"
  netnsctl leaktest --expect "$BATS_TEST_TMPDIR/expect" vpn
  [[ $(link vpn wg0 .mtu) == 1420 ]]
  netnsctl check wireguard@vpn
  for fact in up IPv4 IPv6; do shown "$1" "$fact" wireguard; done

  echo '# a restart keeps the interface and a connection'
  index=$(link vpn wg0 .ifindex)
  open_connection
  connection_lives
  if [[ $1 == systemd ]]; then
    systemctl reload netns-wireguard@vpn
    connection_lives
  fi
  netnsctl restart wireguard@vpn
  connection_lives
  [[ $(link vpn wg0 .ifindex) == "$index" ]]
  [[ $1 == direct || $(service_pid) == "$pid" ]]
  shown "$1" restart wireguard

  echo '# edited'
  ADDRESS=10.2.0.3/24 provide 'MTU = 1380'
  netnsctl restart wireguard@vpn
  [[ $(addresses vpn wg0) == 10.2.0.3/24 && $(link vpn wg0 .mtu) == 1380 ]]
  reaches vpn 203.0.113.1
  shown "$1" edited wireguard

  provide
  netnsctl restart wireguard@vpn
  traffic
  if [[ $1 == direct ]]; then
    drift
    shown "$1" drift wireguard
  fi

  echo '# no tunnel, no traffic'
  ip -netns vpn link delete dev wg0
  no_traffic
  findings "interface 'wg0' is missing"
  netnsctl restart wireguard@vpn
  traffic
  ip -netns peer link set dev wg0 down
  no_traffic
  netnsctl restart wireguard@vpn
  no_traffic
  ip -netns peer link set dev wg0 up
  ip -netns peer address replace fd00:2::1/64 dev wg0 # the kernel removes it when the interface goes down
  eventually reaches vpn 203.0.113.1
  only_by_tunnel

  echo '# down: nothing is left'
  if [[ $1 == systemd ]]; then netnsctl detach --now client && systemctl stop client; fi
  netnsctl down wireguard@vpn
  unchanged "$before"
  shown "$1" down wireguard
}

@test "a provider's file alone gives a confined service, which stays confined through its whole life, with systemd" {
  life systemd
}

@test "the same with the direct engine" {
  life direct
}

@test "a restart replaces the tunnel of another program, whose socket is in the namespace" {
  netnsctl up --engine direct wireguard@vpn
  ip -netns vpn link delete dev wg0
  ip -netns vpn link add dev wg0 type wireguard
  findings "interface 'wg0' was replaced by another program"
  no_traffic
  run -0 netnsctl restart wireguard@vpn
  [[ $output == *"warning: wireguard@vpn: interface 'wg0' in namespace 'vpn' was replaced by another program: creating it again"* ]]
  traffic
  [[ -z $(inside vpn ss -Hlun) ]]
  netnsctl check wireguard@vpn
}

@test "the control socket of another tunnel with the same name on the host is not used" {
  mkdir -p /run/wireguard
  python3 -c 'import socket
s = socket.socket(socket.AF_UNIX); s.bind("/run/wireguard/wg0.sock"); s.listen()
while True:
    c = s.accept()[0]
    open("/run/asked", "ab").write(c.recv(9))
    c.close()' 3>&- &
  BACKGROUND+=("$!")
  eventually test -S /run/wireguard/wg0.sock
  netnsctl up --engine direct wireguard@vpn
  traffic
  netnsctl check wireguard@vpn
  [[ ! -e /run/asked ]]
  rm -r /run/wireguard
}

# Usage: resolves_to ADDRESS
# Sets the address of the endpoint's name.
resolves_to() {
  sed '/vpn.example.org/d' /etc/hosts >"$BATS_TEST_TMPDIR/hosts"
  [[ ! $1 ]] || echo "$1 vpn.example.org" >>"$BATS_TEST_TMPDIR/hosts"
  cat "$BATS_TEST_TMPDIR/hosts" >/etc/hosts
}

@test "the host resolves the name of an endpoint, also later, and again when the handshake is stale" {
  ENDPOINT=vpn.example.org:51820 provide
  netnsctl up --engine direct wireguard@vpn
  no_traffic
  findings "peer '$(<"$KEYS/peer.pub")' of interface 'wg0' has no address: 'vpn.example.org' is not resolved"
  resolves_to 198.51.100.9
  endpoint_is() { [[ $(inside vpn wg show wg0 endpoints) == *"$1:51820" ]]; }
  eventually endpoint_is 198.51.100.9
  eventually findings 'does not answer: there was no handshake with 198.51.100.9:51820'
  resolves_to 198.51.100.2
  eventually endpoint_is 198.51.100.2
  traffic
  netnsctl check wireguard@vpn
  # A peer with a session keeps its endpoint.
  resolves_to ''
  netnsctl restart wireguard@vpn
  traffic
  netnsctl down wireguard@vpn
  run ! pgrep --full 'wireguard_follo[w]'
}

@test "no key is in an argument, the environment, the journal, a trace, or a file that others can read" {
  local key name
  strace -f -v -s 100000 -e trace=execve -o "$BATS_TEST_TMPDIR/strace" netnsctl up --engine direct wireguard@vpn
  grep --quiet 'wg.*syncconf' "$BATS_TEST_TMPDIR/strace"
  netnsctl down wireguard@vpn
  printf 'set -x\n' >"$CONF/wireguard-vpn.conf"
  netnsctl up wireguard@vpn
  traffic
  journalctl --sync
  journalctl --boot >"$BATS_TEST_TMPDIR/journal"
  grep --quiet syncconf "$BATS_TEST_TMPDIR/journal"
  for name in client preshared; do
    key=$(<"$KEYS/$name")
    ! grep --recursive --fixed-strings --files-with-matches --regexp "$key" "$BATS_TEST_TMPDIR"/{strace,journal} /run/systemd-netns /run/netns-* \
      /etc/netns /etc/systemd /run/systemd/generator* 2>/dev/null
  done
  netnsctl down wireguard@vpn
}

@test "a file that others can read, and SaveConfig, are warnings; commands run in the namespace, with the name in place of %i" {
  provide 'SaveConfig = true' "PreUp = echo pre >>/run/ran" "PostUp = ip -oneline link show %i | cut -d : -f 2 >>/run/ran" \
    "PostDown = echo down >>/run/ran"
  chmod 644 "$FILE"
  echo WIREGUARD_RUN_COMMANDS=yes >"$CONF/wireguard-vpn.conf"
  netnsctl up --engine direct wireguard@vpn
  log=$(</run/systemd-netns/direct/wireguard@vpn.log)
  [[ $log == *"warning: other users can read '$FILE', which has a private key; fix: chmod 600 $FILE"* ]]
  [[ $log == *'warning: SaveConfig is ignored'* ]]
  run netnsctl check wireguard@vpn
  [[ $output == *"warning: wireguard@vpn: other users can read '$FILE', which has a private key; fix: chmod 600 $FILE"* ]]
  netnsctl down wireguard@vpn
  [[ $(paste -sd, /run/ran) == 'pre, wg0,down' ]]
  rm /run/ran
}

@test "the settings alone make the same tunnel, with its socket in another namespace, and a port" {
  printf '%s\n' WIREGUARD_PRIVATE_KEY_FILE="$KEYS/client" 'WIREGUARD_IFADDR=(10.2.0.2/32 fd00:2::2/128)' WIREGUARD_LISTEN_PORT=51821 \
    "WIREGUARD_PEERS=('$(<"$KEYS/peer.pub") preshared-key $KEYS/preshared endpoint 192.0.2.2:51820 allowed-ips 0.0.0.0/0,::/0 persistent-keepalive 1')" \
    WIREGUARD_NSNAME_SOCKET=other >"$CONF/wireguard-vpn.conf"
  rm "$FILE"
  create other
  ip -netns other link add ve0 type veth peer name ve1 netns peer
  address other ve0 192.0.2.1/24
  address peer ve1 192.0.2.2/24
  netnsctl up --engine direct wireguard@vpn
  traffic
  [[ -n $(inside other ss -Hlun sport = 51821) && -z $(ss -Hlun sport = 51821) ]]
  netnsctl check wireguard@vpn
  # The socket is there again after the interface was deleted.
  ip -netns vpn link delete dev wg0
  netnsctl restart wireguard@vpn
  traffic
  [[ -n $(inside other ss -Hlun sport = 51821) ]]
  netnsctl down wireguard@vpn
}

# Usage: foreign PORT
# Creates a tunnel on the host that has an UDP port.
foreign() {
  ip link add dev foreign type wireguard
  wg set foreign listen-port "$1"
  ip link set dev foreign up
}

# Usage: restart_refused OWNER
# Succeeds if a restart is refused, and check reports the same, because OWNER has the port 51830.
restart_refused() {
  local cause="ListenPort: '51830': this UDP port is in use on the host by $1; fix: choose another port"
  run -1 netnsctl restart wireguard@vpn
  [[ $output == *"cannot restart: $FILE:5: error: wireguard@vpn: $cause; nothing was restarted" ]] && findings "$cause" && traffic
}

@test "a restart with the port of a foreign tunnel is refused, and the running tunnel keeps passing packets; its own port is not refused" {
  netnsctl up --engine direct wireguard@vpn
  traffic
  foreign 51830
  provide 'ListenPort = 51830'
  restart_refused "the tunnel 'foreign'"
  # The socket stays on the host.
  ip link set dev foreign netns peer
  ip -netns peer link set dev foreign up
  restart_refused 'another program or tunnel'
  ip -netns peer link delete dev foreign

  # Until now, the kernel has chosen it.
  port=$(inside vpn wg show wg0 listen-port)
  provide "ListenPort = $port"
  netnsctl restart wireguard@vpn
  netnsctl check wireguard@vpn
  netnsctl restart wireguard@vpn
  ip -netns vpn link set dev wg0 down
  ip -netns vpn link set dev wg0 name other up
  netnsctl restart wireguard@vpn
  traffic
  ip -netns vpn link delete dev wg0
  netnsctl restart wireguard@vpn
  traffic
  ip -netns vpn link delete dev wg0
  foreign "$port"
  run -1 netnsctl restart wireguard@vpn
  [[ $output == *"by the tunnel 'foreign'; fix: choose another port; nothing was restarted" ]]
  ip link delete dev foreign
  netnsctl restart wireguard@vpn
  traffic
  netnsctl down wireguard@vpn
}

@test "a kill at any step of the keys, or while the interface is created, leaves nothing" {
  local before
  create vpn
  ip -netns vpn link set dev lo up # it stays up
  fault kill >"$CONF/wireguard-vpn.conf"
  before=$(world)
  # bats/kernel tests each step of this function with a kind that the kernel has.
  FAIL_FUNCTION=link_add FAIL_AT=4 run ! hook wireguard vpn up outside
  unchanged "$before"
  FAIL_FUNCTION='' hook wireguard vpn up outside
  before=$(world)
  each_failure_leaves "$before" wireguard vpn inside wireguard_apply
  shown hooks killed wireguard
  down_hooks wireguard vpn
  netnsinit --delete vpn
}

# Usage: lab COMMAND...
# The document is replayed on this machine.
lab() { "$@"; }

# Usage: write_file PATH TEXT
write_file() { printf '%s' "$2" >"$1"; }

@test "docs/wireguard.md" {
  declare -A NOT_REPLAYED=()
  echo 'cKyl1rzRUMPpfIc6Bxzk0iP6v8E0PA+R8YVs5mxrqUo=' >"$KEYS/page"
  serve "$KEYS/page" 'JbN73G4IZIYjNRFqnjQdOo0mOtBuonnf2x5FV2J9cDQ='
  run_service transmission
  walk "$ROOT/docs/wireguard.md" write_file run_command
}

@test "a kernel without the module is an error with the module, its package and wireguard-go" {
  ip -netns peer link delete dev wg0
  modprobe --remove wireguard
  echo 'install wireguard /bin/false' >/etc/modprobe.d/wireguard.conf
  run -1 netnsctl up --engine direct wireguard@vpn
  [[ $output == *"does not have the module 'wireguard'"*'linux-image'*'or the program wireguard-go'* ]]
  [[ ! -e /run/netns/vpn ]]
  rm /etc/modprobe.d/wireguard.conf
}
