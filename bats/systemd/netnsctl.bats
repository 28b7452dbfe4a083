#!/usr/bin/env bats
# netnsctl under systemd. The common behaviour of both engines is in bats/engine.

load systemd

@test "down uses the engine that brought the instance up" {
  lab netnsctl up --engine direct lo@direct
  lab netnsctl up lo@units
  run -0 lab netnsctl list --no-legend
  [[ ${lines[0]} =~ ^direct\ +lo\ +up\ +direct\  && ${lines[2]} =~ ^units\ +lo\ +up\ +systemd\  ]]
  run --separate-stderr -0 lab netnsctl up lo@direct lo@units
  [[ $output == $'lo@direct was already up\nlo@units was already up' ]]
  lab netnsctl down direct units
  nothing_left direct
  nothing_left units
}

@test "neither engine changes a namespace of the other" {
  lab netnsctl up --engine direct lo@one
  lab netnsctl up lo@two
  run --separate-stderr -1 lab netnsctl up --engine systemd lo@one
  [[ $stderr == *'a foreign namespace of this name exists'* && $stderr != *'is removed'* ]]
  run --separate-stderr -1 lab netnsctl up --engine direct lo@two
  [[ $stderr == *'namespace `two` belongs to units of systemd; fix: leave out `--engine direct`, or `netnsctl down two` first'* ]]
  exists one
  exists two
  lab netnsctl down one two
}

@test "down clears a failed instance of either engine" {
  plugin bad 'configure_bad_up_inside() { echo "what it said"; false; }'
  for engine in direct systemd; do
    run -1 lab netnsctl up --engine "$engine" bad@b
    run -1 lab netnsctl check
    [[ $output == *'error: bad@b: the instance has failed'* ]]
    lab netnsctl down bad@b
    run -0 lab netnsctl check
    [[ -z $output ]]
    [[ $(lab netnsctl list --no-legend) != *bad* ]]
  done
}

@test "after a clock change during up or down, the result is reported" {
  # The netnsctl of `cargo test`, with libfaketime: its start time is an hour later than in the journal.
  cp "$BATS_TEST_DIRNAME/../../target/debug/netnsctl" "$LAB/root/usr/local/sbin/netnsctl-fast-clock"
  local libraries=(/usr/lib/*/faketime/libfaketimeMT.so.1)
  fast_clock() { lab env LD_PRELOAD="${libraries[0]}" FAKETIME=+1h FAKETIME_DONT_FAKE_MONOTONIC=1 /usr/local/sbin/netnsctl-fast-clock "$@"; }
  plugin bad 'configure_bad_up_inside() { false; }'
  run --separate-stderr -1 fast_clock up bad@b lo@a
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'cannot bring up `bad@b`'* ]]
  [[ $(lab netnsctl list --no-legend) =~ ^a\ +lo\ +up\  ]]
  plugin bad 'configure_bad_down_inside() { false; }'
  fast_clock up bad@b
  run --separate-stderr -1 fast_clock down bad@b lo@a
  [[ $stderr == *'`bad@b` is down, but with errors: '* ]]
  lab netnsctl down bad@b
  nothing_left a
  nothing_left b
  rm "$LAB/root/usr/local/sbin/netnsctl-fast-clock"
}

@test "graph shows the states of attached services" {
  local unit format
  for unit in runs stops fails; do
    lab bash -c "printf '[Service]\nExecStart=/bin/sleep infinity\n' >/etc/systemd/system/$unit.service"
  done
  lab bash -c "printf '[Service]\nExecStart=/bin/false\n' >/etc/systemd/system/fails.service"
  lab bash -c "printf '[Service]\nExecStart=/bin/sleep infinity\n' >/etc/systemd/system/many@.service"
  lab systemctl daemon-reload
  for unit in runs stops fails many@; do lab netnsctl attach "$unit" lo@a; done
  lab systemctl start runs many@1
  lab systemctl start fails || true
  eventually lab systemctl is-failed fails
  run -0 lab netnsctl graph a
  [[ $output == *'✗ fails.service failed'* && $output == *'● runs.service up'* && $output == *'○ stops.service down'* ]]
  [[ $output == *'● many@.service up'* ]]
  for format in dot mermaid svg; do
    run -0 lab netnsctl graph --format "$format" a
    for word in up failed down; do [[ $output == *"$word"* ]]; done
  done
  lab netnsctl graph --json >"$BATS_TEST_TMPDIR/document.json"
  PYTHONPATH='' /usr/bin/jsonschema --instance "$BATS_TEST_TMPDIR/document.json" "$BATS_TEST_DIRNAME/../../docs/json/graph.json"
  run -0 jq --raw-output '.items[0].attached[] | "\(.unit) \(.state)"' "$BATS_TEST_TMPDIR/document.json"
  [[ $output == $'fails.service failed\nmany@.service up\nruns.service up\nstops.service down' ]]
  lab systemctl stop runs many@1
  lab netnsctl down lo@a
  lab systemctl reset-failed fails
  for unit in runs stops fails many@; do
    lab netnsctl detach "$unit"
    lab rm "/etc/systemd/system/$unit.service"
  done
  lab systemctl daemon-reload
  nothing_left a
}

@test "for a type without units, the error has the command to run" {
  config late.sh <<<NO_CONFIG_REQUIRED=y
  run --separate-stderr -1 lab netnsctl up late@a
  [[ $stderr == *'not found. (fix: `netns-update`'* && $stderr != *'is removed'* ]]
  run -1 lab netnsctl check
  [[ $output == *'/etc/systemd/system/netns-late@.service: warning: this unit is missing; run `netns-update`'* ]]
}

@test "unit names are instances for each verb, also with options before the verb" {
  run -0 lab netnsctl --engine systemd up netns-lo@a.service netns_outside-nft@a
  [[ $output == *'lo@a is up'* && $output == *'nft@a is up'* ]]
  up netns-lo@a netns-nft@a
  for verb in check show cat restart; do lab netnsctl "$verb" netns-lo@a.service; done
  lab netnsctl status a
  lab netnsctl down netns-lo@a.service netns-nft@a.service
  nothing_left a
}

@test "list says of a failed instance that its plugin is gone" {
  plugin bad 'configure_bad_down_inside() { false; }'
  lab netnsctl up bad@a
  lab systemctl stop netns-bad@a
  rm "$CONF/bad.sh"
  run -0 lab netnsctl list
  [[ $output == *a*bad*failed*'cannot find plugin `bad`'* ]]
}

@test "the message of each of several failed instances is about this instance" {
  plugin bad 'configure_bad_up_inside() { false; }'
  run --separate-stderr -1 lab netnsctl up bad@a bad@b
  [[ $(grep --fixed-strings 'cannot bring up `bad@a`' <<<"$stderr") != *netns-bad@b* ]]
  [[ $(grep --fixed-strings 'cannot bring up `bad@b`' <<<"$stderr") != *netns-bad@a* ]]
  lab systemctl reset-failed 'netns*'
}

@test "a masked unit of an instance is a note of check, and an error if it belongs to a firewall" {
  config lo-a.conf <<<''
  lab systemctl mask netns-lo@a.service
  run -0 lab netnsctl check
  [[ $output == '/etc/systemd/system/netns-lo@a.service: note: the unit netns-lo@a.service is masked; fix: `systemctl unmask netns-lo@a.service`' ]]
  run -1 lab netnsctl up lo@a
  lab systemctl unmask netns-lo@a.service
  # The template of all namespaces, in another directory.
  lab systemctl mask --runtime netns_name@.service
  run -0 lab netnsctl check lo@a
  [[ $output == '/run/systemd/system/netns_name@.service: note: '*'`systemctl unmask netns_name@.service`' ]]
  lab systemctl unmask --runtime netns_name@.service
  # `up` refuses a masked firewall.
  lab systemctl mask netns-nft@b.service
  config nft-b.rules <<<''
  run -1 lab netnsctl check nft@b
  [[ $output == *'error: the unit netns-nft@b.service is masked'* ]]
  lab systemctl unmask netns-nft@b.service
  rm "$CONF/nft-b.rules"
}

@test "status shows the units of processes, and failed instances" {
  lab netnsctl up veth@nstest
  lab systemd-run --quiet --unit=inside --property=NetworkNamespacePath=/run/netns/nstest sleep infinity
  run -0 lab netnsctl status nstest
  lab systemctl stop inside
  [[ $output == *' sleep (inside.service)'* ]]
  plugin bad 'configure_bad_up_inside() { echo "what it said"; false; }'
  run -1 lab netnsctl up bad@b
  run -1 lab netnsctl status b
  [[ $output == *'bad failed since'*'what it said'* ]]
  run -1 lab netnsctl check
  [[ $output == *'error: bad@b: the instance has failed'* ]]
}

@test "the start time of an instance is read from systemd's files, or else queried" {
  since() { lab netnsctl list --json | jq --raw-output '.items[] | select(.instance == "lo@a") | .since | fromdate'; }
  lab netnsctl up lo@a
  seconds=$(lab systemctl show --timestamp=unix --property=StateChangeTimestamp --value netns-lo@a)
  by_link=$(since)
  ((by_link >= ${seconds#@} - 5 && by_link <= ${seconds#@}))
  lab rm /run/systemd/units/invocation:netns-lo@a.service
  (($(since) == ${seconds#@}))
  lab netnsctl down a
}

@test "a foreign service with the name of an instance is neither listed nor stopped" {
  unit netns-exporter@.service <<<$'[Service]\nExecStart=/bin/sleep 1000'
  lab systemctl start netns-exporter@web
  lab netnsctl up lo@web
  run -0 lab netnsctl list
  [[ $output == *lo* && $output != *exporter* ]]
  lab netnsctl check
  lab netnsctl down web
  is netns-exporter@web active
  gone web
  run -0 lab netns-update --clean --now
  [[ $output != *exporter* ]]
  is netns-exporter@web active
  lab systemctl stop netns-exporter@web
  lab bash -c 'rm /etc/systemd/system/netns-exporter@.service; netns-update'
}
