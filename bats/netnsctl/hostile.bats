#!/usr/bin/env bats
# Hostile values in every setting of every shipped type, and in every argument. None of them is run, which would create a file
# `canary`, and only our own files are written.

load ../engine/engine

# shellcheck disable=SC2016 # for the program to expand, which it must not do
# Values that would create a file if they were run, leave a directory, or be taken for an option of ip or nft.
NASTY=(
  '$(touch $CANARY)' '`touch $CANARY`' $'a; touch $CANARY; b\ntouch $CANARY' "' ; touch \$CANARY; '" '" ; touch $CANARY; "' '-batch /etc/passwd'
  '*' '{a,b}' '../../etc/passwd' 'a[$(touch $CANARY)]' $'\xff\xfe' $'\e[2J' "$(printf 'x%.0s' {1..5000})" '192.0.2.1/30 dev lo' '&& touch $CANARY >$CANARY' ' '
)

setup() {
  export CANARY=$BATS_TEST_TMPDIR/canary
  cd "$BATS_TEST_TMPDIR" || return
  ip link add parent type veth peer name parent-peer
}

# Usage: value TEXT
# Quotes the text for bash.
value() { printf '%q' "$1"; }

# Usage: good TYPE
# Prints valid settings of the type.
good() {
  case $1 in
    veth) printf 'VETH_IFADDR_OUTSIDE=192.0.2.1/30\nVETH_IFADDR_INSIDE=192.0.2.2/30\n' ;;
    dns) printf 'DNS_SERVERS=192.0.2.53\n' ;;
    macvlan) printf 'MACVLAN_PARENT_IFNAME=parent\nMACVLAN_PARENT_TIMEOUT=0\nMACVLAN_IFNAME=macvlan0\n' ;;
  esac
}

# Usage: is_harmless TYPE SETTING
# Succeeds if the instance comes up or is refused with each hostile value, without other effects.
is_harmless() {
  local word
  for word in "${NASTY[@]}"; do
    { good "$1" && echo "$2=$(value "$word")"; } | config "$1-a.conf"
    netnsctl up "$1@a" &>/dev/null || true
    netnsctl down a &>/dev/null || true
    [[ ! -e $CANARY && -z $(ls "$BATS_TEST_TMPDIR") ]] || {
      echo "$2=$word is run" >&2
      return 1
    }
    [[ $(ip netns list) == '' && $(ip -brief link show type veth | wc -l) == 2 ]] || {
      echo "$2=$word leaves something" >&2
      ip link >&2
      return 1
    }
  done
}

@test "no setting of veth is run, or leaves a trace" {
  for setting in IFADDR_OUTSIDE IFADDR_INSIDE IFNAME IFNAME_OUTSIDE IFNAME_INSIDE NSNAME_OUTSIDE MAC_OUTSIDE MAC_INSIDE; do
    is_harmless veth "VETH_$setting"
  done
}

@test "no setting of macvlan is run, or leaves a trace" {
  for setting in PARENT_IFNAME PARENT_TIMEOUT IFNAME MODE MAC SOURCE_MACS IFADDR GATEWAY; do
    is_harmless macvlan "MACVLAN_$setting"
  done
  good() { printf 'MACVLAN_PARENT_IFNAME=parent\nMACVLAN_PARENT_TIMEOUT=0\nMACVLAN_IFNAME=macvlan0\nMACVLAN_MODE=source\n'; }
  is_harmless macvlan MACVLAN_SOURCE_MACS
}

@test "no setting of nft or dns is run, or leaves a trace" {
  is_harmless nft NFT_AUTO_SAVE
  is_harmless lo NO_CONFIG_REQUIRED
  for setting in SERVERS SEARCH OPTIONS HOSTS; do
    is_harmless dns "DNS_$setting"
    [[ ! -e /etc/netns/a ]]
  done
}

@test "check and show read hostile settings, and run none of them" {
  local word
  for word in "${NASTY[@]:7:4}"; do
    { good veth && echo "VETH_IFNAME=$(value "$word")" && echo "VETH_MAC_INSIDE=$(value "$word")"; } | config veth-a.conf
    netnsctl show veth@a --json >"$BATS_FILE_TMPDIR/said" || true
    netnsctl check veth@a --json >"$BATS_FILE_TMPDIR/said" || true
    jq . "$BATS_FILE_TMPDIR/said" >/dev/null
    [[ ! -e $CANARY ]]
  done
}

# Usage: whole TRACE
# Prints the calls of a trace, one on each line. strace splits an interrupted call, and its result is on the second line.
whole() {
  awk '
    / <unfinished \.\.\.>$/ { sub(/ <unfinished \.\.\.>$/, ""); begun[$1] = $0; next }
    match($0, /^[0-9]+ +<\.\.\. [a-z0-9_]+ resumed>/) { print begun[$1] substr($0, RLENGTH + 1); delete begun[$1]; next }
    { print }
    END { for (pid in begun) print begun[pid] }' "$1"
}

# Usage: written TRACE
# Prints the foreign paths that were opened for writing, created, renamed, removed or mounted on, except for files without a
# name.
written() {
  whole "$1" | sed -nE '
    /(ENOENT|EEXIST|EACCES|ENOTDIR|ENAMETOOLONG|EISDIR) /d
    /O_TMPFILE/d
    s/^.*open(at)?\((AT_FDCWD, )?"([^"]*)".*O_(WRONLY|RDWR|CREAT).*$/\3/p
    s/^.*(rename|renameat|renameat2|link|linkat|symlink)\(.*"([^"]*)"(, [A-Z0-9_]+)?\) = 0$/\2/p
    s/^.*(unlink|rmdir|mkdir|chmod|chown|truncate|mknod|umount2?)\("([^"]*)".*$/\2/p
    s/^.*(unlinkat|mkdirat|fchmodat|mknodat|utimensat)\(AT_FDCWD, "([^"]*)".*$/\2/p
    s/^.* mount\("[^"]*", "([^"]*)".*$/\1/p
  ' | grep -vE '^(/run/netns(/a)?|/run/systemd-netns(/.*)?|/etc/conf\.d/netns/\.?nft-a\.rules.*|/dev/(null|tty)|/proc/.*|/tmp/(sh-thd\.|\.tmp)[A-Za-z0-9]*|/)$' | sort -u || true
}

@test "only our own files are opened for writing, with any settings" {
  local word left
  for word in "${NASTY[@]:0:2}" "${NASTY[8]}" "${NASTY[10]}"; do
    { good veth && echo "VETH_NSNAME_OUTSIDE=$(value "$word")"; } | config veth-a.conf
    { good macvlan && echo "MACVLAN_IFADDR=$(value "$word")"; } | config macvlan-a.conf
    echo 'NFT_AUTO_SAVE=yes' | config nft.conf
    # In a shell with a known directory for here-documents.
    TMPDIR=/tmp strace --seccomp-bpf -f -qq -e trace=%file -s 300 -o "$BATS_FILE_TMPDIR/trace" bash -c '
      netnsctl up nft@a veth@a macvlan@a
      netnsctl restart nft@a
      netnsctl down a
      netnsctl list
      netns-nft-save "$1"
      netnsinit "$1" a up outside
      netnsinit lo "$1" up outside "$1"
      netnsinit --create "$1"
      netnsctl up "$1" "lo@$1" "$1@a"
      netnsctl status "$1"' bash "$word" &>/dev/null || true
    # All commands have succeeded.
    [[ $(<"$BATS_FILE_TMPDIR/trace") == *'/run/systemd-netns/direct/a.json'*nft-a.rules* ]]
    rm -f "$CONF/nft-a.rules"
    left=$(written "$BATS_FILE_TMPDIR/trace")
    [[ -z $left && ! -e $CANARY ]] || {
      printf 'with %q there was written to:\n%s\n' "$word" "$left" >&2
      return 1
    }
  done
  # The check detects a write.
  strace -f -qq -e trace=%file -o "$BATS_FILE_TMPDIR/trace" bash -c 'echo >here; mkdir d; mv here d/there; rm -r d'
  [[ $(written "$BATS_FILE_TMPDIR/trace" | wc -l) -ge 3 ]]
}
