# shellcheck shell=bash
# Common functions of the suites in the virtual machine. Run with `tests/vm --systemd bats bats/vm`.

bats_require_minimum_version 1.5.0
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
# shellcheck source=bats/eventually.bash
source "$ROOT/bats/eventually.bash"

# Usage: vm_install
# Installs the packages of tests/vm and the program. The suites of one boot share them.
vm_install() {
  [[ $(</proc/cmdline) == *vm.boot=boot-systemd* ]] || {
    echo 'run this by tests/vm --systemd: it installs packages, and changes the network' >&2
    return 1
  }
  [[ ! -e /run/installed ]] || return 0
  tar --extract --keep-directory-symlink --directory / --file "$ROOT/target/vm/packages.tar"
  # `netnsctl check` runs it on each plugin, which takes seconds here. bats/netnsctl/check.bats tests that.
  rm -f /usr/bin/shellcheck
  systemctl daemon-reload
  # Otherwise any change of an interface starts systemd-networkd.
  systemctl mask --runtime systemd-networkd.socket
  systemctl start dbus systemd-udevd
  make --silent --directory "$ROOT" install ${NETNS_BIN:+TARGET="$NETNS_BIN" PAGES=}
  touch /run/installed
}

# Usage: delete_settings
# Deletes the settings of all instances, which are down, and what has followed from them. The suites of one boot share this machine.
delete_settings() {
  rm -f /etc/conf.d/netns/*
  netns-update --daemon-reload >/dev/null
}

# Usage: delete_links
# Deletes all interfaces of the host, except lo.
delete_links() {
  local name
  for name in $(ip -json link | jq --raw-output '.[].ifname // empty'); do
    [[ $name == lo || ! -e /sys/class/net/$name ]] || ip link delete dev "$name"
  done
}
