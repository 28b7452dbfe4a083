#!/usr/bin/env bats
# The sysctls of a new namespace, as docs/services.md lists them. The "host" of these tests is itself a namespace, so it has received
# the values of the first namespace, and no test changes that one.

load kernel

# Usage: value WHERE SYSCTL
# Prints a value, with blanks between its words.
value() {
  local words
  read -ra words < <(from "$1" cat "/proc/sys/${2//./\/}")
  echo "${words[*]}"
}

# Usage: documented
# Prints the rows of the table: the sysctl, and the value that it has in a new namespace.
documented() { sed -n 's/^| `\(net\.[a-z0-9_.]*\)` | \(of the host\|`[0-9 ]*`\) |.*/\1 \2/p' "$ROOT/docs/services.md" | tr -d '`'; }

# The files of the "host" that a test changes, each with its value before, in the order of the table: some values change others. Later
# suites need them: without IPv6, lo has no ::1.
BEFORE=()
teardown() {
  local file value
  for file in "${BEFORE[@]}"; do
    read -r file value <<<"$file"
    echo "$value" >"$file"
  done
  undo_test
}

# Usage: change SYSCTL
# Sets another value on the "host".
change() {
  local now file=/proc/sys/${1//./\/}
  now=$(value host "$1")
  case $1 in
    *.tcp_congestion_control) now=$([[ $now == reno ]] && echo cubic || echo reno) ;;
    *.tcp_rmem) now="4096 131072 $((${now##* } + 4096))" ;;
    *.ping_group_range) now='0 1000' ;;
    *.ip_local_port_range) now='20000 30001' ;;
    *) now=$((now == 0 ? 1 : now - 1)) ;;
  esac
  echo "$now" >"$file"
  [[ $(value host "$1") == "$now" ]]
}

@test "a new namespace has the documented sysctls, and not those of the namespace that creates it" {
  local sysctl expected rows=0
  local -A first
  while read -r sysctl expected; do
    first[$sysctl]=$(value host "$sysctl")
    BEFORE+=("/proc/sys/${sysctl//./\/} ${first[$sysctl]}")
  done < <(documented)
  while read -r sysctl expected; do change "$sysctl"; done < <(documented)
  up lo a
  while read -r sysctl expected; do
    [[ $expected != 'of the host' ]] || expected=${first[$sysctl]}
    echo "$sysctl: $(value a "$sysctl"), documented: $expected"
    [[ $(value a "$sysctl") == "$expected" ]]
    rows=$((rows + 1))
  done < <(documented)
  ((rows >= 15))
}

@test "a sysctl that is set in a namespace stays until the namespace is deleted" {
  up lo a
  inside a bash -c 'echo 80 >/proc/sys/net/ipv4/ip_unprivileged_port_start'
  restart_inside lo a
  [[ $(value a net.ipv4.ip_unprivileged_port_start) == 80 ]]
  down lo a
  up lo a
  [[ $(value a net.ipv4.ip_unprivileged_port_start) == 1024 ]]
}
