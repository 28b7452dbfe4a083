#!/usr/bin/env bats
# Enabled instances come up at boot, after the host's network devices, and stop at shutdown.

load systemd

# Usage: on_boot UNIT COMMAND [LINE]
# Creates a service that sets up the host's network.
on_boot() {
  lab tee "/etc/systemd/system/$1.service" >/dev/null <<END
[Unit]
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target network-pre.target network.target
Wants=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash -c '$2'
${3-}
[Install]
WantedBy=multi-user.target
END
  lab systemctl enable --quiet "$1"
}

@test "after a reboot, enabled instances are up, and disabled ones are not" {
  pair other
  lab systemctl enable --quiet netns-veth@nstest netns-nft@nstest netns-veth@other netns-lo@my-net
  lab systemctl disable --quiet netns-veth@other
  [[ $(lab systemctl is-enabled netns-veth@nstest) == enabled ]]
  gone nstest

  lab_reboot
  up netns-veth@nstest netns-nft@nstest netns-lo@my-net
  exists my-net
  gone other
  [[ $(lab ip netns exec nstest nft list ruleset) == *'policy drop'* ]]
  run reaches nstest 192.0.2.129
  ((status != 0))
  lab ip netns exec nstest nft flush ruleset
  reaches nstest 192.0.2.129

  lab_reboot
  up netns-veth@nstest netns-nft@nstest netns-lo@my-net
  nothing_failed
  lab systemctl disable --quiet netns-veth@nstest netns-nft@nstest netns-lo@my-net
}

@test "after a power cut during up or down, the next boot brings up all enabled instances, and nothing else" {
  plugin t '
configure_t_up_inside() { [[ ! -e /etc/hang.up ]] || { rm /etc/hang.up; echo hangs >/etc/hangs; sleep infinity; }; }
configure_t_down_inside() { [[ ! -e /etc/hang.down ]] || { rm /etc/hang.down; echo hangs >/etc/hangs; sleep infinity; }; }'
  lab systemctl enable --quiet netns-t@half netns-veth@nstest
  for verb in start stop; do
    if [[ $verb == stop ]]; then lab touch /etc/hang.down; else lab touch /etc/hang.up; fi
    [[ $verb == start ]] || lab systemctl start netns-t@half netns-veth@nstest
    lab systemctl --no-block "$verb" netns-t@half netns-veth@nstest
    eventually lab test -e /etc/hangs
    lab_power_cut
    rm "$LAB/root/etc/hangs"
    lab_boot
    eventually up netns-t@half netns-veth@nstest
    exists half
    reaches nstest 192.0.2.129
    nothing_failed
  done
  lab systemctl disable --quiet --now netns-t@half netns-veth@nstest
  lab rm -f "$LOG"
  eventually is netns_name@nstest.service inactive
  nothing_left half
}

@test "enable --now starts at once, disable --now removes the namespace" {
  lab systemctl enable --quiet --now netns-veth@nstest
  lab ping -c1 -W1 -q 192.0.2.130
  lab systemctl disable --quiet --now netns-veth@nstest
  nothing_left nstest
}

@test "up outside finds an interface that the host sets up late in the boot" {
  on_boot slow-network 'sleep 2; ip link add eth0 type veth peer name eth0-peer; ip link set eth0 up'
  lab systemctl enable --quiet netns-macvlan@shop
  lab_reboot
  up netns-macvlan@shop
  lab ip -netns shop link show dev macvlan0
  lab systemctl disable --quiet netns-macvlan@shop slow-network
  lab rm /etc/systemd/system/slow-network.service
}

@test "the outside unit starts after network.target and network-online.target, and pulls in neither" {
  after=$(lab systemctl show --value --property=After netns_outside-lo@x)
  for unit in network-pre.target network.target network-online.target netns_name@x.service; do
    [[ " $after " == *" $unit "* ]]
  done
  [[ $(lab systemctl show --value --property=Wants netns_outside-lo@x) != *online* ]]
}

@test "at shutdown both down hooks run while the host's network is still up" {
  on_boot network-of-host true 'ExecStop=/bin/bash -c "echo network >>/var/shutdown.log"'
  plugin t "
    configure_t_down_inside() { echo inside >>/var/shutdown.log; }
    configure_t_down_outside() { echo outside >>/var/shutdown.log; }"
  lab systemctl daemon-reload
  lab systemctl start network-of-host netns-t@n
  lab_reboot
  [[ $(lab paste -sd' ' /var/shutdown.log) == 'inside outside network' ]]
  gone n
  lab systemctl disable --quiet network-of-host
  lab rm /etc/systemd/system/network-of-host.service /var/shutdown.log
}

@test "daemon-reload and daemon-reexec do not affect active instances" {
  plugin t
  lab systemctl start netns-t@n
  lab systemctl daemon-reload
  lab systemctl daemon-reexec
  up netns-t@n netns_outside-t@n netns_name@n
  exists n
  [[ $(hooks) == 't@n up outside,t@n up inside' ]]
}
