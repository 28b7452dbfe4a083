#!/usr/bin/env bats
# The functions of the library for input, for commands on the host and in the namespace, and for kernel modules.
#
# shellcheck disable=SC2016 # the texts are expanded in a hook

load kernel

# Usage: in_hook SIDE <<<TEXT
# Runs bash text as the hook `up SIDE` of lib@a.
in_hook() {
  { echo "configure_lib_up_$1() {" && cat && echo '}'; } >"$CONF/lib.sh"
  touch "$CONF/lib-a.conf"
  [[ -e /run/netns/a ]] || create a
  hook lib a up "$1"
}

# Usage: accepts COMMAND VALUE...
# Succeeds if COMMAND, with VALUE in place of @, succeeds for each value.
accepts() { each_value '' "$@"; }

# Usage: refuses COMMAND VALUE...
# Succeeds if COMMAND, with VALUE in place of @, fails for each value.
refuses() { each_value '! ' "$@"; }

each_value() {
  local value
  for value in "${@:3}"; do
    value=$(printf %q "$value")
    echo "$1${2/@/"$value"} || { echo not expected: ${2/@/"$value"}; exit 1; }"
  done | in_hook outside
}

@test "link_add and link_configure without their arguments print the usage" {
  for call in link_add 'link_add X' 'link_add X bridge' 'link_add X type' 'link_add X _INSIDE dummy'; do
    run --separate-stderr ! in_hook outside <<<"$call"
    reported 'link_add: expected PREFIX [SUFFIX] type KIND [ARGUMENT...]'
  done
  run --separate-stderr ! in_hook outside <<<link_configure
  reported 'link_configure: expected PREFIX [SUFFIX]'
}

@test "is_address accepts addresses that libc accepts, and refuses all else" {
  accepts 'is_address @' 0.0.0.0 255.255.255.255 :: ::1 1:: 2001:db8::53 1:2:3:4:5:6:7:8 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 \
    ::ffff:192.0.2.1 fe80::1%eth0
  refuses 'is_address @' '' example.org 192.0.2 192.0.2.256 192.0.2.01 192.0.2.1/24 1::2::3 12345:: 1:2:3:4:5:6:7:8:9 ::1% : '*' \
    $'192.0.2.1\n192.0.2.2'
}

@test "is_prefix accepts a length up to the length of the address" {
  accepts 'is_prefix @' 192.0.2.1/24 0.0.0.0/0 192.0.2.1/32 2001:db8::/64 ::/0 2001:db8::1/128
  refuses 'is_prefix @' '' 192.0.2.1 192.0.2.1/ /24 192.0.2.1/33 2001:db8::/129 192.0.2.1/024 192.0.2.1/24/24 192.0.2.1/-1 \
    192.0.2.1/24x fe80::1%eth0/64 192.0.2.1/255.255.255.0
}

@test "is_mac accepts six bytes that an interface can have" {
  accepts 'is_mac @' 02:00:00:00:00:01 fe:FF:ff:ff:ff:ff 2:0:0:0:0:0
  refuses 'is_mac @' '' 02:00:00:00:00 02:00:00:00:00:00:00 02:00:00:00:00:0g 11:22:33:44:55:66 00:00:00:00:00:00 02-00-00-00-00-01 \
    2:+1:0:0:0:0 002:0:0:0:0:0
}

@test "is_number accepts decimal integers in a range, and is_port the numbers of ports" {
  accepts 'is_number @' 0 1 -1 999999999999999999
  refuses 'is_number @' '' 010 +1 1.5 0x10 -0 'a[$(touch /run/pwned)]' 9999999999999999999 '1 ' ' 1'
  accepts 'is_number @ -5 5' -5 0 5
  refuses 'is_number @ -5 5' -6 6
  accepts 'is_number @ 5' 5 6
  refuses 'is_number @ 5' 4
  accepts 'is_port @' 1 80 65535
  refuses 'is_port @' '' 0 65536 080 http 1-2
  [[ ! -e /run/pwned ]]
}

@test "is_one_of compares whole words" {
  accepts 'is_one_of @ tun tap "a b" "*"' tun tap 'a b' '*'
  refuses 'is_one_of @ tun tap "a b" "*"' '' tu a b '*x' 'tun tap'
  refuses 'is_one_of @' tun
}

@test "valid_setting prints a line for each invalid element, and nothing for a setting that is unset or empty" {
  in_hook outside <<'END'
LIB_A=192.0.2.1 LIB_B=(192.0.2.1 "" ::1) LIB_C=''
valid_setting LIB_A is_address
valid_setting LIB_B is_address
valid_setting LIB_C is_address
valid_setting LIB_D is_address
set -u
valid_setting LIB_D is_address
END
  run --separate-stderr -0 in_hook outside <<'END'
is_even() { (($1 % $2 == 0)); }
LIB_A=x LIB_B=(80 http 0) LIB_C=9 LIB_D='a b' LIB_E=(2 3) LIB_F=$'\e[1m'
LIB_G=x/24 LIB_H=x
for check in 'LIB_A is_address' 'LIB_B is_port' 'LIB_C is_number 1 5' 'LIB_C is_number 10' 'LIB_D is_one_of tun tap' 'LIB_E is_even 2' \
  'LIB_F is_mac' 'LIB_G is_prefix' 'LIB_H is_number'; do
  ! valid_setting $check || exit 1
done
END
  diff - <(tail -n +2 <<<"$output") <<'END'
LIB_A: 'x' is not an IP address: expected an address such as 192.0.2.1 or 2001:db8::1
LIB_B: 'http' is not a port: expected a number from 1 to 65535
LIB_B: '0' is not a port: expected a number from 1 to 65535
LIB_C: '9' is not a valid number: expected an integer, at least 1, at most 5
LIB_C: '9' is not a valid number: expected an integer, at least 10
LIB_D: 'a b' is not a valid word: expected one of tun tap
LIB_E: '3' is not valid: refused by `is_even 2`
LIB_F: $'\E[1m' is not a hardware address of an interface: expected six bytes, such as 02:00:00:00:00:01, not multicast
LIB_G: 'x/24' is not a prefix: expected ADDRESS/LENGTH, such as 192.0.2.0/24 or 2001:db8::/64
LIB_H: 'x' is not a valid number: expected an integer
END
}

@test "a plugin's own function is used in place of a function of the library with the same name" {
  # is_prefix and is_port use helpers of the library, not these functions.
  in_hook outside <<'END'
is_address() { [[ $1 == mine ]]; }
is_number() { return 1; }
is_address mine
is_port 80
is_prefix 192.0.2.1/24
LIB_A=mine
valid_setting LIB_A is_address
END
}

@test "read_ini reads sections, keys and repeated keys, and executes nothing" {
  printf '%s' $'top = 1\n# comment\n; comment\n[Interface]\n  Address=192.0.2.1/24\nKey\t=  a = b # c  \r\nEmpty =\n' \
    $'[Peer "x"]\nDNS = 192.0.2.53\n[Interface]\nAddress = $(touch /run/pwned)\nAddress = `touch /run/pwned`\n[peer]\nlast=\\n' >/run/lib.ini
  run --separate-stderr -0 in_hook outside <<'END'
local -A config=([old]=1)
local key
read_ini /run/lib.ini config
for key in "${!config[@]}"; do printf '%s=%q\n' "$key" "${config[$key]}"; done | sort
END
  diff - <(tail -n +2 <<<"$output") <<'END'
Interface.Address=$'192.0.2.1/24\n$(touch /run/pwned)\n`touch /run/pwned`'
Interface.Empty=''
Interface.Key=a\ =\ b\ #\ c
Peer "x".DNS=192.0.2.53
peer.last=\\n
top=1
END
  [[ ! -e /run/pwned ]]
  rm /run/lib.ini
}

@test "read_ini refuses an invalid line with its place, a missing file, and a variable that is not an associative array" {
  local line
  for line in nonsense '=1' 'a b = 1' '@ = 1' '[]' '[x' 'x[$(touch /run/pwned)] = 1'; do
    printf '%s\n' '[a]' '' "$line" >/run/lib.ini
    run --separate-stderr -1 in_hook outside <<<'local -A config; read_ini /run/lib.ini config'
    reported "/run/lib.ini:3: invalid line '$line'"
  done
  for file in /run/missing /run; do
    run --separate-stderr -1 in_hook outside <<<"local -A config; read_ini $file config"
    reported "cannot read '$file'"
  done
  for declaration in '' 'local config;' 'local -a config;' 'config=1;'; do
    run --separate-stderr -1 in_hook outside <<<"$declaration read_ini /run/lib.ini config"
    reported "'config' is not an associative array; declare it first: local -A config"
  done
  [[ ! -e /run/pwned ]]
  rm /run/lib.ini
}

@test "resolve_name resolves a name on the host, from either side, each address once" {
  cp /etc/hosts "$BATS_TEST_TMPDIR/hosts"
  printf '192.0.2.%d two.test\n' 1 2 >>/etc/hosts
  for side in outside inside; do
    run --separate-stderr -0 in_hook "$side" <<'END'
resolve_name LIB_SERVERS two.test
echo "${#LIB_SERVERS[@]} ${LIB_SERVERS[*]}"
local found=old
resolve_name found 2001:db8::1
echo "${found[*]}"
END
    [[ ${lines[1]} == '2 192.0.2.1 192.0.2.2' && ${lines[2]} == 2001:db8::1 ]]
  done
  # `ip netns exec` shows the files of /etc/netns/a in /etc.
  mkdir -p /etc/netns/a
  : >/etc/netns/a/hosts
  in_hook outside <<<:
  config lib.sh <<<'configure_lib_up_inside() { resolve_name LIB_SERVERS two.test; }'
  ip netns exec a netnsinit lib a up inside
  for name in missing.test -x ''; do
    run --separate-stderr -1 in_hook inside <<<"resolve_name LIB_SERVERS '$name'"
    reported "cannot resolve '$name' on the host: not found"
  done
  cp "$BATS_TEST_TMPDIR/hosts" /etc/hosts
}

@test "host_run and inside_run run a program in their network namespace, from either side, with its status" {
  create a
  for side in outside inside; do
    run --separate-stderr -0 in_hook "$side" <<'END'
host_run readlink /proc/self/ns/net
inside_run readlink /proc/self/ns/net
inside_run printf '%s\n' 'a  b' ''
END
    [[ ${lines[1]} == "$(readlink /proc/self/ns/net)" && ${lines[2]} == "$(inside a readlink /proc/self/ns/net)" && ${lines[3]} == 'a  b' ]]
    for command in host_run inside_run; do
      run -7 in_hook "$side" <<<"$command bash -c 'exit 7'"
    done
  done
}

@test "inside_run refuses a namespace that was replaced by another program" {
  create a
  in_hook outside <<<:
  config lib.sh <<<'configure_lib_down_outside() { inside_run touch /run/touched; }'
  ip netns delete a
  ip netns add a
  run --separate-stderr -1 hook lib a down outside
  reported "cannot run \`touch\` in namespace 'a'"
  [[ ! -e /run/touched ]]
  ip netns delete a
}

# Usage: modules
# /lib/modules has modules of the running kernel, of which none can be loaded.
modules() {
  local directory
  mkdir -p /run/lib/{upper,work}
  mount --no-mtab -t overlay lib -o lowerdir=/usr/lib,upperdir=/run/lib/upper,workdir=/run/lib/work /usr/lib
  directory=/usr/lib/modules/$(uname --kernel-release)
  rm -rf "$directory"
  mkdir -p "$directory"
  echo kernel/drivers/net/netns-test.ko >"$directory/modules.builtin"
  : >"$directory/modules.order"
  depmod
}

@test "load_module succeeds for a module that is loaded or built in" {
  loaded=(/sys/module/*_*)
  in_hook outside <<<"PATH=/nonexistent; load_module ${loaded[0]##*/}; name=${loaded[0]##*/}; load_module \"\${name//_/-}\""
  modules
  run --separate-stderr -0 in_hook inside <<<'load_module netns-test; load_module netns_test'
  umount --lazy /usr/lib
  [[ -z $stderr ]]
}

@test "the error of load_module has the module, the kernel, and the package or option with the module" {
  modules
  for from in '' CONFIG_NETNS netns-modules; do
    run --separate-stderr -1 in_hook outside <<<"load_module netns-missing $from"
    reported "cannot load the kernel module 'netns-missing' (kernel $(uname --kernel-release)): " "$from" hint:
  done
  umount --lazy /usr/lib
  run --separate-stderr -1 in_hook outside <<<'PATH=$(dirname "$0"); load_module netns-missing'
  reported "cannot load the kernel module 'netns-missing': the program \`modprobe\` is not installed" kmod
}

@test "load_module only warns if the modules of the kernel are not visible" {
  if [[ -d /usr/lib/modules ]]; then mount --no-mtab -t tmpfs modules /usr/lib/modules; fi
  run --separate-stderr -0 in_hook outside <<<'load_module netns-missing netns-modules'
  if [[ -d /usr/lib/modules ]]; then umount --lazy /usr/lib/modules; fi
  [[ $stderr == "cannot tell whether the kernel $(uname --kernel-release) has the module 'netns-missing'"*'; if it is missing, hint: '*'install netns-modules'* ]]
}
