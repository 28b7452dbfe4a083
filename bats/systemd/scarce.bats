#!/usr/bin/env bats
# Full or read-only disks for the files of the units. The programs alone, and the direct engine, are tested in
# ../kernel/full.bats and ../engine/scarce.bats.

load systemd

# Usage: pair_and_firewall
pair_and_firewall() {
  pair n
  config nft-n.rules <<<'table inet t { chain in { type filter hook input priority 0; policy drop; }; }'
}

# Usage: starts_and_stops
# Succeeds if instances of types that remember, write and read start and stop.
starts_and_stops() {
  lab netnsctl up nft@n veth@n
  lab netnsctl restart veth@n
  lab ip -netns n -oneline address show | grep --quiet 192.0.2.2
  lab netnsctl down n
  nothing_left n
}

# Usage: read_only DIRECTORY
read_only() { lab bash -c 'mkdir -p "$1" && mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"' bash "$1"; }

# Usage: refused WORD
# Succeeds if an up is refused with WORD, and leaves nothing.
refused() {
  run --separate-stderr -1 lab netnsctl up nft@n veth@n
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *"$1"* ]]
  eventually gone n
  [[ $(lab ip -oneline link show type veth | grep --count --invert-match eth0) == 0 ]]
  lab systemctl reset-failed 'netns*'
}

@test "with a read-only /etc, instances start and stop" {
  pair_and_firewall
  read_only /etc
  starts_and_stops
}

@test "with read-only directories in /run, up is reported and undone" {
  pair_and_firewall
  for directory in /run/systemd-netns /run/netns; do
    read_only "$directory"
    refused 'Read-only file system'
    lab umount "$directory"
  done
  starts_and_stops
}

@test "without space in /run, up is reported and undone, and down removes everything" {
  pair_and_firewall
  lab bash -c 'mkdir -p /run/systemd-netns && mount -t tmpfs -o size=64k small /run/systemd-netns'
  fill() { lab bash -c 'head -c 1M /dev/zero >/run/systemd-netns/ballast' 2>/dev/null || true; }
  fill
  refused 'No space left'
  lab rm /run/systemd-netns/ballast
  lab netnsctl up nft@n veth@n
  fill
  lab netnsctl down n
  lab rm /run/systemd-netns/ballast
  nothing_left n
  lab umount /run/systemd-netns
}
