#!/usr/bin/env bats
# The arrangements of docs/arrangements.md whose modules the kernel of the machine below may not have. bats/systemd/documents.bats has the
# others. Run with `tests/vm --systemd bats bats/vm/documents.bats`.

load vm
# shellcheck source=bats/replay.bash
source "$ROOT/bats/replay.bash"

setup_file() { vm_install; }

teardown_file() { delete_settings; }

teardown() {
  [[ ${BATS_TEST_COMPLETED-} ]] || journalctl --boot --lines=30 --no-pager >&2
  local name
  for name in container physical home ns-example sites wifi customer1 customer2; do
    [[ ! -e /run/netns/$name ]] || netnsctl down --recursive "$name" 2>/dev/null || ip netns delete "$name"
  done
  rm -rf /etc/wireguard
  modprobe --remove mac80211_hwsim
  ip netns delete world
  delete_links
}

# Usage: lab bash -c COMMAND
# The document is replayed on this machine, with the direct engine, which is twice as fast here.
lab() { bash -c "${3/#netnsctl up/netnsctl up --engine direct}"; }

# Usage: write_file PATH TEXT
write_file() { printf '%s' "$2" >"$1"; }

# Usage: tunnel IFNAME PORT ADDRESS...
# Creates a tunnel of the provider, for the key of the document, with these addresses.
tunnel() {
  local name=$1 port=$2 address
  ip -netns world link add "$name" type wireguard
  printf '%s\n' '[Interface]' "ListenPort = $port" 'PrivateKey = cKyl1rzRUMPpfIc6Bxzk0iP6v8E0PA+R8YVs5mxrqUo=' \
    '[Peer]' 'PublicKey = JbN73G4IZIYjNRFqnjQdOo0mOtBuonnf2x5FV2J9cDQ=' "AllowedIPs = ${3%.*}.0/24, ${4%::*}::/64" |
    ip netns exec world wg setconf "$name" /dev/stdin
  for address in "${@:3}"; do ip -netns world address add "$address" dev "$name"; done
  ip -netns world link set dev "$name" up
}

# The namespace `world` is the provider, by the network 198.51.100.0/24 and by eth0, and the router of the VLANs, by eth1.
@test "docs/arrangements.md" {
  declare -A NOT_REPLAYED=()
  mkdir -p /etc/wireguard /etc/conf.d/netns
  modprobe mac80211_hwsim radios=1
  ip -batch - <<'COMMANDS'
netns add world
link add up0 type veth peer name up1 netns world
address add 198.51.100.1/24 dev up0
link set dev up0 up
link add eth0 type veth peer name lan netns world
link add eth1 type veth peer name trunk netns world
COMMANDS
  ip -netns world -batch - <<'COMMANDS'
address add 198.51.100.2/24 dev up1
address add 192.0.2.1/24 dev lan
link add link trunk name vlan101 type vlan id 101
link add link trunk name vlan102 type vlan id 102
address add 203.0.113.1/26 dev vlan101
address add 203.0.113.65/26 dev vlan102
link set dev up1 up
link set dev lan up
link set dev trunk up
link set dev vlan101 up
link set dev vlan102 up
COMMANDS
  tunnel wg0 51820 10.2.0.1/24 fd00:2::1/64
  tunnel wg1 51823 10.3.0.1/24 fd00:3::1/64
  replay_arrangements 'virtual machine'
}
