# shellcheck shell=bash
# Common functions of the suites on the real kernel. Each test has its own environment, with the shipped plugins, without
# configuration and namespaces, and only lo on the host. Run with `tests/private bats bats/kernel`.

bats_require_minimum_version 1.5.0

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
# shellcheck source=bats/eventually.bash
source "$ROOT/bats/eventually.bash"
# shellcheck source=bats/foreign_namespace.bash
source "$ROOT/bats/foreign_namespace.bash"
# shellcheck source=bats/shown.bash
source "$ROOT/bats/shown.bash"
# The directory of the program under test, with all its names.
NETNS_BIN=$(cd "${NETNS_BIN:-$ROOT/target/release}" && pwd -P)
# cargo builds only the binary; `make build` adds the links.
for link in netnsinit netns-update netns-nft-save; do
  [[ ! -x $NETNS_BIN/netnsctl || -e $NETNS_BIN/$link ]] || ln -s netnsctl "$NETNS_BIN/$link"
done
PATH=$NETNS_BIN:$PATH:/usr/sbin:/sbin

# The directories that the program reads.
CONF=/etc/conf.d/netns
SHARE=/usr/share/systemd-netns
MEMORY=/run/systemd-netns/remembered

# Processes that a test has started and not waited for. They are ended with the test.
BACKGROUND=()

setup_file() {
  # PID 1 is a child of tests/private: then nothing here belongs to the host, including the network.
  if ! grep --quiet --null-data '^NETNS_PRIVATE=' /proc/1/environ || [[ ! /proc/self/ns/net -ef /proc/1/ns/net ]]; then
    echo 'run this by tests/private: it mounts, and changes the network' >&2
    return 1
  fi
  [[ -x $NETNS_BIN/netnsinit ]] || {
    echo "there is no $NETNS_BIN/netnsinit: run \`make build\` first, or set NETNS_BIN" >&2
    return 1
  }
  mount --no-mtab -t tmpfs kernel /run
  local top
  for top in /etc /usr/share; do
    mkdir -p "/run/layers$top"/{upper,work}
    mount -t overlay kernel -o "lowerdir=$top,upperdir=/run/layers$top/upper,workdir=/run/layers$top/work" "$top"
  done
  ip link set dev lo up
}

teardown_file() {
  umount /usr/share
  umount /etc
  umount --lazy /run
}

setup() {
  rm -rf "$CONF" "$SHARE"
  mkdir -p "$CONF" "$SHARE"
  cp "$ROOT"/plugins/*.sh "$SHARE"
}

teardown() { undo_test; }

# Undoes everything that a test has created.
undo_test() {
  local pid link
  for pid in "${BACKGROUND[@]}"; do
    # The process may have ended by itself.
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" || true
  done
  if mountpoint --quiet "$CONF"; then umount --lazy "$CONF"; fi
  for link in $(links host veth) $(links host bridge); do ip link delete dev "$link"; done
  nft flush ruleset
  if mountpoint --quiet /run/netns; then umount --lazy --recursive /run/netns; fi
  rm -rf /run/netns /run/systemd-netns /etc/netns
}

# Usage: config FILE <<<TEXT
# Writes a file of the administrator.
config() { cat >"$CONF/$1"; }

# Usage: create NAME...
create() {
  local name
  for name; do netnsinit --create "$name"; done
}

# Usage: inside NAME COMMAND...
# Runs a command as the units do: only the network namespace is changed.
inside() { nsenter --net="/run/netns/$1" -- "${@:2}"; }

# Usage: from WHERE COMMAND...
# Runs a command on the `host`, or in the namespace of that name.
from() { if [[ $1 == host ]]; then "${@:2}"; else inside "$@"; fi; }

# Usage: rename_link WHERE OLD NEW
# Renames an interface on the `host`, or in the namespace of that name. Before Linux 6.2, the kernel renames only one that is down.
rename_link() {
  from "$1" ip link set dev "$2" down
  from "$1" ip link set dev "$2" name "$3" up
}

# Usage: hook TYPE NAME up|down outside|inside
hook() { if [[ $4 == inside ]]; then inside "$2" netnsinit "$@"; else netnsinit "$@"; fi; }

# Usage: up TYPE NAME
# Brings an instance up, and its namespace with the first one.
up() {
  [[ -e /run/netns/$2 ]] || netnsinit --create "$2" || return
  hook "$1" "$2" up outside && hook "$1" "$2" up inside
}

# Usage: restart_inside TYPE NAME
# Does the same as `systemctl restart`.
restart_inside() { hook "$1" "$2" down inside && hook "$1" "$2" up inside; }

# Usage: down_hooks TYPE NAME
# Takes an instance down, and keeps the namespace.
down_hooks() { hook "$1" "$2" down inside && hook "$1" "$2" down outside; }

# Usage: down TYPE NAME
# Takes down the only instance on a namespace, and the namespace.
down() { down_hooks "$1" "$2" && netnsinit --delete "$2"; }

# Usage: hold NAME
# Keeps a namespace after the deletion of its name, as systemd does, at the path HELD.
hold() {
  local descriptor
  exec {descriptor}<"/run/netns/$1"
  # shellcheck disable=SC2034 # for the test
  HELD=/proc/$BASHPID/fd/$descriptor
}

# Usage: reaches WHERE ADDRESS
# Succeeds if a ping is answered. The first pings may be lost while the kernel sets up a link.
reaches() { from "$1" ping -q -c 1 -i 0.1 -w 5 "$2"; }

# Usage: cut_off WHERE ADDRESS
# Succeeds if no ping is answered. Call it only where another ping is or was answered.
cut_off() {
  if from "$1" ping -q -c 2 -i 0.1 -W 0.3 "$2"; then return 1; fi
}

# Usage: links WHERE [TYPE]
# Prints the names of the interfaces.
links() {
  local words=(link show)
  (($# == 1)) || words+=(type "$2")
  from "$1" ip -json "${words[@]}" | jq --raw-output '.[].ifname // empty'
}

# Usage: link WHERE IFNAME FILTER
# Prints the result of jq's FILTER for all properties of an interface.
link() { from "$1" ip -json -details address show dev "$2" | jq --raw-output "map(select(.ifname)) | .[0] | $3"; }

# Usage: addresses WHERE IFNAME
addresses() { link "$1" "$2" '[.addr_info[] | select(.scope == "global") | "\(.local)/\(.prefixlen)"] | join(" ")'; }

# Usage: world
# Prints everything that an instance can leave behind: the interfaces, default routes and rules of the host and of every namespace,
# the remembered values, and the files of the administrator.
world() {
  local name
  for name in host $(cd /run/netns 2>/dev/null && ls); do
    echo "in $name:"
    from "$name" ip -json address | jq --compact-output '.[] | [.ifname, .address, (.flags | contains(["UP"])),
      (.addr_info[] | select(.scope == "global") | .local)]'
    from "$name" ip route show default
    from "$name" nft list ruleset
  done
  find "$MEMORY" "$CONF" -type f 2>/dev/null | sort
}

# Usage: unchanged WORLD
# Succeeds if everything is unchanged, and prints the differences otherwise.
unchanged() { diff --label before --label now --unified <(echo "$1") <(world); }

# Usage: watch_host
# Records each interface that appears on the host from now on.
watch_host() {
  SEEN=$BATS_TEST_TMPDIR/seen
  ip -oneline -details monitor link >"$SEEN" 3>&- &
  BACKGROUND+=("$!")
  eventually watch_mark begin
}

# Usage: watched
# Prints the recorded lines, without those of lo.
watched() {
  eventually watch_mark end >&2
  grep --invert-match ': lo:' "$SEEN" || true
}

# Usage: watch_mark WORD
# Gives lo an alias. It appears in the record after all earlier changes.
watch_mark() {
  ip link set dev lo alias "$1$RANDOM"
  grep --quiet "alias $1" "$SEEN"
}

# Usage: only COMMAND...
# Prints a PATH with only the program under test and these commands.
only() {
  local bin=$BATS_TEST_TMPDIR/only command
  mkdir -p "$bin"
  for command; do ln -sf "$(type -P "$command")" "$bin/"; done
  echo "$NETNS_BIN:$bin"
}

# Usage: host_rules KIND
# Loads a firewall of the host, which does not allow the packets of the namespaces.
host_rules() {
  case $1 in
    policy) nft "add table inet host; add chain inet host forward { type filter hook forward priority 0; policy drop; }; add rule inet host forward ct state established accept" ;;
    drop) nft "add table ip host; add chain ip host forward { type filter hook forward priority 0; }; add rule ip host forward ct state established accept; add rule ip host forward counter drop" ;;
    reject) nft "add table inet host; add chain inet host forward { type filter hook forward priority 10; }; add rule inet host forward reject" ;;
    docker) nft "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }; add chain ip filter DOCKER-USER; add rule ip filter FORWARD jump DOCKER-USER; add rule ip filter DOCKER-USER return" ;;
  esac
}

# Usage: fault error|kill|end
# Prints a line for a .conf: while the library runs FAIL_FUNCTION, its message number FAIL_AT to the kernel fails, or the program gets
# SIGKILL there. With `end`, the function succeeds, and then the hook gets SIGTERM.
fault() {
  local faulty=$BATS_TEST_TMPDIR/faulty inject
  case $1 in
    error) inject=error=EIO ;;
    kill) inject=signal=SIGKILL ;;
    end) inject='' ;;
  esac
  cat >"$faulty" <<END
#!/bin/bash
[[ \${7-} == "\$FAIL_FUNCTION" ]] || exec netnsinit "\$@"
if [[ "$inject" ]]; then exec strace -qq -o /dev/null -e trace=sendto -e inject=sendto:$inject:when=\$FAIL_AT netnsinit "\$@"; fi
netnsinit "\$@" && ((FAIL_AT > 1)) || kill "\$PPID"
END
  chmod +x "$faulty"
  echo "BASH_ARGV0=$faulty"
}

# Usage: each_failure_leaves WORLD TYPE NAME SIDE FUNCTION...
# Succeeds if an `up` with a `fault` in its .conf has this result at each message of these library functions. The last `up` of each
# function, without a failure, succeeds; then the instance goes down, except after the last function.
each_failure_leaves() {
  local FAIL_FUNCTION
  local -i FAIL_AT failures=0
  export FAIL_AT FAIL_FUNCTION
  for FAIL_FUNCTION in "${@:5}"; do
    if ((failures)); then down_hooks "$2" "$3"; fi
    for ((FAIL_AT = 1; FAIL_AT < 50; FAIL_AT++)); do
      if hook "$2" "$3" up "$4"; then break; fi
      failures+=1
      unchanged "$1" || {
        echo "left after a failure at message $FAIL_AT of $FAIL_FUNCTION" >&2
        return 1
      }
    done
    ((FAIL_AT > 1 && FAIL_AT < 50)) || return
  done
}

# Usage: fails COMMAND...
# Succeeds if COMMAND fails, and changes nothing.
fails() {
  local before
  before=$(world)
  run --separate-stderr ! "$@" && unchanged "$before"
}

# Usage: refused WORD... -- COMMAND...
# Succeeds if COMMAND fails with one line that contains these words, and changes nothing.
refused() {
  local words=()
  while [[ $1 != -- ]]; do
    words+=("$1")
    shift
  done
  shift
  fails "$@" && reported "${words[@]}"
}

# Usage: twice TYPE NAME up|down outside|inside
# Succeeds if a hook can run twice, and the second run changes nothing.
twice() {
  local before
  hook "$@" && before=$(world) && hook "$@" && unchanged "$before"
}

# Usage: each_hook_twice TYPE NAME COMMAND...
# Succeeds if each hook can run twice, in a new namespace: COMMAND succeeds in between, and nothing is left.
each_hook_twice() {
  local before
  before=$(world)
  create "$2" && twice "$1" "$2" up outside && twice "$1" "$2" up inside && "${@:3}" &&
    twice "$1" "$2" down inside && twice "$1" "$2" down outside && netnsinit --delete "$2" && unchanged "$before"
}

# Usage: reported WORD...
# Succeeds if the last `run --separate-stderr` failed with one line that contains these words, besides the line of the host program.
reported() {
  local word said
  said=$(grep --invert-match '^netnsinit: .* failed with status' <<<"$stderr")
  ((status != 0)) || return
  [[ $said != *$'\n'* ]] || return
  for word; do [[ $said == *"$word"* ]] || return; done
}

# Usage: toggle TYPE NAME
# Brings an instance up, or down if the array `up` has its NAME. Changes the array.
toggle() {
  if [[ " ${up[*]} " == *" $2 "* ]]; then
    down_hooks "$1" "$2"
    read -r -a up <<<"${up[*]/#"$2"/}"
  else
    up "$1" "$2"
    up+=("$2")
  fi
}

# Usage: narrow_way NAME ROUTER IFNAME ROUTER-IFNAME
# Creates the machine NAME behind ROUTER: 10.7.0.2 and 2001:db8:77::2, with the gateways .1 and ::1. The way from the host to the router,
# over IFNAME, has an MTU of 1400 there, and the router sends no error about packets that are too long.
narrow_way() {
  local name=$1 router=$2
  create "$name"
  ip -netns "$router" link add behind type veth peer name up netns "$name"
  inside "$router" sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
  inside "$router" ip address add 10.7.0.1/24 dev behind
  inside "$router" ip address add 2001:db8:77::1/64 dev behind nodad
  inside "$name" ip address add 10.7.0.2/24 dev up
  inside "$name" ip address add 2001:db8:77::2/64 dev up nodad
  ip -netns "$router" link set dev behind up
  ip -netns "$name" link set dev up up
  ip -netns "$name" route add default via 10.7.0.1
  ip -netns "$name" route add default via 2001:db8:77::1
  ip link set dev "$3" mtu 1400
  ip -netns "$router" link set dev "$4" mtu 1400
  inside "$router" nft 'add table inet mute; add chain inet mute output { type filter hook output priority 0; }; add rule inet mute output icmp type destination-unreachable drop; add rule inet mute output icmpv6 type packet-too-big drop'
}

# Usage: transfers WHERE ADDRESS PORT
# Succeeds if 200 kB arrive in each direction.
transfers() { from "$1" python3 "$ROOT/bats/kernel/transfer.py" ask "$2" "$3" >/dev/null 2>&1; }

# Usage: without_clamping TABLE CHAIN
# Deletes the rules of a chain that limit the segment size.
without_clamping() {
  local handle
  for handle in $(nft --handle list chain inet "$1" "$2" | sed -n 's/.*maxseg.*# handle //p'); do
    nft delete rule inet "$1" "$2" handle "$handle"
  done
}
