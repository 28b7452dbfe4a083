#!/usr/bin/env bats
# A namespace with a requested firewall passes nothing until its rules are loaded.

load systemd

# Usage: watch_pings / no_answer
# Pings the namespace from the host continuously; succeeds if no ping was answered, including a few more from now on.
PINGS='while :; do if ping -c1 -W1 -q 192.0.2.130 &>/dev/null; then echo >>/run/answered; fi; echo >>/run/pings; sleep 0.01; done'
some_lines() { (($(wc -l <"$1") > 2)); }
watch_pings() { lab systemd-run --quiet --unit=test-pings bash -c "$PINGS"; }
no_answer() {
  local run
  run=/proc/$(<"$LAB/leader")/root/run
  : >"$run/pings"
  eventually some_lines "$run/pings"
  lab systemctl stop test-pings
  [[ ! -e $run/answered ]] || {
    rm "$run/answered"
    echo "a ping was answered: $*" >&2
    return 1
  }
}

# Files that prevent the loading of the rules.
broken() { printf '%s\n' 'if then' 'exit 1' 'kill -9 $$' 'kill $$'; }

@test "if a firewall fails in any way when started with its interface, nothing passes" {
  while IFS= read -r text; do
    config nft-nstest.conf <<<"$text"
    watch_pings
    run ! lab netnsctl up veth@nstest nft@nstest
    [[ $output == *'`veth@nstest` was not started: its firewall `nft@nstest` cannot come up'* ]]
    no_answer "$text"
    nothing_left nstest
  done < <(broken)
}

@test "a firewall that cannot come up closes the namespace of an active interface" {
  while IFS= read -r text; do
    lab netnsctl up veth@nstest
    lab ping -c1 -W5 -q 192.0.2.130
    config nft-nstest.conf <<<"$text"
    run ! lab netnsctl up nft@nstest
    [[ $output == *'namespace `nstest` stays closed: only loopback traffic passes'* ]]
    watch_pings
    no_answer "$text"
    rm "$CONF/nft-nstest.conf"
    lab netnsctl down nstest
  done < <(broken)
}

@test "the same is true with systemctl, in either order" {
  while IFS= read -r text; do
    config nft-nstest.conf <<<"$text"
    for units in 'netns-veth@nstest netns-nft@nstest' 'netns-nft@nstest netns-veth@nstest'; do
      watch_pings
      # shellcheck disable=SC2086 # two words
      run ! lab systemctl start $units
      up netns-veth@nstest
      no_answer "$units"
      lab netnsctl down nstest
    done
  done < <(broken)
}

# Usage: closed_while_waiting UNIT UNITS...
# Starts UNITS. Succeeds if nothing passes while the interface is up and UNIT is still starting.
closed_while_waiting() {
  watch_pings
  lab systemctl start --no-block "${@:2}"
  eventually up netns-veth@nstest
  eventually is "$1" activating
  no_answer "$1"
  lab systemctl kill "$1"
}

@test "while the file of a firewall hangs, nothing passes through its active interface" {
  config nft-nstest.conf <<<'sleep 600'
  closed_while_waiting netns_outside-nft@nstest netns-veth@nstest netns-nft@nstest
}

@test "while a firewall waits for its interface, nothing passes through the active interface" {
  config nft-nstest.conf <<<'NETNS_REQUIRES=veth@nstest; [[ $INOUT == inside ]] && sleep 600'
  lab netns-update >/dev/null
  closed_while_waiting netns-nft@nstest netns-nft@nstest
}

@test "after a boot, an enabled interface passes nothing without its enabled firewall" {
  config nft-nstest.conf <<<'exit 1'
  lab systemctl enable --quiet netns-veth@nstest netns-nft@nstest
  unit test-pings.service <<END_OF_UNIT
[Service]
ExecStart=bash -c '$PINGS'
[Install]
WantedBy=sysinit.target
END_OF_UNIT
  lab systemctl enable --quiet test-pings
  lab_reboot
  up netns-veth@nstest
  is netns-nft@nstest inactive || is netns-nft@nstest failed
  no_answer boot
}

@test "if nft cannot be run, no interface comes up" {
  lab mv /usr/sbin/nft /usr/sbin/nft.away
  run ! lab netnsctl up veth@nstest nft@nstest
  lab mv /usr/sbin/nft.away /usr/sbin/nft
  [[ $output == *'the firewall of namespace `nstest` cannot be loaded, so no interface may come up'* ]]
  run ! up netns-veth@nstest
  eventually gone nstest
  lab netnsctl up veth@nstest nft@nstest
}

@test "an administrator's type that declares a firewall gets the same units" {
  config fire.sh <<'END_OF_PLUGIN'
# Provides: firewall
NO_CONFIG_REQUIRED=yes
configure_fire_up_inside() { false; }
END_OF_PLUGIN
  lab netns-update >/dev/null
  watch_pings
  run ! lab systemctl start netns-veth@nstest netns-fire@nstest
  up netns-veth@nstest
  no_answer fire
  # The drop-in is removed with the declaration.
  [[ -e $LAB/root/etc/systemd/system/netns_outside-fire@.service.d/10-firewall.conf ]]
  sed -i /Provides/d "$CONF/fire.sh"
  lab netns-update >/dev/null
  [[ ! -e $LAB/root/etc/systemd/system/netns_outside-fire@.service.d ]]
}

@test "rules that can be loaded open the namespace again" {
  config nft-nstest.conf <<<'exit 1'
  run ! lab systemctl start netns-veth@nstest netns-nft@nstest
  config nft-nstest.conf <<<''
  config nft-nstest.rules <<<'table inet t { chain c { type filter hook input priority 0; policy accept; }; }'
  lab netnsctl up nft@nstest
  reaches nstest 192.0.2.129
}

@test "attach to a namespace takes every configured type, including the firewall" {
  unit test-web.service <<<$'[Service]\nExecStart=sleep infinity'
  config nft-nstest.rules <<<'flush ruleset'
  lab netnsctl attach test-web nstest
  dropin=$LAB/root/etc/systemd/system/test-web.service.d/50-netns.conf
  grep --quiet '^BindsTo=.*netns-nft@nstest.service' "$dropin"
  grep --quiet '^Requires=.*netns_up@veth@nstest.service' "$dropin"
  lab systemctl start test-web
  up netns-nft@nstest netns-veth@nstest
  lab systemctl stop test-web
  lab netnsctl detach test-web
  # Without its firewall, there is a warning.
  run -0 lab netnsctl attach test-web veth@nstest
  [[ $output == *'the firewall `nft@nstest` is configured, but `test-web.service` starts without it'* ]]
}

@test "check finds an enabled instance that is not up, also after reset-failed" {
  config nft-nstest.conf <<<'[[ $INOUT != inside ]] || exit 1'
  lab systemctl enable --quiet netns-nft@nstest
  run ! lab systemctl start netns-nft@nstest
  run -1 lab netnsctl check nft@nstest
  [[ $output == *'nft@nstest: the instance has failed'* ]]
  lab systemctl reset-failed 'netns*'
  lab netns-update
  run -1 lab netnsctl check nft@nstest
  [[ $output == *'nft@nstest: the instance is enabled, but not up; `netnsctl up nft@nstest`, or `systemctl disable netns-nft@nstest.service`'* ]]
  config nft-nstest.conf <<<''
  lab netnsctl up nft@nstest
  lab netnsctl check
}

@test "a masked firewall prevents the start of an interface that is started with it" {
  for unit in netns-nft@nstest netns_outside-nft@nstest netns_closed@nstest; do
    lab systemctl mask --quiet "$unit"
    run ! lab netnsctl up veth@nstest nft@nstest
    lab systemctl unmask --quiet "$unit"
    [[ $output == *"the unit $unit.service is masked"*'`veth@nstest` was not started'* ||
      $output == *'`veth@nstest` was not started'*"the unit $unit.service is masked"* ]]
    run ! up netns-veth@nstest
  done
}
