#!/usr/bin/env bats
# Attached services query only the resolver of their namespace, with systemd-resolved and nscd running on the host.

load systemd

setup_file() {
  lab_create
  lab_install
  lab_samples
  lab_packages
  local etc=$LAB/root/etc
  ln -sf ../run/systemd/resolve/stub-resolv.conf "$etc/resolv.conf"
  sed -i '/^hosts:/d' "$etc/nsswitch.conf"
  echo 'hosts: files resolve [!UNAVAIL=return] dns' >>"$etc/nsswitch.conf"
  mkdir -p "$etc/systemd/resolved.conf.d"
  printf '[Resolve]\nDNS=127.0.0.2\nDomains=~.\nDNSSEC=no\nLLMNR=no\n' >"$etc/systemd/resolved.conf.d/lab.conf"
  cp -a "$CONF" "$LAB/conf"
  lab_boot
}

# Usage: dnsmasq NAME LISTEN ANSWER LOG
# Starts a server that answers every query with one address, and logs the queries.
dnsmasq() {
  unit "$1.service" <<END
[Service]
ExecStart=/usr/sbin/dnsmasq --keep-in-foreground --conf-file=/dev/null --user=root --pid-file --no-hosts --no-resolv \
  --bind-interfaces --listen-address=$2 --address=/#/$3 --log-queries --log-facility=$4
END
}

setup() {
  dnsmasq test-host-dns 127.0.0.2 198.51.100.99 /run/host-dns.log
  dnsmasq test-dns 127.0.0.1 192.0.2.80 /run/own-dns.log
  unit test-client.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  config dns-a.conf <<<'DNS_SERVERS=127.0.0.1'
  # Without a network, systemd-resolved sends no queries.
  parent eth0
  lab ip address add 203.0.113.1/24 dev eth0
  lab systemctl start test-host-dns systemd-resolved nscd
  lab rm -f /run/own-dns.log
  ln -sf ../run/systemd/resolve/stub-resolv.conf "$LAB/root/etc/resolv.conf"
}

# Usage: resolve UNIT NAME
# Prints the result of libc in the mount namespace and the network of the unit's process.
resolve() { lab nsenter --target "$(main_pid "$1")" --mount --net "${ASK[@]}" "$2"; }
# getent(1) omits addresses that are useless on a machine with only lo.
ASK=(/usr/bin/python3 -c 'import socket, sys; print(socket.gethostbyname(sys.argv[1]))')

# Usage: queries host|own [NAME]
# Prints the number of queries for a name that the server got.
queries() { lab grep -c "query.* ${2-}" "/run/$1-dns.log" || true; }

# Usage: attached
# Attaches the service, and starts a server in its namespace.
attached() {
  lab netnsctl attach test-dns lo@a dns@a --hide-bus
  lab netnsctl attach test-client lo@a dns@a --hide-bus
  lab systemctl start test-dns test-client
  eventually lab ip netns exec a ss -Hlun sport = :53
}

@test "without its own files, a service in a namespace uses the host's resolvers" {
  unit test-plain.service <<<$'[Unit]\nRequires=netns-lo@a.service\nAfter=netns-lo@a.service\n[Service]\nNetworkNamespacePath=/run/netns/a\nExecStart=/bin/sleep infinity'
  lab systemctl start test-plain
  [[ $(resolve test-plain plain.example.org) == 198.51.100.99 ]]
  (($(queries host plain.example.org) > 0))
}

@test "an attached service queries only the server in its namespace" {
  attached
  [[ $(resolve test-client one.example.org) == 192.0.2.80 ]]
  (($(queries own one.example.org) > 0))
  (($(queries host one.example.org) == 0))
  # The host still queries its own server.
  [[ $(lab "${ASK[@]}" one.example.org) == 198.51.100.99 ]]
  (($(queries host one.example.org) > 0))
  lab netnsctl check
}

@test "an attached service queries only its server, also after systemd-resolved and nscd replace their files" {
  attached
  lab bash -c 'cd /run/systemd/resolve && for turn in 1 2 3; do cp stub-resolv.conf new && mv new stub-resolv.conf; done'
  lab systemctl restart systemd-resolved nscd
  [[ $(resolve test-client two.example.org) == 192.0.2.80 ]]
  lab bash -c 'systemctl stop nscd && rm -rf /run/nscd/* && systemctl start nscd'
  [[ $(resolve test-client three.example.org) == 192.0.2.80 ]]
  (($(queries host two.example.org) == 0 && $(queries host three.example.org) == 0))
  lab netnsctl check
}

@test "resolvers of the host that start after the service are hidden from it" {
  lab systemctl stop nscd systemd-resolved
  lab rm -rf /run/nscd
  attached
  lab systemctl start nscd systemd-resolved
  lab test -S /run/nscd/socket
  [[ $(resolve test-client late.example.org) == 192.0.2.80 ]]
  (($(queries host late.example.org) == 0))
  lab netnsctl check
}

@test "manually created files in /etc/netns/NAME have the same effect as the type dns" {
  mkdir -p "$LAB/root/etc/netns/a"
  echo 'nameserver 127.0.0.1' >"$LAB/root/etc/netns/a/resolv.conf"
  echo 'hosts: files dns' >"$LAB/root/etc/netns/a/nsswitch.conf"
  echo '192.0.2.7 printer' >"$LAB/root/etc/netns/a/hosts"
  lab netnsctl attach test-dns lo@a --hide-bus
  lab netnsctl attach test-client lo@a --hide-bus
  lab systemctl start test-dns test-client
  eventually lab ip netns exec a ss -Hlun sport = :53
  [[ $(resolve test-client printer) == 192.0.2.7 ]]
  [[ $(resolve test-client file.example.org) == 192.0.2.80 ]]
  (($(queries host file.example.org) == 0))
  lab netnsctl check
}

@test "netnsctl run queries the server in the namespace, also if /etc/resolv.conf is a link" {
  attached
  run --separate-stderr -0 lab netnsctl run a -- "${ASK[@]}" run.example.org
  [[ $output == 192.0.2.80 ]]
  (($(queries host run.example.org) == 0))
  run -0 lab netnsctl run a -- sh -c 'cat /etc/resolv.conf; ls /run/nscd; touch /run/nscd/x 2>&1 || true'
  [[ $output == *$'\nnameserver 127.0.0.1\n'*'Read-only file system'* ]]
  lab test -S /run/nscd/socket
}

@test "check finds the real resolver of a running service" {
  attached
  lab netnsctl check
  pid=$(main_pid test-client)
  # The state after the host's resolved has removed a mount.
  lab nsenter --target "$pid" --mount umount /etc/resolv.conf
  lab nsenter --target "$pid" --mount umount /run/systemd/resolve
  run -1 lab netnsctl check
  [[ $output == *"error: /etc/resolv.conf of \`test-client.service\` (process $pid) differs from /etc/netns/a/resolv.conf: it uses 127.0.0.53; \`systemctl restart test-client.service\`"* ]]
  [[ $output == *"(process $pid) can query a resolver of the host, through /run/systemd/resolve/io.systemd.Resolve"* ]]
  lab systemctl restart test-client
  lab netnsctl check
}

@test "attach warns about a regular /etc/resolv.conf, check finds its replacement, a restart fixes it, a link prevents it" {
  resolv=$LAB/root/etc/resolv.conf
  lab bash -c 'rm /etc/resolv.conf && echo nameserver 203.0.113.53 >/etc/resolv.conf'
  run --separate-stderr -0 lab netnsctl attach test-client lo@a dns@a --hide-bus
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'warning: if a program on the host replaces /etc/resolv.conf, '* ]]
  lab systemctl start test-client
  lab netnsctl check
  lab bash -c 'cp /etc/resolv.conf /etc/new && mv /etc/new /etc/resolv.conf'
  run -1 lab netnsctl check
  [[ $output == *'differs from /etc/netns/a/resolv.conf: it uses 203.0.113.53; `systemctl restart test-client.service`, each time'*'Replaced files'* ]]
  lab systemctl restart test-client
  lab netnsctl check
  # The suggested commands.
  lab bash -c 'mkdir /etc/resolver && mv /etc/resolv.conf /etc/resolver/ && ln -s resolver/resolv.conf /etc/'
  run -1 lab netnsctl check
  [[ $output == *'run `netnsctl attach test-client.service lo@a dns@a --hide-bus`, then'* ]]
  run --separate-stderr -0 lab netnsctl attach test-client lo@a dns@a --hide-bus --now
  [[ $stderr == *'warning: /etc/resolv.conf is a link: if a program replaces files in '*'if a program replaces the link itself'* && $stderr != *'if a program on the host'* ]]
  lab bash -c 'cp /etc/resolver/resolv.conf /etc/resolver/new && mv /etc/resolver/new /etc/resolver/resolv.conf'
  lab netnsctl check
  # The link itself is replaced, as the warning says.
  lab bash -c 'echo nameserver 203.0.113.53 >/etc/new && mv /etc/new /etc/resolv.conf'
  run -1 lab netnsctl check
  [[ $output == *'differs from /etc/netns/a/resolv.conf: it uses 203.0.113.53; `systemctl restart test-client.service`'* ]]
  rm -r "$resolv" "$LAB/root/etc/resolver"
}

@test "netnsctl run uses the namespace's resolver if /etc/resolv.conf is a dangling link, or fails" {
  lab netnsctl up dns@a
  ln -sf ../run/systemd/resolve/none.conf "$LAB/root/etc/resolv.conf"
  run --separate-stderr -0 lab netnsctl run a -- tail -1 /etc/resolv.conf
  [[ $output == 'nameserver 127.0.0.1' ]]
  ln -sf ../run/nowhere/resolv.conf "$LAB/root/etc/resolv.conf"
  run --separate-stderr -1 lab netnsctl run a -- true
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'/etc/resolv.conf is a dangling link'* ]]
}

@test "a mount of the unit that shows a resolver of the host is reported, with the next step" {
  unit test-client.service.d/first.conf <<<$'[Service]\nBindReadOnlyPaths=/run/systemd/resolve:/run/systemd/resolve'
  run --separate-stderr -0 lab netnsctl attach test-client lo@a dns@a --hide-bus
  [[ $stderr == *'of `test-client.service` exposes a resolver of the host; remove this setting'* ]]
  lab systemctl start test-client
  run -1 lab netnsctl check
  [[ $output == *'of `test-client.service` exposes a resolver of the host; remove this setting'* ]]
  [[ $output != *'can query a resolver of the host'* ]]
}

@test "starting the service writes the files, and a restart of dns@NAME applies new ones to the running service" {
  attached
  pid=$(main_pid test-client)
  [[ $(lab nsenter --target "$(main_pid test-client)" --mount tail -1 /etc/resolv.conf) == 'nameserver 127.0.0.1' ]]
  config dns-a.conf <<<$'DNS_SERVERS="127.0.0.1 192.0.2.53"\nDNS_HOSTS="192.0.2.9 db"'
  lab netnsctl restart dns@a
  up test-client
  (($(main_pid test-client) == pid))
  [[ $(lab nsenter --target "$pid" --mount tail -1 /etc/resolv.conf) == 'nameserver 192.0.2.53' ]]
  config dns-a.conf <<<$'DNS_SERVERS=127.0.0.1\nDNS_HOSTS="192.0.2.9 db"'
  lab netnsctl restart dns@a
  [[ $(lab nsenter --target "$pid" --mount grep -c . /etc/resolv.conf) == 2 ]]
  [[ $(lab nsenter --target "$pid" --mount grep nameserver /etc/resolv.conf) == 'nameserver 127.0.0.1' ]]
  # The service had no file `hosts` when it started.
  run -1 lab netnsctl check
  [[ $output == *'files of /etc/netns/a or of the host'*'run `netnsctl attach test-client.service lo@a dns@a --hide-bus`, then'* ]]
  lab netnsctl attach --now test-client lo@a dns@a --hide-bus
  lab systemctl start test-dns
  [[ $(resolve test-client db) == 192.0.2.9 ]]
  lab systemctl stop netns-dns@a
  is test-client inactive
  eventually lab test ! -e /etc/netns/a
}

@test "a service does not start with the host's resolver in place of a missing file" {
  attached
  lab systemctl stop test-client
  lab rm /etc/netns/a/resolv.conf
  lab systemctl start test-client # succeeds as soon as the process exists
  eventually is test-client failed
  eventually lab netnsctl restart dns@a
  lab systemctl start test-client
  eventually runs_its_program "$(main_pid test-client)"
  [[ $(resolve test-client four.example.org) == 192.0.2.80 ]]
}

@test "names with colons and hyphens have their own files" {
  for name in c:d my-net; do
    config "dns-$name.conf" <<<'DNS_SERVERS=192.0.2.53'
    lab netnsctl attach test-client "dns@$name" --hide-bus --now
    lab systemctl start test-client
    is_in "$name" test-client
    [[ $(lab nsenter --target "$(main_pid test-client)" --mount tail -1 /etc/resolv.conf) == 'nameserver 192.0.2.53' ]]
    lab netnsctl check
    lab netnsctl down --recursive "dns@$name"
    is test-client inactive
  done
}
