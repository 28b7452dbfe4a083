#!/usr/bin/env bats
# netnsctl leaktest: which packets leave a real namespace, with real firewalls on both sides.

load ../engine/engine

# Two joined namespaces: `a` is tested, and `b` has a web server on port 80 and a UDP echo server on port 7.
setup() {
  ip netns add a
  ip netns add b
  ip link add in-a netns a type veth peer name in-b netns b
  local name
  for name in a b; do
    ip -netns "$name" link set dev lo up
    ip -netns "$name" link set dev "in-$name" up
  done
  ip -netns a address add 198.51.100.1/30 dev in-a
  ip -netns b address add 198.51.100.2/30 dev in-b
  ip -netns a address add 2001:db8:7::1/64 dev in-a nodad
  ip -netns b address add 2001:db8:7::2/64 dev in-b nodad
  serve 'import socket, threading
from http.server import ThreadingHTTPServer, BaseHTTPRequestHandler
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("198.51.100.2", 7))
# Every query is answered with "no such name".
dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
dns.bind(("198.51.100.2", 53))
def echo():
    while True:
        data, peer = udp.recvfrom(512)
        udp.sendto(data, peer)
def answer():
    while True:
        data, peer = dns.recvfrom(512)
        dns.sendto(data[:2] + b"\x81\x83" + data[4:6] + bytes(6) + data[12:], peer)
for each in echo, answer: threading.Thread(target=each, daemon=True).start()
ThreadingHTTPServer(("198.51.100.2", 80), BaseHTTPRequestHandler).serve_forever()'
}

# Usage: serve PYTHON
# Runs the program in `b` for at most a minute, until it listens on port 80.
serve() {
  ip netns exec b timeout 60 python3 -c "$1" 3>&- &
  SERVER=$!
  until [[ $(ip netns exec b ss -Hltn 'sport = :80') ]]; do
    kill -0 "$SERVER"
    sleep 0.02
  done
}

# Usage: rules NAME <<<RULES
rules() { ip netns exec "$1" nft -f -; }

# Usage: measured TARGET...
# Prints the lines of the table for `a`, with single blanks.
measured() { netnsctl leaktest a "$@" | sed '1d; s/  */ /g'; }

# Usage: shows LINES LINE...
# Succeeds if each LINE is one of the LINES.
shows() {
  local line
  for line in "${@:2}"; do
    grep --quiet --line-regexp --fixed-strings "$line" <<<"$1" || {
      printf 'not shown: %s\nbut:\n%s\n' "$line" "$1" >&2
      return 1
    }
  done
}

@test "without a firewall each attempt passes or is refused, with its interface and route" {
  shown=$(measured 198.51.100.2:80 198.51.100.2:7 198.51.100.2 '[2001:db8:7::2]:80' 2001:db8:7::2)
  kill "$SERVER"
  shows "$shown" 'tcp 198.51.100.2:80 passes in-a 198.51.100.0/30 -' \
    'udp 198.51.100.2:80 refused in-a 198.51.100.0/30 Connection refused' \
    'udp 198.51.100.2:7 passes in-a 198.51.100.0/30 -' \
    'tcp 198.51.100.2:7 refused in-a 198.51.100.0/30 Connection refused' \
    'icmp 198.51.100.2 passes in-a 198.51.100.0/30 -' \
    'tcp [2001:db8:7::2]:80 refused in-a 2001:db8:7::/64 Connection refused' \
    'icmp 2001:db8:7::2 passes in-a 2001:db8:7::/64 -'
}

@test "an attempt that the output rules drop is blocked; the accepting rule of another is shown" {
  rules a <<'END'
table inet filter {
  chain output {
    type filter hook output priority filter; policy drop;
    tcp dport { 80, 81 } accept
    udp dport 7 drop
    icmp type echo-request accept
    meta l4proto icmpv6 icmpv6 type nd-neighbor-solicit accept
  }
}
END
  shown=$(measured 198.51.100.2:80 198.51.100.2:7 198.51.100.2:81 198.51.100.2 2001:db8:7::2)
  kill "$SERVER"
  shows "$shown" 'tcp 198.51.100.2:80 passes in-a 198.51.100.0/30 inet filter output: tcp dport { 80, 81 } accept' \
    'tcp 198.51.100.2:81 refused in-a 198.51.100.0/30 inet filter output: tcp dport { 80, 81 } accept; Connection refused' \
    'tcp 198.51.100.2:7 blocked in-a 198.51.100.0/30 inet filter output: policy drop' \
    'udp 198.51.100.2:7 blocked in-a 198.51.100.0/30 inet filter output: udp dport 7 drop; Operation not permitted' \
    'icmp 198.51.100.2 passes in-a 198.51.100.0/30 inet filter output: icmp type echo-request accept' \
    'icmp 2001:db8:7::2 blocked in-a 2001:db8:7::/64 inet filter output: policy drop; Operation not permitted'
}

@test "an attempt that the namespace rejects is blocked; one that the peer rejects is refused" {
  rules a <<<'table inet filter { chain output { type filter hook output priority filter; tcp dport 81 reject with tcp reset; }; }'
  rules b <<<'table inet filter { chain input { type filter hook input priority filter; tcp dport 82 reject with tcp reset; }; }'
  shown=$(measured 198.51.100.2:81 198.51.100.2:82)
  kill "$SERVER"
  shows "$shown" 'tcp 198.51.100.2:81 blocked in-a 198.51.100.0/30 inet filter output: tcp dport 81 reject with tcp reset; Connection refused' \
    'tcp 198.51.100.2:82 refused in-a 198.51.100.0/30 inet filter output: policy accept; Connection refused'
}

@test "an attempt is unanswered if the peer drops it, or the namespace drops the answer" {
  rules a <<<'table inet filter { chain input { type filter hook input priority filter; udp sport 7 drop; }; }'
  rules b <<<'table inet filter { chain input { type filter hook input priority filter; tcp dport 83 drop; icmp type echo-request drop; }; }'
  shown=$(measured 198.51.100.2:83 198.51.100.2 198.51.100.2:7)
  kill "$SERVER"
  shows "$shown" 'tcp 198.51.100.2:83 unanswered in-a 198.51.100.0/30 -' \
    'icmp 198.51.100.2 unanswered in-a 198.51.100.0/30 -' \
    'udp 198.51.100.2:7 unanswered in-a 198.51.100.0/30 the answer was dropped by inet filter input: udp sport 7 drop'
}

@test "a missing answer is explained by the host's setting, route or rule, and the host is not changed" {
  kill "$SERVER"
  local name number=5 all=/proc/sys/net/ipv4
  for name in c d; do
    ip netns add "$name"
    ip link add "to-$name" type veth peer name "in-$name" netns "$name"
    ip address add "198.51.100.$number/30" dev "to-$name"
    ip link set dev "to-$name" up
    ip -netns "$name" address add "198.51.100.$((number + 1))/30" dev "in-$name"
    ip -netns "$name" link set dev "in-$name" up
    ip -netns "$name" route add default via "198.51.100.$number"
    echo 0 >"$all/conf/to-$name/rp_filter"
    number=9
  done
  echo 0 | tee "$all/ip_forward" "$all/conf/all/rp_filter" >/dev/null
  # Usage: explained REASON
  # Succeeds if the ping from c to d is unanswered with this reason, which may be a pattern.
  explained() {
    run -0 netnsctl leaktest --no-legend c 198.51.100.10
    # shellcheck disable=SC2053 # a pattern
    [[ $(grep ^icmp <<<"$output" | sed 's/  */ /g') == 'icmp 198.51.100.10 unanswered in-c default via 198.51.100.5'${1:+ $1} ]] || {
      echo "$output" >&2
      return 1
    }
  }
  explained "the host does not forward it: net.ipv4.ip_forward is 0"
  echo 1 >"$all/ip_forward"
  echo 0 >"$all/conf/to-c/forwarding"
  explained "the host does not forward it: net.ipv4.conf.to-c.forwarding is 0"
  echo 1 >"$all/conf/to-c/forwarding"

  nft 'table inet f { chain forward { type filter hook forward priority filter; policy drop; ct state established accept; }; }'
  before=$(nft list ruleset)
  explained 'a chain of the host may drop it: inet f forward (policy drop)'
  [[ $(nft list ruleset) == "$before" ]]
  nft flush ruleset
  nft 'table ip f { chain c { ip daddr 198.51.100.10 counter drop; }; chain forward { type filter hook forward priority filter; jump c; }; }'
  explained 'a rule of the host has dropped * packets: ip f c: ip daddr 198.51.100.10 drop'
  nft flush ruleset
  # A table of an instance comes last, and a dormant table drops nothing.
  nft 'table inet netns_t-c { chain forward { type filter hook forward priority -1; policy accept; ip daddr 192.0.2.1 drop; }; }
    table inet f { chain forward { type filter hook forward priority filter; policy drop; }; }
    table inet g { flags dormant; chain forward { type filter hook forward priority filter; policy drop; }; }'
  explained 'a chain of the host may drop it: inet f forward (policy drop), inet netns_t-c forward'
  nft flush ruleset
  # The host answers. A rule for other addresses is not named.
  echo 0 >"$all/icmp_ratelimit"
  nft 'table inet f { chain forward { type filter hook forward priority filter; ip daddr 198.51.100.0/28 counter reject with icmpx admin-prohibited; }; }'
  explained 'No route to host; a rule of the host has dropped * packets: inet f forward: ip daddr 198.51.100.0/28 reject with icmpx admin-prohibited'
  run -0 netnsctl leaktest --no-legend c 198.51.100.10:9 198.51.100.77:9
  [[ $(grep -F 198.51.100.10 <<<"$output") == *"dropped"* && $(grep -F 198.51.100.77 <<<"$output") != *"ip daddr"* ]]
  nft flush ruleset

  ip route add 198.51.100.6/32 dev to-d
  explained "no way back: the host's route to 198.51.100.6 uses to-d, not to-c"
  echo 1 >"$all/conf/to-c/rp_filter"
  explained "the host drops it: net.ipv4.conf.to-c.rp_filter is 1, and the host's route to 198.51.100.6 uses to-d"
  ip route delete 198.51.100.6/32 dev to-d
  echo 0 >"$all/conf/to-c/rp_filter"
  # The answers of d come by another way.
  ip link add to-e type veth peer name in-e netns d
  ip address add 198.51.100.13/30 dev to-e
  ip link set dev to-e up
  ip -netns d address add 198.51.100.14/30 dev in-e
  ip -netns d link set dev in-e up
  ip netns exec d sysctl -q -w net.ipv4.conf.{all,in-d}.rp_filter=0
  ip -netns d route add 198.51.100.4/30 via 198.51.100.13
  echo 1 >"$all/conf/to-e/forwarding"
  echo 1 >"$all/conf/to-e/rp_filter"
  explained ""
  ip route add default via 198.51.100.14 table 7
  explained "the host may drop the answer: net.ipv4.conf.to-e.rp_filter is 1, and the host's route to 198.51.100.10 uses to-d"
  ip link delete dev to-e

  nft 'table inet f { chain input { type filter hook input priority filter; policy drop; }; }'
  run -0 netnsctl leaktest c 198.51.100.5
  [[ $output == *'a chain of the host may drop it: inet f input (policy drop)'* ]]
  nft flush ruleset
  run -0 netnsctl leaktest c 198.51.100.10
  [[ $output == *icmp*passes* ]]

  ip address add 2001:db8:8::1/64 dev to-c nodad
  ip address add 2001:db8:9::1/64 dev to-d nodad
  ip -netns c address add 2001:db8:8::2/64 dev in-c nodad
  ip -netns c route add default via 2001:db8:8::1
  run -0 netnsctl leaktest c 2001:db8:9::2
  [[ $output == *'the host does not forward it: net.ipv6.conf.all.forwarding is 0'* ]]
  # Since Linux 6.17.
  if [[ -e /proc/sys/net/ipv6/conf/to-c/force_forwarding ]]; then
    echo 1 >/proc/sys/net/ipv6/conf/to-c/force_forwarding
    run -0 netnsctl leaktest c 2001:db8:9::2
    [[ $output != *'does not forward it'* ]]
  fi
  echo 0 >"$all/ip_forward"
}

@test "an attempt without a route, with a dead route, or without IPv6 is blocked" {
  kill "$SERVER"
  ip -netns a route add prohibit 203.0.113.0/24
  ip netns exec a sysctl -q net.ipv6.conf.all.disable_ipv6=1
  shown=$(measured 192.0.2.1:80 203.0.113.1:80 '[2001:db8::1]:80')
  shows "$shown" 'tcp 192.0.2.1:80 blocked - - Network is unreachable' \
    'udp 203.0.113.1:80 blocked - - Permission denied'
  [[ $shown == *'tcp [2001:db8::1]:80 blocked - - '* ]]
}

@test "by default the other end of each link, an address behind it, and a name are tried" {
  ip -netns a route add default via 198.51.100.2
  run -0 netnsctl leaktest a --json
  kill "$SERVER"
  # shellcheck disable=SC2154 # set by run
  tried=$(jq --raw-output '.items[] | select(.protocol == "icmp" or .protocol == "dns") | "\(.target) \(.route)"' <<<"$output")
  diff --label expected --label shown --unified - <(echo "$tried") <<'END'
198.51.100.2 198.51.100.0/30
2001:db8:7::2 2001:db8:7::/64
192.0.2.1 default via 198.51.100.2
2001:db8::1 null
leaktest.invalid null
END
}

@test "a name is resolved with the files of the namespace" {
  mkdir -p /etc/netns/a
  echo 'nameserver 198.51.100.2' >/etc/netns/a/resolv.conf
  echo '192.0.2.80 known.test' >/etc/netns/a/hosts
  mounts=$(</proc/self/mountinfo)
  shown=$(measured --dns known.test --dns unknown.test 198.51.100.2:80)
  rules a <<<'table inet filter { chain output { type filter hook output priority filter; udp dport 53 drop; }; }'
  later=$(measured --dns unknown.test 198.51.100.2:80)
  kill "$SERVER"
  [[ $(</proc/self/mountinfo) == "$mounts" ]] # no other process has the mounts for the lookups
  rm -r /etc/netns/a
  shows "$shown" 'dns known.test passes - - servers in /etc/netns/a/resolv.conf: 198.51.100.2' \
    'dns unknown.test refused - - Name or service not known; servers in /etc/netns/a/resolv.conf: 198.51.100.2'
  shows "$later" 'dns unknown.test unanswered - - Temporary failure in name resolution; servers in /etc/netns/a/resolv.conf: 198.51.100.2'
}

@test "a possible answer of a daemon of the host is reported" {
  mkdir -p /run/nscd
  python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("/run/nscd/socket")'
  shown=$(measured --dns localhost 198.51.100.2:80)
  mkdir -p /etc/netns/a
  echo 'nameserver 198.51.100.2' >/etc/netns/a/resolv.conf
  own=$(measured --dns unknown.test 198.51.100.2:80)
  kill "$SERVER"
  rm -r /etc/netns/a /run/nscd
  [[ $shown == *'dns localhost passes - - '*'; /run/nscd/socket can also have answered, from the network of the host'* ]]
  # A hidden resolver cannot have answered.
  shows "$own" 'dns unknown.test refused - - Name or service not known; servers in /etc/netns/a/resolv.conf: 198.51.100.2'
}

@test "the rules are unchanged afterwards, to the byte, also after a failure" {
  rules a <<'END'
table inet filter {
  chain output {
    type filter hook output priority -300; policy drop;
    counter accept
  }
}
END
  rules b <<<'table inet filter { chain input { type filter hook input priority filter; tcp dport 83 drop; }; }'
  all() { ip netns exec a nft --stateless --handle list ruleset; }
  before=$(all)
  measured 198.51.100.2:80
  [[ $(all) == "$before" ]]
  for signal in TERM INT KILL; do
    # In bash, background processes ignore SIGINT.
    env --default-signal=INT netnsctl leaktest a 198.51.100.2:83 >/dev/null 2>&1 3>&- &
    measuring=$!
    until [[ $(all) == *netnsctl_leaktest* ]]; do
      kill -0 "$measuring"
      sleep 0.01
    done
    kill -"$signal" "$measuring"
    run ! wait "$measuring"
    for ((try = 0; try < 100; try++)); do
      [[ $(all) != "$before" ]] || break
      sleep 0.02
    done
    [[ $(all) == "$before" ]]
  done
  kill "$SERVER"
  [[ -z $(pgrep --exact nft) && ! -e ~/.nft.history ]]
}

@test "an attempt sends a few packets, as the counters of the rules show" {
  rules a <<<'table inet filter { chain output { type filter hook output priority filter; tcp dport 80 counter accept; }; }'
  measured 198.51.100.2:80
  kill "$SERVER"
  # A connection that is opened and closed has three packets, and one that closes it.
  packets=$(ip netns exec a nft -j list ruleset | jq '.nftables[].rule.expr[]?.counter.packets // empty')
  ((packets >= 2 && packets <= 5))
}

@test "--expect succeeds, or reports each difference with status 1" {
  rules a <<<'table inet filter { chain output { type filter hook output priority filter; tcp dport 81 drop; }; }'
  expected=$BATS_TEST_TMPDIR/expected
  cat >"$expected" <<'END'
# what is to be
tcp 198.51.100.2:80 passes
tcp 198.51.100.2:81 blocked   # by the firewall
icmp 2001:db8::1 fails
dns leaktest.invalid fails
udp 198.51.100.2:80 refused|unanswered
END
  run --separate-stderr -0 netnsctl leaktest a --expect "$expected"
  [[ -z $stderr ]]
  cat >"$expected" <<'END'
tcp 198.51.100.2:80 blocked
tcp 198.51.100.2:81 passes
icmp 198.51.100.2 passes
END
  run --separate-stderr -1 netnsctl leaktest a --expect "$expected" --json
  kill "$SERVER"
  # shellcheck disable=SC2154 # set by run
  diff --label expected --label said --unified - <(echo "$stderr") <<'END'
netnsctl: tcp 198.51.100.2:80: expected blocked, but passes; inet filter output: policy accept
netnsctl: tcp 198.51.100.2:81: expected passes, but blocked; inet filter output: tcp dport 81 drop
END
  [[ $(jq '.items | length' <<<"$output") == 3 ]]
}

@test "--from is refused with targets and expectations, and its usage has none" {
  for arguments in 192.0.2.1 '--dns x' '--expect /dev/null'; do
    # shellcheck disable=SC2086 # several words
    run ! netnsctl leaktest --from host a $arguments
    [[ $output == *'cannot be used with'* ]]
  done
  run -0 netnsctl leaktest --help
  [[ $output == *$'netnsctl leaktest [OPTIONS] --from <NAME> <NAME>\n'* ]]
}

@test "an invalid expectation or target is refused before any packet is sent" {
  kill "$SERVER"
  echo 'tcp 198.51.100.2 passes' >"$BATS_TEST_TMPDIR/expected"
  run --separate-stderr -2 netnsctl leaktest a --expect "$BATS_TEST_TMPDIR/expected"
  [[ $stderr == *'expected:1: invalid target "198.51.100.2" for tcp'* ]]
  run -2 netnsctl leaktest a --expect /nosuch
  run -2 netnsctl leaktest a example.com
  run -2 netnsctl leaktest a fe80::1
}

@test "nothing is sent from the namespace of the host, or for a missing namespace" {
  kill "$SERVER"
  run --separate-stderr -1 netnsctl leaktest nosuch
  [[ $stderr == *'namespace `nosuch` does not exist'* ]]
  ip netns attach machine 1
  strace -f -qq -e trace=network -o "$BATS_TEST_TMPDIR/trace" netnsctl leaktest machine >"$BATS_TEST_TMPDIR/said" 2>&1 && false
  ip netns delete machine
  grep --quiet 'is the namespace of the machine itself' "$BATS_TEST_TMPDIR/said"
  [[ ! -s $BATS_TEST_TMPDIR/trace ]]
}

@test "a missing capability is named" {
  kill "$SERVER"
  run --separate-stderr -1 setpriv --reuid nobody --clear-groups netnsctl leaktest a
  [[ $stderr == *CAP_SYS_ADMIN* ]]
  run --separate-stderr -1 setpriv --bounding-set -net_raw --inh-caps -net_raw netnsctl leaktest a
  [[ $stderr == *CAP_NET_RAW* ]]
}

@test "without nft the test runs, and reports that rules are unknown" {
  mkdir "$BATS_TEST_TMPDIR/bin"
  ln -s "$(type -P netnsctl)" "$BATS_TEST_TMPDIR/bin/netnsctl"
  run --separate-stderr -0 env PATH="$BATS_TEST_TMPDIR/bin" netnsctl leaktest a 198.51.100.2:80
  kill "$SERVER"
  [[ $output == *passes* && $stderr == *'the rules that decide are not shown: cannot run nft'* ]]
}

@test "the JSON output matches its schema" {
  document=$BATS_TEST_TMPDIR/document.json
  netnsctl leaktest a --json >"$document"
  kill "$SERVER"
  PYTHONPATH='' /usr/bin/jsonschema --instance "$document" "$ROOT/docs/json/leaktest.json"
}
