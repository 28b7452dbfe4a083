#!/usr/bin/env bats
# The type wireguard on a kernel without the module, with wireguard-go, with both engines. bats/kernel/wireguard_go.bats has more tests.

load engine

setup() {
  if [[ -d /sys/module/wireguard ]]; then skip 'the kernel has the module'; fi
  local deb
  for deb in "$ROOT"/target/debs/wireguard-{go,tools}_*.deb; do
    [[ ! -e $deb ]] || dpkg-deb --fsys-tarfile "$deb" | tar --extract --keep-directory-symlink --directory "$TOP/" ./usr
  done
  # shellcheck disable=SC2016 # for the machine to expand
  on bash -c 'umask 077
    mkdir -p /etc/wireguard
    vpn=$(wg genkey) peer=$(wg genkey)
    printf "%s\n" "[Interface]" "PrivateKey = $vpn" "Address = 10.2.0.2/32, fd00:2::2/128" "[Peer]" "PublicKey = $(wg pubkey <<<"$peer")" \
      "AllowedIPs = 0.0.0.0/0, ::/0" "Endpoint = 127.0.0.1:51820" >/etc/wireguard/vpn.conf
    printf "%s\n" "[Interface]" "PrivateKey = $peer" "ListenPort = 51820" "Address = 10.2.0.1/24, fd00:2::1/64" "[Peer]" \
      "PublicKey = $(wg pubkey <<<"$vpn")" "AllowedIPs = 10.2.0.2/32, fd00:2::2/128" >/etc/wireguard/peer.conf'
  BEFORE=$(machine)
}

# Usage: traffic
# Succeeds if pings pass both ways, by IPv4 and IPv6.
traffic() {
  reaches vpn 10.2.0.1 && reaches vpn fd00:2::1 && reaches peer 10.2.0.2 && reaches peer fd00:2::2
}

reaches() { on ip netns exec "$1" ping -q -c 1 -w 5 "$2"; }

# Usage: program
# Prints the process ID of the program of vpn.
# shellcheck disable=SC2016 # for the machine to expand
program() { on bash -c 'pgrep --parent "$(pgrep --full "^netnsinit --supervise / wireguard@vpn wireguard-go")"'; }

no_tunnel() { [[ $(on ip -netns vpn -oneline link) != *wg0* ]]; }

# Usage: findings TEXT...
# Succeeds if check reports these texts.
findings() {
  local text
  run ! on netnsctl check wireguard@vpn
  for text; do [[ $output == *"error: wireguard@vpn: "*"$text"* ]] || return; done
}

@test "a restart keeps the program, drift is repaired, a killed program returns, and down leaves nothing" {
  on netnsctl up wireguard@vpn wireguard@peer
  traffic
  on netnsctl check wireguard@vpn wireguard@peer
  pid=$(program)
  device=$(on bash -c "tr '\0' '\n' </proc/$pid/cmdline" | tail -1)
  if [[ $ENGINE == systemd ]]; then on grep --quiet '/netns_outside-wireguard@vpn.service$' "/proc/$pid/cgroup"; fi
  for fact in up IPv4 IPv6; do shown "$ENGINE" "$fact" wireguard; done
  handshake=$(on wg show "$device" latest-handshakes)
  on netnsctl restart wireguard@vpn
  [[ $(program) == "$pid" && $(on wg show "$device" latest-handshakes) == "$handshake" ]]
  traffic
  shown "$ENGINE" restart wireguard

  peer=$(on wg show "$device" peers)
  on bash -c "umask 077; wg genpsk >/run/preshared; wg genkey >/run/other"
  on ip -netns vpn route delete default dev wg0
  on ip -netns vpn link set dev wg0 mtu 1300
  on wg set "$device" private-key /run/other fwmark 7 peer "$peer" preshared-key /run/preshared allowed-ips 10.2.0.0/24 persistent-keepalive 7
  findings "the route 'default' over interface 'wg0' is missing" "interface 'wg0' has the MTU '1300', not '" \
    "interface 'wg0' has another private key" "interface 'wg0' has the mark 0x7, not 0x0" 'has a preshared key that is not in the settings' "peer '$peer' of interface 'wg0' has the allowed addresses 10.2.0.0/24, not 0.0.0.0/0, ::/0" 'has the keepalive interval 7, not 0'
  on netnsctl restart wireguard@vpn
  on netnsctl check wireguard@vpn
  [[ $(on wg show "$device" preshared-keys) == *'(none)' && $(on wg show "$device" fwmark) == off ]]
  on rm /run/preshared /run/other
  traffic
  shown "$ENGINE" drift wireguard

  # A program that runs and does not answer.
  on kill -STOP "$pid"
  findings "the tunnel of interface 'wg0' cannot be read: wg show $device dump: no answer within 10 seconds"
  on kill -CONT "$pid"

  on kill -KILL "$pid"
  eventually no_tunnel
  findings "interface 'wg0' is missing"
  eventually traffic
  on netnsctl restart wireguard@vpn
  on netnsctl check wireguard@vpn
  on netnsctl down wireguard@vpn wireguard@peer
  on bash -c '[[ ! $(ls -A /run/wireguard) ]] && ! pgrep wireguard-go'
  undone "$BEFORE"
  nothing_left
  shown "$ENGINE" down wireguard
}

# Usage: listen_port PORT
# Sets the port in the file of vpn, in place of an earlier one.
listen_port() { on sed -i "/^ListenPort/d; s/^PrivateKey/ListenPort = $1\n&/" /etc/wireguard/vpn.conf; }

@test "a restart with a port of another process is refused, and the running tunnel keeps passing packets" {
  on netnsctl up wireguard@vpn wireguard@peer
  traffic
  pid=$(program)
  # shellcheck disable=SC2016 # for the machine to expand
  other=$(on bash -c 'python3 -c "import socket, time
s = socket.socket(type=socket.SOCK_DGRAM); s.bind((\"127.0.0.1\", 51830)); time.sleep(1000)" &>/dev/null 3>&- & echo "$!"')
  bound() { [[ -n $(on ss -Hlun sport = 51830) ]]; }
  eventually bound
  listen_port 51830
  cause="ListenPort: '51830': this UDP port is in use on the host by python3 (pid $other); fix: choose another port"
  run ! on netnsctl restart wireguard@vpn
  [[ $output == *"cannot restart: /etc/wireguard/vpn.conf:2: error: wireguard@vpn: $cause; nothing was restarted" ]]
  findings "$cause"
  [[ $(program) == "$pid" ]]
  traffic

  on kill "$other"
  free() { ! bound; }
  eventually free
  on netnsctl restart wireguard@vpn
  # Now it is the port of the tunnel.
  bound
  on netnsctl check wireguard@vpn
  on netnsctl restart wireguard@vpn
  [[ $(program) == "$pid" ]]
  # Also while its program ends, after its interface.
  on kill -STOP "$pid"
  on ip -netns vpn link delete dev wg0
  findings "interface 'wg0' is missing"
  [[ $output != *'in use'* ]]
  bound
  on kill -CONT "$pid"
  on netnsctl restart wireguard@vpn
  traffic
  on netnsctl down wireguard@vpn wireguard@peer
  undone "$BEFORE"
  nothing_left
}
