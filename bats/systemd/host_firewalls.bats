#!/usr/bin/env bats
# NAT_HOST_FIREWALL with the firewalls that people use: firewalld, ufw, docker and iptables-legacy, unpacked from their packages.

load systemd

setup_file() {
  lab_create
  lab_install
  lab_samples
  lab_packages firewalls
  local root=$LAB/root
  # What the scripts of the packages do.
  variant nft
  ln -sf org.fedoraproject.FirewallD1.server.policy.choice "$root/usr/share/polkit-1/actions/org.fedoraproject.FirewallD1.policy"
  mkdir -p "$root/etc/ufw"
  cp "$root"/usr/share/ufw/{iptables/*.rules,ufw.conf} "$root/etc/ufw"
  rm -f "$root"/etc/systemd/system/multi-user.target.wants/{docker,containerd,ufw}.service
  cp -a "$CONF" "$LAB/conf"
  lab_boot
}

setup() {
  lab install /dev/stdin /run/sockets.py <"$BATS_TEST_DIRNAME/../sockets.py"
  lab systemctl start dbus
  internet lab
  lab ip -netns internet route add 192.0.2.0/24 via 198.51.100.2
  pair n VETH_GATEWAY=outside
  config nat-n.conf </dev/null
  lab systemctl start netns-veth@n
  serve internet
  serve n
}

# The firewalls end first, because they would change the rules again.
teardown() {
  lab bash -c 'systemctl stop firewalld test-docker; ufw --force disable; nft flush ruleset' >/dev/null 2>&1 || true
  variant nft
  lab bash -c 'for program in ip{,6}tables; do
    for table in $(</proc/net/${program/tables/_tables}_names); do
      $program-legacy --table $table --policy FORWARD ACCEPT; $program-legacy --table $table --flush; $program-legacy --table $table --delete-chain
    done
  done' >/dev/null 2>&1
  undo_test
  # docker sets this, and its policy only if it was 0.
  lab sysctl --quiet --write net.ipv4.ip_forward=0
}

# Usage: variant nft|legacy
# Sets the kind of iptables, as update-alternatives does.
variant() {
  local tool
  for tool in ip{,6}tables{,-save,-restore}; do ln -sf "xtables-$1-multi" "$LAB/root/usr/sbin/$tool"; done
}

# Usage: passes FROM ADDRESS
# Succeeds if the namespace FROM reaches a service. ufw lets each ping pass.
passes() { lab ip netns exec "$1" timeout 1 /run/sockets.py ask udp "$2" 7000 >/dev/null 2>&1; }

# Usage: serve NAME
# Starts a service in a namespace.
serve() {
  unit "test-serve-$1.service" <<END
[Service]
NetworkNamespacePath=/run/netns/$1
ExecStart=/run/sockets.py serve udp 7000
END
  lab systemctl start "test-serve-$1"
}

# Succeeds if nat@n comes up only with a warning, does not pass, and passes with NAT_HOST_FIREWALL=yes, without a way in.
opens() {
  lab systemctl start netns-nat@n
  [[ $(journal netns-nat@n.service) == *"on the host drops forwarded packets; allow those of ve-n0 there, or set NAT_HOST_FIREWALL=yes"* ]]
  run ! passes n 198.51.100.1
  run -1 lab netnsctl check nat@n
  config nat-n.conf <<<NAT_HOST_FIREWALL=yes
  lab netnsctl restart nat@n
  eventually passes n 198.51.100.1
  run ! passes internet 192.0.2.2
  run -0 lab netnsctl check nat@n
}

# Usage: publishes [LINE]
# Succeeds if the network reaches a published port.
publishes() {
  config publish-n.conf <<<"PUBLISH=(8000:7000/udp) ${1-}"
  lab netnsctl up publish@n
  [[ $(lab ip netns exec internet /run/sockets.py ask udp 198.51.100.2 8000) == '198.51.100.1 7000' ]]
  lab netnsctl check publish@n
}

# Usage: still_passes
# Succeeds if the namespace passes again soon, and check finds nothing.
still_passes() {
  eventually passes n 198.51.100.1
  eventually lab netnsctl check nat@n
}

# Usage: zones_are TEXT
zones_are() { [[ $(lab firewall-cmd --list-all-zones) == "$1" ]]; }

# The rules of iptables and ip6tables, which can read their tables.
iptables_rules() { lab bash -c 'iptables --list-rules && ip6tables --list-rules'; }

# Succeeds if iptables has no rule of the program.
unmarked() { [[ $(iptables_rules) != *systemd-netns* ]]; }

@test "firewalld: the interface is in its zone netns until down, also after a reload and a restart" {
  lab systemctl start firewalld
  eventually lab firewall-cmd --state
  before=$(lab firewall-cmd --list-all-zones)
  opens
  [[ $(lab firewall-cmd --zone=netns --list-interfaces) == ve-n0 ]]
  # The marked rules of another version of the program would be here.
  [[ $(lab nft list table inet firewalld) != *systemd-netns* ]]
  publishes
  lab firewall-cmd --reload
  still_passes
  lab systemctl restart firewalld
  still_passes
  lab systemctl stop netns-nat@n netns-publish@n
  eventually zones_are "$before"
}

@test "firewalld: without the zone, up fails with the next step, and nothing is left" {
  lab mv /usr/lib/firewalld/zones/netns.xml /usr/lib/firewalld/policies/netns-out.xml /run
  lab systemctl start firewalld
  eventually lab firewall-cmd --state
  config nat-n.conf <<<NAT_HOST_FIREWALL=yes
  run ! lab systemctl start netns-nat@n
  [[ $(journal netns-nat@n.service) == *'firewalld has not read its zone `netns` yet; fix: `firewall-cmd --reload`'* ]]
  [[ $(lab nft list tables) != *netns_* ]]
  lab mv /run/netns.xml /usr/lib/firewalld/zones
  lab mv /run/netns-out.xml /usr/lib/firewalld/policies
  lab firewall-cmd --reload
  lab systemctl start netns-nat@n
  passes n 198.51.100.1
}

@test "ufw: rules of iptables allow the packets until down, iptables can read its table, and a reload keeps them" {
  lab ufw --force enable
  lab ufw reload # adds two rules of its own
  before=$(iptables_rules)
  opens
  [[ $(iptables_rules) == *'-A FORWARD -i ve-n0 -m comment --comment "systemd-netns nat@n" -j ACCEPT'* ]]
  publishes PUBLISH_HOST_FIREWALL=yes
  lab ufw reload
  still_passes
  [[ $(lab ufw status) == *active* ]]
  lab systemctl stop netns-nat@n netns-publish@n
  eventually unmarked
  [[ $(iptables_rules) == "$before" ]]
}

@test "docker: its start shadows the rules, they return by themselves, in its chain DOCKER-USER, and are removed by down" {
  config nat-n.conf <<<NAT_HOST_FIREWALL=yes
  lab systemctl start netns-nat@n
  passes n 198.51.100.1
  unit test-docker.service <<<$'[Service]\nExecStart=/usr/sbin/dockerd --storage-driver=vfs'
  lab systemctl start test-docker
  eventually lab docker info
  [[ $(iptables_rules) == *'-P FORWARD DROP'* ]]
  still_passes
  rules=$(iptables_rules)
  [[ $rules == *'-A DOCKER-USER -i ve-n0 -m comment --comment "systemd-netns nat@n" -j ACCEPT'* && $rules != *'-A FORWARD -i ve-n0'* ]]
  run ! passes internet 192.0.2.2
  publishes PUBLISH_HOST_FIREWALL=yes
  lab systemctl restart test-docker
  still_passes
  lab systemctl stop netns-nat@n netns-publish@n
  eventually unmarked
}

# The tests below create tables of iptables-legacy, which stay until the lab ends.
@test "iptables-legacy: tables that do not exist are not created" {
  config nat-n.conf <<<NAT_HOST_FIREWALL=yes
  lab systemctl start netns-nat@n
  lab netnsctl check nat@n
  [[ -z $(lab cat /proc/net/ip_tables_names /proc/net/ip6_tables_names) ]]
}

@test "iptables-legacy: rules allow the packets in each closed table until down, and check reports missing ones" {
  variant legacy
  lab iptables --policy FORWARD DROP
  lab iptables --table mangle --append FORWARD --protocol udp --jump ACCEPT
  lab iptables --table mangle --append FORWARD --jump DROP
  lab ip6tables --append FORWARD --jump REJECT
  before=$(iptables_rules)
  opens
  [[ $(iptables_rules) == *'-A FORWARD -i ve-n0 -m comment --comment "systemd-netns nat@n" -j ACCEPT'* ]]
  [[ $(lab ip6tables --list-rules) == *'-A FORWARD -i ve-n0'* && $(lab iptables --table mangle --list-rules) == *'-A FORWARD -i ve-n0'* ]]
  publishes PUBLISH_HOST_FIREWALL=yes
  # Otherwise it may repair this after the earlier changes.
  lab systemctl kill --signal=STOP netns_watch
  lab iptables --flush FORWARD
  run ! passes n 198.51.100.1
  run -1 lab netnsctl check nat@n
  [[ $output == *"error: nat@n: the chain 'FORWARD' of the table 'filter' of iptables-legacy on the host drops forwarded packets; it has no rule for the namespace; fix: \`netnsctl restart nat@n\`"* ]]
  lab netnsctl restart nat@n publish@n
  passes n 198.51.100.1
  lab systemctl kill --signal=CONT netns_watch
  lab nft flush ruleset
  still_passes
  lab netnsctl check nat@n publish@n
  lab systemctl stop netns-nat@n netns-publish@n
  eventually unmarked
  [[ $(iptables_rules) == "$before" && $(lab iptables --table mangle --list-rules) != *systemd-netns* ]]
}

@test "iptables-legacy: without its program, up prints a warning with the package" {
  variant legacy
  lab iptables --policy FORWARD DROP
  lab mv /usr/sbin/iptables-legacy /run
  lab systemctl start netns-nat@n
  lab mv /run/iptables-legacy /usr/sbin
  [[ $(journal netns-nat@n.service) == *"warning: cannot read the table 'filter' of iptables-legacy on the host, which may drop forwarded packets: \`iptables-legacy\` is not installed; hint: \`apt install iptables\`"* ]]
}

@test "ufw with iptables-legacy: as with iptables-nft" {
  variant legacy
  lab ufw --force enable
  lab ufw reload # adds two rules of its own
  before=$(iptables_rules)
  opens
  publishes PUBLISH_HOST_FIREWALL=yes
  lab ufw reload
  still_passes
  lab systemctl stop netns-nat@n netns-publish@n
  eventually unmarked
  [[ $(iptables_rules) == "$before" ]]
}

@test "docker with iptables-legacy: the rules are in its chain DOCKER-USER" {
  variant legacy
  unit test-docker.service <<<$'[Service]\nExecStart=/usr/sbin/dockerd --storage-driver=vfs'
  lab systemctl start test-docker
  eventually lab docker info
  opens
  rules=$(iptables_rules)
  [[ $rules == *'-A DOCKER-USER -i ve-n0 -m comment --comment "systemd-netns nat@n" -j ACCEPT'* && $rules != *'-A FORWARD -i ve-n0'* ]]
  publishes PUBLISH_HOST_FIREWALL=yes
  lab systemctl restart test-docker
  still_passes
  lab systemctl stop netns-nat@n netns-publish@n
  eventually unmarked
}
