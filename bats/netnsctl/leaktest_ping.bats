#!/usr/bin/env bats
# netnsctl leaktest: only a reply from the target to this ping counts.

load ../engine/engine

# Two joined namespaces: `a` is tested, and `b` has many addresses, and answers no ping by itself.
setup() {
  ip netns add a
  ip netns add b
  ip link add in-a netns a type veth peer name in-b netns b
  local name number
  for name in a b; do
    ip -netns "$name" link set dev lo up
    ip -netns "$name" link set dev "in-$name" up
  done
  ip netns exec b sysctl -q net.ipv4.icmp_echo_ignore_all=1 net.ipv6.icmp.echo_ignore_all=1
  ip -netns a address add 198.51.100.1/24 dev in-a
  ip -netns a address add 2001:db8:7::1/64 dev in-a nodad
  for number in {2..22}; do
    ip -netns b address add "198.51.100.$number/24" dev in-b
    ip -netns b address add "2001:db8:7::$number/64" dev in-b nodad
  done
  answer 3>&- &
  ANSWERS=$!
  eventually test -e "$BATS_TEST_TMPDIR/ready"
}

teardown() {
  kill "$ANSWERS" || true
  ip netns delete a
  ip netns delete b
}

# Usage: answer
# Answers each ping in `b`. The last part of the target selects the kind of answer.
answer() {
  exec ip netns exec b timeout 120 python3 - "$BATS_TEST_TMPDIR/ready" <<'END_OF_PYTHON'
import socket, struct, sys

RIGHT, SOURCE, ID, SEQUENCE, PAYLOAD, ERROR, OTHER_ERROR, OTHER_TARGET = range(2, 10)

def checked(icmp):
    total = sum(struct.unpack(f"!{len(icmp) // 2}H", icmp))
    total = (total & 0xffff) + (total >> 16)
    return icmp[:2] + struct.pack("!H", ~((total & 0xffff) + (total >> 16)) & 0xffff) + icmp[4:]

def changed(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1:]

def answer(family, host, header, request, to):
    source, protocol = host, socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    number = int(host.replace(":", ".").rpartition(".")[2])
    reply, error = (0, bytes([3, 3])) if family == socket.AF_INET else (129, bytes([1, 4]))
    packet = bytes([reply, 0, 0, 0]) + request[4:]
    if number == SOURCE: source = host[:-1] + "2"
    elif number == ID: packet = changed(packet, 5)
    elif number == SEQUENCE: packet = changed(packet, 7)
    elif number == PAYLOAD: packet = changed(packet, len(packet) - 1)
    elif number == ERROR: packet = error + bytes(6) + header + request
    elif number == OTHER_ERROR: packet = error + bytes(6) + header + changed(request, 7)
    elif number == OTHER_TARGET: packet = error + bytes(6) + changed(header, len(header) - 1) + request
    elif number != RIGHT: return
    with socket.socket(family, socket.SOCK_RAW, protocol) as out:
        out.bind((source, 0))
        out.sendto(checked(packet), (to, 0))

pings = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
open(sys.argv[1], "w").close()
while True:
    packet, where = pings.recvfrom(2048)
    if where[2] == socket.PACKET_OUTGOING: continue
    if where[1] == 0x800 and packet[9] == 1 and packet[20] == 8:
        ends = [socket.inet_ntop(socket.AF_INET, packet[at:at + 4]) for at in (16, 12)]
        answer(socket.AF_INET, ends[0], packet[:20], packet[20:], ends[1])
    elif where[1] == 0x86dd and packet[6] == 58 and packet[40] == 128:
        ends = [socket.inet_ntop(socket.AF_INET6, packet[at:at + 16]) for at in (24, 8)]
        answer(socket.AF_INET6, ends[0], packet[:40], packet[40:], ends[1])
END_OF_PYTHON
}

# Usage: verdicts TARGET...
# Prints the last part of each target, and its verdict.
verdicts() {
  netnsctl leaktest a "$@" --json |
    jq --raw-output '.items[] | select(.protocol == "icmp") | "\(.target | split("[.:]"; null) | last) \(.verdict)"'
}

# Usage: compare SHOWN LINE...
# Succeeds if these are the LINEs for the IPv4 targets, and again for the IPv6 targets.
compare() { diff --label expected --label shown --unified <(printf '%s\n' "${@:2}" "${@:2}") <(echo "$1"); }

@test "of many addresses pinged at once, only the one that answers passes" {
  # The kernel answers before all sockets are connected.
  kill "$ANSWERS"
  ip netns exec b sysctl -q net.ipv4.icmp_echo_ignore_all=0 net.ipv6.icmp.echo_ignore_all=0
  ip netns exec b nft -f - <<'RULES'
table inet filter {
  chain input {
    type filter hook input priority filter;
    icmp type echo-request ip daddr != 198.51.100.2 drop
    icmpv6 type echo-request ip6 daddr != 2001:db8:7::2 drop
  }
}
RULES
  shown=$(verdicts 198.51.100.{2..22} 2001:db8:7::{2..22})
  compare "$shown" '2 passes' {3..22}' unanswered'
}

@test "a reply from another source, or with another id, sequence or payload, is not an answer" {
  shown=$(verdicts {198.51.100.,2001:db8:7::}{2..6})
  compare "$shown" '2 passes' {3..6}' unanswered'
}

@test "an error that quotes another ping, or a ping to another target, does not count" {
  shown=$(verdicts {198.51.100.,2001:db8:7::}{7..9})
  compare "$shown" '7 refused' {8,9}' unanswered'
}
