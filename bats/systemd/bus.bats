#!/usr/bin/env bats
# The system bus of the host: services on it change links of the host, also for a program in a namespace.

load systemd

setup_file() {
  lab_create
  lab_install
  lab_samples
  lab_packages
  cp -a "$CONF" "$LAB/conf"
  lab_boot
}

setup() {
  # systemd-resolved has settings for a link that is up and is not lo.
  parent eth0
  lab systemctl start systemd-resolved
  INDEX=$(lab cat /sys/class/net/eth0/ifindex)
  unit test-web.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  DROP_IN=/etc/systemd/system/test-web.service.d/50-netns.conf
}

# Usage: sets_dns COMMAND...
# Succeeds if resolvectl, run by this command, changes the DNS server of the host's link.
sets_dns() {
  lab resolvectl dns eth0 198.51.100.1
  lab "$@" resolvectl dns "$INDEX" 192.0.2.1 || true
  case $(lab resolvectl dns eth0) in
    *192.0.2.1) return 0 ;;
    *198.51.100.1) return 1 ;;
    *) return 2 ;;
  esac
}

# Usage: in_service
# Runs a command in the mount namespace and the network of the service.
in_service() { sets_dns nsenter --target "$(main_pid test-web)" --mount --net --; }

@test "an attached service with the bus can change a link of the host; attach and check warn about it" {
  run --separate-stderr -0 lab netnsctl attach test-web lo@a
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'warning: `test-web.service` runs as root and can use the system bus of the host'*'systemd-resolved.service'*'--hide-bus'*'--keep-bus'* ]]
  lab systemctl start test-web
  in_service
  run -1 lab netnsctl check
  [[ $output == *"$DROP_IN: warning: "*'can use the system bus of the host'*'`netnsctl attach test-web.service lo@a --hide-bus`'* ]]
}

@test "with --hide-bus, an attached service cannot change a link of the host, and check has no finding" {
  run --separate-stderr -0 lab netnsctl attach test-web lo@a --hide-bus
  [[ $stderr != *warning* ]]
  lab systemctl start test-web
  is_in a test-web
  run -1 in_service
  lab netnsctl check
  # The notification socket for Type=notify, and the journal, stay visible.
  lab nsenter --target "$(main_pid test-web)" --mount test -S /run/systemd/notify -a -S /run/systemd/journal/stdout
}

@test "--hide-bus also hides a bus that starts later, or again" {
  lab netnsctl attach test-web lo@a --hide-bus
  lab systemctl stop dbus.service dbus.socket
  lab rm -rf /run/dbus
  lab systemctl start test-web
  lab systemctl start dbus.socket dbus.service
  lab systemctl restart systemd-resolved
  lab test -S /run/dbus/system_bus_socket
  run -1 in_service
  lab netnsctl check
}

@test "with --keep-bus, attach and check do not warn; a later attach without an option does" {
  run --separate-stderr -0 lab netnsctl attach test-web lo@a --keep-bus
  [[ $stderr != *warning* ]]
  lab netnsctl check
  run --separate-stderr -0 lab netnsctl attach test-web lo@a --hide-bus
  [[ $stderr != *warning* ]]
  lab grep -qx 'TemporaryFileSystem=/run/dbus:ro' "$DROP_IN"
  run --separate-stderr -0 lab netnsctl attach test-web lo@a
  [[ $stderr == *'was attached with --hide-bus before, and can use the bus again'*'can use the system bus of the host'* ]]
  run ! lab grep -q /run/dbus "$DROP_IN"
}

@test "--dry-run prints the line that hides the bus, and detach makes the bus visible again" {
  run -0 lab netnsctl attach --dry-run test-web lo@a --hide-bus
  [[ $output == *$'\nTemporaryFileSystem=/run/dbus:ro' ]]
  lab netnsctl attach test-web lo@a --hide-bus
  lab netnsctl detach test-web
  lab systemctl start test-web
  lab nsenter --target "$(main_pid test-web)" --mount test -S /run/dbus/system_bus_socket
}

@test "check reports a running service that still has the bus, and a mount that shows the bus" {
  lab netnsctl attach test-web lo@a --keep-bus
  lab systemctl start test-web
  lab netnsctl attach test-web lo@a --hide-bus
  run -1 lab netnsctl check
  [[ $output == *'error: `test-web.service` (process '*') can use the system bus of the host, /run/dbus/system_bus_socket; `systemctl restart test-web.service`'* ]]
  lab systemctl restart test-web
  lab netnsctl check
  unit test-web.service.d/first.conf <<<$'[Service]\nBindPaths=/run/dbus:/run/dbus'
  run -1 lab netnsctl check
  [[ $output == *'error: BindPaths=/run/dbus:/run/dbus'*'of `test-web.service` exposes the system bus of the host'* ]]
}

@test "a service that cannot change links, by its user, address families or mounts, causes no warning" {
  for setting in User=nobody DynamicUser=yes InaccessiblePaths=-/run/dbus 'RestrictAddressFamilies=AF_INET AF_INET6'; do
    unit test-web.service.d/first.conf <<<$'[Service]\n'"$setting"
    run --separate-stderr -0 lab netnsctl attach test-web lo@a
    [[ $stderr != *warning* ]] || {
      echo "$setting: $stderr"
      return 1
    }
    lab netnsctl check
  done
  # polkit is not queried, and would refuse.
  unit test-web.service.d/first.conf <<<$'[Service]\nUser=nobody'
  lab systemctl start test-web
  run -1 sets_dns nsenter --target "$(main_pid test-web)" --mount --net -- setpriv --reuid nobody --clear-groups
}

@test "without a link manager on the bus, there is no warning" {
  lab systemctl stop systemd-resolved
  run --separate-stderr -0 lab netnsctl attach test-web lo@a
  [[ $stderr != *warning* ]]
  lab netnsctl check
}

@test "the bus is not hidden from a service with a bus name, or from a socket" {
  unit test-web.service <<<$'[Service]\nType=dbus\nBusName=org.example.Test\nExecStart=/bin/sleep infinity'
  run --separate-stderr -1 lab netnsctl attach test-web lo@a --hide-bus
  [[ $stderr == *'cannot hide the bus from `test-web.service`: the service has to own BusName=org.example.Test'* ]]
  unit test-echo.socket <<<$'[Socket]\nListenStream=7000\nAccept=yes'
  unit test-echo@.service <<<$'[Service]\nExecStart=/bin/cat'
  run --separate-stderr -1 lab netnsctl attach test-echo.socket lo@a --hide-bus
  [[ $stderr == *'cannot use --hide-bus for the socket `test-echo.socket`'* ]]
  [[ -z $(lab find /etc/systemd/system -name 50-netns.conf) ]]
}

@test "netnsctl run can change a link of the host over the bus, and cannot with --hide-bus" {
  lab netnsctl up lo@a
  sets_dns netnsctl run a --
  run -1 sets_dns netnsctl run --hide-bus a --
  run -0 lab netnsctl run --hide-bus a -- ls -A /run/dbus
  [[ -z $output ]]
  lab test -S /run/dbus/system_bus_socket
}
