#!/usr/bin/env bats
# dns: name resolution in the namespace.

load kernel

OWN=/etc/netns/a

@test "the files contain the settings, with the host's nsswitch.conf except for hosts" {
  config dns-a.conf <<'END'
DNS_SERVERS="192.0.2.53
  2001:db8::53 fe80::1%eth0"
DNS_SEARCH="example.org example.net"
DNS_OPTIONS="timeout:2 edns0"
DNS_HOSTS="192.0.2.7 printer
192.0.2.8 db"
END
  up dns a
  [[ $(tail -n +2 $OWN/resolv.conf) == $'nameserver 192.0.2.53\nnameserver 2001:db8::53\nnameserver fe80::1%eth0\nsearch example.org example.net\noptions timeout:2 edns0' ]]
  [[ $(tail -n +2 $OWN/hosts) == $'127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n192.0.2.7 printer\n192.0.2.8 db' ]]
  [[ $(grep -v ^hosts: /etc/nsswitch.conf) == "$(tail -n +2 $OWN/nsswitch.conf | grep -v ^hosts:)" ]]
  [[ $(grep ^hosts: $OWN/nsswitch.conf) == 'hosts: files dns' ]]
  [[ $(stat -c %a $OWN/*) == $'644\n644\n644' ]]
  [[ $(ip netns exec a tail -n 1 /etc/hosts) == '192.0.2.8 db' ]]
}

@test "up and down leave nothing behind, also after a change of the .conf" {
  config dns-a.conf <<<$'DNS_SERVERS=192.0.2.53\nDNS_HOSTS="192.0.2.7 printer"'
  before=$(find /etc | sort)
  up dns a
  [[ $(find $OWN -type f | wc -l) == 3 ]]
  config dns-a.conf <<<''
  down dns a
  [[ $(find /etc -not -path '/etc/netns*' | sort) == "$before" && -z $(find /etc/netns -type f) && ! -e $OWN ]]
}

@test "without DNS_HOSTS the host's file stays, and a restart applies the present settings" {
  config dns-a.conf <<<DNS_SERVERS=192.0.2.53
  up dns a
  [[ ! -e $OWN/hosts ]]
  config dns-a.conf <<<$'DNS_SERVERS=192.0.2.54\nDNS_HOSTS="192.0.2.7 printer"'
  restart_inside dns a
  [[ $(tail -n 1 $OWN/resolv.conf) == 'nameserver 192.0.2.54' && -e $OWN/hosts ]]
  config dns-a.conf <<<DNS_SERVERS=192.0.2.54
  restart_inside dns a
  [[ ! -e $OWN/hosts ]]
}

@test "without servers, or with an invalid address, up fails and writes nothing" {
  create a
  for setting in '' DNS_SERVERS= DNS_SERVERS=example.org 'DNS_SERVERS="192.0.2.1 *"' DNS_SERVERS=192.0.2 \
    DNS_SERVERS=192.0.2.{256,999,01,1.1} DNS_SERVERS={:,:::,1::2::3,1:2,12345::,1:2:3:4:5:6:7:8:9,1::2:3:4:5:6:7:8,::1%,::256.0.0.1}; do
    config dns-a.conf <<<"$setting"
    run --separate-stderr hook dns a up outside
    reported DNS_SERVERS
    [[ ! -e $OWN ]]
  done
}

@test "an invalid domain or line of hosts(5) is refused, and nothing is written" {
  create a
  for setting in DNS_SEARCH="'a;b'" DNS_HOSTS=nonsense DNS_HOSTS=192.0.2.7 DNS_HOSTS="'192.0.2.7 a;b'"; do
    config dns-a.conf <<<"DNS_SERVERS=192.0.2.1"$'\n'"$setting"
    run --separate-stderr hook dns a up outside
    reported "${setting%%=*}"
    [[ ! -e $OWN ]]
  done
  config dns-a.conf <<<$'DNS_SERVERS=192.0.2.1\nDNS_HOSTS="# mine\n\n192.0.2.7 printer db # both"'
  hook dns a up outside
}

@test "every address that libc accepts is accepted" {
  servers='0.0.0.0 255.255.255.255 :: ::1 1:: 2001:db8::53 1:2:3:4:5:6:7:8 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 ::ffff:192.0.2.1 fe80::1%eth0'
  config dns-a.conf <<<"DNS_SERVERS='$servers'"
  up dns a
  for server in $servers; do
    grep -qFx "nameserver $server" $OWN/resolv.conf
    python3 -c 'import socket, sys; a = sys.argv[1].split("%")[0]; socket.inet_pton(socket.AF_INET6 if ":" in a else socket.AF_INET, a)' "$server"
  done
}

@test "the last line of the host's nsswitch.conf may lack a newline" {
  config dns-a.conf <<<DNS_SERVERS=192.0.2.53
  create a
  printf 'hosts: files\npasswd: files systemd' >"$BATS_TEST_TMPDIR/nsswitch.conf"
  mount --bind "$BATS_TEST_TMPDIR/nsswitch.conf" /etc/nsswitch.conf
  hook dns a up outside
  umount /etc/nsswitch.conf
  [[ $(tail -n +2 $OWN/nsswitch.conf) == $'passwd: files systemd\nhosts: files dns' ]]
}

@test "a foreign file is refused, not overwritten, and stays on down" {
  config dns-a.conf <<<DNS_SERVERS=192.0.2.53
  create a
  for file in resolv.conf nsswitch.conf; do
    mkdir -p $OWN
    echo mine >"$OWN/$file"
    run --separate-stderr hook dns a up outside
    reported "cannot replace '$OWN/$file': it was not written by the type dns"
    hook dns a down outside
    [[ $(find $OWN -type f) == "$OWN/$file" && $(<"$OWN/$file") == mine ]]
    rm -r $OWN
  done
}

@test "a foreign file in the directory stays, with the directory" {
  config dns-a.conf <<<DNS_SERVERS=192.0.2.53
  mkdir -p $OWN
  echo mine >$OWN/services
  up dns a
  down dns a
  [[ $(find $OWN -type f) == "$OWN/services" ]]
}

@test "every hook can run twice" {
  config dns-a.conf <<<DNS_SERVERS=192.0.2.53
  each_hook_twice dns a test -e $OWN/resolv.conf
}

@test "check reports a missing or changed file of the type dns" {
  config dns-a.conf <<<DNS_SERVERS=192.0.2.53
  checks() { bash -c "NSTYPE=dns NSNAME=a; source '$ROOT/src/bash/library/resolver.sh'; source '$SHARE/dns.sh'; source '$CONF/dns-a.conf'; configure_dns_check_outside a"; }
  up dns a
  [[ -z $(checks) ]]
  echo 'nameserver 192.0.2.99' >>$OWN/resolv.conf
  rm $OWN/nsswitch.conf
  run -0 checks
  [[ $output == "'$OWN/resolv.conf' differs from the settings"$'\n'"'$OWN/nsswitch.conf' is missing" ]]
}
