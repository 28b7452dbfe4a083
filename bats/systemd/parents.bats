#!/usr/bin/env bats
# An instance comes up again when its parent interface appears, with udev running. macvlan is the type.

load systemd

setup_file() {
  lab_create
  lab_install
  lab_packages
  # udev reports only what changes here: the devices of the machine below are not touched.
  ln -s /dev/null "$LAB/root/etc/systemd/system/systemd-udev-trigger.service"
  mkdir -p "$CONF"
  cp -a "$CONF" "$LAB/conf"
  lab_boot_devices
}

setup() {
  macvlan a up0
  lab netns-update
}

DEVICE=sys-subsystem-net-devices-up0.device
DROP_IN=/etc/systemd/system/$DEVICE.d/10-netns.conf

# Usage: macvlan NAME PARENT
# Writes macvlan-NAME.conf. `up` does not wait for the parent.
macvlan() {
  printf '%s\n' "MACVLAN_PARENT_IFNAME=$2" MACVLAN_IFNAME=mv0 MACVLAN_IFADDR=192.0.2.7/24 MACVLAN_PARENT_TIMEOUT=0 |
    config "macvlan-$1.conf"
}

# Usage: appears / disappears
# Creates / deletes the parent, and waits until systemd has seen this.
appears() {
  parent up0
  eventually is "$DEVICE" active
}
disappears() {
  lab ip link delete up0
  eventually is "$DEVICE" inactive
}

# Usage: works NAME
# Succeeds if the instance is up with its interface, and no unit works on it any more.
works() {
  up "netns-macvlan@$1" && lab ip -netns "$1" link show dev mv0 >/dev/null && is "netns_return@macvlan@$1.service" inactive
}

@test "a start that failed for want of the parent is repeated when the parent appears" {
  run ! lab systemctl start netns-macvlan@a
  [[ $(journal netns_outside-macvlan@a) == *"interface 'up0' (MACVLAN_PARENT_IFNAME) does not exist on the host"* ]]
  appears
  eventually works a
  lab netnsctl check macvlan@a
  nothing_failed
}

@test "after the parent has gone and returned, the instance, its dependants and its attached service work again" {
  unit test-web.service <<<$'[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target'
  config lo-a.conf <<<'NETNS_REQUIRES=macvlan@a'
  appears
  lab netns-update
  lab netnsctl up a
  lab systemctl enable test-web
  lab netnsctl attach test-web macvlan@a
  lab systemctl start test-web
  for _ in 1 2; do
    before=$(main_pid test-web)
    disappears
    run ! lab ip -netns a link show dev mv0
    run ! lab netnsctl check macvlan@a
    [[ $output == *"interface 'up0' does not exist on the host"* && $output == *"interface 'mv0' is missing"* ]]
    appears
    eventually works a
    eventually up test-web netns-lo@a
    eventually is_in a test-web
    [[ $(main_pid test-web) != "$before" ]]
  done
  lab netnsctl check
  nothing_failed
}

@test "the same after netns-update, which resets other failed units" {
  run ! lab systemctl start netns-macvlan@a
  lab netns-update
  appears
  eventually works a
}

@test "an instance that waits for its parent is not taken down again when the device unit appears" {
  printf '%s\n' MACVLAN_PARENT_IFNAME=up0 MACVLAN_IFNAME=mv0 | config macvlan-a.conf
  lab systemctl start --no-block netns-macvlan@a
  waits() { [[ $(journal netns_outside-macvlan@a) == *"waiting for interface 'up0'"* ]]; }
  eventually waits
  before=$(journal netns_outside-macvlan@a | grep --count --fixed-strings "'configure_macvlan_up_outside'")
  appears
  finished() { [[ $(journal netns_return@macvlan@a) == *Finished* ]] && works a; }
  eventually finished
  (($(journal netns_outside-macvlan@a | grep --count --fixed-strings "'configure_macvlan_up_outside'") == before))
}

@test "a running service that does not follow its namespace also runs again after the return of the parent" {
  unit test-web.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  appears
  lab netnsctl up a
  lab netnsctl attach --no-follow test-web macvlan@a
  lab systemctl start test-web
  disappears
  appears
  eventually works a
  is_in a test-web
}

@test "an instance whose file is refused keeps its drop-in, and netns-update reports it" {
  chmod o+w "$CONF/macvlan-a.conf"
  run -1 lab netns-update
  [[ $output == *'`macvlan@a`'*"$CONF"* || $output == *'`macvlan@a`'*/etc/conf.d/netns/macvlan-a.conf* ]]
  lab grep -x 'Wants=netns_return@macvlan@a.service' "$DROP_IN"
}

@test "an instance that was taken down, or was never up, stays down when the parent appears" {
  macvlan b up0
  lab netns-update
  appears
  lab netnsctl up macvlan@a
  lab netnsctl down macvlan@a
  disappears
  appears
  # The two units have run, and have done nothing.
  for instance in a b; do
    eventually eval "[[ \$(journal netns_return@macvlan@$instance) == *Finished*Finished* ]]"
    is "netns-macvlan@$instance" inactive
    gone "$instance"
  done
}

@test "an instance that is taken down while it is compared after the return of its parent stays down" {
  cat >>"$CONF/macvlan-a.conf" <<'END'
configure_macvlan_check_outside() {
  touch /run/test-compares
  until [[ -e /run/test-down ]]; do sleep 0.05; done
  echo 'it differs'
}
END
  appears
  lab netnsctl up macvlan@a
  disappears
  appears
  eventually lab test -e /run/test-compares
  lab netnsctl down macvlan@a
  lab touch /run/test-down
  eventually eval '[[ $(journal netns_return@macvlan@a) == *Finished* ]] && is netns_return@macvlan@a.service inactive'
  is netns-macvlan@a inactive
  gone a
  lab rm /run/test-{compares,down}
}

@test "the drop-in of a parent lists its instances, changes with the setting, and is removed with the last one" {
  macvlan b up0
  lab netns-update
  lab grep -x 'Wants=netns_return@macvlan@a.service netns_return@macvlan@b.service' "$DROP_IN"
  macvlan b up-1
  run ! lab netnsctl check
  [[ $output == *"$DROP_IN: warning: this drop-in is stale"* ]]
  lab netns-update
  lab grep -x 'Wants=netns_return@macvlan@a.service' "$DROP_IN"
  lab grep -x 'Wants=netns_return@macvlan@b.service' '/etc/systemd/system/sys-subsystem-net-devices-up\x2d1.device.d/10-netns.conf'
  rm "$CONF"/macvlan-?.conf
  lab netns-update
  [[ -z $(lab find /etc/systemd/system -name 'sys-subsystem-net-devices-*') ]]
}

@test "the file of a user in place of the drop-in stays, and the drop-ins of other programs too" {
  rm "$CONF/macvlan-a.conf"
  lab netns-update
  lab mkdir "${DROP_IN%/*}"
  lab tee "$DROP_IN" "${DROP_IN%/*}/20-own.conf" <<<'# mine' >/dev/null
  lab netns-update
  lab grep -x '# mine' "$DROP_IN"
  macvlan a up0
  lab netns-update
  lab grep -x '# mine' "$DROP_IN"
  lab grep -x '# mine' "${DROP_IN%/*}/20-own.conf"
  lab rm -r "${DROP_IN%/*}"
}

@test "an instance that is enabled comes up at boot, with a parent that appears after the boot" {
  lab systemctl enable netns-macvlan@a
  lab_halt
  lab_boot_devices
  is netns-macvlan@a inactive
  appears
  eventually works a
}
