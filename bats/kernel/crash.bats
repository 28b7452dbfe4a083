#!/usr/bin/env bats
# A power cut or a kill between any two system calls of programs that write the administrator's files.

load kernel

# All system calls that can change a file, a directory, or the contents of the disk. A build with musl calls open, not openat.
CHANGING=(open openat write pwrite64 fchmod chmod ftruncate fsync fdatasync syncfs utimensat mkdir mkdirat link linkat rename
  renameat renameat2 unlink unlinkat symlink)

# Usage: crash_everywhere PREPARE CHECK COMMAND...
# Runs COMMAND repeatedly, each time after PREPARE, and kills it before the first, second, … of these calls, until it runs to its
# end. CHECK must succeed each time. CRASHES is the number of kills.
crash_everywhere() {
  local prepare=$1 check=$2 call status
  local -i at
  declare -gi CRASHES=0
  shift 2
  for call in "${CHANGING[@]}"; do
    for ((at = 1; ; at++)); do
      "$prepare"
      status=0
      strace -qq -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$at" "$@" >/dev/null 2>&1 3>&- || status=$?
      "$check" "$status" || {
        echo "killed at call $at of $call" >&2
        return 1
      }
      ((status != 0)) || break
      CRASHES+=1
    done
  done
}

# Usage: on_disk_before_in_place COMMAND...
# Succeeds if the new file is on the disk before it is renamed, and the rename comes before the message of success.
on_disk_before_in_place() {
  local calls
  calls=$(strace -qq -o /dev/stdout -e trace=fsync,syncfs,rename,renameat,renameat2 "$@" 2>/dev/null 3>&- |
    sed --quiet 's/^\(f\?sync\)\(fs\)\?(.*/sync/p; s/^rename.*/rename/p' | uniq | paste -sd,)
  [[ $calls == sync,rename,sync ]]
}

none() { netnsinit --delete a 2>/dev/null; }

# The next attempt succeeds, or prints the next step if the first one was complete except for its message.
created_again() {
  local said
  if ! said=$(netnsinit --create a 2>&1); then
    [[ $said == *'netnsinit --delete a'* ]] || return
  fi
  ip -netns a link show dev lo >/dev/null && netnsinit --delete a && [[ ! -e /run/netns/a && ! -e /run/systemd-netns/made/a ]]
}

@test "after a kill of --create between any two system calls, the next one succeeds or prints the next step" {
  CHANGING+=(unshare mount setns)
  crash_everywhere none created_again netnsinit --create a
  ((CRASHES >= 10))
  echo "# killed $CRASHES times" >&3
}

RULES=$CONF/nft-a.rules

old_rules() {
  rm -rf "${CONF:?}"/.nft* "$RULES~"
  config nft-a.rules <<<old
}

# The file is old or new; new if the command has reported success. The replaced file, if it exists, is complete. All other files are
# hidden.
rules_are_whole() {
  if (($1 == 0)); then [[ $(<"$RULES") == "$NEW" ]]; else [[ $(<"$RULES") == old || $(<"$RULES") == "$NEW" ]]; fi &&
    [[ $(ls "$CONF") == @(nft-a.rules|$'nft-a.rules\nnft-a.rules~') ]] &&
    [[ ! -e $RULES~ || $(<"$RULES~") == old ]]
}

@test "after a kill of netns-nft-save between any two system calls, the file is the old or the new one" {
  create a
  inside a nft add table inet filter
  inside a nft add chain inet filter input '{ type filter hook input priority filter; policy drop; }'
  netns-nft-save a
  NEW=$(<"$RULES")
  crash_everywhere old_rules rules_are_whole netns-nft-save a
  ((CRASHES >= 14))
  echo "# killed $CRASHES times" >&3
}

@test "netns-nft-save syncs the new file before it replaces the old one" {
  create a
  on_disk_before_in_place netns-nft-save a
}

@test "the next netns-nft-save removes the leftovers of a killed one" {
  create a
  touch "$CONF"/.nft-a.rules.netns-draft-{abcdef,123456} "$CONF/.nft-b.rules.netns-draft-abcdef" "$CONF/.mine"
  netns-nft-save a
  [[ $(ls -A "$CONF") == $'.mine\n.nft-b.rules.netns-draft-abcdef\nnft-a.rules' ]]
}

@test "backups of rules with any name are not removed" {
  create a
  touch -d '1 hour ago' "$CONF"/{,.}nft-a.rules.{backup,before,broken,orig01,Backup,201125,aB3xYz} "$CONF/nft-a.rules.netns-draft-aB3xYz"
  mkdir "$CONF/.nft-a.rules.netns-draft-aB3xYz"
  config nft-a.rules <<<''
  before=$(ls -A "$CONF")
  netns-nft-save a
  [[ $(ls -A --ignore='nft-a.rules~' "$CONF") == "$before" ]]
}

# An image with an outdated pair of units, a missing pair, and a pair of a deleted type.
image() {
  local units=$IMAGE/etc/systemd/system
  rm -rf "$units"
  mkdir -p "$units" "$IMAGE"{"$CONF","$SHARE",/usr/lib/systemd/system}
  touch "$IMAGE$SHARE"/{lo,veth}.sh
  cp "$ROOT"/units/*.service "$IMAGE/usr/lib/systemd/system"
  sed 's/^TimeoutStopSec=.*/TimeoutStopSec=7s/' "$ROOT/units/netns@.service" >"$units/netns-lo@.service"
  cp "$units/netns-lo@.service" "$units/netns-gone@.service"
  OLD=$(<"$units/netns-lo@.service")
}

# Each unit file is missing, old or new. Hidden drafts are ignored. The next run completes the work.
units_are_whole() {
  local units=$IMAGE/etc/systemd/system file text
  for file in "$units"/*; do
    text=$(<"$file")
    case ${file##*/} in
      netns-gone@.service) [[ $text == "$OLD" ]] ;;
      netns-lo@.service) [[ $text == "$OLD" || $text == "$(<"$ROOT/units/netns@.service")" ]] ;;
      netns-veth@.service) [[ $text == "$(<"$ROOT/units/netns@.service")" ]] ;;
      netns_outside-*@.service) [[ $text == "$(<"$ROOT/units/netns_outside@.service")" ]] ;;
      *) false ;;
    esac || {
      echo "not whole: $file" >&2
      return 1
    }
  done
  netns-update --root "$IMAGE" >/dev/null
  [[ $(ls -A "$units") == $'netns-lo@.service\nnetns-veth@.service\nnetns_outside-lo@.service\nnetns_outside-veth@.service' ]]
}

@test "after a kill of netns-update between any two system calls, each unit is the old or the new one, and the next run completes the work" {
  IMAGE=$BATS_TEST_TMPDIR/image
  crash_everywhere image units_are_whole netns-update --root "$IMAGE"
  ((CRASHES >= 14))
  echo "# killed $CRASHES times" >&3
}

@test "netns-update syncs a new file before it replaces the old one" {
  IMAGE=$BATS_TEST_TMPDIR/image
  image
  on_disk_before_in_place netns-update --root "$IMAGE"
}
