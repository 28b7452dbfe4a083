#!/usr/bin/env bats
# The type dhcp, with both engines. The server runs on the host, on a bridge with the other end of the interface.

load engine

setup() {
  printf '%s\n' VETH_BRIDGE=br0 VETH_IFNAME_INSIDE=lan0 | config veth-a.conf
  config dhcp-a.conf <<<DHCP_CLIENT=udhcpc
  end_server 2>/dev/null || true # of a test that has failed
  on bash -c '
    ip link add br0 type bridge
    ip link set dev br0 up
    ip address add 192.0.2.1/24 dev br0
    printf "%s\n" "interface br0" "start 192.0.2.100" "end 192.0.2.101" "option subnet 255.255.255.0" "option router 192.0.2.1" \
      "option dns 192.0.2.53" "option lease 3600" "lease_file /run/test-leases" "pidfile /run/test-server.pid" >/run/test-server
    touch /run/test-leases'
}

# Usage: serve
# Starts the server, which goes to the background.
serve() { on busybox udhcpd /run/test-server >/dev/null 2>&1 3>&-; }

# A server that ends removes its file, so it must have ended before the next one starts. The namespace goes with the function of the suite.
end_server() {
  # shellcheck disable=SC2016 # for the machine to expand
  on bash -c '
    for file in /run/test-{server,six}.pid; do
      [[ -e $file ]] || continue
      read -r pid <"$file"
      kill "$pid"
      while [[ -e /proc/$pid/exe ]]; do sleep 0.05; done
    done
    ip link delete br0
    rm -f /run/test-*'
}

# Prints the addresses of the namespace.
addresses() { on ip -netns a -json -4 address show dev lan0 | jq --raw-output '[.[].addr_info[]?.local] | join(" ")'; }

# shellcheck disable=SC2016 # for the machine to expand
pid_of() { on bash -c 'pgrep --parent "$(pgrep --full "^netnsinit --supervise / dhcp@a dhcp-client$")"'; }

# Whether the server knows that the address is free again: the time of the lease is over.
released() { on bash -c 'kill -USR1 "$(</run/test-server.pid)"; sleep 0.1; busybox dumpleases -f /run/test-leases' | grep --quiet expired; }

@test "dhcp comes up after the interface, in whatever order they are named, and releases the lease before the interface goes" {
  serve
  for order in 'veth@a dhcp@a' 'dhcp@a veth@a'; do
    # shellcheck disable=SC2086 # split into words
    on netnsctl up $order
    [[ $(addresses) == 192.0.2.10[01] ]]
    on grep --quiet --line-regexp 'nameserver 192.0.2.53' /etc/netns/a/resolv.conf
    on netnsctl check veth@a dhcp@a
    on ping -q -c 1 -w 5 "$(addresses)"
    on ip netns exec a ping -q -c 1 -w 5 192.0.2.1
    # shellcheck disable=SC2086 # as above
    on netnsctl down $order
    eventually released
    on test ! -e /etc/netns/a
  done
  for fact in up IPv4 down; do shown "$ENGINE" "$fact" dhcp; done
  end_server
}

@test "a restart keeps the client, and repairs what check reports" {
  serve
  on netnsctl up veth@a dhcp@a
  pid=$(pid_of)
  address=$(addresses)
  on ip -netns a address flush dev lan0 scope global
  on bash -c 'echo "nameserver 192.0.2.9" >>/etc/netns/a/resolv.conf'
  run -1 on netnsctl check dhcp@a
  [[ $output == *"dhcp@a: interface 'lan0' does not have the address '$address' of its lease"* ]]
  [[ $output == *"dhcp@a: the route 'default via 192.0.2.1' over interface 'lan0' is missing"* ]]
  [[ $output == *"dhcp@a: '/etc/netns/a/resolv.conf' differs from the settings"* ]]
  on netnsctl restart dhcp@a
  [[ $(pid_of) == "$pid" && $(addresses) == "$address" ]]
  on netnsctl check dhcp@a
  for fact in restart drift; do shown "$ENGINE" "$fact" dhcp; done
  # A restart of the interface does not end the lease, also if no server could give another one.
  on bash -c 'kill "$(</run/test-server.pid)"'
  for instances in veth@a a; do
    on netnsctl restart "$instances"
    [[ $(pid_of) == "$pid" && $(addresses) == "$address" ]]
  done
  on netnsctl check dhcp@a
  serve
  # With its interface, it is restarted, too.
  on ip -netns a link delete dev lan0
  on netnsctl restart veth@a
  [[ $(addresses) == 192.0.2.10[01] && $(pid_of) != "$pid" ]]
  on netnsctl check veth@a dhcp@a
  on netnsctl down dhcp@a veth@a
  end_server
}

@test "with DHCP_IPV6, dhclient has two processes: up waits for both leases, a restart keeps and repairs them, and down releases them" {
  for deb in "$ROOT"/target/debs/{dnsmasq-base,libn*,isc-dhcp-client}_*.deb; do
    [[ ! -e $deb ]] || dpkg-deb --fsys-tarfile "$deb" | tar --extract --keep-directory-symlink --exclude ./etc --directory "$TOP/"
  done
  config dhcp-a.conf <<<$'DHCP_CLIENT=dhclient\nDHCP_IPV6=yes'
  serve
  on ip address add 2001:db8::1/64 dev br0 nodad
  on dnsmasq --conf-file=/dev/null --port=0 --user=root --interface=br0 --bind-interfaces --pid-file=/run/test-six.pid --enable-ra --log-dhcp \
    --log-facility=/run/test-six.log --dhcp-leasefile=/run/test-six.leases --dhcp-range=2001:db8::100,2001:db8::100,64,1h \
    '--dhcp-option=option6:dns-server,[2001:db8::53]' 3>&-
  on netnsctl up dhcp@a veth@a
  [[ $(addresses) == 192.0.2.10[01] && $(addresses_six) == 2001:db8::100 ]]
  on grep --quiet --line-regexp 'nameserver 2001:db8::53' /etc/netns/a/resolv.conf
  on netnsctl check veth@a dhcp@a
  on ping -q -c 1 -w 5 2001:db8::100
  pid=$(pid_of_six)
  on ip -netns a address delete 2001:db8::100/128 dev lan0
  run -1 on netnsctl check dhcp@a
  [[ $output == *"dhcp@a: interface 'lan0' does not have the address '2001:db8::100' of its lease"* ]]
  on netnsctl restart dhcp@a
  [[ $(pid_of_six) == "$pid" && $(addresses_six) == 2001:db8::100 ]]
  on netnsctl check dhcp@a
  # A client that ends is started again.
  on kill -KILL "$pid"
  eventually six_runs_again
  on netnsctl down dhcp@a
  [[ ! $(addresses) && ! $(addresses_six) ]]
  on test ! -e /etc/netns/a
  run ! pid_of_six
  eventually on grep --quiet DHCPRELEASE /run/test-six.log
  eventually released
  on netnsctl down veth@a
  end_server
}

addresses_six() { on ip -netns a -json -6 address show dev lan0 | jq --raw-output '[.[].addr_info[]? | select(.scope == "global").local] | join(" ")'; }

# shellcheck disable=SC2016 # for the machine to expand
pid_of_six() { on bash -c 'pgrep --parent "$(pgrep --full "^netnsinit --supervise / dhcp@a dhcp-client6")"'; }

six_runs_again() { [[ $(pid_of_six) != "$pid" && $(addresses_six) == 2001:db8::100 ]]; }

@test "without a server, up fails, and only dhcp@a is undone" {
  config dhcp-a.conf <<<$'DHCP_CLIENT=udhcpc\nDHCP_TIMEOUT=1s'
  on netnsctl up veth@a
  before=$(rest)
  run -1 on netnsctl up dhcp@a
  [[ $output == *"no DHCP server has answered on interface 'lan0' within '1s' (DHCP_TIMEOUT; client: udhcpc); fix: "* ]]
  [[ $(rest) == "$before" ]]
  run ! pid_of
  on netnsctl down veth@a
  end_server
}

# Prints what dhcp@a can leave.
rest() {
  on ip netns exec a ip -4 -brief address
  on find /etc/netns /run/systemd-netns/daemons -mindepth 1 -name '*a*' 2>/dev/null || true
}
