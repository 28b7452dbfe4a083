#!/usr/bin/env bats
# sysctl: sysctls of a namespace; and sysctl_set of the library, in the namespace and on the host.

load kernel

PORT=net.ipv4.ip_unprivileged_port_start
FORWARD=net.ipv4.ip_forward

# Usage: value WHERE KEY
# Prints a value, with blanks between its words.
value() {
  local words
  read -ra words < <(from "$1" sysctl -n "$2")
  echo "${words[*]}"
}

# Usage: all NAME
# Prints all sysctls of a namespace.
all() { inside "$1" sysctl -a --pattern '^net' 2>/dev/null; }

# Usage: sysctls NAME WORD...
# Writes sysctl-NAME.conf with these words.
sysctls() {
  local name=$1
  shift
  echo "SYSCTLS=(${*@Q})" | config "sysctl-$name.conf"
}

# Usage: router SIDE COMMANDS
# Writes a type whose hook `up SIDE` runs these commands.
router() { printf '%s\n' NO_CONFIG_REQUIRED=yes "configure_router_up_$1() {" "$2" '}' >"$SHARE/router.sh"; }

# Usage: refuses WORD... -- SYSCTL...
# Succeeds if `up inside` with these sysctls fails with the file and these words, and all sysctls of the namespace stay.
refuses() {
  local words=() before
  while [[ $1 != -- ]]; do words+=("$1") && shift; done
  sysctls a "${@:2}"
  before=$(all a)
  run --separate-stderr ! hook sysctl a up inside
  reported "$CONF/sysctl-a.conf:1: " "${words[@]}" || {
    printf 'expected: %s\n' "${words[@]}"
    printf 'printed: %s\n' "$stderr"
    return 1
  }
  diff <(echo "$before") <(all a)
}

@test "up sets the sysctls of the namespace, and not those of the host" {
  sysctls a "net.ipv4.ping_group_range=0 2147483647" "$PORT = 80"
  before=$(value host "$PORT")
  up sysctl a
  [[ $(value a net.ipv4.ping_group_range) == '0 2147483647' && $(value a "$PORT") == 80 ]]
  [[ $(value host "$PORT") == "$before" ]]
}

@test "the shipped sysctl.conf works unchanged, and a file of one namespace adds to it" {
  cp "$ROOT/etc/sysctl.conf" "$CONF"
  config sysctl-a.conf <<<"SYSCTLS+=($PORT=80 $PORT=81)"
  up sysctl a
  [[ $(value a net.ipv4.ping_group_range) == '0 2147483647' ]]
  [[ $(value a "$PORT") == 81 ]] # the last one wins
}

@test "down restores the values before, while the namespace stays" {
  sysctls a "$PORT=80" net.ipv4.ip_local_reserved_ports=8080 "net.ipv4.ping_group_range=0 10"
  create a
  before=$(all a)
  up sysctl a
  [[ $(all a) != "$before" && $(value a net.ipv4.ip_local_reserved_ports) == 8080 ]]
  down_hooks sysctl a
  diff <(echo "$before") <(all a)
  [[ ! -e $MEMORY/sysctl@a ]]
}

@test "every hook can run twice" {
  sysctls a "$PORT=80"
  set_twice() { [[ $(value a "$PORT") == 80 ]]; }
  each_hook_twice sysctl a set_twice
}

@test "a restart sets the present values, and restores the sysctls that are not set any more" {
  sysctls a "$PORT=80" "net.ipv4.ping_group_range=0 10" "$FORWARD=1"
  create a
  pings=$(value a net.ipv4.ping_group_range)
  up sysctl a
  sysctls a "$PORT=443" "$FORWARD=1"
  restart_inside sysctl a
  [[ $(value a "$PORT") == 443 && $(value a net.ipv4.ping_group_range) == "$pings" && $(value a "$FORWARD") == 1 ]]
  echo 'SYSCTLS=()' | config sysctl-a.conf
  restart_inside sysctl a
  [[ $(value a "$PORT") == 1024 && $(value a "$FORWARD") == 0 ]]
  down_hooks sysctl a
}

@test "a restart restores the sysctls of a hook that was removed" {
  config sysctl-a.conf <<<"SYSCTLS=($PORT=80)"
  up sysctl a
  sed --in-place '/configure_sysctl_up_inside/d' "$SHARE/sysctl.sh"
  restart_inside sysctl a
  [[ $(value a "$PORT") == 1024 ]]
}

@test "a key has dots or slashes, and the first one decides, as for sysctl(8)" {
  create a
  ip -netns a link add eth0.5 type veth peer name eth0.6
  sysctls a net.ipv4.conf.eth0/5.rp_filter=2 net/ipv4/conf/eth0.6/rp_filter=2 net/ipv4/ip_forward=0x1
  up sysctl a
  [[ $(inside a cat /proc/sys/net/ipv4/conf/eth0.5/rp_filter) == 2 ]]
  [[ $(inside a cat /proc/sys/net/ipv4/conf/eth0.6/rp_filter) == 2 ]]
  [[ $(value a "$FORWARD") == 1 ]]
}

@test "an unknown or invalid key, and one of the whole host, is refused with its file before any sysctl is set" {
  create a
  refuses "'net.ipv4.nosuch' in namespace 'a' to '1'" '/proc/sys/net/ipv4/nosuch does not exist' -- "$PORT=80" net.ipv4.nosuch=1
  refuses "'net.ipv4.ip_forward.x'" 'does not exist' -- "$PORT=80" net.ipv4.ip_forward.x=1
  refuses "'net.ipv4.conf'" '/proc/sys/net/ipv4/conf' -- "$PORT=80" net.ipv4.conf=1
  refuses "'net.netfilter.nf_conntrack_max'" 'read-only' -- "$PORT=80" net.netfilter.nf_conntrack_max=1
  refuses "'kernel.hostname'" 'whole host' 'sysctl_set --host' -- "$PORT=80" kernel.hostname=x
  refuses "'net.ipv4.route.flush'" 'could not be restored' -- "$PORT=80" net.ipv4.route.flush=1
  refuses "'net/../kernel/hostname' is not the key of a sysctl" -- "$PORT=80" net/../kernel/hostname=x
  refuses "'$FORWARD' is not a sysctl: expected KEY=VALUE" -- "$PORT=80" "$FORWARD"
}

@test "a value that the kernel refuses or does not take over is an error with its file, and nothing stays set" {
  create a
  refuses "'$FORWARD' in namespace 'a' to '1x'" /proc/sys/net/ipv4/ip_forward 'Invalid argument' -- "$PORT=80" "$FORWARD=1x"
  refuses "'net.ipv4.ping_group_range'" "to '5 1'" "keeps the value '1 0'" -- "$PORT=80" 'net.ipv4.ping_group_range=5 1'
  filter=net.ipv4.conf.default.rp_filter
  refuses "'$filter'" "to ''" 'Invalid argument' -- "$PORT=80" "$filter="
  refuses "'$filter'" "has read only '1'" -- "$PORT=80" "$filter=1 2"
  [[ ! -e $MEMORY/sysctl@a ]]
}

@test "a value that the kernel shows in another form is set, stays after a restart, and is restored" {
  ports=net.ipv4.ip_local_reserved_ports
  sysctls a "$ports=8080,8081"
  up sysctl a
  [[ $(value a "$ports") == 8080-8081 ]]
  restart_inside sysctl a
  sysctls a "$ports=8080,8082"
  restart_inside sysctl a
  [[ $(value a "$ports") == 8080,8082 ]]
  inside a sysctl -q -w "$ports=9000"
  run -0 down_hooks sysctl a
  [[ $output == *"'$ports' in namespace 'a' stays '9000', which another program has set"* ]]
  router outside "sysctl_set --host $ports=8080,8081"
  up router a
  up router b
  down router a
  [[ $(value host "$ports") == 8080-8081 ]]
  down router b
  [[ -z $(value host "$ports") ]]
}

@test "a sysctl that was never set cannot be restored, and down says so" {
  secret=net.ipv6.conf.default.stable_secret
  sysctls a "$secret=2001:db8::1"
  up sysctl a
  [[ $(value a "$secret") == 2001:0db8:0000:0000:0000:0000:0000:0001 ]]
  restart_inside sysctl a
  run -0 down_hooks sysctl a
  [[ $output == *"'$secret' in namespace 'a' stays '2001:"*"': it was not set before, and the kernel cannot unset it"* ]]
}

@test "after a failed call that the hook ignores, only the sysctls before it are set, and down restores them" {
  router inside "sysctl_set $PORT=80; sysctl_set $FORWARD=1x net.ipv4.ip_local_reserved_ports=8080 || :"
  up router a
  [[ $(value a "$PORT") == 80 && -z $(value a net.ipv4.ip_local_reserved_ports) ]]
  down_hooks router a
  [[ $(value a "$PORT") == 1024 ]]
}

@test "an outside hook sets sysctls of the namespace, and a restart keeps them" {
  router outside "sysctl_set $PORT=80"
  up router a
  restart_inside router a
  [[ $(value a "$PORT") == 80 && $(value host "$PORT") != 80 ]]
  down_hooks router a
  [[ $(value a "$PORT") == 1024 ]]
}

@test "an inside hook sets sysctls of the host" {
  router inside "sysctl_set --host $FORWARD=1"
  up router a
  [[ $(value host "$FORWARD") == 1 && $(value a "$FORWARD") == 0 ]]
  restart_inside router a
  [[ $(value host "$FORWARD") == 1 ]]
  down router a
  [[ $(value host "$FORWARD") == 0 && -z $(ls /run/systemd-netns/sysctls) ]]
}

@test "a sysctl of the host is restored after the last of three instances, in every order" {
  router outside "sysctl_set --host $FORWARD=1"
  for order in 'a b c' 'a c b' 'b a c' 'b c a' 'c a b' 'c b a'; do
    read -ra names <<<"$order"
    for name in a b c; do up router "$name"; done
    for name in "${names[@]}"; do
      [[ $(value host "$FORWARD") == 1 ]]
      down router "$name"
    done
    [[ $(value host "$FORWARD") == 0 && -z $(ls /run/systemd-netns/sysctls) ]]
  done
}

@test "another value than that of another instance is refused with the name of this instance" {
  router outside "sysctl_set --host $FORWARD=1"
  up router a
  create b
  router outside "sysctl_set --host $FORWARD=0"
  run --separate-stderr ! hook router b up outside
  reported "$SHARE/router.sh:3: cannot set sysctl '$FORWARD' on the host to '0': \`router@a\` has set it to '1'"
  down router a
  [[ $(value host "$FORWARD") == 0 ]]
}

@test "another value for an alias of a sysctl is refused, too, and down restores the value before" {
  router outside "sysctl_set --host $FORWARD=1"
  up router a
  create b
  router outside "sysctl_set --host net.ipv4.conf.all.forwarding=0"
  run --separate-stderr ! hook router b up outside
  reported "'$FORWARD' on the host to '0': \`router@a\` has set it to '1'"
  router outside "sysctl_set --host net.ipv4.conf.all.forwarding=1"
  hook router b up outside
  down router a
  [[ $(value host "$FORWARD") == 1 ]]
  down router b
  [[ $(value host "$FORWARD") == 0 && -z $(ls /run/systemd-netns/sysctls) ]]
}

@test "a restart changes the value of the only instance, and the value before the first one is restored" {
  router inside "sysctl_set --host net.ipv4.tcp_fin_timeout=50"
  before=$(value host net.ipv4.tcp_fin_timeout)
  up router a
  router inside "sysctl_set --host net.ipv4.tcp_fin_timeout=40"
  restart_inside router a
  [[ $(value host net.ipv4.tcp_fin_timeout) == 40 ]]
  down router a
  [[ $(value host net.ipv4.tcp_fin_timeout) == "$before" ]]
}

@test "a value that another program has set in the meantime stays, and down says so" {
  sysctls a "$PORT=80"
  router outside "sysctl_set --host net.ipv4.tcp_fin_timeout=50"
  before=$(value host net.ipv4.tcp_fin_timeout)
  up sysctl a
  up router a
  inside a sysctl -q -w "$PORT=443"
  sysctl -q -w net.ipv4.tcp_fin_timeout=30
  run -0 down_hooks sysctl a
  [[ $output == *"sysctl '$PORT' in namespace 'a' stays '443', which another program has set; before, it was '1024'"* ]]
  run -0 down_hooks router a
  [[ $output == *"'net.ipv4.tcp_fin_timeout' on the host stays '30'"* ]]
  [[ $(value host net.ipv4.tcp_fin_timeout) == 30 && -z $(ls /run/systemd-netns/sysctls) ]]
  sysctl -q -w "net.ipv4.tcp_fin_timeout=$before"
}

@test "a failed hook restores the sysctls of the namespace and of the host" {
  router outside "sysctl_set --host $FORWARD=1; sysctl_set $PORT=80; false"
  create a
  run ! hook router a up outside
  [[ $(value host "$FORWARD") == 0 && $(value a "$PORT") == 1024 ]]
  [[ -z $(ls /run/systemd-netns/sysctls) && ! -e $MEMORY/router@a ]]
}

@test "a sysctl of an interface that is gone is forgotten" {
  create a
  ip -netns a link add eth0 type veth peer name eth1
  sysctls a net.ipv4.conf.eth0.rp_filter=2
  up sysctl a
  ip -netns a link delete eth0
  down_hooks sysctl a
  [[ ! -e $MEMORY/sysctl@a ]]
}

@test "a sysctl of a renamed interface is restored, and a new interface of the old name keeps its value" {
  create a
  ip -netns a link add eth0 type veth peer name eth1
  sysctls a net.ipv4.conf.eth0.rp_filter=2 net.ipv6.neigh.eth0.app_solicit=3
  before=$(inside a sysctl net.ipv4.conf.eth0.rp_filter net.ipv6.neigh.eth0.app_solicit)
  up sysctl a
  rename_link a eth0 lan0
  inside a ip link add eth0 type veth peer name eth2
  inside a sysctl -q net.ipv4.conf.eth0.rp_filter=2
  down_hooks sysctl a
  [[ $(inside a sysctl net.ipv4.conf.lan0.rp_filter net.ipv6.neigh.lan0.app_solicit) == "${before//eth0/lan0}" ]]
  [[ $(value a net.ipv4.conf.eth0.rp_filter) == 2 && ! -e $MEMORY/sysctl@a ]]
}

@test "a sysctl of a renamed interface of the host is counted under both names, and is restored after the last instance" {
  for order in 'a b' 'b a'; do
    ip link add eth0 type veth peer name eth1
    router outside 'sysctl_set --host net.ipv4.conf.eth0.rp_filter=2'
    before=$(value host net.ipv4.conf.eth0.rp_filter)
    up router a
    rename_link host eth0 wan0
    router outside 'sysctl_set --host net.ipv4.conf.wan0.rp_filter=1'
    create b
    run --separate-stderr ! hook router b up outside
    reported "'net.ipv4.conf.wan0.rp_filter' on the host to '1': \`router@a\` has set it to '2'"
    router outside 'sysctl_set --host net.ipv4.conf.wan0.rp_filter=2'
    hook router b up outside
    for name in $order; do
      [[ $(value host net.ipv4.conf.wan0.rp_filter) == 2 ]]
      down router "$name"
    done
    [[ $(value host net.ipv4.conf.wan0.rp_filter) == "$before" && -z $(ls /run/systemd-netns/sysctls) ]]
    ip link delete dev wan0
  done
}

@test "the records of an older version, with the name of an interface instead of its index, are read" {
  ip link add eth0 type veth peer name eth1
  router outside 'sysctl_set --host net.ipv4.conf.eth0.rp_filter=2'
  before=$(value host net.ipv4.conf.eth0.rp_filter)
  for order in 'a b' 'b a'; do
    up router a
    sed --in-place 's/,"index":[0-9]*//' "$MEMORY/router@a" /run/systemd-netns/sysctls/*
    mv /run/systemd-netns/sysctls/* /run/systemd-netns/sysctls/net:ipv4:conf:eth0:rp_filter
    up router b
    for name in $order; do
      [[ $(value host net.ipv4.conf.eth0.rp_filter) == 2 ]]
      down router "$name"
    done
    [[ $(value host net.ipv4.conf.eth0.rp_filter) == "$before" && -z $(ls /run/systemd-netns/sysctls) ]]
  done
}

@test "a traced hook prints the commands" {
  sysctls a "net.ipv4.ping_group_range=0 10"
  create a
  hook sysctl a up outside
  NETNS_TRACE=1 run --separate-stderr -0 hook sysctl a up inside
  command=$(grep --only-matching 'ip netns exec a sysctl -w .*' <<<"$stderr")
  [[ $command == "ip netns exec a sysctl -w 'net.ipv4.ping_group_range=0 10'" ]]
}

# Usage: kill_everywhere PREPARE CHECK COMMAND...
# Runs COMMAND repeatedly, each time after PREPARE, and kills it before the first, second, … of these system calls, until it runs to
# its end. CHECK must succeed each time. KILLS is the number of kills.
kill_everywhere() {
  local prepare=$1 check=$2 call status
  local -i at
  declare -gi KILLS=0
  shift 2
  for call in openat write mkdir rename renameat2 unlink flock setns; do
    for ((at = 1; ; at++)); do
      "$prepare"
      status=0
      strace -qq -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$at" "$@" >/dev/null 2>&1 3>&- || status=$?
      "$check" || {
        echo "killed at call $at of $call" >&2
        return 1
      }
      ((status != 0)) || break
      KILLS+=1
    done
  done
}

# Usage: both_down VALUE
# Succeeds if nothing is left of router@a and router@b after both are down. VALUE is the value on the host while router@b is up.
both_down() {
  hook router a down outside >/dev/null
  [[ $(value host "$FORWARD") == "$1" ]] || return
  hook router b down outside >/dev/null
  [[ $(value host "$FORWARD") == 0 && $(value a "$PORT") == 1024 ]] || return
  # A draft of a killed process may stay; it is hidden.
  [[ -z $(ls /run/systemd-netns/sysctls) && ! -e $MEMORY/router@a && ! -e $MEMORY/router@b ]]
}

@test "after a kill of sysctl_set between any two system calls, down restores the value before" {
  router outside "sysctl_set --host $FORWARD=1"
  create a b
  nothing() { :; }
  # shellcheck disable=SC2317 # called by kill_everywhere
  down_alone() { both_down 0; }
  kill_everywhere nothing down_alone netnsinit --library / router@a outside h1 - sysctl_set --host "$FORWARD=1"
  ((KILLS > 10))
  kill_everywhere nothing down_alone netnsinit --library / router@a outside h1 - sysctl_set "$PORT=80"
  ((KILLS > 10))
  other_up() { hook router b up outside >/dev/null; }
  # shellcheck disable=SC2317 # as above
  down_second() { both_down 1; }
  kill_everywhere other_up down_second netnsinit --library / router@a outside h1 - sysctl_set --host "$FORWARD=1"
  set_50() { netnsinit --library / router@a outside h1 - sysctl_set --host net.ipv4.tcp_fin_timeout=50; }
  before=$(value host net.ipv4.tcp_fin_timeout)
  # shellcheck disable=SC2317 # as above
  down_changed() { down_alone && [[ $(value host net.ipv4.tcp_fin_timeout) == "$before" ]]; }
  kill_everywhere set_50 down_changed netnsinit --library / router@a outside h2 - sysctl_set --host net.ipv4.tcp_fin_timeout=40
}

@test "after a kill of down between any two system calls, the next down restores the value before" {
  router outside "sysctl_set --host $FORWARD=1; sysctl_set $PORT=80"
  create a b
  both_up() { hook router a up outside >/dev/null && hook router b up outside >/dev/null; }
  # shellcheck disable=SC2317 # called by kill_everywhere
  down_again() { both_down 1; }
  kill_everywhere both_up down_again netnsinit router a down outside
  ((KILLS > 10))
  one_up() { hook router a up outside >/dev/null; }
  # shellcheck disable=SC2317 # as above
  down_last() { both_down 0; }
  kill_everywhere one_up down_last netnsinit router a down outside
}
