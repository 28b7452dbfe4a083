#!/usr/bin/env bats
# netnsctl: the output and effects of verbs other than up, down, restart and check.

load ../engine/engine

# Usage: valid KIND
# Succeeds if the input is JSON that matches docs/json/KIND.json.
valid() {
  local document=$BATS_TEST_TMPDIR/document.json
  cat >"$document"
  PYTHONPATH='' /usr/bin/jsonschema --instance "$document" "$ROOT/docs/json/$1.json"
}

@test "without namespaces, list prints an empty table, or an empty list as JSON" {
  rm "$CONF"/*
  run -0 netnsctl list
  [[ $output == 'NAMESPACE  TYPE  STATE  ENGINE  SINCE  ADDRESSES' ]]
  [[ -z $(netnsctl list --no-legend) ]]
  [[ $(netnsctl list --json | jq .items) == '[]' ]]
}

@test "status shows the contents of a namespace" {
  cat >"$CONF/veth-client.conf" <<'END'
VETH_NSNAME_OUTSIDE=nstest
VETH_IFADDR_OUTSIDE=198.51.100.2/30
VETH_IFADDR_INSIDE=198.51.100.1/30
END
  netnsctl up veth@nstest nft@nstest
  netnsctl up veth@client
  mkdir -p /etc/netns/nstest
  touch /etc/netns/nstest/resolv.conf
  ip netns exec nstest sleep 60 3>&- &
  sleeper=$!
  while [[ $(</proc/$sleeper/comm) != sleep ]]; do sleep 0.01; done
  run -0 netnsctl status nstest
  kill "$sleeper"
  rm -r /etc/netns/nstest
  shape=$(sed -E '/fe80::.64/d; s/20[0-9-]{8} [0-9:]{8}/TIME/; s/ fe80::[^ ]*//; s/ (UP|DOWN|LOWERLAYERDOWN|UNKNOWN) / STATE /; s/[0-9]+ sleep/PID sleep/; s/ \([a-z0-9@.-]+\.(scope|service)\)//' <<<"$output")
  diff --label expected --label shown --unified - <(echo "$shape") <<'END'
nstest (exists)
├── instances
│   ├── nft up since TIME, direct
│   └── veth up since TIME, direct
├── interfaces
│   ├── lo STATE 127.0.0.1/8 ::1/128
│   ├── ve-nstest1 STATE 192.0.2.130/30 -> ve-nstest0 on the host
│   └── ve-client0 STATE 198.51.100.2/30 -> ve-client1 in client
├── routes
│   ├── 192.0.2.128/30 dev ve-nstest1
│   ├── 198.51.100.0/30 dev ve-client0
├── DNS its own
├── rules 2; input drop, forward drop, output drop
└── processes
    └── PID sleep
END
}

@test "status shows a configured namespace that is down, and refuses an unknown one" {
  run -0 netnsctl status nstest
  [[ $output == 'nstest (does not exist)'* ]]
  run --separate-stderr -1 netnsctl status nosuch
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'namespace `nosuch` does not exist'* ]]
}

# Usage: sockets_in NAME
# Starts a process with a listening socket in the namespace. The process itself stays outside, as haproxy does with `namespace`,
# or as a program that enters the namespace only to open its sockets. PID is its process ID.
sockets_in() {
  python3 -c 'import ctypes, os, socket, sys, time
libc = ctypes.CDLL(None)
home, there = (os.open(path, os.O_RDONLY) for path in ("/proc/self/ns/net", "/run/netns/" + sys.argv[1]))
libc.setns(there, 0)
server = socket.create_server(("0.0.0.0", 8080))
libc.setns(home, 0)
os.close(there)
time.sleep(60)' "$1" 3>&- &
  PID=$!
  listens() { [[ $(ip netns exec a ss -Hltn 'sport = :8080') ]]; }
  eventually listens
  returned() { [[ /proc/$PID/ns/net -ef /proc/self/ns/net ]]; }
  eventually returned
}

@test "status and down report a process that is elsewhere, but has sockets in the namespace" {
  netnsctl up lo@a
  sockets_in a
  run -0 netnsctl status a
  [[ $output == *"$PID python3"*', only sockets' ]]
  netnsctl status --json a | valid status
  [[ $(netnsctl status --json a | jq -c '[.items[].processes[] | [.pid, .sockets_only]]') == "[[$PID,true]]" ]]
  run --separate-stderr -0 netnsctl down a
  kill "$PID"
  [[ $output == 'lo@a is down' ]]
  [[ $stderr == "netnsctl: warning: process $PID (python3) still has sockets in the deleted namespace \`a\`; "* ]]
}

@test "status and down report a process with only a thread in the namespace" {
  netnsctl up lo@a
  python3 -c 'import ctypes, os, threading, time
def enter():
    ctypes.CDLL(None).setns(os.open("/run/netns/a", os.O_RDONLY), 0)
    time.sleep(60)
threading.Thread(target=enter).start()' 3>&- &
  PID=$!
  inside() {
    local task
    for task in /proc/"$PID"/task/*; do [[ ! $task/ns/net -ef /run/netns/a ]] || return 0; done
    return 1
  }
  eventually inside
  run -0 netnsctl status a
  [[ $output == *"$PID python3"* ]]
  run --separate-stderr -0 netnsctl down a
  kill "$PID"
  [[ $stderr == *"process $PID (python3) still runs in the deleted namespace \`a\`; "* ]]
}

@test "down of an unknown namespace, and of an unknown instance, fail alike" {
  run --separate-stderr -1 netnsctl down nosuch
  local message=$stderr
  [[ -z $output && $message == 'netnsctl: nothing is up on namespace `nosuch`'* ]]
  run --separate-stderr -1 netnsctl down veth@nosuch
  [[ -z $output && $stderr == "$message" ]]
  # A configured instance, and one that needs no configuration, are known.
  run -0 netnsctl down veth@nstest lo@new
}

@test "list reports a namespace that was deleted or replaced manually, and an instance without its plugin" {
  rm "$CONF"/*
  recording_plugin t >"$CONF/t.sh"
  netnsctl up t@a lo@b lo@c
  ip netns delete b
  ip netns delete c
  ip netns add c
  rm "$CONF/t.sh"
  run -0 netnsctl list
  [[ ${lines[0]} == *'ADDRESSES  PROBLEM' ]]
  [[ ${lines[1]} == a*t*"cannot find plugin \`t\`: neither $CONF/t.sh nor "* ]]
  [[ ${lines[2]} == b*lo*up*'namespace `b` was deleted manually; fix: `netnsctl restart b`' ]]
  [[ ${lines[3]} == c*lo*up*'namespace `c` was deleted and re-created by another program'* ]]
  run -1 netnsctl check lo@c
  [[ $output == *'lo@c: namespace `c` was deleted and re-created by another program'* ]]
  netnsctl list --json | valid list
  [[ $(netnsctl list --json | jq '[.items[] | select(.problem)] | length') == 3 ]]
}

@test "status shows the parent of a macvlan" {
  ip link add eth0 type veth peer name eth1
  netnsctl up macvlan@a
  run -0 netnsctl status a
  netnsctl down macvlan@a
  ip link delete dev eth0
  [[ $output == *'macvlan0 '*'192.0.2.7/24 -> eth0 on the host'* && $output == *'default via 192.0.2.1 dev macvlan0'* ]]
}

@test "list and status of 1000 namespaces start no process for each" {
  mapfile -t instances < <(printf 'lo@many-%d\n' {1..1000})
  netnsctl up "${instances[@]}" >/dev/null 2>&1
  for verb in list status; do
    strace -f -qq -e trace=execve -o "$BATS_TEST_TMPDIR/trace" netnsctl "$verb" >"$BATS_TEST_TMPDIR/said"
    [[ $(grep -c many- "$BATS_TEST_TMPDIR/said") == 1000 ]]
    [[ $(grep -c execve "$BATS_TEST_TMPDIR/trace") == 1 ]]
  done
  netnsctl down "${instances[@]}" >/dev/null 2>&1
  nothing_left
}

@test "show prints layers, values and functions, each with its last place" {
  cat >"$CONF/probe.sh" <<'END'
# Settings (in probe-NAME.conf):
#   PROBE_UNSET  nobody sets it
PROBE_A=plugin
configure_probe_up_outside() { :; }
configure_probe_up_inside() { :; }
END
  config probe.conf <<<$'PROBE_A=type\nPROBE_B="a value"'
  config probe-n.conf <<'END'
PROBE_A=instance
if true; then
  declare -A PROBE_MAP=([key]=value)
fi
configure_probe_up_inside() { :; }
END
  run -0 netnsctl show probe@n
  shown=$(sed 's/  */ /g; s/ $//' <<<"$output")
  diff --label expected --label shown --unified - <(grep -v HOST_ <<<"$shown") <<END
probe@n
layers, each overrides the layers above
 plugin $CONF/probe.sh
 default $CONF/default.conf
 type $CONF/probe.conf
 instance $CONF/probe-n.conf
variables
 PROBE_A instance $CONF/probe-n.conf:1
 PROBE_B 'a value' $CONF/probe.conf:2
 PROBE_MAP '(value)' $CONF/probe-n.conf:3
 PROBE_UNSET (not set)
hooks
 configure_probe_up_inside $CONF/probe-n.conf:5
 configure_probe_up_outside $CONF/probe.sh:4
END
}

@test "show prints computed values of a plugin, and missing files" {
  run -0 netnsctl show veth@nstest
  [[ $output =~ VETH_IFNAME_OUTSIDE\ +ve-nstest0 && $output =~ veth\.conf\ +\(does\ not\ exist\) ]]
}

@test "cat prints the wrapper, and bash can run it" {
  config probe.sh <<<$'NO_CONFIG_REQUIRED=y\nconfigure_probe_down_outside() { echo "down with $1"; }'
  run -0 bash <(netnsctl cat probe@n down outside)
  [[ $output == *'down with n' ]]
  [[ $(netnsctl cat probe@n) == *"configure_probe_up_inside"* ]]
}

@test "types shows the path of each type, the overridden plugin, its hooks and settings" {
  cp /usr/share/systemd-netns/lo.sh "$CONF"
  run -0 netnsctl types --no-legend
  shipped=("$ROOT"/plugins/*.sh)
  ((${#lines[@]} == ${#shipped[@]}))
  grep --quiet "^lo .* $CONF/lo.sh (instead of /usr/share/systemd-netns/lo.sh)\$" <<<"$output"
  grep --quiet '^veth .*a pair of virtual interfaces' <<<"$output"
  run -0 netnsctl types macvlan
  [[ $output == *'up outside, up inside'*'MACVLAN_SOURCE_MACS'* ]]
}

@test "new creates a working type without findings" {
  run -0 netnsctl new switch
  [[ $output == *'netnsctl up switch@example'* ]]
  shellcheck "$CONF/switch.sh"
  shfmt -i 2 -ci -d "$CONF/switch.sh"
  echo SWITCH_IFADDR=192.0.2.1/24 >>"$CONF/switch-example.conf"
  netnsctl check switch
  netnsctl up switch@example
  [[ $(ip -netns example -brief address show dev br0) == *192.0.2.1/24* ]]
  netnsctl restart switch@example
  # down removes the interface of up, also after a change of the .conf.
  printf '%s\n' SWITCH_IFNAME=br1 SWITCH_STP=on | config switch-example.conf
  run --separate-stderr -1 netnsctl check switch
  [[ $output == *"$CONF/switch-example.conf:2: error: switch@example: SWITCH_STP: 'on' is not a valid word: expected one of yes no"* ]]
  netnsctl down switch@example
  nothing_left
  rm -rf /etc/systemd/system/netns*
}

@test "a restart of a type of netnsctl new sets a changed address" {
  netnsctl new switch
  echo SWITCH_IFADDR=192.0.2.1/24 >>"$CONF/switch-example.conf"
  netnsctl up switch@example
  sed -i 's/192.0.2.1/192.0.2.9/' "$CONF/switch-example.conf"
  netnsctl restart switch@example
  [[ $(ip -netns example -4 -brief address show dev br0) =~ ^br0\ +[A-Z]+\ +192\.0\.2\.9/24\ *$ ]]
  netnsctl down switch@example
  nothing_left
  rm -rf /etc/systemd/system/netns*
}

@test "new --like with each shipped type, and daemon, creates a plugin without faults" {
  for template in $(cd "$ROOT/plugins" && basename --suffix=.sh -- *.sh) daemon; do
    netnsctl new --like "$template" "my$template"
    shellcheck "$CONF/my$template.sh"
    shfmt -i 2 -ci -d "$CONF/my$template.sh"
    grep --quiet "^# my$template: " "$CONF/my$template.sh"
    run ! grep "\<${template^^}_\|_${template}_\|\<${template}_[a-z]*()" "$CONF/my$template.sh"
    # A function of the library gets the beginning of the names of the settings.
    run ! grep "^[^#]*\<${template^^}\>" "$CONF/my$template.sh"
    [[ ! -e $ROOT/plugins/$template.sh || $template == wireguard ]] ||
      diff "$ROOT/plugins/$template.sh" <(sed "s/MY${template^^}/${template^^}/g; s/my$template/$template/g" "$CONF/my$template.sh")
  done
  rm -rf /etc/systemd/system/netns*
}

@test "new --like veth and daemon create working types without findings" {
  netnsctl new --like veth myveth
  printf '%s\n' MYVETH_IFADDR_OUTSIDE=192.0.2.1/30 MYVETH_IFADDR_INSIDE=192.0.2.2/30 >>"$CONF/myveth-example.conf"
  netnsctl new --like daemon mydaemon
  for type in myveth mydaemon; do
    netnsctl up "$type@example"
    netnsctl check "$type"
    netnsctl restart "$type@example"
    netnsctl check "$type"
    netnsctl down "$type@example"
  done
  nothing_left
  rm -rf /etc/systemd/system/netns*
}

@test "new --like creates a type that reads its own settings and files, for each kind of library function" {
  for template in dhcp dns hostdev nft publish vxlan; do netnsctl new --like "$template" "my$template"; done
  ip link add card address 02:00:00:00:00:50 type veth peer name cable
  printf '%s\n' MYHOSTDEV_IFNAME=card MYHOSTDEV_IFNAME_INSIDE=lan0 MYHOSTDEV_IFADDR=192.0.2.2/24 MYHOSTDEV_CARRIER_TIMEOUT=0 |
    config myhostdev-example.conf
  printf '%s\n' MYDNS_SERVERS=192.0.2.53 | config mydns-example.conf
  printf '%s\n' 'MYPUBLISH=(8080:80)' | config mypublish-example.conf
  printf '%s\n' 'table inet mine { chain input { type filter hook input priority 0; }; }' | config mynft-example.rules
  printf '%s\n' VETH_IFADDR_OUTSIDE=198.51.100.1/30 VETH_IFADDR_INSIDE=198.51.100.2/30 | config veth-example.conf
  netnsctl up veth@example myhostdev@example mydns@example mypublish@example mynft@example
  for type in myhostdev mydns mypublish mynft; do
    netnsctl check "$type@example"
    netnsctl restart "$type@example"
  done
  [[ $(ip -netns example -4 -brief address show dev lan0) == *192.0.2.2/24* && $(</etc/netns/example/resolv.conf) == *192.0.2.53* ]]
  [[ $(ip netns exec example nft list ruleset) == *'table inet mine'* && $(nft list tables) == *'netns_mypublish-example'* ]]
  echo MYDHCP_IFNAME=nosuch >"$CONF/mydhcp-example.conf"
  run ! netnsctl up mydhcp@example
  [[ $output == *MYDHCP_IFNAME*nosuch* ]]
  netnsctl down example
  ip link delete card
  rm -rf /etc/systemd/system/netns*
}

@test "new with a type that cannot begin a variable creates a plugin without faults" {
  for type in my.type 1x; do
    for template in bridge veth daemon wireguard; do
      netnsctl new --like "$template" "$type"
      shellcheck "$CONF/$type.sh"
      # bash itself accepts the names of functions and variables.
      bash -euc 'valid_setting() { :; }; wireguard_read() { :; }; source "$1.sh"; source "$1-example.conf"; "configure_${1##*/}_validate"' - "$CONF/$type"
      mv "$CONF/$type.sh" "$CONF/$type-$template.saved"
      rm "$CONF/$type-example.conf"
    done
    run -0 cat "$CONF/$type"-*.saved
    [[ $output == *_IFNAME* && $output != *[.]type_[A-Z]* && ! $output =~ [^A-Z_0-9]1X ]]
  done
  netnsctl new --like daemon my.type
  netnsctl up my.type@example
  netnsctl check my.type
  netnsctl down my.type@example
  nothing_left
  rm -rf /etc/systemd/system/netns*
}

@test "new --like with an unknown template is an error, and writes nothing" {
  run --separate-stderr -1 netnsctl new --like nosuch mine
  [[ $stderr == *"cannot read the template /usr/share/systemd-netns/nosuch.sh"* && ! -e $CONF/mine.sh ]]
}

@test "new --like wireguard creates a plugin without faults, whose missing file is reported" {
  netnsctl new --like wireguard mytunnel
  shellcheck "$CONF/mytunnel.sh"
  shfmt -i 2 -ci -d "$CONF/mytunnel.sh"
  run --separate-stderr -1 netnsctl check mytunnel
  [[ $output == *"MYTUNNEL_CONFIG: cannot read '/etc/wireguard/example.conf'"* ]]
  rm -rf /etc/systemd/system/netns*
}

@test "new overwrites no file, and overrides a shipped type only with --force" {
  config mine.sh <<<'# mine'
  run --separate-stderr -1 netnsctl new mine
  [[ $(<"$CONF/mine.sh") == '# mine' && $stderr == *"$CONF/mine.sh exists already; hint: "* ]]
  config zz-example.conf <<<'# mine'
  run --separate-stderr -1 netnsctl new zz
  [[ $(<"$CONF/zz-example.conf") == '# mine' && ! -e $CONF/zz.sh && $stderr == *"$CONF/zz-example.conf exists already"* ]]
  run --separate-stderr -1 netnsctl new veth
  [[ $stderr == *'--force'* && ! -e $CONF/veth.sh ]]
}

@test "run uses the namespace, with its files, its /sys and the status of the command" {
  netnsctl up veth@nstest
  mkdir -p /etc/netns/nstest
  echo 'nameserver 192.0.2.53' >/etc/netns/nstest/resolv.conf
  before=$(</etc/resolv.conf)
  run --separate-stderr -7 netnsctl run nstest -- sh -c 'cat /etc/resolv.conf; ls /sys/class/net | sort | paste -sd,; exit 7'
  rm -r /etc/netns/nstest
  [[ $output == $'nameserver 192.0.2.53\nlo,ve-nstest1' ]]
  [[ $(</etc/resolv.conf) == "$before" ]]
}

@test "run brings instances up only with --up, and can run as another user" {
  run --separate-stderr -1 netnsctl run nstest true
  [[ $stderr == *'netnsctl up nstest'* ]]
  run -0 netnsctl run --up --user nobody nstest -- id -un
  [[ $output == nobody ]]
  run -127 netnsctl run nstest nosuch
  run -126 netnsctl run nstest /etc/passwd
}

@test "the JSON output matches its schema" {
  netnsctl up veth@nstest nft@nstest
  echo if >"$CONF/lo-a.conf"
  netnsctl list --json | valid list
  netnsctl status --json | valid status
  netnsctl types --json | valid types
  netnsctl show veth@nstest --json | valid show
  run ! netnsctl check --json
  valid check <<<"$output"
  netnsctl down --json nstest | valid lifecycle
  run --separate-stderr ! netnsctl up --json lo@b macvlan@c
  valid lifecycle <<<"$output"
  run ! valid list <<<'{"version": 1, "kind": "list", "items": [{"instance": 5}]}'
}

@test "colours appear only on terminals, and NO_COLOR switches them off" {
  [[ $(netnsctl list) != *$'\e'* ]]
  on_terminal() { script -qec "TERM=xterm $1" /dev/null </dev/null; }
  [[ $(on_terminal 'netnsctl list') == *$'\e['* ]]
  [[ $(on_terminal 'env NO_COLOR=1 netnsctl list') != *$'\e['* ]]
}

@test "make uninstall refuses while the direct engine has an active instance, and changes nothing" {
  netnsctl up lo@a
  run -2 make --silent --directory "$ROOT" uninstall
  [[ $output == *'not uninstalled: the direct engine has active instances'* ]]
  netnsctl down lo@a
}
