#!/usr/bin/env bats
# Units of users: their manager ignores NetworkNamespacePath=. The manager itself is attached instead.

load systemd

setup_file() {
  lab_create
  lab_install
  lab_samples
  cp -a "$CONF" "$LAB/conf"
  lab_boot
  lab rm -rf /home/bob # of the host
  lab useradd --uid 1234 --create-home bob
  lab loginctl enable-linger bob
}

# A manager of the host's network, and one unit.
setup() {
  lab systemctl stop user@1234.service
  lab rm -rf /home/bob/.config /etc/systemd/system/user@1234.service.d
  lab systemctl daemon-reload
  lab systemctl start user@1234.service
  user_unit test-own.service <<<$'[Service]\nNetworkNamespacePath=/run/netns/a\nExecStart=/bin/sleep infinity'
}

# Usage: as_bob COMMAND...
as_bob() { lab setpriv --reuid bob --regid bob --clear-groups env XDG_RUNTIME_DIR=/run/user/1234 HOME=/home/bob "$@"; }

# Usage: user_unit NAME <<<TEXT
user_unit() {
  local file=/home/bob/.config/systemd/user/$1
  as_bob mkdir --parents "${file%/*}"
  as_bob tee "$file" >/dev/null
  as_bob systemctl --user daemon-reload
}

# Usage: user_unit_is_in NAME UNIT
# Succeeds if a service of the user runs in this namespace.
user_unit_is_in() {
  local pid
  pid=$(as_bob systemctl --user show --property=MainPID --value "$2")
  ((pid != 0)) && lab test "/proc/$pid/ns/net" -ef "/run/netns/$1"
}

@test "a user manager ignores NetworkNamespacePath=; check reports the unit, running or not, with the next step" {
  user_unit test-other.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  user_unit test-many@.service <<<$'[Service]\nNetworkNamespacePath=/run/netns/a\nExecStart=/bin/sleep infinity'
  lab netnsctl up lo@a
  run -1 lab netnsctl check
  [[ $output == *'error: the unit `test-own.service` of user 1234 runs in the host'"'"'s network: the user manager ignores NetworkNamespacePath=/run/netns/a; `netnsctl attach user@1234.service TYPE@NAME`'* ]]
  [[ $output == *'the unit `test-many@.service` of user 1234'* && $output != *test-other* ]]
  as_bob systemctl --user start test-own
  run ! user_unit_is_in a test-own
  run -1 lab netnsctl check
  [[ $output == *'`test-own.service` of user 1234'* ]]
  # The user can run check too; checks of one instance leave the unit out.
  run -1 as_bob netnsctl check
  [[ $output == *'`test-own.service` of user 1234'* ]]
  lab netnsctl check lo@a
}

@test "attach user@UID.service puts all units of the user into the namespace, and check has no finding" {
  user_unit test-other.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  lab netnsctl attach user@1234.service lo@a --now
  as_bob systemctl --user start test-own test-other
  user_unit_is_in a test-own
  user_unit_is_in a test-other
  lab netnsctl check
  # Another namespace than that of the manager is still ignored.
  user_unit test-own.service <<<$'[Service]\nNetworkNamespacePath=/run/netns/b\nExecStart=/bin/sleep infinity'
  run -1 lab netnsctl check
  [[ $output == *'`test-own.service` of user 1234 runs in the network of the manager: '*'NetworkNamespacePath=/run/netns/b'* ]]
  lab netnsctl down --recursive a
  eventually is user@1234.service inactive
}

@test "check does not wait for a manager that does not answer, and reports it" {
  lab systemctl kill --signal=STOP --kill-whom=main user@1234.service
  run -1 lab timeout 60 netnsctl check
  lab systemctl kill --signal=CONT --kill-whom=main user@1234.service
  [[ $output == *'warning: cannot check the units of user 1234: '* ]]
  # A socket of another program of the user, which accepts connections and is silent.
  as_bob rm /run/user/1234/systemd/private
  as_bob python3 -c 'import socket, time
s = socket.socket(socket.AF_UNIX)
s.bind("/run/user/1234/systemd/private")
s.listen()
time.sleep(600)' >/dev/null 2>&1 3>&- &
  eventually lab test -S /run/user/1234/systemd/private
  run -1 lab timeout 60 netnsctl check
  [[ $output == *'warning: cannot check the units of user 1234: '* ]]
  lab pkill --uid bob python3
}

@test "check queries as the user, without a terminal" {
  as_bob rm /run/user/1234/systemd/private
  as_bob python3 -c 'import socket, struct
s = socket.socket(socket.AF_UNIX)
s.bind("/run/user/1234/systemd/private")
s.listen()
peer, _ = s.accept()
pid, uid, gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
print("uid", uid, "gid", gid, "terminal", fields[4], file=open("/run/user/1234/asked", "w"))' 3>&- &
  eventually lab test -S /run/user/1234/systemd/private
  lab script --quiet --return --command 'netnsctl check' /dev/null || true
  [[ $(lab cat /run/user/1234/asked) == 'uid 1234 gid 1234 terminal 0' ]]
}

@test "a unit of root's user manager is left out: this manager can enter a namespace" {
  lab mkdir -p /root/.config/systemd/user
  lab tee /root/.config/systemd/user/test-root.service <<<$'[Service]\nNetworkNamespacePath=/run/netns/a\nExecStart=/bin/sleep infinity' >/dev/null
  as_bob rm /home/bob/.config/systemd/user/test-own.service
  as_bob systemctl --user daemon-reload
  lab netnsctl up lo@a
  lab systemctl start user@0.service
  lab env XDG_RUNTIME_DIR=/run/user/0 systemctl --user start test-root
  pid=$(lab env XDG_RUNTIME_DIR=/run/user/0 systemctl --user show --property=MainPID --value test-root)
  eventually lab test "/proc/$pid/ns/net" -ef /run/netns/a
  lab netnsctl check
  lab systemctl stop user@0.service
  lab rm -r /root/.config/systemd
}
