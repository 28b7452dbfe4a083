#!/usr/bin/env bats
# The README, the pages of docs/ and the examples of the manual pages: each document that shows commands is replayed from top to
# bottom on a machine that was just installed and booted, and prints what the document shows. The description of a test is the path
# of its document.

load systemd

ROOT=$BATS_TEST_DIRNAME/../..
# shellcheck source=bats/replay.bash
source "$ROOT/bats/replay.bash"

# Commands of the documents that cannot run in the lab, and where they are tested.
# (-g, since bats reads this file in a function.)
declare -gA NOT_REPLAYED=(
  ['make build']='needs Rust and the clone; .ci/run, and every stage of tests/run that needs the program'
  ['make install']='needs the clone; tests/makefile.rs, and lab_install of tests/lab.bash'
  ['make demo']='needs the clone; a stage of tests/run'
  ['make test']='runs this suite; .ci/run'
)

# Each test boots a machine of its own, so the suite has none.
setup_file() {
  [[ ${NETNS_PRIVATE-} ]] || {
    echo 'run this by tests/private: it mounts and boots' >&2
    return 1
  }
}

teardown_file() { :; }

teardown() {
  # It exists if the test has booted a machine.
  [[ ! -e $LAB/nspawn ]] || lab_destroy
}

# Usage: boot
boot() {
  lab_create
  lab_install
  lab_boot
}

# Usage: replay
# Does what the document of this test shows: writes its files and runs its commands. The document also has to remove what it
# creates.
replay() {
  walk "$ROOT/$BATS_TEST_DESCRIPTION" write_file run_command
  eventually no_namespace
  nothing_failed
}

# Usage: write_file PATH TEXT
write_file() {
  mkdir -p "$(dirname "$LAB/root$1")"
  printf '%s' "$2" >"$LAB/root$1"
}

# Usage: no_namespace
# Whether no namespace, and no record of an instance, is left.
no_namespace() { [[ ! $(lab find /run/netns /run/systemd-netns -type f 2>/dev/null) ]]; }

# Usage: uplink
# The host has eth0 on the network of the samples, whose router is 192.0.2.1. The router is the network of a service, without a name.
uplink() {
  local router
  lab systemd-run --quiet --unit=test-router --property=Type=exec --property=PrivateNetwork=yes sleep infinity
  router=$(main_pid test-router)
  lab ip link add eth0 type veth peer name up netns "$router"
  lab ip link set dev eth0 up
  lab ip address add 192.0.2.2/24 dev eth0
  lab ip route add default via 192.0.2.1
  lab nsenter --net="/proc/$router/ns/net" ip address add 192.0.2.1/24 dev up
  lab nsenter --net="/proc/$router/ns/net" ip link set dev up up
}

# Usage: leases
# The router of `uplink` gives addresses to machines.
leases() {
  printf '%s\n' 'interface up' 'start 192.0.2.100' 'end 192.0.2.109' 'option subnet 255.255.255.0' 'option router 192.0.2.1' \
    'option dns 192.0.2.53' 'option domain example.com' 'lease_file /run/leases' 'pidfile /run/leases.pid' >"$BATS_TEST_TMPDIR/udhcpd"
  lab bash -c 'cat >/run/udhcpd && touch /run/leases' <"$BATS_TEST_TMPDIR/udhcpd"
  lab systemd-run --quiet --unit=test-leases --property=Type=exec busybox nsenter -n"/proc/$(main_pid test-router)/ns/net" \
    busybox udhcpd -f /run/udhcpd
}

# Usage: second_machine
# The router of `uplink` also is another machine, 192.0.2.3, with the vxlan of docs/arrangements.md.
second_machine() {
  local in_router
  in_router="nsenter --net=/proc/$(main_pid test-router)/ns/net"
  lab bash -c "
    $in_router ip address add 192.0.2.3/24 dev up
    $in_router ip link add vxlan0 type vxlan id 42 local 192.0.2.3 remote 192.0.2.2 dstport 4789
    $in_router ip address add 203.0.113.202/28 dev vxlan0
    $in_router ip link set dev vxlan0 up"
}

# Usage: documents
# The README, the pages of docs/ and the manual pages.
documents() { (cd "$ROOT" && printf '%s\n' README.md docs/*.md man/*.scd); }

@test "README.md" {
  boot
  uplink
  replay
}

@test "docs/types.md" {
  boot
  uplink
  leases
  replay
}

@test "docs/arrangements.md" {
  boot
  uplink
  leases
  second_machine
  replay_arrangements lab
  eventually no_namespace
  nothing_failed
}

# Usage: count_lines PATH TEXT
count_lines() { counted=$((counted + $(grep --count . <<<"$2"))); }

@test "the table of docs/arrangements.md has each section that shows commands, and the number of lines of its files" {
  local page=$ROOT/docs/arrangements.md link here place file name headings=() commands counted
  while IFS='|' read -r _ link _ _ here place _; do
    [[ $link =~ ^\ \[(.*)\]\(([^#]*)# && $place == @(' lab '|' virtual machine ') ]]
    name=${BASH_REMATCH[1]} file=$ROOT/docs/${BASH_REMATCH[2]:-arrangements.md}
    headings+=("## $name")
    section "$file" "$name" >"$BATS_TEST_TMPDIR/section.md"
    commands=() counted=0
    walk "$BATS_TEST_TMPDIR/section.md" count_lines note_command
    ((${#commands[@]} > 0 && counted == here)) || {
      echo "$name has $counted lines, and ${#commands[@]} commands" >&2
      return 1
    }
  done < <(grep '^| \[' "$page")
  diff --unified <(printf '%s\n' "${headings[@]}" | sort) <({
    awk '/^## / { heading = $0 } /^```console/ { print heading }' "$page" | uniq
    echo '## A service behind a provider' # in docs/wireguard.md
  } | sort)
}

@test "docs/joining-namespaces.md" {
  boot
  parent eth0
  replay
}

@test "docs/nat-and-published-ports.md" {
  boot
  uplink
  replay
}

@test "docs/services.md" {
  boot
  lab useradd --uid 1000 --create-home user 2>/dev/null || lab id 1000
  lab loginctl enable-linger 1000
  replay
}

@test "docs/dns.md" {
  boot
  lab rm -f /etc/resolv.conf
  write_file /etc/resolv.conf $'nameserver 198.51.100.53\n'
  replay
}

@test "docs/leak-tests.md" {
  boot
  replay
}

@test "docs/writing-a-type.md" {
  boot
  replay
}

@test "man/netnsctl.8.scd" {
  boot
  replay
}

@test "man/netnsinit.8.scd" {
  boot
  replay
}

@test "man/netns-update.8.scd" {
  boot
  replay
}

@test "man/netns-nft-save.8.scd" {
  boot
  replay
}

@test "man/netns.conf.5.scd" {
  boot
  replay
}

@test "man/netns-plugin.7.scd" {
  boot
  replay
}

# Usage: note_command PROMPT COMMAND OUTPUT
note_command() { commands+=("$2"); }

@test "each document that shows commands has a test above, and each listed command is in a document" {
  local document command commands=() all=()
  for document in $(documents); do
    commands=()
    walk "$ROOT/$document" true note_command
    all+=("${commands[@]}")
    [[ ! ${commands[*]} ]] || grep --quiet --line-regexp --fixed-strings "@test \"$document\" {" "$BATS_TEST_FILENAME" "$ROOT"/bats/vm/*.bats || {
      echo "no test replays $document" >&2
      return 1
    }
  done
  for command in "${!NOT_REPLAYED[@]}"; do
    [[ " ${all[*]/%/,} " == *" $command, "* ]] || {
      echo "no document has the command \`$command\`, which NOT_REPLAYED lists" >&2
      return 1
    }
  done
}

# Usage: replay_text TEXT
# Replays a page with this text. Its commands run here instead of in the lab.
replay_text() {
  lab() { "$@"; }
  printf '%s\n' "$1" >"$BATS_TEST_TMPDIR/page.md"
  walk "$BATS_TEST_TMPDIR/page.md" true run_command
}

@test "the replay of a page fails if its output differs or if a command would not run" {
  replay_text $'```console\n# echo one two\none …\n# true\n# printf \'3\\n4  \\n\'\n3\n4\n```'
  run ! replay_text $'```console\n# echo one\ntwo\n```'
  run ! replay_text $'```console\n# echo one\n```'
  run ! replay_text $'```console\n# true\nmore\n# true\n```'
  run ! replay_text $'```console\n$ make unknown\n```'
  run ! replay_text $'```console\noutput\n# true\n```'
  run ! replay_text $'```bash\ntrue\n```'
  run ! replay_text $'```\n# true\n```'
  run ! replay_text $'1. A list:\n\n   ```console\n   # true\n   ```'
}

# Usage: anchors FILE
# The anchors of the headings of a document, as GitHub makes them.
anchors() {
  sed '/^```/,/^```$/d' "$1" | sed -n 's/^##* //p' | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

@test "each link of a document leads to a file, and to a heading in there" {
  local document link file anchor count=0
  for document in $(documents) CONTRIBUTING.md CHANGELOG.md SECURITY.md; do
    [[ $document == *.md ]] || continue
    while IFS= read -r link; do
      count=$((count + 1))
      [[ $link != *://* ]] || continue
      file=${link%%#*} anchor=''
      if [[ $link == *'#'* ]]; then anchor=${link#*#}; fi
      if [[ $file ]]; then file=$(dirname "$ROOT/$document")/$file; else file=$ROOT/$document; fi
      [[ -e $file ]] && { [[ ! $anchor ]] || anchors "$file" | grep --quiet --line-regexp --fixed-strings -e "$anchor"; } || {
        echo "$document: the link $link leads nowhere" >&2
        return 1
      }
    done < <(tr '\n' ' ' <"$ROOT/$document" | grep --only-matching --extended-regexp '\]\([^() ]+\)' | sed 's/^](//; s/)$//')
  done
  ((count > 0))
}
