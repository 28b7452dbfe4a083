#!/usr/bin/env bats
# All processes of an attached unit are checked, not only the main one.

load systemd

# Usage: pid_of NAME
# Prints the process with this name, set by `exec -a` or by a script.
pid_of() { lab pgrep --full --oldest "^$1( |\$)"; }

# Usage: in_network PID NAME|host
in_network() {
  local place=/run/netns/$2
  [[ $2 != host ]] || place=/proc/1/ns/net
  lab test "/proc/$1/ns/net" -ef "$place"
}

# Usage: gone_child
# Succeeds if no process of `left_behind` runs.
gone_child() { ! pid_of kept-child; }

# Usage: left_behind
# A service whose restart leaves a child in the host's network.
left_behind() {
  unit test-kept.service <<'UNIT'
[Service]
KillMode=process
ExecStart=/bin/bash -c 'if [[ ! -e /run/test-kept ]]; then touch /run/test-kept; bash -c "exec -a kept-child sleep infinity" & fi; exec sleep infinity'
UNIT
  lab rm -f /run/test-kept
  lab systemctl start test-kept
  eventually pid_of kept-child
}

@test "processes that KillMode=process leaves in the host's network fail --now, and check has the fix" {
  left_behind
  child=$(pid_of kept-child)
  lab netnsctl up lo@a
  run --separate-stderr -1 lab netnsctl attach test-kept lo@a --now
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *"process $child (sleep) of \`test-kept.service\`: still in the host's network; \`systemctl kill test-kept.service\`"* ]]
  is_in a test-kept
  in_network "$child" host
  run -1 lab netnsctl check
  [[ $output == *"error: process $child (sleep) of \`test-kept.service\`: in the host's network, not in \`a\`; \`systemctl kill test-kept.service\`"*'then `systemctl restart test-kept.service`'* ]]
  # These processes also count when the service itself is stopped.
  lab systemctl stop test-kept
  run -1 lab netnsctl check
  [[ $output == *"error: process $child (sleep) of \`test-kept.service\`: in the host's network"* ]]
  lab systemctl kill test-kept
  eventually lab bash -c "[[ ! -e /proc/$child ]]"
  lab systemctl restart test-kept
  lab netnsctl check
}

@test "attach warns about processes of a stopped service in the host's network" {
  left_behind
  lab systemctl stop test-kept
  run --separate-stderr -0 lab netnsctl attach test-kept lo@a
  [[ $stderr == *"warning: process $(pid_of kept-child) (sleep) of \`test-kept.service\`: still in the host's network"* ]]
  lab systemctl kill test-kept
}

@test "detach is refused while a process of the service is in the namespace; --now fails if one stays" {
  left_behind
  lab systemctl kill test-kept
  eventually gone_child
  lab rm -f /run/test-kept
  lab netnsctl attach test-kept lo@a
  lab systemctl start test-kept
  eventually pid_of kept-child
  child=$(pid_of kept-child)
  in_network "$child" a
  lab systemctl stop test-kept
  run --separate-stderr -1 lab netnsctl detach test-kept
  [[ $stderr == *"cannot detach \`test-kept.service\`: process $child (sleep) of test-kept.service would stay in \`a\`"*'`systemctl kill test-kept.service`'* ]]
  lab systemctl start test-kept
  run --separate-stderr -1 lab netnsctl detach test-kept --now
  [[ $stderr == *"process $child (sleep) of \`test-kept.service\`: still in \`a\`; \`systemctl kill test-kept.service\`"* ]]
  lab systemctl kill test-kept
}

@test "a child of a oneshot service without a main process is checked, also in subgroups" {
  unit test-once.service <<'UNIT'
[Service]
Type=oneshot
RemainAfterExit=yes
Delegate=yes
ExecStart=/bin/bash -c 'bash -c "exec -a once-child sleep infinity" &'
UNIT
  lab systemctl start test-once
  eventually pid_of once-child
  child=$(pid_of once-child)
  lab bash -c "for root in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    group=\$root\$(systemctl show --property=ControlGroup --value test-once)
    [[ ! -d \$group ]] || { mkdir \$group/below && echo $child >\$group/below/cgroup.procs; }
  done"
  lab netnsctl up lo@a
  lab netnsctl attach test-once lo@a
  run -1 lab netnsctl check
  [[ $output == *"error: process $child (sleep) of \`test-once.service\`: in the host's network, not in \`a\`; \`systemctl restart test-once.service\`"* ]]
  lab netnsctl attach test-once lo@a --now
  eventually pid_of once-child
  in_network "$(pid_of once-child)" a
  lab netnsctl check
}

@test "a process in an unnamed namespace has no finding, one in another named namespace a warning, a thread in the host's network an error" {
  unit test-own.service <<'UNIT'
[Service]
ExecStart=/bin/bash -c 'unshare --net bash -c "exec -a own-child sleep infinity" & exec sleep infinity'
UNIT
  lab netnsctl attach test-own lo@a
  lab systemctl start test-own
  eventually pid_of own-child
  lab netnsctl check
  lab ip netns add other
  unit test-own.service <<'UNIT'
[Service]
ExecStart=/bin/bash -c 'nsenter --net=/run/netns/other bash -c "exec -a own-child sleep infinity" & exec sleep infinity'
UNIT
  lab systemctl restart test-own
  eventually pid_of own-child
  run -1 lab netnsctl check
  [[ $output == *'warning: process '*' (sleep) of `test-own.service`: in namespace `other`, not in `a`; if the service did not enter that namespace itself'* ]]
  unit test-own.service <<'UNIT'
[Service]
ExecStart=/bin/bash -c 'python3 /run/test-thread.py & exec sleep infinity'
UNIT
  lab tee /run/test-thread.py >/dev/null <<'THREAD'
import ctypes, os, threading, time
def enter():
    ctypes.CDLL(None, use_errno=True).setns(os.open("/proc/1/ns/net", os.O_RDONLY), 0x40000000)
    open("/run/test-thread", "w").close()
    time.sleep(600)
threading.Thread(target=enter).start()
THREAD
  lab rm -f /run/test-thread
  lab systemctl restart test-own
  eventually lab test -e /run/test-thread
  run -1 lab netnsctl check
  [[ $output == *'error: process '*' (python3) of `test-own.service`: in the host'"'"'s network, not in `a`'* ]]
}

@test "all processes of a forking service are checked" {
  unit test-fork.service <<'UNIT'
[Service]
Type=forking
ExecStart=/bin/bash -c 'for name in fork-one fork-two; do bash -c "exec -a $name sleep infinity" & done'
UNIT
  lab systemctl start test-fork
  eventually pid_of fork-two
  lab netnsctl up lo@a
  lab netnsctl attach test-fork lo@a
  run -1 lab netnsctl check
  [[ $output == *' of `test-fork.service`: in the host'"'"'s network, not in `a`; `systemctl restart test-fork.service`'* ]]
  lab netnsctl attach test-fork lo@a --now
  lab netnsctl check
}

@test "attach warns about a descriptor store, and check while it has entries" {
  lab tee /run/test-store.py >/dev/null <<'STORE'
import array, os, socket, time
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
kept = socket.socket(type=socket.SOCK_DGRAM)
if "LISTEN_FDS" not in os.environ:
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [kept.fileno()]))]
    notify.sendmsg([b"FDSTORE=1"], rights, 0, os.environ["NOTIFY_SOCKET"])
notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
time.sleep(600)
STORE
  unit test-store.service <<'UNIT'
[Service]
Type=notify
FileDescriptorStoreMax=4
ExecStart=/usr/bin/python3 /run/test-store.py
UNIT
  lab systemctl start test-store
  eventually stores 1
  lab netnsctl up lo@a
  run --separate-stderr -0 lab netnsctl attach test-store lo@a --now
  [[ $stderr == *'warning: `test-store.service` can store file descriptors in systemd (FileDescriptorStoreMax=4)'*'`systemctl stop test-store.service`'* ]]
  stores 1
  run -1 lab netnsctl check
  [[ $output == *'warning: systemd stores 1 file descriptors for `test-store.service`'*'`systemctl stop test-store.service`, then `systemctl start test-store.service`'* ]]
  lab systemctl stop test-store
  stores 0
  lab rm /run/test-store.py
}

# Usage: stores NUMBER
stores() { [[ $(lab systemctl show --property=NFileDescriptorStore --value test-store) == "$1" ]]; }

@test "a thread of the main process in the host's network is an error, also if the first thread has ended" {
  for ending in 'time.sleep(1000)' 'ctypes.CDLL(None).syscall(60, 0)'; do
    unit test-thread.py <<END_OF_PROGRAM
import ctypes, os, threading, time
def leave():
    ctypes.CDLL(None, use_errno=True).setns(os.open("/proc/1/ns/net", 0), 0)
    open("/run/test-left", "w").close()
    time.sleep(1000)
threading.Thread(target=leave).start()
while not os.path.exists("/run/test-left"): time.sleep(0.01)
$ending
END_OF_PROGRAM
    lab rm -f /run/test-left
    unit test-thread.service <<<$'[Service]\nExecStart=/usr/bin/python3 /etc/systemd/system/test-thread.py'
    lab netnsctl attach test-thread lo@a
    lab systemctl restart test-thread
    eventually lab test -e /run/test-left
    run -1 lab netnsctl check
    [[ $output == *"of \`test-thread.service\`: in the host's network, not in \`a\`"* ]]
    lab systemctl kill --signal=KILL test-thread
  done
}
