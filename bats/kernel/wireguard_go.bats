#!/usr/bin/env bats
# The type wireguard on a kernel without the module, with wireguard-go. The namespace `peer` is the other end of the tunnel of `vpn`. Both are
# instances of the type, with their UDP sockets on the host. Where the kernel has the module, bats/vm/wireguard.bats tests the same.

load kernel

KEYS=/run/keys # of both ends, and of another one
PROGRAMS=$BATS_RUN_TMPDIR/wireguard-go

setup() {
  if [[ -d /sys/module/wireguard ]]; then skip 'the kernel has the module'; fi
  rm -rf "$CONF" "$SHARE" /etc/wireguard
  mkdir -p "$CONF" "$SHARE" /etc/wireguard "$KEYS"
  cp "$ROOT"/plugins/*.sh "$SHARE"
  [[ -e $PROGRAMS ]] || install_programs
  PATH=$PROGRAMS/usr/bin:$PATH
  local name
  for name in vpn peer other; do
    wg genkey >"$KEYS/$name"
    wg pubkey <"$KEYS/$name" >"$KEYS/$name.pub"
  done
  chmod --recursive go= "$KEYS"
  provide
  end peer 'ListenPort = 51820' 'Address = 10.2.0.1/24, fd00:2::1/64' vpn 'AllowedIPs = 10.2.0.2/32, 10.2.0.3/32, fd00:2::2/128'
}

teardown() {
  local pid
  for pid in "${BACKGROUND[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  for name in vpn peer; do hook wireguard "$name" down outside || true; done
  ! pgrep --full 'netnsinit --supervis[e]|wireguard-g[o] -f' >/dev/null
  if mountpoint --quiet /run/netns; then umount --lazy --recursive /run/netns; fi
  rm -rf /run/netns /run/systemd-netns /etc/netns
}

# The programs of the packages that tests/need has only downloaded. Other tests do not find them.
install_programs() {
  local deb
  mkdir -p "$PROGRAMS"
  for deb in "$ROOT"/target/debs/wireguard-{go,tools}_*.deb; do
    [[ ! -e $deb ]] || dpkg-deb --extract "$deb" "$PROGRAMS"
  done
}

# Usage: end NAME LINE LINE PEER [LINE...]
# Writes the file of one end: two lines for [Interface], and lines for its PEER.
end() {
  printf '%s\n' '[Interface]' "PrivateKey = $(<"$KEYS/$1")" "${@:2:2}" '[Peer]' "PublicKey = $(<"$KEYS/$4.pub")" "${@:5}" >"/etc/wireguard/$1.conf"
  chmod 600 "/etc/wireguard/$1.conf"
}

# Usage: [ADDRESS=…] [ENDPOINT=…] provide
# Writes the file of vpn.
provide() {
  end vpn 'MTU = 1420' "Address = ${ADDRESS-10.2.0.2/32, fd00:2::2/128}" peer 'AllowedIPs = 0.0.0.0/0, ::/0' \
    "Endpoint = ${ENDPOINT-127.0.0.1:51820}" 'PersistentKeepalive = 1'
}

# Usage: both_up
both_up() { up wireguard peer && up wireguard vpn; }

# Usage: traffic
# Succeeds if pings pass both ways, by IPv4 and IPv6.
traffic() { reaches vpn 10.2.0.1 && reaches vpn fd00:2::1 && reaches peer 10.2.0.2 && reaches peer fd00:2::2; }

# Usage: no_tunnel
no_tunnel() { [[ $(links vpn) == lo ]]; }

# Usage: no_traffic
# Succeeds if the namespace has no way out, and no ping is answered.
no_traffic() {
  [[ -z $(inside vpn ip route)$(inside vpn ip -6 route show default) ]] && cut_off vpn 10.2.0.1
}

# Usage: program_of NAME
# Prints the process ID of the program of an instance.
program_of() { pgrep --parent "$(pgrep --full "^netnsinit --supervise / wireguard@$1 wireguard-go")"; }

# Usage: device
# Prints the name by which wg(8) finds the tunnel of vpn.
device() { tr '\0' '\n' <"/proc/$(program_of vpn)/cmdline" | tail -1; }

# Usage: tunnel QUERY
# Prints a property of the tunnel of vpn.
tunnel() { wg show "$(device)" "$1" | cut -f 2-; }

# Usage: nothing_runs
# Succeeds if no program, no control socket and no interface of a program is left.
nothing_runs() { [[ -z $(pgrep --full 'netnsinit --supervis[e]|wireguard-g[o]') && -z $(ls -A /run/wireguard) && $(links host) == lo ]]; }

# Usage: bind ADDRESS PORT [PEER_PORT] [COMMAND...]
# Starts a process, in COMMAND, that has an UDP port of an address of one family. Each other socket may have the port, too.
bind() {
  "${@:4}" python3 -c 'import socket, sys, time
address, port, peer = sys.argv[1:]
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
if s.family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
s.bind((address, int(port)))
if peer: s.connect((address, int(peer)))
time.sleep(1000)' "$1" "$2" "${3-}" 3>&- &
  BACKGROUND+=("$!")
  eventually bound "$2" "${@:4}"
}

# Usage: bound PORT [COMMAND...]
# Succeeds if a socket has an UDP port, as ss(8) in COMMAND shows.
bound() { [[ -n $("${@:2}" ss -Haun sport = "$1") ]]; }

# Usage: free PORT
free() { ! bound "$1"; }

@test "packets pass both ways, the socket is on the host, and down leaves nothing" {
  before=$(world)
  both_up
  traffic
  [[ $(links host) == lo && $(links vpn tun) == wg0 && $(addresses vpn wg0) == '10.2.0.2/32 fd00:2::2/128' && $(link vpn wg0 .mtu) == 1420 ]]
  [[ -z $(link vpn wg0 '.addr_info[] | select(.scope == "link")') ]]
  [[ -z $(inside vpn ss -Hlun) && $(ss -Hlun | wc -l) -ge 2 ]]
  down wireguard vpn
  down wireguard peer
  unchanged "$before"
  nothing_runs
}

@test "a restart keeps the program, the interface and the session, and applies an edited file" {
  both_up
  traffic
  program=$(program_of vpn)
  index=$(link vpn wg0 .ifindex)
  handshake=$(tunnel latest-handshakes)
  restart_inside wireguard vpn
  [[ $(tunnel latest-handshakes) == "$handshake" ]]
  traffic
  ADDRESS='10.2.0.3/32' provide
  sed -i 's/^MTU.*/MTU = 1380/; s/^AllowedIPs.*/AllowedIPs = 10.2.0.0\/24/' /etc/wireguard/vpn.conf
  restart_inside wireguard vpn
  [[ $(addresses vpn wg0) == 10.2.0.3/32 && $(link vpn wg0 .mtu) == 1380 && $(tunnel allowed-ips) == 10.2.0.0/24 ]]
  reaches vpn 10.2.0.1
  [[ $(program_of vpn) == "$program" && $(link vpn wg0 .ifindex) == "$index" ]]
}

@test "each hook can run twice" {
  up wireguard peer
  each_hook_twice wireguard vpn reaches vpn 10.2.0.1
}

@test "the program that has ended is started again, and the tunnel returns; until then, nothing leaves the namespace" {
  both_up
  traffic
  kill -KILL "$(program_of vpn)"
  eventually no_tunnel
  no_traffic
  eventually traffic
  [[ $(addresses vpn wg0) == '10.2.0.2/32 fd00:2::2/128' && $(link vpn wg0 .mtu) == 1420 ]]
  ip -netns vpn link delete dev wg0
  no_traffic
  eventually traffic
  restart_inside wireguard vpn
  traffic
}

@test "a restart repairs the tunnel at once, also if the supervisor was killed" {
  both_up
  for victim in 'wireguard-go -f' 'netnsinit --supervise / wireguard@vpn wireguard-go'; do
    pid=$(pgrep --full "^$victim" | tail -1)
    kill -KILL "$pid"
    eventually no_tunnel
    restart_inside wireguard vpn
    traffic
  done
  down wireguard vpn
}

@test "the host resolves the name of the endpoint when there is no handshake" {
  up wireguard peer
  ENDPOINT=vpn.example.org:51820 provide
  up wireguard vpn &>"$BATS_TEST_TMPDIR/output"
  [[ $(<"$BATS_TEST_TMPDIR/output") == *"cannot resolve 'vpn.example.org' on the host"* ]]
  cp /etc/hosts "$BATS_TEST_TMPDIR"
  echo '127.0.0.1 vpn.example.org' >>/etc/hosts
  eventually reaches vpn 10.2.0.1
  [[ $(tunnel endpoints) == 127.0.0.1:51820 ]]
  cp "$BATS_TEST_TMPDIR/hosts" /etc/hosts
}

@test "the socket is in the namespace of WIREGUARD_NSNAME_SOCKET" {
  create router
  ip -netns router link set dev lo up
  for name in vpn peer; do config "wireguard-$name.conf" <<<WIREGUARD_NSNAME_SOCKET=router; done
  both_up
  traffic
  [[ -z $(ss -Hlun) && $(inside router ss -Hlun | wc -l) -ge 2 && $(links router) == lo ]]
  kill -KILL "$(program_of vpn)"
  eventually traffic
  [[ -z $(ss -Hlun) ]]
}

@test "a port in use is an error with the line of the file, and the instance or process that has it" {
  up wireguard peer
  sed -i 's/^MTU/ListenPort = 51820\nMTU/' /etc/wireguard/vpn.conf
  create vpn
  refused "/etc/wireguard/vpn.conf:3: ListenPort: '51820': this UDP port is in use on the host by wireguard@peer; fix: choose another port" -- \
    hook wireguard vpn up outside
  sed -i 's/^ListenPort.*/ListenPort = 51821/' /etc/wireguard/vpn.conf
  for address in 0.0.0.0 127.0.0.1 :: ::1; do
    bind "$address" 51821
    refused "/etc/wireguard/vpn.conf:3: ListenPort: '51821': this UDP port is in use on the host by python3 (pid ${BACKGROUND[-1]}); fix: choose another port" -- \
      hook wireguard vpn up outside
    kill "${BACKGROUND[-1]}"
    eventually free 51821
  done
  hook wireguard vpn up outside
  # A socket with a peer is found only by the program.
  bind 127.0.0.1 51821 9
  run -1 hook wireguard vpn up inside
  [[ $output == *"/etc/wireguard/vpn.conf:3: ListenPort: '51821': this UDP port is in use on the host; fix:"* ]]
}

@test "a port in use in the namespace of WIREGUARD_NSNAME_SOCKET is refused, and that of the host is not" {
  create router vpn
  ip -netns router link set dev lo up
  printf '%s\n' WIREGUARD_NSNAME_SOCKET=router WIREGUARD_LISTEN_PORT=51821 | config wireguard-vpn.conf
  bind 0.0.0.0 51821
  up wireguard vpn
  [[ $(tunnel listen-port) == 51821 ]]
  down_hooks wireguard vpn
  bind 0.0.0.0 51821 '' ip netns exec router
  refused "WIREGUARD_LISTEN_PORT: '51821': this UDP port is in use in namespace 'router' by python3 (pid $!); fix: choose another port" -- \
    hook wireguard vpn up outside
}

@test "the present port of the tunnel is not a port in use, also while its program is started again" {
  both_up
  # Until now, the kernel has chosen it.
  sed -i "s/^MTU/ListenPort = $(tunnel listen-port)\nMTU/" /etc/wireguard/vpn.conf
  restart_inside wireguard vpn
  restart_inside wireguard vpn
  ip -netns vpn link delete dev wg0
  restart_inside wireguard vpn
  kill -KILL "$(program_of vpn)"
  restart_inside wireguard vpn
  traffic
}

@test "a command that fails is reported with its file and line" {
  provide
  sed -i 's/^MTU/PostUp = false %i # comment\nMTU/' /etc/wireguard/vpn.conf
  config wireguard-vpn.conf <<<WIREGUARD_RUN_COMMANDS=yes
  create vpn
  hook wireguard vpn up outside
  run -1 hook wireguard vpn up inside
  [[ $output == *'/etc/wireguard/vpn.conf:3: PostUp: the command has failed with status 1: false wg0'* ]]
}

@test "no key is in an argument, the environment, a trace, or a file that others can read" {
  config wireguard-vpn.conf <<<'set -x'
  up wireguard peer
  strace -f -v -s 100000 -e trace=execve -o "$BATS_TEST_TMPDIR/strace" bash -c '
    netnsinit --create vpn && netnsinit wireguard vpn up outside && exec nsenter --net=/run/netns/vpn netnsinit wireguard vpn up inside' &>"$BATS_TEST_TMPDIR/trace" 3>&- &
  BACKGROUND+=("$!") # it waits for the daemons, too
  eventually grep --quiet 'wg syncconf tun-' "$BATS_TEST_TMPDIR/trace"
  eventually traffic
  kill "${BACKGROUND[-1]}"
  grep --quiet 'syncconf' "$BATS_TEST_TMPDIR/strace"
  # In base64, and as the programs get them.
  { cat "$KEYS/vpn" && base64 --decode <"$KEYS/vpn" | od -An -tx1 -w32 | tr -d ' '; } >"$KEYS/patterns"
  run ! grep --recursive --text --files-with-matches --no-messages --file="$KEYS/patterns" "$BATS_TEST_TMPDIR" /run/systemd-netns /run/wireguard \
    /proc/[0-9]*/cmdline /proc/[0-9]*/environ
  [[ ! $output ]]
  grep --quiet --file="$KEYS/patterns" /etc/wireguard/vpn.conf
}

@test "an error of the kernel, or a kill of the library, at any step of link_add leaves nothing" {
  create vpn
  before=$(world)
  for how in error kill; do
    fault "$how" >"$CONF/wireguard-vpn.conf"
    before=$(world)
    each_failure_leaves "$before" wireguard vpn outside link_add
    hook wireguard vpn down outside
    nothing_runs
  done
}

@test "down removes what a killed hook has left at any step" {
  create vpn
  cat >"$BATS_TEST_TMPDIR/killed" <<END
#!/bin/bash
[[ \${7-} == link_add ]] || exec netnsinit "\$@"
strace -qq -o /dev/null -e trace=sendto,connect -e inject=sendto,connect:signal=SIGKILL:when=\$FAIL_AT netnsinit "\$@" || kill -KILL "\$PPID"
END
  chmod +x "$BATS_TEST_TMPDIR/killed"
  config wireguard-vpn.conf <<<"BASH_ARGV0=$BATS_TEST_TMPDIR/killed"
  export FAIL_AT
  before=$(world)
  for ((FAIL_AT = 1; FAIL_AT < 60; FAIL_AT++)); do
    status=0
    hook wireguard vpn up outside || status=$?
    hook wireguard vpn down outside
    unchanged "$before"
    nothing_runs
    ((status)) || break
  done
  ((FAIL_AT > 5 && FAIL_AT < 60))
}

@test "boringtun is used if wireguard-go is not installed, and no program is an error with the module, its package and wireguard-go" {
  bin=$BATS_TEST_TMPDIR/bin
  mkdir "$bin"
  ln -s "$PROGRAMS/usr/bin/wg" "$bin"
  PATH=$bin:${PATH#*:}
  create vpn
  refused "cannot create interface 'wg0' in namespace 'vpn'" "the kernel $(uname -r) does not have the module 'wireguard'" 'apt install linux-image-' \
    'or the program wireguard-go: `apt install wireguard-go`' -- hook wireguard vpn up outside
  # Both have the same arguments and the same socket.
  ln -s "$PROGRAMS/usr/bin/wireguard-go" "$bin/boringtun-cli"
  hook wireguard vpn up outside
  pgrep --full '^boringtun-cli -f tun-'
}
