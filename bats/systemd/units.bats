#!/usr/bin/env bats
# The unit files themselves, as systemd reads them.

load systemd

# The shipped types.
TYPES=()
for plugin in "$BATS_TEST_DIRNAME"/../../plugins/*.sh; do TYPES+=("$(basename "$plugin" .sh)"); done

@test "systemd-analyze verify prints nothing about the units of an instance" {
  # lab_install installs no manual pages from NETNS_BIN.
  local man=--man=${NETNS_BIN:+no}
  [[ $man != --man= ]] || man=--man=yes
  for type in "${TYPES[@]}"; do
    run -0 lab systemd-analyze verify "$man" "netns-$type@x.service" "netns_outside-$type@x.service" netns_name@x.service
    [[ -z $output ]]
  done
  run -0 lab systemd-analyze verify "$man" netns-veth@my-net.service netns_name@my-net.service netns_made@my-net.service netns_up@veth@my-net.service netns_settle@my-net.service
  [[ -z $output ]]
}

@test "the outside unit refuses a manual start, and after one of the namespace unit nothing is left" {
  run ! lab systemctl start netns_outside-lo@n
  [[ $output == *'may be requested by dependency only'* ]]
  lab systemctl start netns_name@n
  nothing_left n
}

@test "a manual stop of the namespace unit takes its types down first" {
  plugin t
  pair n
  lab systemctl start netns-t@n netns-veth@n
  lab systemctl stop netns_name@n
  nothing_left n
  [[ $(hooks) == 't@n up outside,t@n up inside,t@n down inside,t@n down outside' ]]
}

@test "the namespace is removed only when no unit needs it" {
  lab systemctl start netns-lo@n netns-nft@n
  lab systemctl stop netns-lo@n
  eventually is netns_outside-lo@n inactive
  exists n
  lab systemctl stop netns-nft@n
  nothing_left n
}

@test "the copies equal the template, byte for byte" {
  for type in "${TYPES[@]}"; do
    lab cmp "/usr/lib/systemd/system/netns@.service" "/etc/systemd/system/netns-$type@.service"
    lab cmp "/usr/lib/systemd/system/netns_outside@.service" "/etc/systemd/system/netns_outside-$type@.service"
  done
}

@test "the units that work on /run/netns do not have their own mount namespace" {
  plugin t "
    configure_t_up_outside() { readlink /proc/self/ns/mnt >>$LOG; }
    configure_t_up_inside() { readlink /proc/self/ns/mnt >>$LOG; }"
  lab systemctl start netns-t@n
  ours=$(lab readlink /proc/1/ns/mnt)
  [[ $(hooks) == "$ours,$ours" ]]
}

@test "iproute2 can use a namespace of a unit like its own" {
  lab systemctl start netns-lo@n
  run -0 lab ip netns list
  [[ $output == n* ]]
  run -0 lab ip netns exec n ip -oneline link
  [[ $output == *' lo:'* ]]
}

@test "the journal has one line for each hook, then the output of the plugin, and no trace" {
  plugin t "SECRET=hidden
    configure_t_up_inside() { local word=\$SECRET; echo plugin speaks; }"
  lab systemctl start netns-t@terse
  said=$(journal netns-t@terse | grep --invert-match 'netns-t@terse\.service')
  [[ $said == "Starting 'configure_t_up_inside' for netns 'terse'."$'\n''plugin speaks' ]]
}

@test "NETNS_TRACE=1 in a drop-in traces the hook" {
  plugin t "configure_t_up_inside() { local word=traced; }"
  lab mkdir -p /etc/systemd/system/netns-t@n.service.d
  lab tee /etc/systemd/system/netns-t@n.service.d/trace.conf >/dev/null <<<$'[Service]\nEnvironment=NETNS_TRACE=1'
  lab systemctl daemon-reload
  lab systemctl start netns-t@n
  [[ $(journal netns-t@n) == *'t.sh:'*'word=traced'* ]]
}

@test "the hook is the process that systemd started" {
  plugin t "configure_t_up_inside() { [[ \$\$ == \"\$SYSTEMD_EXEC_PID\" ]] && tr '\\\\0' ' ' </proc/\$\$/cmdline >>$LOG; }"
  lab systemctl start netns-t@n
  (($(hooks | tail -c +16 | wc -c) < 100))
}
