#!/usr/bin/env bats
# The direct engine is killed between any two system calls that change something. For kills while hooks run, see
# ../engine/direct.bats.

load ../engine/engine

setup() {
  [[ $ENGINE == direct ]]
  pair ve-
  # Created once and kept.
  netnsctl up lo@first
  netnsctl down lo@first
  BEFORE=$(machine)
}

# Usage: pair IFNAME
pair() {
  config veth-a.conf <<<$'VETH_IFADDR_OUTSIDE=192.0.2.1/30\nVETH_IFADDR_INSIDE=192.0.2.2/30\n'"VETH_IFNAME=$1"
}

CHANGING=(write rename unlink umount2 mount unshare setns mkdir fchmod flock clone clone3 wait4 waitid)

# Usage: crash_everywhere VERB
# Kills `netnsctl VERB veth@a` before the first, second, … of each of these calls, until it runs to its end. Then in turn the next
# `up` must bring up everything, or the next `down` must remove everything. `down` needs the remembered values, because the .conf is
# changed and a process keeps the namespace with the pair.
crash_everywhere() {
  local call status keeper next=up
  local -i at crashes=0
  for call in "${CHANGING[@]}"; do
    for ((at = 1; ; at++)); do
      [[ $1 == up ]] || netnsctl up veth@a >/dev/null
      keeper=''
      if [[ $1 == down ]]; then
        nsenter --net=/run/netns/a sleep 1000 3>&- &
        keeper=$!
        eventually test "/proc/$keeper/ns/net" -ef /run/netns/a
        pair other
      fi
      status=0
      strace -qq -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$at" netnsctl "$1" veth@a \
        >/dev/null 2>&1 3>&- || status=$?
      pair ve-
      if [[ $next == up ]]; then
        netnsctl up veth@a >/dev/null
        is_up
        next=down
      else
        next=up
      fi
      netnsctl down veth@a >/dev/null
      nothing_left || {
        echo "killed at call $at of $call" >&2
        return 1
      }
      [[ -z $keeper ]] || kill "$keeper"
      ((status != 0)) || break
      crashes+=1
    done
  done
  echo "# killed $crashes times" >&3
  undone "$BEFORE"
  ((crashes >= 15))
}

is_up() {
  [[ $(state veth@a) == up && $(ip -netns a -oneline address show dev ve-a1) == *192.0.2.2/30* ]] &&
    ip link show dev ve-a0 >/dev/null
}

@test "after a kill between any two system calls of up, the next up and the next down recover" {
  crash_everywhere up
}

@test "after a kill between any two system calls of down, the next up and the next down recover" {
  crash_everywhere down
}

@test "after a kill between any two system calls of restart, the next up and the next down recover" {
  crash_everywhere restart
}
