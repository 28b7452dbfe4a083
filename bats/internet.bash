# shellcheck shell=bash
# The network of the host, for suites that boot a machine.

# Usage: internet COMMAND...
# Creates eth0 of the host, 198.51.100.2, whose other end is 198.51.100.1 in the namespace `internet`. COMMAND runs a command on the machine.
internet() {
  "$@" bash -c '
    ip netns add internet
    ip link add eth0 type veth peer name up netns internet
    ip link set dev eth0 up
    ip -netns internet link set dev up up
    ip address add 198.51.100.2/24 dev eth0
    ip -netns internet address add 198.51.100.1/24 dev up'
}
