# shellcheck shell=bash
# Common functions of the suites under a booted systemd: each file has its own machine (tests/lab.bash). Every test leaves it
# unchanged. Run with `tests/private bats bats/systemd`.

bats_require_minimum_version 1.5.0
# shellcheck source=tests/lab.bash
source "$BATS_TEST_DIRNAME/../../tests/lab.bash"
# shellcheck source=bats/eventually.bash
source "$BATS_TEST_DIRNAME/../eventually.bash"
# shellcheck source=bats/recording_plugin.bash
source "$BATS_TEST_DIRNAME/../recording_plugin.bash"
# shellcheck source=bats/foreign_namespace.bash
source "$BATS_TEST_DIRNAME/../foreign_namespace.bash"
# shellcheck source=bats/internet.bash
source "$BATS_TEST_DIRNAME/../internet.bash"

# The directory of the administrator, as a path of the test.
CONF=$LAB/root/etc/conf.d/netns

setup_file() {
  [[ ${NETNS_PRIVATE-} ]] || {
    echo 'run this by tests/private: it mounts and boots' >&2
    return 1
  }
  lab_create
  lab_install
  lab_samples
  cp -a "$CONF" "$LAB/conf"
  lab_boot
}

teardown_file() { lab_destroy; }

teardown() { undo_test; }

# Undoes everything that a test has created.
undo_test() {
  lab bash -c '
    umount --lazy /etc /run/systemd-netns
    mount -o remount,bind,rw /run/netns
    systemctl stop "test-*" "netns-*@*.service"
    for ((try = 0; try < 400; try++)); do
      [[ $(systemctl list-units --plain --no-legend --state=active,activating,deactivating "netns*" | wc -l) != 0 ]] || break
      sleep 0.05
    done
    systemctl reset-failed "netns*" "test-*"
    ip -all netns delete
    rm -rf /etc/netns /etc/systemd/system/test-* /etc/systemd/system/*.wants/test-* /etc/systemd/system/netns*@*.service.d /etc/systemd/system/sys-subsystem-net-devices-* /run/systemd-netns/{stopped,direct} /run/systemd/system/netns* /etc/systemd/system/*.wants/netns* '"$LOG"'
  ' >&2 2>/dev/null || true
  delete_links
  rm -rf "$CONF"
  cp -a "$LAB/conf" "$CONF"
  lab netns-update --daemon-reload >/dev/null
}

# Usage: delete_links
# Deletes all interfaces of the lab, except lo. Their other ends end with them.
delete_links() {
  lab bash -c 'for path in /sys/class/net/*; do [[ $path == */lo || ! -e $path ]] || ip link delete dev "${path##*/}"; done' || true
}

# Usage: config FILE <<<TEXT
# Writes a file of the administrator.
config() { cat >"$CONF/$1"; }

# Usage: unit NAME <<<TEXT
# Writes a unit, whose name must begin with test-, or one of its files.
unit() {
  local path=$LAB/root/etc/systemd/system/$1
  mkdir -p "${path%/*}"
  cat >"$path"
  lab systemctl daemon-reload
}

# Usage: plugin TYPE [TEXT]
# Creates a type with the plugin of `recording_plugin`.
plugin() {
  recording_plugin "$@" >"$CONF/$1.sh"
  lab netns-update >/dev/null
}

# Usage: pair NAME [LINE...]
# Writes veth-NAME.conf: 192.0.2.1 outside, 192.0.2.2 inside, and the LINEs.
pair() { printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 "${@:2}" | config "veth-$1.conf"; }

# Usage: hooks
# Prints the recorded calls of hooks in order, on one line.
hooks() { lab cat "$LOG" | paste -sd,; }

# Usage: is UNIT STATE
is() {
  local state
  state=$(lab systemctl is-active "$1") || true
  [[ $state == "$2" ]]
}

# Usage: up UNIT...
# Succeeds if all units are active.
up() {
  local unit
  # `systemctl is-active` with several units succeeds if one of them is active.
  for unit; do lab systemctl is-active --quiet "$unit" || return; done
}

# Usage: exists NAME / gone NAME
# Succeeds if a namespace of this name exists / does not exist.
exists() { lab test -e "/run/netns/$1"; }
gone() { ! exists "$1"; }

# Usage: delete_manually NAME
# Waits until systemd has seen the mount: it checks a few times a second at most (sd_event_source_set_ratelimit in
# src/core/mount.c), and does not notice a mount that is removed in between.
delete_manually() {
  eventually is "$(systemd-escape --path --suffix=mount "/run/netns/$1")" active
  lab ip netns delete "$1"
}

# Usage: nothing_failed
nothing_failed() {
  local failed
  failed=$(lab systemctl list-units --failed --no-legend --plain 'netns*')
  [[ -z $failed ]] || {
    printf 'failed: %s\n' "$failed" >&2
    return 1
  }
}

# Usage: parent IFNAME
# Creates an interface of the host for macvlan.
parent() {
  lab ip link add "$1" type veth peer name "$1-peer"
  lab ip link set "$1" up
  lab ip link set "$1-peer" up
}

# Usage: nothing_left NAME
# Succeeds if namespace and units are gone, no unit has failed, and the host has no interfaces except lo and eth0 (see parent).
nothing_left() {
  eventually gone "$1"
  eventually is "netns_name@$1.service" inactive
  nothing_failed
  [[ $(lab find /run/systemd-netns -type f | wc -l) == 0 ]]
  local links
  links=$(lab ip -oneline link | grep --invert-match eth0)
  [[ $links != *$'\n'* ]] || {
    echo "left: $links" >&2
    return 1
  }
}

# Usage: cannot_start TYPE NAME
# Succeeds if an instance cannot be started, and nothing is left except the failed units.
cannot_start() {
  run ! lab systemctl start "netns-$1@$2"
  eventually gone "$2"
  lab systemctl reset-failed 'netns*'
  nothing_left "$2"
}

# Usage: journal UNIT
# Prints the messages of a unit since boot.
journal() { lab journalctl --sync && lab journalctl --output=cat --unit="$1"; }

# Usage: reaches NAME ADDRESS
# Succeeds if one ping from the namespace NAME is answered.
reaches() { lab ip netns exec "$1" ping -c1 -W1 -q "$2" >/dev/null; }

# Usage: is_in NAME UNIT
# Succeeds if a service runs in this namespace.
is_in() {
  local pid
  pid=$(main_pid "$2")
  ((pid != 0)) && eventually runs_its_program "$pid" && lab test "/proc/$pid/ns/net" -ef "/run/netns/$1"
}

# Usage: runs_its_program PID
# Succeeds if systemd has set the process up, and has executed the program of the service. A start of Type=simple does not wait for this.
runs_its_program() { [[ $(lab readlink "/proc/$1/exe") != */systemd ]]; }

# Usage: main_pid UNIT
main_pid() { lab systemctl show --property=MainPID --value "$1"; }
