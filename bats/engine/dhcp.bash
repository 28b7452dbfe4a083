# shellcheck shell=bash
# A DHCP server on the host, on a bridge with the other end of the interface. For the suites of the type dhcp.

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
