#!/usr/bin/env bats
# IPv6 addresses of the type dhcp, with both engines. The user nobody cannot install the programs.

load engine
load dhcp

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
