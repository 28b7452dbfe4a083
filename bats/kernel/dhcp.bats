#!/usr/bin/env bats
# dhcp: leases of a real server, which runs in the namespace `server`, for each client.

load kernel

LEASE=/run/systemd-netns/daemons/dhcp@a.lease
OWN=/etc/netns/a
CLIENTS=(udhcpc dhclient dhcpcd)

setup() {
  rm -rf "$CONF" "$SHARE"
  mkdir -p "$CONF" "$SHARE"
  cp "${ROOT:?}"/plugins/*.sh "$SHARE"
  PROGRAMS=$BATS_FILE_TMPDIR/programs
  [[ -e $PROGRAMS ]] || install_programs
  PATH=$PROGRAMS:$PATH
  config veth-a.conf <<<$'VETH_NSNAME_OUTSIDE=server\nVETH_BRIDGE=br0\nVETH_IFNAME_INSIDE=lan0'
  create server
  inside server ip link add br0 type bridge
  inside server ip address add 192.0.2.1/24 dev br0
  inside server ip link set dev br0 up
  HOST=$(host)
}

teardown() {
  [[ $(host) == "$HOST" ]]
  hook dhcp a down outside || true
  hook veth a down outside || true
  local pid
  for pid in "${BACKGROUND[@]}"; do
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" || true
  done
  ! pgrep --full 'netnsinit --supervis[e]' >/dev/null
  if mountpoint --quiet /run/netns; then umount --lazy --recursive /run/netns; fi
  rm -rf /run/netns /run/systemd-netns /etc/netns
}

# The programs of the packages that tests/need has only downloaded.
install_programs() {
  local deb name root=$BATS_FILE_TMPDIR/root path
  mkdir -p "$PROGRAMS" "$root"
  # The package of dhcpcd has a directory here.
  mkdir -p /run/layers/var/{upper,work}
  mount -t overlay dhcp -o lowerdir=/var/lib,upperdir=/run/layers/var/upper,workdir=/run/layers/var/work /var/lib
  mkdir -p /var/lib/dhcpcd /run/dhcpcd
  for deb in "$ROOT"/target/debs/{dnsmasq-base,libn*,isc-dhcp-client,dhcpcd-base}_*.deb; do
    [[ ! -e $deb ]] || dpkg-deb --extract "$deb" "$root"
  done
  for name in dnsmasq dhclient dhcpcd; do
    for path in "$root"/{usr/,}sbin/"$name"; do
      [[ ! -x $path ]] || printf '#!/bin/bash\nLD_LIBRARY_PATH=%q exec %q "$@"\n' "$(echo "$root"/usr/lib/*-linux-gnu)" "$path" >"$PROGRAMS/$name"
    done
  done
  chmod +x "$PROGRAMS"/*
  # Not before: chmod follows links, and /usr can be read-only.
  type -P udhcpc >/dev/null || ln -s "$(type -P busybox)" "$PROGRAMS/udhcpc"
}

# Prints the resolver of the host, and the names of the files that a client could change there.
host() {
  cat /etc/resolv.conf
  find /etc /var/lib /run -path '/run/netns*' -prune -o -path '/run/systemd-netns' -prune -o -path '/etc/netns*' -prune -o -path "$CONF" -prune -o -print 2>/dev/null | sort
  hostname
}

# Usage: serve [OPTION...]
# Starts the server, or starts it again with other options.
serve() {
  local log=$BATS_TEST_TMPDIR/server.log
  : >"$log"
  if [[ ${SERVER-} ]]; then
    kill "$SERVER"
    wait "$SERVER" || true
  fi
  rm -f "$BATS_TEST_TMPDIR/leases"
  nsenter --net=/run/netns/server -- dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --user=root --interface=br0 --bind-interfaces --no-ping \
    --pid-file= --dhcp-authoritative --log-dhcp --log-facility="$log" --dhcp-leasefile="$BATS_TEST_TMPDIR/leases" \
    --dhcp-option=option:dns-server,192.0.2.53 --dhcp-option=option:domain-search,example.org "$@" &
  SERVER=$!
  BACKGROUND+=("$SERVER")
  eventually grep --quiet 'DHCP, ' "$log"
}

# Usage: has_seen MESSAGE
# Whether the server has got or sent a message.
has_seen() { grep --quiet "$1" "$BATS_TEST_TMPDIR/server.log"; }

# Usage: lease_with CLIENT
# Brings the instance up, sets `pid` to its client and `address` to its address, and clears the log of the server.
lease_with() {
  up_with "$1"
  pid=$(client_pid)
  address=$(addresses a lan0)
  : >"$BATS_TEST_TMPDIR/server.log"
}

# Usage: up_with CLIENT
up_with() {
  config dhcp-a.conf <<<"DHCP_CLIENT=$1"
  [[ -e $MEMORY/veth@a ]] || up veth a
  up dhcp a
}

# Usage: netnsctl_up_with CLIENT
# Brings the instance up in a way that `netnsctl check` and `netnsctl down` know.
netnsctl_up_with() {
  config default.conf <<<"PATH=$PATH" # netnsctl itself sets it
  config dhcp-a.conf <<<"DHCP_CLIENT=$1"
  netnsctl up --engine direct veth@a dhcp@a
}

client_pid() { pgrep --parent "$(pgrep --full --exact 'netnsinit --supervise / dhcp@a dhcp-client')"; }
default_route() { inside a ip route show default; }

@test "up waits for the lease, and down releases it, with each client" {
  serve --dhcp-range=192.0.2.100,192.0.2.100,1h
  for client in "${CLIENTS[@]}"; do
    : >"$BATS_TEST_TMPDIR/server.log"
    up_with "$client"
    [[ $(addresses a lan0) == 192.0.2.100/24 ]]
    [[ $(default_route) == *'via 192.0.2.1 '* ]]
    [[ $(tail -n +2 $OWN/resolv.conf) == $'nameserver 192.0.2.53\nsearch example.org' && -e $OWN/nsswitch.conf ]]
    reaches a 192.0.2.1
    down_hooks dhcp a
    eventually has_seen DHCPRELEASE
    [[ -z $(addresses a lan0) && -z $(default_route) && ! -e $OWN && ! -e $LEASE ]]
  done
}

@test "the only interface that is up and the installed client are the defaults" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h
  up veth a
  for client in "${CLIENTS[@]}"; do
    PATH=$(only_with "$client") up dhcp a
    [[ $(<$LEASE/client) == "lan0 $client "* && $(addresses a lan0) == 192.0.2.1??/24 ]]
    down_hooks dhcp a
  done
}

# Usage: only_with CLIENT
# Prints a PATH with one client.
only_with() {
  local directory=$BATS_TEST_TMPDIR/only-$1
  mkdir -p "$directory"
  ln -sf "$PROGRAMS/$1" "$directory"
  ln -sf "$(only bash cat chmod flock grep head ip mkdir mount mv rm rmdir sed sleep touch unshare nsenter | cut -d : -f 2)"/* "$directory"
  echo "$NETNS_BIN:$directory"
}

@test "each invalid setting is refused before anything is made" {
  up veth a
  for setting in DHCP_CLIENT=pump DHCP_IPV6=maybe DHCP_TIMEOUT=never DHCP_TIMEOUT=100s DHCP_TIMEOUT=90 DHCP_IFNAME=lo DHCP_IFNAME=lan1 DHCP_IFNAME=a/b; do
    config dhcp-a.conf <<<"$setting"
    refused "${setting%%=*}" "${setting#*=}" -- hook dhcp a up outside
    [[ ! -e $LEASE ]]
  done
  config dhcp-a.conf <<<DHCP_TIMEOUT=100s
  refused "DHCP_TIMEOUT: '100s' is too long: expected less than 90s" -- hook dhcp a up outside
  config dhcp-a.conf <<<DHCP_CLIENT=dhcpcd
  refused "DHCP_CLIENT: the DHCP client 'dhcpcd' is not installed" 'apt install dhcpcd-base' -- env PATH="$(only_with udhcpc)" netnsinit dhcp a up outside
  config dhcp-a.conf <<<''
  refused 'no DHCP client is installed' udhcpc -- env PATH="$(only bash flock grep ip mkdir nsenter)" netnsinit dhcp a up outside
  inside a ip link add other type bridge
  inside a ip link set dev other up
  refused 'has 2 that are up (' DHCP_IFNAME -- hook dhcp a up outside
  inside a ip link delete dev other
  inside a ip link set dev lan0 down
  refused 'has 0 that are up' DHCP_IFNAME -- hook dhcp a up outside
  [[ ! -e $LEASE && ! -e $OWN ]]
}

@test "without a server, up fails after DHCP_TIMEOUT, and nothing is left" {
  up veth a
  for client in "${CLIENTS[@]}"; do
    config dhcp-a.conf <<<"DHCP_CLIENT=$client"$'\nDHCP_TIMEOUT=500ms'
    before=$(world)
    hook dhcp a up outside
    run --separate-stderr ! hook dhcp a up inside 3>&-
    [[ $stderr == *"no DHCP server has answered on interface 'lan0' within '500ms' (DHCP_TIMEOUT; client: $client); fix: "* ]]
    hook dhcp a down outside
    unchanged "$before"
    [[ ! -e $LEASE && ! -e $OWN ]]
    gone
  done
}

# Whether no client and no supervisor runs.
gone() { ! pgrep --full 'netnsinit --supervis[e]|dhcp@a[.]lease' >/dev/null; }

@test "a renewal with another address, router and resolver is applied, and the old ones are removed" {
  # A signal that makes the client ask again. This one has none: it asks when it is started again.
  local -A signals=([udhcpc]=USR1 [dhcpcd]=HUP [dhclient]=KILL)
  for client in "${CLIENTS[@]}"; do
    serve --dhcp-range=192.0.2.100,192.0.2.100,1h
    up_with "$client"
    serve --dhcp-range=192.0.2.120,192.0.2.120,1h --dhcp-option=option:dns-server,192.0.2.54 --dhcp-option=option:router,192.0.2.9
    kill "-${signals[$client]}" "$(client_pid)"
    eventually renewed
    down_hooks dhcp a
  done
}

renewed() {
  [[ $(addresses a lan0) == 192.0.2.120/24 && $(default_route) == *'via 192.0.2.9 '* && $(default_route) != *192.0.2.1' '* ]] &&
    grep --quiet --line-regexp 'nameserver 192.0.2.54' $OWN/resolv.conf
}

@test "classless static routes replace the router, check compares them, and old ones are removed, with each client" {
  local -A signals=([udhcpc]=USR1 [dhcpcd]=HUP [dhclient]=KILL) # as above
  inside server ip address add 192.0.2.8/24 dev br0
  for client in "${CLIENTS[@]}"; do
    serve --dhcp-range=192.0.2.100,192.0.2.100,1h --dhcp-option=121,198.51.100.0/25,192.0.2.8,203.0.113.7/32,0.0.0.0,0.0.0.0/0,192.0.2.9
    netnsctl_up_with "$client"
    [[ $(routes) == '198.51.100.0/25 via 192.0.2.8|203.0.113.7|default via 192.0.2.9' ]]
    netnsctl check dhcp
    inside a ip route delete 203.0.113.7
    inside a ip route delete 198.51.100.0/25
    run -1 netnsctl check dhcp
    [[ $output == *"the route '198.51.100.0/25 via 192.0.2.8' over interface 'lan0' is missing"* ]]
    [[ $output == *"the route '203.0.113.7/32 scope link' over interface 'lan0' is missing"* ]]
    serve --dhcp-range=192.0.2.100,192.0.2.100,1h --dhcp-option=121,198.51.100.0/24,192.0.2.8
    kill "-${signals[$client]}" "$(client_pid)"
    eventually has_routes '198.51.100.0/24 via 192.0.2.8'
    [[ $(addresses a lan0) == 192.0.2.100/24 ]]
    netnsctl down dhcp@a
    [[ -z $(routes) ]]
  done
}

# Prints the routes of the namespace, except that to the network of its address.
routes() { inside a ip -json -4 route show | jq --raw-output '[.[] | select(.dst != "192.0.2.0/24") | .dst + (.gateway | if . then " via " + . else "" end)] | sort | join("|")'; }

has_routes() { [[ $(routes) == "$1" ]]; }

@test "a lease for one address, with a gateway outside of its network, reaches other networks, with each client" {
  inside server ip address add 203.0.113.1/32 dev br0
  inside server ip address add 198.51.100.1/32 dev br0
  serve --dhcp-range=192.0.2.100,192.0.2.100,1h --dhcp-option=option:netmask,255.255.255.255 --dhcp-option=121,203.0.113.1/32,0.0.0.0,0.0.0.0/0,203.0.113.1
  for client in "${CLIENTS[@]}"; do
    up_with "$client"
    [[ $(addresses a lan0) == 192.0.2.100/32 && $(default_route) == *'via 203.0.113.1 '* ]]
    reaches a 198.51.100.1
    down_hooks dhcp a
  done
}

@test "through a firewall that drops by default, a lease is obtained, and with two rules it is renewed and released, with each client" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h --dhcp-option=option:T1,2 --dhcp-option=option:T2,4
  up veth a
  for rules in no yes; do
    firewall "$rules"
    up nft a
    for client in "${CLIENTS[@]}"; do
      lease_with "$client"
      # The others do it after T1. Without the rules, they ask all servers after T2.
      [[ $client != udhcpc ]] || kill -USR1 "$pid"
      eventually has_sent_udp
      eventually has_seen DHCPACK
      [[ $(client_pid) == "$pid" && $(addresses a lan0) == "$address" ]]
      run ! has_seen DHCPDISCOVER
      down_hooks dhcp a
      [[ $rules == no ]] || eventually has_seen DHCPRELEASE
      inside a nft reset counters >/dev/null
    done
  done
}

# Usage: firewall yes|no
# Writes rules that drop by default, with or without those for DHCP.
firewall() {
  local accept=(drop drop)
  [[ $1 == no ]] || accept=('udp sport 67 udp dport 68 accept' 'udp sport 68 udp dport 67 accept')
  config nft-a.rules <<END
table inet filter {
  counter renewals { }
  chain input {
    type filter hook input priority filter; policy drop;
    ${accept[0]}
  }
  chain output {
    type filter hook output priority filter; policy drop;
    udp dport 67 counter name renewals
    ${accept[1]}
  }
}
END
}

# Whether a client has sent a packet by a socket that the firewall sees.
has_sent_udp() { inside a nft -j list counter inet filter renewals | jq --exit-status '.nftables[-1].counter.packets > 0' >/dev/null; }

@test "a restart keeps the client and its lease, and repairs the interface and the resolver" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h
  for client in udhcpc dhclient; do
    lease_with "$client"
    inside a ip address flush dev lan0 scope global
    rm $OWN/resolv.conf
    restart_inside dhcp a
    [[ $(client_pid) == "$pid" && $(addresses a lan0) == "$address" && $(default_route) == *192.0.2.1* && -e $OWN/resolv.conf ]]
    [[ ! -s $BATS_TEST_TMPDIR/server.log ]]
    down_hooks dhcp a
  done
}

@test "a restart keeps dhcpcd and its lease, and starts it again if its address or a route is missing" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h
  lease_with dhcpcd
  rm $OWN/resolv.conf
  restart_inside dhcp a
  [[ $(client_pid) == "$pid" && $(addresses a lan0) == "$address" && -e $OWN/resolv.conf && ! -s $BATS_TEST_TMPDIR/server.log ]]
  inside a ip route delete default
  restart_inside dhcp a
  [[ $(addresses a lan0) == "$address" && $(default_route) == *'via 192.0.2.1 '* ]]
  inside a ip address flush dev lan0 scope global
  restart_inside dhcp a
  eventually repaired
}

repaired() { [[ $(addresses a lan0) == "$address" && $(default_route) == *'via 192.0.2.1 '* && -e $OWN/resolv.conf ]]; }

@test "a restart applies another client" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h
  up_with udhcpc
  for client in dhclient dhcpcd udhcpc; do
    config dhcp-a.conf <<<"DHCP_CLIENT=$client"
    restart_inside dhcp a
    [[ $(addresses a lan0) == 192.0.2.1??/24 && $(</proc/"$(client_pid)"/cmdline) == *"$client"* ]]
  done
  shown hooks edited dhcp
}

@test "a deleted interface is reported by check, and a client for the interface created again gets a new lease" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h
  for client in "${CLIENTS[@]}"; do
    netnsctl_up_with "$client"
    inside a ip link delete dev lan0
    run -1 netnsctl check dhcp
    [[ $output == *"dhcp@a: interface 'lan0' does not exist; "* && $output != *"address"* ]]
    netnsctl restart veth@a
    [[ $(addresses a lan0) == 192.0.2.1??/24 ]]
    netnsctl check dhcp
    netnsctl down dhcp@a
  done
}

@test "a client that is killed is started again, and the address stays" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h
  for client in "${CLIENTS[@]}"; do
    lease_with "$client"
    kill -KILL "$pid"
    eventually has_seen DHCPACK
    [[ $(client_pid) != "$pid" && $(addresses a lan0) == "$address" ]]
    down_hooks dhcp a
  done
}

@test "check reports a client that was killed, also with its supervisor, and a restart starts it again" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h
  for client in "${CLIENTS[@]}"; do
    netnsctl_up_with "$client"
    netnsctl check dhcp
    address=$(addresses a lan0)
    pid=$(client_pid)
    kill -KILL "$pid"
    eventually runs_again
    pid=$(client_pid)
    kill -KILL "$(ps -o ppid= "$pid" | tr -d ' ')" "$pid"
    eventually gone
    run -1 netnsctl check dhcp
    [[ $output == *"daemon 'dhcp-client' is not running"* ]]
    netnsctl restart dhcp@a
    [[ $(client_pid) != "$pid" && $(addresses a lan0) == "$address" ]]
    netnsctl check dhcp
    netnsctl down dhcp@a
  done
}

runs_again() { [[ $(netnsctl check dhcp) == *"daemon 'dhcp-client' has ended (signal: 9 (SIGKILL)), and runs again; restarts: 1"* ]]; }

@test "an up that is killed at any moment leaves nothing that down does not remove" {
  serve_six
  up veth a
  # These have one and two processes.
  for client in dhcpcd dhclient; do
    config_six "$client"
    before=$(world)
    for delay in 0 0.02 0.04 0.06 0.1 0.2 0.4 0.8; do
      setsid bash -c 'netnsinit dhcp a up outside && exec nsenter --net=/run/netns/a netnsinit dhcp a up inside' >/dev/null 2>&1 3>&- &
      sleep "$delay"
      kill -KILL -- "-$!" 2>/dev/null || kill -KILL "$!" || true
      wait "$!" || true
      hook dhcp a down outside
      unchanged "$before"
      [[ ! -e $LEASE && ! -e $OWN ]]
      eventually gone
    done
  done
  shown hooks killed dhcp
}

@test "text of the server that is not an address or a domain is ignored" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h
  up_with udhcpc
  # As the client calls it.
  inside a env interface=lan0 ip=192.0.2.100 subnet=255.255.255.0 lease=100 router='$(touch /run/x) 192.0.2.7' dns='* 192.0.2.9;x ::1' \
    search=$'a;b example.net $x\nnameserver 192.0.2.66' $LEASE/program renew
  [[ $(tail -n +2 $OWN/resolv.conf) == $'nameserver ::1\nsearch example.net' && $(default_route) == *'via 192.0.2.7 '* && ! -e /run/x ]]
  inside a env interface=lan0 ip=192.0.2.100 subnet=255.255.255.0 lease=100 \
    staticroutes='$(>/run/x) 192.0.2.7 198.51.100.0/33 192.0.2.7 203.0.113.0/24 x 203.0.113.129/25 192.0.2.8 203.0.113.128/25 192.0.2.9 0.0.0.0/0' $LEASE/program renew
  [[ $(routes) == '203.0.113.128/25 via 192.0.2.8' ]]
  # The kernel refuses this gateway.
  inside a env interface=lan0 ip=192.0.2.100 subnet=255.255.255.0 lease=100 staticroutes='198.51.100.0/24 255.255.255.255 0.0.0.0/0 192.0.2.8' \
    dns=192.0.2.9 $LEASE/program renew
  [[ $(default_route) == *'via 192.0.2.8 '* && $(tail -n +2 $OWN/resolv.conf) == 'nameserver 192.0.2.9' ]]
  inside a env reason=BOUND new_ip_address=192.0.2.100 new_subnet_mask=255.255.255.0 new_dhcp_lease_time=100 \
    new_rfc3442_classless_static_routes='24 198 51 100 192 0 2 7 a[$(>/run/x)] 9 9' $LEASE/program
  [[ $(routes) == '198.51.100.0/24 via 192.0.2.7' && ! -e /run/x ]]
  run ! inside a env interface=lan0 ip='192.0.2.100 dev lo' subnet=255.255.255.0 $LEASE/program renew
  [[ $(addresses a lan0) == 192.0.2.100/24 ]]
}

@test "a lease that ends without a server is reported by check, and a server that returns gives another one, with each client" {
  # The lease of this server can be short.
  printf '%s\n' 'interface br0' 'start 192.0.2.90' 'end 192.0.2.90' 'option subnet 255.255.255.0' 'option router 192.0.2.1' 'option lease 5' \
    "lease_file $BATS_TEST_TMPDIR/short-leases" "pidfile $BATS_TEST_TMPDIR/short-pid" >"$BATS_TEST_TMPDIR/short"
  for client in "${CLIENTS[@]}"; do
    : >"$BATS_TEST_TMPDIR/short-leases"
    nsenter --net=/run/netns/server -- busybox udhcpd -f "$BATS_TEST_TMPDIR/short" &
    BACKGROUND+=("$!")
    netnsctl_up_with "$client"
    [[ $(addresses a lan0) == 192.0.2.90/24 ]]
    kill -KILL "${BACKGROUND[-1]}"
    # dhcpcd takes 20 seconds as the shortest lease.
    eventually without_address || eventually without_address
    run -1 netnsctl check dhcp
    [[ $output == *"interface 'lan0' "* && -z $(default_route) ]]
    serve --dhcp-range=192.0.2.100,192.0.2.100,1h
    eventually has_address 192.0.2.100/24
    [[ $(default_route) == *'via 192.0.2.1 '* ]]
    netnsctl check dhcp
    netnsctl down dhcp@a
    kill "$SERVER"
    wait "$SERVER" || true
    SERVER=
  done
}

has_address() { [[ $(addresses a lan0) == "$1" ]]; }

@test "a lease for one address can have a router outside of its network, and the kernel removes the address at its end" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h
  up_with udhcpc
  inside a env interface=lan0 ip=192.0.2.200 subnet=255.255.255.255 lease=2 router=192.0.2.1 $LEASE/program renew
  [[ $(addresses a lan0) == 192.0.2.200/32 && $(default_route) == *'via 192.0.2.1 '* ]]
  eventually without_address
}

without_address() { [[ -z $(addresses a lan0) ]]; }

@test "a foreign file for name resolution is refused, and stays" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h
  up veth a
  mkdir -p $OWN
  echo mine >$OWN/resolv.conf
  hook dhcp a up outside
  run --separate-stderr ! hook dhcp a up inside 3>&-
  [[ $stderr == *"cannot replace '$OWN/resolv.conf': it was not written by the type dhcp"* ]]
  hook dhcp a down outside
  [[ $(<$OWN/resolv.conf) == mine ]]
}

@test "every hook can run twice" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h
  up veth a
  config dhcp-a.conf <<<DHCP_CLIENT=udhcpc
  before=$(world)
  # The client may get its lease at any moment after the first run.
  hook dhcp a up outside
  eventually test -s "$OWN/resolv.conf" # is written last
  twice dhcp a up outside
  twice dhcp a up inside
  twice dhcp a down inside
  twice dhcp a down outside
  unchanged "$before"
}

# Usage: serve_six [OPTION...]
# Starts the server also for IPv6. A range with one address has a stable lease.
serve_six() {
  [[ $(addresses server br0) == *2001:db8::1/64* ]] || inside server ip address add 2001:db8::1/64 dev br0 nodad
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h --enable-ra '--dhcp-option=option6:dns-server,[2001:db8::53]' "${@:---dhcp-range=2001:db8::100,2001:db8::200,64,1h}"
}

# Sets SIX to the clients that can get an IPv6 address on this machine.
clients_for_six() {
  SIX=(dhclient dhcpcd)
  ! busybox --list | grep --quiet --line-regexp udhcpc6 || SIX+=(udhcpc)
}

# Usage: config_six CLIENT [SETTING...]
config_six() {
  config default.conf <<<"PATH=$PATH" # as for netnsctl_up_with
  printf '%s\n' DHCP_IPV6=yes "DHCP_CLIENT=$1" "${@:2}" | config dhcp-a.conf
}

# Prints the IPv6 address of the lease.
address_six() { link a lan0 '[.addr_info[] | select(.family == "inet6" and .scope == "global") | "\(.local)/\(.prefixlen)"] | join(" ")'; }

has_both() {
  [[ $(addresses a lan0) == *192.0.2.1??/24*2001:db8::[12]??/128 ]] && has_servers
}

# The clients write addresses in different ways.
has_servers() { grep --quiet --line-regexp 'nameserver 2001:0*db8:[0:]*:0*53' $OWN/resolv.conf && grep --quiet --line-regexp 'nameserver 192.0.2.53' $OWN/resolv.conf; }

# The process that has the lease for IPv6. dhcpcd has only one.
six_pid() {
  local supervisor
  if supervisor=$(pgrep --full --exact 'netnsinit --supervise / dhcp@a dhcp-client6'); then pgrep --parent "$supervisor"; else client_pid; fi
}

has_route_six() { [[ $(inside a ip -6 route show 2001:db8::/64) ]]; }

@test "with DHCP_IPV6, up also waits for an IPv6 address and name servers, and down releases and removes them, with each client" {
  serve_six
  clients_for_six
  for client in "${SIX[@]}"; do
    config_six "$client"
    up veth a
    sysctls=$(inside a grep --no-messages . /proc/sys/net/ipv6/conf/lan0/{accept_ra,addr_gen_mode})
    up dhcp a
    has_both
    eventually has_route_six # of the router
    inside a ping -q -c 1 -w 5 2001:db8::1
    inside server ping -q -c 1 -w 5 "$(address_six | cut -d / -f 1)"
    : >"$BATS_TEST_TMPDIR/server.log"
    down_hooks dhcp a
    eventually has_seen 'DHCPRELEASE(br0) 00:'
    eventually has_seen 'DHCPRELEASE(br0) 192'
    [[ -z $(addresses a lan0) && ! -e $OWN && ! -e $LEASE ]]
    [[ $(inside a grep --no-messages . /proc/sys/net/ipv6/conf/lan0/{accept_ra,addr_gen_mode}) == "$sysctls" ]]
    gone
    down veth a
  done
  shown hooks IPv6 dhcp
}

@test "with DHCP_IPV6, the default is an installed client that supports it, and another one is refused" {
  serve_six
  up veth a
  config dhcp-a.conf <<<DHCP_IPV6=yes
  PATH=$(only_with udhcpc):$(only_with dhclient) up dhcp a
  has_both
  [[ $(<$LEASE/client) == 'lan0 dhclient '* ]]
  down_hooks dhcp a
  refused 'DHCP_IPV6: no DHCP client for IPv6 is installed' 'apt install dhcpcd-base' -- env PATH="$(only_with udhcpc)" netnsinit dhcp a up outside
  config dhcp-a.conf <<<$'DHCP_IPV6=yes\nDHCP_CLIENT=udhcpc'
  refused "DHCP_IPV6: the client 'udhcpc' (DHCP_CLIENT) is used only for IPv4: no \`busybox\` with the applet udhcpc6" \
    'DHCP_CLIENT=dhclient' "'auto'" -- env PATH="$(only_with udhcpc)" netnsinit dhcp a up outside
  [[ ! -e $LEASE && ! -e $OWN ]]
}

@test "with DHCP_IPV6 but without a DHCPv6 server, up fails after DHCP_TIMEOUT, and nothing is left, with each client" {
  serve --dhcp-range=192.0.2.100,192.0.2.110,1h
  clients_for_six
  up veth a
  for client in "${SIX[@]}"; do
    config_six "$client" DHCP_TIMEOUT=3s
    before=$(world)
    hook dhcp a up outside
    eventually test -s $LEASE/lease
    run --separate-stderr ! hook dhcp a up inside 3>&-
    [[ $stderr == *"no DHCPv6 server has answered on interface 'lan0' within '3s' (DHCP_TIMEOUT; client: $client); fix: "*'udp port 547'* ]]
    hook dhcp a down outside
    unchanged "$before"
    [[ ! -e $LEASE && ! -e $OWN ]]
    gone
  done
}

@test "check reports an IPv6 address that was removed, and a restart repairs it and keeps the lease, with each client" {
  serve_six --dhcp-range=2001:db8::100,2001:db8::100,64,1h
  clients_for_six
  for client in "${SIX[@]}"; do
    config_six "$client"
    netnsctl up --engine direct veth@a dhcp@a
    pid=$(six_pid)
    netnsctl check dhcp
    netnsctl restart dhcp@a
    [[ $(six_pid) == "$pid" && $(address_six) == 2001:db8::100/128 ]]
    inside a ip address delete 2001:db8::100/128 dev lan0
    run -1 netnsctl check dhcp
    [[ $output =~ "interface 'lan0' does not have the address '2001:"0*db8:[0:]*:0*100"' of its lease" ]]
    netnsctl restart dhcp@a
    eventually has_both
    [[ $client == dhcpcd || $(six_pid) == "$pid" ]]
    netnsctl check dhcp
    netnsctl down dhcp@a
  done
}

@test "a client for IPv6 that is killed is started again, and the address stays; one that does not run is reported by check" {
  serve_six
  clients_for_six
  for client in "${SIX[@]}"; do
    config_six "$client"
    netnsctl up --engine direct veth@a dhcp@a
    address=$(address_six)
    pid=$(six_pid)
    : >"$BATS_TEST_TMPDIR/server.log"
    kill -KILL "$pid"
    eventually has_seen 'DHCPREPLY(br0)'
    [[ $(six_pid) != "$pid" ]]
    eventually has_both
    # This one asks as a new client.
    [[ $client == udhcpc || $(address_six) == "$address" ]]
    pid=$(six_pid)
    kill -KILL "$(ps -o ppid= "$pid" | tr -d ' ')" "$pid"
    eventually not_running
    netnsctl restart dhcp@a
    has_both
    netnsctl check dhcp
    netnsctl down dhcp@a
  done
}

not_running() { [[ $(netnsctl check dhcp) =~ "daemon 'dhcp-client"6?"' is not running" ]]; }

@test "for an interface that was created again, a client gets a new IPv6 lease, and down works without the interface, with each client" {
  serve_six
  clients_for_six
  for client in "${SIX[@]}"; do
    config_six "$client"
    netnsctl up --engine direct veth@a dhcp@a
    inside a ip link delete dev lan0
    netnsctl restart veth@a
    has_both
    netnsctl check dhcp
    inside a ip link delete dev lan0
    netnsctl down dhcp@a
    netnsctl down veth@a
    [[ ! -e $LEASE && ! -e $OWN ]]
    gone
  done
}

@test "a restart applies another client for IPv6, and DHCP_IPV6=no" {
  serve_six
  clients_for_six
  config_six dhclient
  up veth a
  up dhcp a
  for client in "${SIX[@]}" dhclient; do
    config_six "$client"
    restart_inside dhcp a
    has_both
    [[ $(</proc/"$(six_pid)"/cmdline) == *"$client"* ]]
  done
  config dhcp-a.conf <<<DHCP_CLIENT=dhclient
  restart_inside dhcp a
  [[ $(addresses a lan0) == 192.0.2.1??/24 ]]
  run ! pgrep --full 'dhcp-client[6]'
}

@test "another IPv6 address replaces the old one, the end of the lease removes it, and other text is ignored" {
  serve_six
  config_six dhclient
  up veth a
  up dhcp a
  # As the client calls it.
  event() { inside a env "$@" $LEASE/program; }
  event reason=RENEW6 new_ip6_address=2001:db8::7 new_max_life=100 new_dhcp6_name_servers='2001:db8::54 $(>/run/x)' 'new_dhcp6_domain_search=example.net. a;b'
  [[ $(address_six) == 2001:db8::7/128 ]]
  grep --quiet --line-regexp 'nameserver 2001:db8::54' $OWN/resolv.conf
  grep --quiet --line-regexp 'search example.org example.net' $OWN/resolv.conf
  for reason in PREINIT6 DEPREF6; do event reason=$reason; done
  [[ $(address_six) == 2001:db8::7/128 ]]
  event reason=RENEW6 'new_ip6_address=2001:db8::8 dev lo' new_max_life=2
  [[ $(address_six) == 2001:db8::8/128 ]]
  eventually without_six # the kernel removes it
  event reason=REBOOT6 new_ip6_address=2001:db8::9 new_max_life=4294967295
  [[ $(address_six) == 2001:db8::9/128 ]]
  # The end of one lease does not change the other one.
  event reason=EXPIRE6 old_ip6_address=2001:db8::9
  [[ $(addresses a lan0) == 192.0.2.1??/24 && ! -e /run/x ]]
  event reason=BOUND6 new_ip6_address=2001:db8::9 new_max_life=100
  event reason=EXPIRE
  [[ $(addresses a lan0) == 2001:db8::9/128 ]]
}

without_six() { [[ -z $(address_six) ]]; }

@test "with DHCP_IPV6, an address of a router is enough for dhcpcd, and check compares it" {
  serve_six --dhcp-range=2001:db8::,ra-only,64,1h
  config_six dhcpcd
  netnsctl up --engine direct veth@a dhcp@a
  address=$(address_six)
  [[ $address == 2001:db8:*/64 ]]
  netnsctl check dhcp
  inside a ip address delete "$address" dev lan0
  run -1 netnsctl check dhcp
  [[ $output == *"does not have the address '${address%/*}' of its lease"* ]]
  netnsctl down dhcp@a
}
