#!/usr/bin/env bats
# Faults of each of the four hooks, and external changes of an active instance.
# docs/reliability.md has the complete list.

load engine

HOOKS=(up_outside up_inside down_inside down_outside)

# Usage: faulty TEXT
# A type for each hook, in which TEXT replaces that hook. Each type creates an interface on the host, and remembers a value. The kernel
# may remove the interface with the namespace of its peer, so its deletion may fail.
faulty() {
  local hook known=n
  [[ ! -e $CONF/${HOOKS[0]}x.sh ]] || known=y
  for hook in "${HOOKS[@]}"; do
    # shellcheck disable=SC2016 # for the hooks to expand
    printf '%s\n' 'NO_CONFIG_REQUIRED=yes' \
      'note() { echo "${UPDOWN}_$INOUT" >>/run/noted.'"$hook"'; }' \
      'made() { [[ $(ip -oneline link show type veth) == *": ${NSNAME:0:12}-0@"* ]]; }' \
      "configure_${hook}x_up_outside() { note; remember NSNAME; made || ip link add \"\${NSNAME:0:12}-0\" type veth peer name in1 netns \"\$1\"; on_failure ip link delete dev \"\${NSNAME:0:12}-0\"; fault; }" \
      "configure_${hook}x_up_inside() { note; fault; }" \
      "configure_${hook}x_down_inside() { note; fault; }" \
      "configure_${hook}x_down_outside() { note; recall; ! made || ip link delete dev \"\${NSNAME:0:12}-0\" || ! made; fault; }" \
      "fault() { [[ \${UPDOWN}_\$INOUT != $hook ]] || { $1; }; }" >"$CONF/${hook}x.sh"
  done
  [[ $known == y ]] || update
}

# Usage: noted HOOK
# Prints which hooks of the type that fails in HOOK have run, on one line, and clears the record.
noted() { on bash -c "cat /run/noted.$1 && rm /run/noted.$1" | paste -sd,; }

# Usage: each_hook_fails TEXT [WORD]
# Checks the promises for a fault in each of the four hooks: the fault is reported, with WORD, it is undone, and the next up
# works. All four run at once, each with its own namespace.
each_hook_fails() {
  local before hook ups=() downs=() instances=()
  for hook in "${HOOKS[@]}"; do
    instances+=("${hook}x@$hook")
    if [[ $hook == up* ]]; then ups+=("$hook"); else downs+=("$hook"); fi
  done
  on bash -c 'rm -f /run/noted.*'
  faulty :
  before=$(machine)
  faulty "$1"

  run --separate-stderr -1 on netnsctl up "${instances[@]}"
  # shellcheck disable=SC2154 # set by run
  for hook in "${ups[@]}"; do [[ $stderr == *"cannot bring up \`${hook}x@$hook\`"*"${2-}"* ]]; done
  for hook in "${downs[@]}"; do [[ $(state "${hook}x@$hook") == up ]]; done
  for hook in "${ups[@]}"; do gone_soon "$hook"; done
  [[ $(noted up_outside) == up_outside ]]
  [[ $(noted up_inside) == up_outside,up_inside,down_outside ]]
  on rm /run/noted.down_inside /run/noted.down_outside

  run --separate-stderr -1 on netnsctl down "${downs[@]}"
  for hook in "${downs[@]}"; do
    [[ $stderr == *"\`${hook}x@$hook\` is down, but"*"${2-}"* ]]
    gone "$hook"
    [[ $(noted "$hook") == down_inside,down_outside ]]
  done
  faulty :
  forget_failures
  undone "$before"

  on netnsctl up "${instances[@]}"
  on netnsctl down "${HOOKS[@]}"
  on bash -c 'rm -f /run/noted.*'
  undone "$before"
}

gone_soon() {
  local try
  for ((try = 0; try < 200; try++)); do
    ! gone "$1" || return 0
    sleep 0.05
  done
  return 1
}

# A failed instance is listed until it is taken down, and the remembered values of its hook are kept.
forget_failures() {
  local instance
  for instance in $(on netnsctl list --json | jq --raw-output '.items[] | select(.state == "failed") | .instance'); do
    on netnsctl down "$instance" >/dev/null 2>&1 || true
  done
  [[ $ENGINE == direct ]] || on systemctl reset-failed "netns*"
}

@test "a command that fails, in each hook, is reported and undone" {
  each_hook_fails 'echo said; false; echo not reached' 'failed with status 1 at /etc/conf.d/netns/'
}

@test "a function that returns non-zero, in each hook, is reported and undone" {
  each_hook_fails 'return 7' 'failed with status 7'
}

@test "a hook that calls exit, each of them, is reported and undone" {
  each_hook_fails 'exit 3' 'failed with status 3'
}

@test "a bash killed by SIGKILL, in each hook, is reported, and the namespace is removed with its contents" {
  each_hook_fails 'kill -KILL $$; sleep 10'
}

@test "a bash ended by SIGTERM, in each hook, is reported and undone" {
  each_hook_fails 'kill -TERM $$; sleep 10'
}

@test "a bash killed by SIGSEGV, in each hook, is reported and undone" {
  each_hook_fails 'kill -SEGV $$; sleep 10'
}

# Usage: up_fails_of_a_signal
# Brings up slow@a, whose hook records its bash in /run/hook, and ends only this bash: the up fails.
up_fails_of_a_signal() {
  local command status=0
  on netnsctl up slow@a 3>&- &
  command=$!
  eventually on test -s /run/hook
  on bash -c 'kill -TERM "$(</run/hook)"; rm /run/hook'
  wait "$command" || status=$?
  ((status == 1))
}

@test "a signal ends the running command of a hook before the hook is undone, and spares background processes" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin slow 'configure_slow_up_outside() {
    on_failure step undone
    sleep 300 &
    background=$!
    (bash -c '\''trap "sleep 0.5; echo made >>/run/steps; exit 1" TERM; echo "$0" >/run/hook; while :; do sleep 0.05; done'\'' "$$"; true)
  }
  step() { kill -0 "$background" && echo "$1" >>/run/steps; }'
  # bash must print the command.
  up_fails_of_a_signal
  [[ $(on cat /run/steps | paste -sd,) == made,undone ]]
  on rm /run/steps
  forget_failures
  nothing_left
}

@test "after a signal, the text of the running command is in no argument and no environment" {
  # A program that checks all processes while netnsinit waits for it.
  on tee /run/step >/dev/null <<'END'
trap 'cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr "\0" "\n" >/run/seen; exit 1' TERM
echo "$1" >/run/hook
while :; do sleep 0.05; done
END
  # shellcheck disable=SC2016 # for the hook to expand
  plugin slow 'configure_slow_up_outside() { (bash /run/step "$$"; : s3cret); }'
  up_fails_of_a_signal
  on grep --line-regexp --fixed-strings --quiet -e --end-command /run/seen
  run -1 on grep s3cret /run/seen
  on rm /run/seen /run/step
  forget_failures
  nothing_left
}

@test "a hook that prints through its own process is undone after a failure, with any names of its variables" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin prints 'readonly running=1 children=1 lines=1 jobs=1 IFS
  configure_prints_up_outside() {
    exec > >(exec cat >>/run/printed) 2>&1
    coproc cat
    on_failure step 1
    on_failure step 2
    false
  }
  step() { echo "undoing $1" && kill -0 "$COPROC_PID" && echo "$1" >>/run/steps; }'
  run -1 on netnsctl up prints@a
  [[ $(on cat /run/steps | paste -sd,) == 2,1 ]]
  on rm -f /run/printed /run/steps
  forget_failures
  nothing_left
}

# Usage: limited
# Hooks have a timeout of two seconds, and two more seconds to end.
limited() {
  export NETNS_HOOK_TIMEOUT=2
  [[ $ENGINE == direct ]] || on bash -c '
    for unit in netns netns_outside; do
      for hook; do
        mkdir -p "/run/systemd/system/$unit-${hook}x@.service.d"
        printf "[Service]\n%s\n" TimeoutStartSec=2 TimeoutStopSec=2 >"/run/systemd/system/$unit-${hook}x@.service.d/limit.conf"
      done
    done
    systemctl daemon-reload' bash "${HOOKS[@]}"
}

@test "a hook that hangs and ignores signals, each of them, is killed with its processes, reported and undone" {
  limited
  each_hook_fails 'trap "" TERM; sleep 600'
  on bash -c 'rm -rf /run/systemd/system/netns*x@.service.d'
}

@test "a stopped hook, each of them, is terminated, reported and undone" {
  limited
  each_hook_fails 'kill -STOP "$BASHPID"'
  on bash -c 'rm -rf /run/systemd/system/netns*x@.service.d'
}

@test "a process that keeps the output of a hook open does not block the command" {
  SECONDS=0
  # bash loses a signal that arrives between the fork and the exec of a background command. systemd sends SIGTERM after the hook.
  # shellcheck disable=SC2016 # for the hook to expand
  faulty 'sleep 300 & until [[ $(</proc/$!/comm) == sleep ]]; do :; done; echo "$!" >>/run/left'
  for hook in "${HOOKS[@]}"; do on netnsctl up "${hook}x@$hook"; done
  for hook in "${HOOKS[@]}"; do [[ $(state "${hook}x@$hook") == up ]]; done
  on netnsctl down "${HOOKS[@]}"
  # Under systemd they end with their unit.
  on bash -c 'kill $(</run/left) 2>/dev/null; rm /run/left /run/noted.*'
  ((SECONDS < 60))
  nothing_left
}

@test "a hook that prints 100 MB, each of them, neither fails nor blocks, and the log is limited" {
  # This file system is too small for more output.
  if [[ $ENGINE == direct ]]; then
    mkdir -p /run/systemd-netns/direct
    mount -t tmpfs -o size=90m small /run/systemd-netns/direct
  fi
  faulty 'head -c 100000000 /dev/zero | tr "\0" x; echo; echo the last word'
  for hook in "${HOOKS[@]}"; do on netnsctl up "${hook}x@$hook"; done
  if [[ $ENGINE == direct ]]; then
    kept=$(du --block-size=1 --summarize /run/systemd-netns/direct | cut -f 1)
    ((kept < 4 * 1024 * 1024 * ${#HOOKS[@]}))
    tail -n 3 /run/systemd-netns/direct/up_outsidex@up_outside.log | grep --quiet 'the last word'
  fi
  on netnsctl down "${HOOKS[@]}"
  on bash -c 'rm /run/noted.*'
  if [[ $ENGINE == direct ]]; then umount /run/systemd-netns/direct; fi
  nothing_left
}

# Usage: taken_down [INSTANCE]
# Takes down the active instances on `a`. Succeeds if the machine is again as BEFORE. Required messages must appear.
taken_down() {
  run on netnsctl down a
  forget_failures
  undone "$BEFORE"
}

# Usage: works
# Succeeds if veth@a and nft@a come up, work, and go down.
works() {
  on netnsctl up veth@a nft@a
  on ip netns exec a nft list tables | grep --quiet filter
  [[ $(on ip netns exec a ip -oneline address show dev ve-a1) == *192.0.2.2/30* ]]
  on netnsctl down a
  undone "$BEFORE"
}

@test "a manually removed interface, either end, is reported by check, and down and up repair it" {
  pair a
  BEFORE=$(machine)
  for where in '-netns a link delete ve-a1' 'link delete ve-a0'; do
    on netnsctl up veth@a nft@a
    # shellcheck disable=SC2086 # words for ip
    on ip $where
    run -1 on netnsctl check veth@a
    [[ $output == *'ve-a1'*missing* || $output == *'ve-a0'*missing* ]]
    taken_down
    works
  done
}

@test "manually removed rules are reported by check, and a restart loads them again" {
  pair a
  BEFORE=$(machine)
  on netnsctl up veth@a nft@a
  rules=$(on ip netns exec a nft list ruleset)
  on ip netns exec a nft flush ruleset
  run -1 on netnsctl check nft@a
  [[ $output == *'no rules are in force'* ]]
  on netnsctl restart nft@a
  [[ $(on ip netns exec a nft list ruleset) == "$rules" ]]
  taken_down
}

@test "a reload of the host's firewall changes nothing in active namespaces" {
  pair a
  on nft add table inet of_the_host
  BEFORE=$(machine)
  on netnsctl up veth@a nft@a
  rules=$(on ip netns exec a nft list ruleset)
  on nft flush ruleset
  run -0 on netnsctl check veth@a nft@a
  [[ $(on ip netns exec a nft list ruleset) == "$rules" ]]
  on nft add table inet of_the_host
  on netnsctl restart veth@a nft@a
  [[ $(on nft list tables) == 'table inet of_the_host' ]]
  taken_down
  works
  on nft flush ruleset
}

@test "after ip -all netns delete, active instances can be taken down and come up again" {
  pair a
  BEFORE=$(machine)
  on netnsctl up veth@a nft@a lo@b
  on ip -all netns delete
  run on netnsctl down b
  taken_down
  works
}

@test "a namespace deleted manually during up or down, at each hook, leaves nothing, and the next up works" {
  # shellcheck disable=SC2016 # for the hook to expand
  fault='ip netns delete "$NSNAME"'
  faulty :
  before=$(machine)
  faulty "$fault"
  run -1 on netnsctl up up_outsidex@up_outside
  for hook in "${HOOKS[@]:1}"; do run on netnsctl up "${hook}x@$hook"; done
  for hook in "${HOOKS[@]}"; do run on netnsctl down "${hook}x@$hook"; done
  faulty :
  forget_failures
  on bash -c 'rm -f /run/noted.*'
  undone "$before"
  for hook in "${HOOKS[@]}"; do on netnsctl up "${hook}x@$hook"; done
  on netnsctl down "${HOOKS[@]}"
  on bash -c 'rm -f /run/noted.*'
  undone "$before"
}

# Usage: untouched_soon NAME
# Succeeds if the foreign namespace is unchanged, now and after all work has ended.
untouched_soon() {
  on bash -c "$(declare -f untouched); untouched $1"
  settled "$1"
  on bash -c "$(declare -f untouched); untouched $1"
}

# Usage: settled NAME
settled() { [[ $ENGINE == direct ]] || eventually on bash -c "[[ \$(systemctl is-active netns_name@$1) == inactive ]]"; }

@test "a namespace replaced during up or down, at each hook, is reported and undone, and the foreign one is not changed" {
  faulty :
  before=$(machine)
  # shellcheck disable=SC2016 # for the hook to expand
  faulty "$(declare -f replace)"'; replace "$NSNAME"'
  for hook in "${HOOKS[@]:0:2}"; do
    run --separate-stderr -1 on netnsctl up "${hook}x@$hook"
    [[ $stderr == *"\`$hook\` was deleted and re-created by another program"*"ip netns delete $hook"* ]]
  done
  for hook in "${HOOKS[@]:2}"; do on netnsctl up "${hook}x@$hook"; done
  for hook in "${HOOKS[@]}"; do
    run on netnsctl down "${hook}x@$hook"
    untouched_soon "$hook"
  done
  [[ $(noted up_outside) == up_outside,down_outside ]]
  # systemd has kept our namespace, and runs `down inside` in it.
  up_inside=$(noted up_inside)
  case $ENGINE in
    direct) [[ $up_inside == up_outside,up_inside,down_outside ]] ;;
    systemd) [[ $up_inside == up_outside,up_inside,down_inside,down_outside ]] ;;
  esac
  [[ $(noted down_inside) == up_outside,up_inside,down_inside,down_outside ]]
  [[ $(noted down_outside) == up_outside,up_inside,down_inside,down_outside ]]
  on ip -all netns delete
  faulty :
  forget_failures
  undone "$before"
  for hook in "${HOOKS[@]}"; do on netnsctl up "${hook}x@$hook"; done
  on netnsctl down "${HOOKS[@]}"
  on bash -c 'rm -f /run/noted.*'
  undone "$before"
}

@test "up and restart refuse a replaced namespace, down works, and the foreign one is not changed" {
  pair a
  BEFORE=$(machine)
  for words in 'up nft@a' 'up lo@a' 'restart nft@a' 'restart a'; do
    on netnsctl up veth@a nft@a
    on bash -c "$(declare -f replace); replace a"
    # shellcheck disable=SC2086 # words
    run --separate-stderr -1 on netnsctl $words
    [[ $stderr == *'ip netns delete a'* ]]
    on bash -c "$(declare -f untouched); untouched a"
    run on netnsctl down a
    untouched_soon a
    on ip netns delete a
    taken_down
  done
  works
}

@test "an up whose hook deletes its own namespace has failed" {
  BEFORE=$(machine)
  # shellcheck disable=SC2016 # for the hook to expand
  plugin probe 'configure_probe_up_inside() { ip netns delete "$1"; }'
  run --separate-stderr -1 on netnsctl up probe@a
  [[ $stderr == *'namespace `a` was deleted manually'* ]]
  [[ $(hooks) == 'probe@a up outside'* ]]
  run on netnsctl down a
  rm "$CONF/probe.sh"
  update
  on rm -f "$LOG"
  taken_down
}

@test "a namespace held by an unkillable process loses its name and our interfaces, and the next up creates a new one" {
  pair a
  BEFORE=$(machine)
  on netnsctl up veth@a nft@a
  on bash -c 'nsenter --net=/run/netns/a -- bash -c "trap \"\" TERM INT HUP; echo \$\$ >/run/keeper; exec sleep 300" </dev/null >/dev/null 2>&1 &'
  eventually on test -s /run/keeper
  on netnsctl down a
  gone a
  [[ $(on ip -oneline link) != *ve-a0* ]]
  on netnsctl up veth@a nft@a
  # shellcheck disable=SC2016 # for the machine to expand
  run on bash -c '[[ /run/netns/a -ef /proc/$(</run/keeper)/ns/net ]]'
  ((status != 0))
  # shellcheck disable=SC2016 # as above
  on bash -c 'kill -KILL $(</run/keeper); rm /run/keeper'
  taken_down
}

@test "after a change or deletion of the .conf, down removes what up created" {
  BEFORE=
  for change in 'VETH_IFNAME=other-' 'VETH_NSNAME_OUTSIDE=nosuch' delete; do
    pair a
    before=$(machine)
    on netnsctl up veth@a
    if [[ $change == delete ]]; then rm "$CONF/veth-a.conf"; else config veth-a.conf <<<"$change"; fi
    on netnsctl down veth@a
    pair a
    undone "$before"
  done
}

@test "an upgraded plugin takes down the instance of the old one" {
  # shellcheck disable=SC2016 # for the hooks to expand
  version() {
    plugin probe 'configure_probe_up_outside() { IFNAME='"$1"'$1; remember IFNAME; ip link add "$IFNAME" type veth peer name in1 netns "$1"; }
configure_probe_down_outside() { recall; ip link delete dev "$IFNAME"; }'
  }
  version old-
  before=$(machine)
  on netnsctl up probe@a
  version new-
  on netnsctl down probe@a
  on netnsctl up probe@a
  [[ $(on ip -oneline link) == *new-a@* ]]
  on netnsctl down probe@a
  on rm -f "$LOG"
  version old-
  undone "$before"
}

@test "a deleted or broken plugin is reported, and the namespace is removed" {
  for change in delete break; do
    plugin probe
    before=$(machine)
    on netnsctl up probe@a
    if [[ $change == delete ]]; then rm "$CONF/probe.sh"; else echo 'if' >>"$CONF/probe.sh"; fi
    run --separate-stderr -1 on netnsctl down probe@a
    [[ $stderr == *'/etc/conf.d/netns/probe.sh'* ]]
    plugin probe
    run on netnsctl down probe@a
    forget_failures
    on rm -f "$LOG"
    undone "$before"
  done
}

# Usage: left_by HOW
# Brings up `half@a`, which creates an interface on the host whose name is no longer in its .conf. Its `down outside` fails,
# by HOW.
left_by() {
  # shellcheck disable=SC2016 # for the hooks to expand
  plugin half '
    configure_half_up_outside() { ip link add "$HALF_IFNAME" type veth peer name "${HALF_IFNAME}p"; remember HALF_IFNAME; }
    configure_half_down_outside() { recall; [[ ! -e /run/kill ]] || { rm /run/kill; kill -KILL $$; }; ip link delete dev "$HALF_IFNAME"; }'
  config half-a.conf <<<HALF_IFNAME=made0
  # Another instance keeps the namespace.
  on netnsctl up lo@a half@a
  config half-a.conf <<<HALF_IFNAME=edited0
  case $1 in
    killed) on touch /run/kill ;;
    refused) chmod o+w "$CONF/half-a.conf" ;;
    missing) mv "$CONF/half.sh" "$CONF/half.away" ;;
  esac
  run -1 on netnsctl down half@a
  chmod o-w "$CONF/half-a.conf"
  [[ ! -e $CONF/half.away ]] || mv "$CONF/half.away" "$CONF/half.sh"
  on ip link show dev made0
}

@test "leftovers of a killed, refused or missing down outside are removed by the next down, up or gc" {
  for how in killed refused missing; do
    left_by "$how"
    on netnsctl down half@a
    run -1 on ip link show dev made0

    left_by "$how"
    on netnsctl up half@a
    run -1 on ip link show dev made0
    on ip link show dev edited0
    on netnsctl down half@a
    run -1 on ip link show dev edited0

    left_by "$how"
    on netnsctl gc
    run -1 on ip link show dev made0
    on netnsctl down a
    nothing_left
  done
}
