#!/usr/bin/env bats
# Full or read-only disks for files of netnsinit and netns-update. The tests of netns-nft-save are in nft_save.bats, those of the
# direct engine in ../engine/scarce.bats.

load kernel

# Usage: small DIRECTORY
# Mounts a full disk on the directory.
small() {
  mkdir -p "$1"
  mount -t tmpfs -o size=64k small "$1"
  head -c 1M /dev/zero >"$1/ballast" 2>/dev/null || true
}

pair() { config "veth-$1.conf" <<<$'VETH_IFADDR_OUTSIDE=192.0.2.1/30\nVETH_IFADDR_INSIDE=192.0.2.2/30'; }

@test "without space in /run, a namespace that cannot be recorded is not created, and this is reported" {
  small /run/systemd-netns
  run --separate-stderr -1 netnsinit --create a
  reported '/run/systemd-netns/made/a' 'No space left'
  [[ ! -e /run/netns/a ]]
  [[ $(find /run/systemd-netns -type f) == /run/systemd-netns/ballast ]]
  umount /run/systemd-netns
  create a
}

@test "without space in /run, an existing namespace can be deleted" {
  mkdir -p /run/systemd-netns
  mount -t tmpfs -o size=64k small /run/systemd-netns
  create a
  head -c 1M /dev/zero >/run/systemd-netns/ballast || true
  netnsinit --delete a
  [[ ! -e /run/netns/a ]]
  [[ $(find /run/systemd-netns -type f) == /run/systemd-netns/ballast ]]
  umount /run/systemd-netns
}

@test "without space for remembered values, up outside fails and is undone; down needs no space" {
  pair a
  create a
  before=$(world)
  small /run/systemd-netns
  run --separate-stderr hook veth a up outside
  ((status != 0))
  [[ $stderr == *'No space left'*'veth@a: up outside'* ]]
  [[ $(find /run/systemd-netns -type f) == /run/systemd-netns/ballast ]]
  umount /run/systemd-netns
  unchanged "$before"

  mount -t tmpfs -o size=64k small /run/systemd-netns
  hook veth a up outside
  hook veth a up inside
  head -c 1M /dev/zero >/run/systemd-netns/ballast || true
  down_hooks veth a
  [[ $(find /run/systemd-netns -type f) == /run/systemd-netns/ballast ]]
  umount /run/systemd-netns
  unchanged "$before"
}

@test "without space for more remembered values, the old ones are complete, and no draft is left" {
  config t.sh <<'END'
NO_CONFIG_REQUIRED=yes
configure_t_up_outside() {
  FIRST=1 remember FIRST
  head -c 1M /dev/zero >/run/systemd-netns/ballast || true
  printf -v SECOND %100000s
  ! remember SECOND
}
END
  mkdir -p /run/systemd-netns
  mount -t tmpfs -o size=64k small /run/systemd-netns
  create a
  hook t a up outside
  [[ $(ls -A "$MEMORY") == t@a ]]
  [[ $(tr '\0' '\n' <"$MEMORY/t@a") == FIRST=1 ]]
  umount /run/systemd-netns
}

@test "with a read-only /run, up outside fails, is undone, and reports it" {
  pair a
  create a
  before=$(world)
  small /run/systemd-netns
  mount -o remount,ro /run/systemd-netns
  run --separate-stderr hook veth a up outside
  ((status != 0))
  [[ $stderr == *'Read-only'*'veth@a: up outside'* ]]
  umount /run/systemd-netns
  unchanged "$before"
}

# Usage: image
# An image whose units are on a small disk: one outdated, one missing.
image() {
  IMAGE=$BATS_TEST_TMPDIR/image
  UNITS=$IMAGE/etc/systemd/system
  mkdir -p "$UNITS" "$IMAGE"{"$CONF","$SHARE",/usr/lib/systemd/system}
  cp "$ROOT"/units/*.service "$IMAGE/usr/lib/systemd/system"
  mount -t tmpfs -o size=64k small "$UNITS"
  sed 's/^TimeoutStopSec=.*/TimeoutStopSec=7s/' "$ROOT/units/netns@.service" >"$UNITS/netns-lo@.service"
  OLD=$(<"$UNITS/netns-lo@.service")
  touch "$IMAGE$SHARE/lo.sh"
}

@test "without space for units, netns-update reports each, keeps the old ones, and leaves no drafts" {
  image
  head -c 1M /dev/zero >"$UNITS/ballast" || true
  run -1 netns-update --root "$IMAGE"
  [[ $output == *'cannot write'*'netns-lo@.service'*'No space left'*'cannot write'*'netns_outside-lo@.service'* ]]
  [[ $(<"$UNITS/netns-lo@.service") == "$OLD" ]]
  [[ $(ls -A "$UNITS") == $'ballast\nnetns-lo@.service' ]]
  rm "$UNITS/ballast"
  netns-update --root "$IMAGE"
  cmp "$UNITS/netns-lo@.service" "$ROOT/units/netns@.service"
  umount "$UNITS"
}

@test "with a read-only /etc, netns-update reports it and changes nothing; without changes it succeeds" {
  image
  mount -o remount,ro "$UNITS"
  run -1 netns-update --root "$IMAGE"
  [[ $output == *'netns-lo@.service'*'Read-only'* ]]
  [[ $(<"$UNITS/netns-lo@.service") == "$OLD" ]]
  mount -o remount,rw "$UNITS"
  netns-update --root "$IMAGE"
  mount -o remount,ro "$UNITS"
  netns-update --root "$IMAGE"
  umount "$UNITS"
}
