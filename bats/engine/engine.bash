# shellcheck shell=bash
# Common functions of the suites for both engines: a machine with or without systemd, as ENGINE says. Every test leaves it
# unchanged. Run with `ENGINE=systemd tests/private bats bats/engine` or `ENGINE=direct tests/private tests/machine bats bats/engine`.

bats_require_minimum_version 1.5.0
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
# shellcheck source=tests/lab.bash
source "$ROOT/tests/lab.bash"
# shellcheck source=bats/eventually.bash
source "$ROOT/bats/eventually.bash"
# shellcheck source=bats/shown.bash
source "$ROOT/bats/shown.bash"
# shellcheck source=bats/recording_plugin.bash
source "$ROOT/bats/recording_plugin.bash"
# shellcheck source=bats/foreign_namespace.bash
source "$ROOT/bats/foreign_namespace.bash"
# shellcheck source=bats/internet.bash
source "$ROOT/bats/internet.bash"

case ${ENGINE-} in
  systemd) TOP=$LAB/root ;;
  *) TOP='' ;;
esac
# The directory of the administrator, as a path of the test.
CONF=$TOP/etc/conf.d/netns

setup_file() {
  [[ ${NETNS_PRIVATE-} ]] || {
    echo 'run this by tests/private: it mounts and boots' >&2
    return 1
  }
  # Otherwise the tests would change /etc and /run of the host.
  [[ ${ENGINE-} == systemd || ${ENGINE-} == direct && ${NETNS_MACHINE-} ]] || {
    echo 'run this with ENGINE=systemd, or with ENGINE=direct by tests/machine' >&2
    return 1
  }
  if [[ $ENGINE == systemd ]]; then
    lab_create
    lab_install
    lab_samples
    lab_boot
  fi
  cp -a "$CONF" "$BATS_FILE_TMPDIR/conf"
}

teardown_file() { [[ ${ENGINE-} != systemd ]] || lab_destroy; }

teardown() {
  on bash -c '
    [[ ! -d /run/systemd/system ]] || systemctl stop "netns-*@*.service"
    for name in $(ip netns list | cut -d " " -f 1); do netnsctl down "$name"; done
    ip -all netns delete
    [[ ! -d /run/systemd/system ]] || systemctl reset-failed "netns*"
    for link in $(ip -oneline link show type veth | cut -d " " -f 2 | cut -d @ -f 1); do ip link delete "$link"; done
    umount --lazy /run/systemd-netns/direct /run/systemd-netns
    rm -rf /run/systemd-netns '"$LOG" >/dev/null 2>&1 || true
  # The directory itself stays: the user nobody cannot create another one.
  rm -rf "${CONF:?}"/*
  cp -a "$BATS_FILE_TMPDIR"/conf/* "$CONF"
  update
}

# Usage: on COMMAND...
# Runs a command on the machine.
on() { if [[ $ENGINE == systemd ]]; then lab "$@"; else "$@"; fi; }

# Usage: update
# Updates the units of the types, if systemd runs.
update() { [[ $ENGINE == direct ]] || lab netns-update --daemon-reload >/dev/null; }

# Usage: config FILE <<<TEXT
config() { cat >"$CONF/$1"; }

# Usage: plugin TYPE [TEXT]
# Creates a type with the plugin of `recording_plugin`.
plugin() {
  recording_plugin "$@" >"$CONF/$1.sh"
  update
}

# Usage: pair NAME [LINE...]
# Writes veth-NAME.conf: 192.0.2.1 outside, 192.0.2.2 inside, and the LINEs.
pair() { printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 "${@:2}" | config "veth-$1.conf"; }

# Usage: hooks
# Prints the recorded calls of hooks in order, on one line, and clears them.
hooks() { on bash -c "[[ ! -e $LOG ]] || { cat $LOG && rm $LOG; }" | paste -sd,; }

# Usage: exists NAME / gone NAME
# Succeeds if a namespace of this name exists / does not exist.
exists() { on test -e "/run/netns/$1"; }
gone() { ! exists "$1"; }

# Usage: state INSTANCE
# Prints the state of an instance in `netnsctl list`.
state() {
  on netnsctl list --json | jq --raw-output --arg instance "$1" '.items[] | select(.instance == $instance) | .state'
}

# Usage: machine
# Prints everything that can change on the machine: links and rules on the host and in every namespace, mounts of namespaces, our files
# in /run and /etc, and processes, except those of the test itself.
machine() {
  # shellcheck disable=SC2016 # for the machine to expand
  on bash -c '
    look() { ip -json -details link; nft --json list ruleset | grep --invert-match metainfo; }
    look
    for name in $(cd /run/netns 2>/dev/null && ls); do
      echo "in $name:"
      nsenter --net="/run/netns/$name" -- bash -c "$(declare -f look); look"
    done
    grep --count " - nsfs " /proc/self/mountinfo
    find /run/systemd-netns /etc/conf.d/netns /etc/systemd/system /etc/netns -not -type d -printf "%p %M %s %l\n" 2>/dev/null | sort
    ps -e -o pid=,ppid=,comm= | awk -v own="$1" "
      { parent[\$1] = \$2; name[\$1] = \$3 }
      END {
        for (pid in parent) {
          for (up = pid; up > 1 && up != own && up in parent; up = parent[up]);
          if (up == 1) print pid, name[pid]
        }
      }" | sort
  ' bash "$([[ $ENGINE == systemd ]] || echo "$$")" | grep --invert-match --extended-regexp '^[0-9]+ (systemd|\(sd|journalctl|dbus)'
}

# Usage: undone MACHINE
# Succeeds if the machine gets back to that state, and prints the differences otherwise.
undone() {
  local try now
  for ((try = 0; try < 50; try++)); do
    now=$(machine)
    [[ $now != "$1" ]] || return 0
    sleep 0.1
  done
  diff --label before --label now --unified=0 <(echo "$1") <(echo "$now") >&2
}

# Usage: nothing_left
# Succeeds if the machine has no namespace, no interface except lo, and none of our files in /run.
nothing_left() {
  local left
  left=$(on bash -c 'ip netns list
    ip -oneline link | grep --invert-match ": lo:"
    [[ ! -e /run/systemd-netns ]] || find /run/systemd-netns -type f')
  [[ -z $left ]] || {
    printf 'left: %s\n' "$left" >&2
    return 1
  }
}
