#!/usr/bin/env bats
# The type dhcp, with both engines.

load engine
load dhcp

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
