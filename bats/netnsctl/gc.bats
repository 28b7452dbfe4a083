#!/usr/bin/env bats
# netnsctl gc without systemd removes only our own leftovers.

load ../engine/engine

setup() { rm -f /run/hang; }

# Usage: no_link NAME
no_link() { ! ip link show dev "$1" 2>/dev/null; }

# Usage: machine
# Prints everything: the interfaces of every namespace, rules, mounts, and files in /etc and /run, without values that change by themselves.
machine() {
  local name
  ip -json -details link | jq --sort-keys 'map(del(.stats, .stats64, .promiscuity))'
  for name in $(ip netns list 2>/dev/null | cut -d ' ' -f 1); do
    [[ $name != file ]] || continue
    echo "$name"
    ip -netns "$name" -json -details link | jq --sort-keys 'map(del(.stats, .stats64, .promiscuity))'
    ip netns exec "$name" nft --json list ruleset | jq --sort-keys .
  done
  nft --json list ruleset | jq --sort-keys .
  cut -d ' ' -f 3- /proc/self/mountinfo
  find /etc /run -xdev ! -path '/run/layers*' -printf '%p %y %m %s %l\n' | grep -v '^/run/systemd-netns[a-z/]* d ' | sort
}

# Usage: crowd
# Creates foreign resources that look like ours, and records the state of the machine.
crowd() {
  ip netns add foreign
  ip link add ve-other0 type veth peer name ve-other1 netns foreign
  ip netns exec foreign nft add table inet netns_nft_failed
  nft add table inet filter
  : >/run/netns/file
  : >"$CONF/.nft-a.rules.swp"
  : >"$CONF/nft-a.rules"
  touch -d '1 hour ago' "$CONF"/.nft-a.rules.swp
  netnsctl up lo@live veth@nstest >/dev/null
  machine >"$BATS_TEST_TMPDIR/before"
}

# Usage: as_before
# Succeeds if the machine is in the recorded state.
as_before() {
  machine | diff "$BATS_TEST_TMPDIR/before" - >&2
  rm -f /run/netns/file
  nft delete table inet filter
}

# Usage: maker
# A type that creates an interface on the host, and remembers its name.
maker() {
  plugin maker '
configure_maker_up_outside() {
  MAKER_IFNAME=mk-$1 && remember MAKER_IFNAME
  ip link add "$MAKER_IFNAME" type veth peer name mk1 netns "$1"
}
configure_maker_up_inside() { [[ ! -e /run/hang ]] || sleep 20; }
maker_made() { [[ $(ip -oneline link show type veth) == *": $MAKER_IFNAME@"* ]]; }
configure_maker_down_outside() {
  recall
  # The kernel may remove it with the namespace of its peer.
  ! maker_made || ip link delete dev "$MAKER_IFNAME" || ! maker_made
}'
}

# Usage: killed_in_up_inside TYPE@NAME
# Kills netnsctl while `up inside` runs, and the hook too.
killed_in_up_inside() {
  : >/run/hang
  netnsctl up "$1" >/dev/null 2>&1 3>&- &
  local command=$! name=${1#*@}
  eventually grep -q up-inside "/run/systemd-netns/direct/$name.json"
  kill -KILL "$command"
  wait "$command" || true
  rm /run/hang
}

@test "without leftovers, nothing is printed and nothing is changed" {
  crowd
  run -0 netnsctl gc
  [[ $output == 'left alone: /run/netns/file: no namespace is mounted on this file'* && ${#lines[@]} == 1 ]]
  as_before
}

@test "a partially active instance is removed, with its namespace and its outside interfaces" {
  maker
  crowd
  killed_in_up_inside maker@a
  run -0 netnsctl gc --dry-run
  [[ $output == *'would be removed: leftovers of namespace `a`: netnsctl was killed while it worked on the namespace'* ]]
  exists a
  run -0 netnsctl gc
  [[ $output == *'removed: leftovers of namespace `a`:'* ]]
  gone a
  as_before
}

@test "active instances on the same namespace stay" {
  maker
  netnsctl up lo@a
  killed_in_up_inside maker@a
  run -0 netnsctl gc
  [[ $(state lo@a) == up ]]
  eventually no_link mk-a
}

@test "the state of a manually deleted namespace is removed, with the outside interfaces of its instances" {
  maker
  crowd
  netnsctl up maker@a
  # The kernel removes the other end of the pair with the namespace: another interface takes its part.
  ip netns delete a
  eventually no_link mk-a
  ip link add mk-a type veth peer name mk-b
  run -0 netnsctl gc
  as_before
}

@test "down outside gets the remembered values of an inactive instance" {
  maker
  crowd
  mkdir -p /run/systemd-netns/remembered
  printf 'MAKER_IFNAME=mk-a\0' >/run/systemd-netns/remembered/maker@a
  ip link add mk-a type veth peer name mk-b
  run -0 netnsctl gc
  [[ $output == *'removed: leftovers of `maker@a` on the host: the instance is not up'* ]]
  as_before
}

@test "a leftover that cannot be removed is reported with status 1, and stays" {
  mkdir -p /run/systemd-netns/remembered
  : >/run/systemd-netns/remembered/nosuch@a
  run -1 netnsctl gc
  [[ $output == *'not removed: leftovers of `nosuch@a` on the host'*'cannot find plugin `nosuch`'* ]]
  [[ -e /run/systemd-netns/remembered/nosuch@a ]]
}

@test "gc does not run an untrusted hook" {
  maker
  chmod o+w "$CONF/maker.sh"
  mkdir -p /run/systemd-netns/remembered
  printf 'MAKER_IFNAME=mk-a\0' >/run/systemd-netns/remembered/maker@a
  run -1 netnsctl gc
  [[ $output == *"$CONF/maker.sh: any user can write it"* && -e /run/systemd-netns/remembered/maker@a ]]
}

@test "an instance on a foreign namespace is not removed: its hooks may have been run manually" {
  maker
  ip netns add a
  netnsinit maker a up outside
  run -0 netnsctl gc
  [[ $output == 'left alone: /run/systemd-netns/remembered/maker@a: '* ]]
  ip link show mk-a >/dev/null
  netnsinit maker a down outside
}

@test "a stale file in /run/netns is removed if an ownership record exists" {
  mkdir -p /run/netns /run/systemd-netns/made
  crowd
  printf 4:1 >/run/systemd-netns/made/a
  : >/run/netns/a
  run -0 netnsctl gc
  [[ $output == *'removed: /run/netns/a: no namespace is mounted on this file; the creation of a namespace was interrupted'* ]]
  netnsctl gc >/dev/null # the note
  as_before
}

@test "a namespace of netnsinit --create, without systemd, is not removed" {
  netnsinit --create a
  run -0 netnsctl gc
  [[ -z $output ]]
  exists a
  netnsinit --delete a
}

@test "unused locks and drafts are removed; a lock in use stays, with all files that it protects" {
  maker
  crowd
  mkdir -p /run/systemd-netns/direct /run/systemd-netns/remembered
  : >/run/systemd-netns/direct/a.lock
  : >/run/systemd-netns/direct/nosuch@a.log
  for file in "$CONF/.nft-a.rules.netns-draft-aB3xYz" /run/systemd-netns/direct/.a.json.netns-draft-aB3xYz /run/systemd-netns/remembered/lo@a~; do
    touch -d '5 minutes ago' "$file"
  done
  : >"$CONF/.nft-b.rules.netns-draft-aB3xYz" # as if another process wrote it now
  flock /run/systemd-netns/direct/b.lock sleep 1000 3>&- &
  holder=$!
  eventually locked /run/systemd-netns/direct/b.lock
  run -0 netnsctl gc
  [[ -e /run/systemd-netns/direct/b.lock && -e $CONF/.nft-b.rules.netns-draft-aB3xYz ]]
  pkill -P "$holder" || true
  kill "$holder" || true
  rm /run/systemd-netns/direct/b.lock "$CONF/.nft-b.rules.netns-draft-aB3xYz"
  as_before
}

@test "a draft with a future date stays; an old one is removed" {
  mkdir -p /run/systemd-netns/direct
  touch --date 2070-01-01 /run/systemd-netns/direct/.a.json.netns-draft-aB3xYz
  touch --date 1970-01-02 /run/systemd-netns/direct/.b.json.netns-draft-aB3xYz
  netnsctl gc
  [[ -e /run/systemd-netns/direct/.a.json.netns-draft-aB3xYz && ! -e /run/systemd-netns/direct/.b.json.netns-draft-aB3xYz ]]
  rm /run/systemd-netns/direct/.a.json.netns-draft-aB3xYz
}

@test "backups of an administrator, with any name, stay" {
  units=/etc/systemd/system
  mkdir -p "$units" /run/systemd-netns/direct
  for end in backup before broken orig01 Backup 201125 aB3xYz; do
    touch -d '1 hour ago' "$CONF"/{,.}nft-a.rules."$end" "$units"/{,.}netns-{veth,foo}@.service."$end" /run/systemd-netns/direct/.a.json."$end"
  done
  touch -d '1 hour ago' "$CONF/nft-a.rules.netns-draft-aB3xYz"
  machine >"$BATS_TEST_TMPDIR/before"
  run -0 netnsctl gc
  [[ -z $output ]]
  machine | diff "$BATS_TEST_TMPDIR/before" - >&2
  rm "$units"/{,.}netns-*@.service.*
}

@test "an unusable state file is kept, with all resources that it may describe" {
  maker
  netnsctl up maker@a
  echo '{' >/run/systemd-netns/direct/a.json
  run -0 netnsctl gc
  [[ $output == *'left alone: /run/systemd-netns/direct/a.json: '*'the file is damaged'* ]]
  exists a
  ip link show mk-a >/dev/null
  [[ -e /run/systemd-netns/remembered/maker@a ]]
}

# Usage: unusable_entries PATH [SUFFIX]
# Creates one entry of each kind that is not a regular file, beginning at PATH.
unusable_entries() {
  mkdir "$1-dir${2-}"
  mkfifo "$1-fifo${2-}"
  perl -MSocket -e 'socket my $s, AF_UNIX, SOCK_STREAM, 0; bind $s, sockaddr_un $ARGV[0] or die $!' "$1-socket${2-}"
  ln -s "${1##*/}-loop${2-}" "$1-loop${2-}"
  ln -s nothing "$1-dangling${2-}"
  ln -s /run/victim "$1-link${2-}"
}

# Usage: create_unusable_entries
# Creates unusable entries in all directories of records, and links to a foreign file and a foreign mount point.
create_unusable_entries() {
  local place=/run/systemd-netns
  mkdir -p /run/netns "$place"/{made,direct,remembered} /run/mounted
  echo mine >/run/victim
  mountpoint --quiet /run/mounted || mount -t tmpfs mine /run/mounted
  unusable_entries /run/netns/o
  unusable_entries "$place/made/o"
  unusable_entries "$place/remembered/lo@o"
  unusable_entries "$place/direct/j" .json
  unusable_entries "$place/direct/k" .lock
  unusable_entries "$place/direct/lo@l" .log
  : >"$place/made/a b"
  : >"$place/remembered/no instance"
  : >"$place/direct/no name.json"
  ln -s /run/mounted /run/netns/mounted
}

# Usage: remove_unusable_entries
remove_unusable_entries() {
  rm -rf /run/netns/{o-*,mounted} /run/systemd-netns
  umount /run/mounted
  rm -r /run/mounted /run/victim
}

@test "an entry that is not a record, of any kind and name, is reported, and gc continues" {
  maker
  crowd
  create_unusable_entries
  rm /run/netns/o-fifo # `ip link show` itself would wait for it
  find /run/netns /run/systemd-netns/{made,direct,remembered} -mindepth 1 ! -type f -printf '%p %y\n' | sort >"$BATS_TEST_TMPDIR/odd"
  killed_in_up_inside maker@a 2>/dev/null
  run -1 --separate-stderr timeout 60 netnsctl gc
  [[ $output == *'removed: leftovers of namespace `a`:'* && $output == *'left alone: /run/netns/o-loop: no namespace is mounted on this file'* ]]
  gone a
  no_link mk-a
  warned=$stderr
  for path in /run/systemd-netns/{made/o,remembered/lo@o}-{dir,fifo,socket,loop,dangling,link} /run/systemd-netns/direct/{j-{dir,fifo,socket,loop,dangling,link}.json,k-{dir,fifo,socket,loop,dangling,link}.lock,lo@l-{dir,fifo,socket,loop,dangling,link}.log} /run/systemd-netns/made/a\ b; do
    [[ $(grep -cF "warning: $path: " <<<"$warned") == 1 ]] || {
      echo "printed $(grep -cF "$path" <<<"$warned") times: $path" >&2
      false
    }
  done
  # None of it is changed.
  find /run/netns /run/systemd-netns/{made,direct,remembered} -mindepth 1 ! -type f -printf '%p %y\n' | sort | diff "$BATS_TEST_TMPDIR/odd" - >&2
  [[ $(</run/victim) == mine ]]
  remove_unusable_entries
}

@test "an entry that is not a record does not stop list, status, up, restart, check and down" {
  netnsctl up lo@a
  create_unusable_entries
  for verb in list status check graph; do
    run -0 --separate-stderr timeout 60 netnsctl "$verb"
    [[ $verb == check || $output == *a* ]]
  done
  run -0 --separate-stderr timeout 60 netnsctl list
  [[ $(grep -c 'warning: /run/systemd-netns/direct/j-fifo.json: it is not a regular file' <<<"$stderr") == 1 ]]
  [[ $(grep -c 'warning: /run/systemd-netns/direct/no name.json: invalid NSNAME "no name"' <<<"$stderr") == 1 ]]
  run -0 --separate-stderr timeout 60 netnsctl restart lo@a
  [[ $(grep -c 'warning: /run/systemd-netns/direct/j-fifo.json: it is not a regular file' <<<"$stderr") == 1 ]]
  timeout 60 netnsctl up lo@b
  timeout 60 netnsctl down a b
  gone a
  gone b
  remove_unusable_entries
}

@test "an unusable lock is reported by the commands that need it, and its target is not written" {
  create_unusable_entries
  for kind in dir fifo socket loop dangling link; do
    run -1 timeout 60 netnsctl up "lo@k-$kind"
    [[ $output == *"cannot lock /run/systemd-netns/direct/k-$kind.lock: it is not a regular file; move it out of the way"* ]]
    gone "k-$kind"
    # In place of a state file, it is renamed.
    run -0 timeout 60 netnsctl up "lo@j-$kind"
    [[ $output == *"j-$kind.json: not a regular file, or permission denied; the file is renamed to "* ]]
    netnsctl down "j-$kind"
  done
  [[ $(</run/victim) == mine ]]
  remove_unusable_entries
}

@test "a pipe in place of remembered values does not block a hook" {
  plugin noter '
configure_noter_up_inside() { NOTE=x && remember NOTE; }
configure_noter_down_outside() { recall; }'
  netnsctl up noter@a
  rm /run/systemd-netns/remembered/noter@a
  mkfifo /run/systemd-netns/remembered/noter@a
  run -1 timeout 20 netnsctl restart noter@a
  [[ $output == *'/run/systemd-netns/remembered/noter@a is not a regular file; move it out of the way'* ]]
  mkdir -p /run/systemd-netns/remembered
  [[ -p /run/systemd-netns/remembered/noter@a ]] || mkfifo /run/systemd-netns/remembered/noter@a
  timeout 20 netnsctl down a
  gone a
  ip netns add a
  timeout 20 netnsinit noter a down outside
}

@test "a link in /run/netns is removed as a link: its target stays" {
  create_unusable_entries
  netnsinit --delete mounted
  [[ ! -L /run/netns/mounted ]]
  mountpoint --quiet /run/mounted
  ip netns add theirs
  ln -s theirs /run/netns/ours
  netnsinit --delete ours
  [[ ! -L /run/netns/ours ]]
  ip netns exec theirs true
  remove_unusable_entries
}

@test "the output of gc --json matches its schema" {
  mkdir -p /run/systemd-netns/remembered /run/systemd-netns/direct /run/netns
  : >/run/systemd-netns/remembered/nosuch@a
  : >/run/systemd-netns/direct/a.lock
  : >/run/netns/file
  mkdir /run/systemd-netns/direct/b.json
  run -1 --separate-stderr netnsctl gc --json
  echo "$output" >"$BATS_TEST_TMPDIR/gc.json"
  PYTHONPATH='' /usr/bin/jsonschema --instance "$BATS_TEST_TMPDIR/gc.json" "$ROOT/docs/json/gc.json"
  [[ $(jq -r '.items | map("\(.kind) \(.removed)") | sort | join(",")' <<<"$output") == 'foreign false,instance false,lock true,odd false' ]]
  rm -r /run/netns/file /run/systemd-netns/remembered/nosuch@a /run/systemd-netns/direct/b.json
}
