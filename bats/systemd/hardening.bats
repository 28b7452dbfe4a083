#!/usr/bin/env bats
# The units are hardened as far as possible, and docs/security.md describes exactly this.

load systemd

DOCS=$BATS_TEST_DIRNAME/../../docs/security.md

# Usage: drop_in UNIT <<<TEXT
drop_in() {
  lab mkdir -p "/run/systemd/system/$1.service.d"
  lab tee "/run/systemd/system/$1.service.d/test.conf" >/dev/null
  lab systemctl daemon-reload
}

# Usage: in_mount_namespace_of_pid_1 FILE
# Succeeds if the mount namespace that a hook has written to the file is that of PID 1.
in_mount_namespace_of_pid_1() { [[ $(lab cat "$1") == "$(lab readlink /proc/1/ns/mnt)" ]]; }

# Usage: is_sleep PID
is_sleep() { [[ $(lab cat "/proc/$1/comm") == sleep ]]; }

# A type whose hooks print their mount namespace.
probe() {
  plugin probe '
configure_probe_up_outside() { readlink /proc/self/ns/mnt >/run/outside; }
configure_probe_up_inside() { readlink /proc/self/ns/mnt >/run/inside; }'
}

@test "no setting of the units hides the namespace: all hooks run in the mount namespace of PID 1" {
  probe
  lab systemctl start netns-probe@x
  in_mount_namespace_of_pid_1 /run/outside
  in_mount_namespace_of_pid_1 /run/inside
  lab mountpoint -q /run/netns/x
}

@test "the settings that docs/security.md warns about hide the namespace" {
  probe
  # From `ProtectSystem=` on to `RootDirectory=`, in backticks.
  mapfile -t settings < <(sed -n '/^`ProtectSystem=`/,/^Do not/p' "$DOCS" | grep --only-matching '`[A-Za-z]*=`' | tr -d '`')
  ((${#settings[@]} == 16))
  for setting in "${settings[@]}"; do
    case $setting in
      ProtectProc=) value=invisible ;;
      ReadOnlyPaths= | InaccessiblePaths=) value=/boot ;;
      BindPaths=) value=/usr ;;
      TemporaryFileSystem=) value=/srv ;;
      RootDirectory=) value=/srv ;;
      *) value=yes ;;
    esac
    drop_in netns_name@x <<<"[Service]"$'\n'"$setting$value"
    run lab systemctl start netns-probe@x
    # The unit failed, or its namespace is not visible on the host.
    [[ $status != 0 ]] && ! lab mountpoint -q /run/netns/x || {
      echo "$setting: status $status" >&2
      return 1
    }
    lab systemctl reset-failed
    lab rm -f /run/netns/x
  done
}

@test "systemd-analyze security rates the units as documented" {
  probe
  lab systemctl start netns-probe@x
  level() { lab systemd-analyze security --no-pager "$1" | sed -n 's/.*exposure level for .*: \([0-9.]*\) .*/\1/p'; }
  text=$(tr '\n' ' ' <"$DOCS")
  [[ $text == *" is $(level netns_name@x) for "*" and $(level netns-probe@x) for the two"* ]]
  [[ $(level netns-probe@x) == "$(level netns_outside-probe@x)" ]]
}

@test "a drop-in of netns_name@ can call ip and sysctl" {
  drop_in netns_name@x <<'END_OF_DROP_IN'
[Service]
ExecStartPost=ip -netns %i link set dev lo up
ExecStartPost=ip netns exec %i sysctl -qw net.ipv4.ip_forward=1
ExecStartPost=ip -netns %i link add v0 type veth peer name v1
END_OF_DROP_IN
  probe
  lab systemctl start netns-probe@x
  [[ $(lab ip -netns x -brief link show dev lo) == *UP* ]]
  [[ $(lab ip netns exec x sysctl -n net.ipv4.ip_forward) == 1 ]]
}

@test "a hook can load modules, mount, set sysctls, query systemd, and start daemons as other users" {
  plugin probe '
configure_probe_up_outside() {
  modprobe --dry-run --first-time nosuch 2>/dev/null || :
  mount -t tmpfs probe /media
  sysctl -qw net.ipv4.ip_forward=1
  systemctl is-active --quiet dbus.socket || :
  setpriv --reuid nobody --regid nogroup --clear-groups sleep 1 &
  setpriv --reuid nobody --regid nogroup --clear-groups unshare --user true || :
  chrt --fifo 1 true
  install -d -m 2755 /run/probe.d
  hostname "$(hostname)"
}
configure_probe_down_outside() { umount /media; rmdir /run/probe.d; }'
  lab systemctl start netns-probe@x || {
    journal netns_outside-probe@x >&2
    return 1
  }
  lab mountpoint -q /media
  lab systemctl stop netns-probe@x
  eventually gone x
  eventually is netns_outside-probe@x.service inactive
  run ! lab mountpoint -q /media
  nothing_failed
}

@test "the documented drop-in for a service works in a namespace" {
  lab systemctl start netns-lo@shop
  lab tee /run/systemd/system/shop.service <<<$'[Service]\nExecStart=sleep infinity' >/dev/null
  sed -n '/^```ini/,/^```/p' "$DOCS" | sed '1d; $d' | drop_in shop
  lab systemctl start shop
  pid=$(lab systemctl show --property=MainPID --value shop)
  eventually is_sleep "$pid"
  [[ $(lab readlink "/proc/$pid/ns/net") == "$(lab ip netns exec shop readlink /proc/self/ns/net)" ]]
  lab systemctl stop shop
  lab rm -r /run/systemd/system/shop.service /run/systemd/system/shop.service.d
  lab systemctl daemon-reload
  lab systemctl stop netns-lo@shop
}

@test "an untrusted plugin is refused, the namespace is removed, and the variable in the unit allows it" {
  plugin probe
  lab chmod o+w /etc/conf.d/netns/probe.sh
  run -1 lab systemctl start netns-probe@x
  [[ $(journal netns_outside-probe@x) == *'/etc/conf.d/netns/probe.sh: any user can write it; fix: `chmod o-w /etc/conf.d/netns/probe.sh`'* ]]
  eventually gone x
  lab systemctl reset-failed 'netns*'
  for unit in netns-probe@ netns_outside-probe@; do drop_in "$unit" <<<$'[Service]\nEnvironment=NETNS_ALLOW_UNSAFE_FILES=1'; done
  lab systemctl start netns-probe@x
  [[ $(hooks) == 'probe@x up outside,probe@x up inside' ]]
  [[ $(journal netns-probe@x) == *'warning: /etc/conf.d/netns/probe.sh: any user can write it'* ]]
}

@test "a refused hook of a stop leaves no namespace behind" {
  plugin probe
  lab systemctl start netns-probe@x
  lab chmod o+w /etc/conf.d/netns/probe.sh
  lab systemctl stop netns-probe@x
  eventually gone x
  [[ $(hooks) == 'probe@x up outside,probe@x up inside' ]]
}
