#!/usr/bin/env bats
# Types and names work up to the longest unit name of systemd, and longer ones are refused.

load systemd

# Usage: letters COUNT LETTER
letters() { printf "%$1s" '' | tr ' ' "$2"; }

# netns_outside-TYPE@NAME.service has 254 bytes: journald (252) closes the output of a unit with another one.
TYPE=$(letters 31 t)
NAME=$(letters 200 n)
PAIRS="n$(letters 47 - | sed 's/-/-n/g')" # 47 hyphens: 95 bytes
# run-netns-NAME.mount has 255 bytes with each hyphen as \x2d.
HYPHENS=${PAIRS}nnn

@test "an instance with the longest names comes up, runs its four hooks, and goes down" {
  plugin "$TYPE"
  config "$TYPE-$NAME.conf" </dev/null
  lab netnsctl up "$NAME"
  up "netns-$TYPE@$NAME" "netns_outside-$TYPE@$NAME"
  lab netnsctl check "$TYPE"
  lab netnsctl down "$NAME"
  [[ $(hooks) == *' up outside,'*' up inside,'*' down inside,'*' down outside' ]]
  nothing_left "$NAME"
}

@test "an instance whose unit names are too long is refused, and nothing is started" {
  plugin "${TYPE}t"
  plugin "${TYPE}tt"
  config "${TYPE}t-$NAME.conf" </dev/null
  run --separate-stderr ! lab netnsctl up "${TYPE}t@$NAME"
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *"invalid instance \`${TYPE}t@$NAME\`: the unit name"*'would be 255 bytes long, the limit is 254'* ]]
  run --separate-stderr ! lab netnsctl up "$NAME"
  [[ $stderr == *'would be 255 bytes long'* ]]
  gone "$NAME"
  # With a longer type, systemd ignores the dependency on the outside unit, and starts only the inside unit.
  lab netnsctl up "lo@$NAME"
  run ! lab systemctl start "netns-${TYPE}t@$NAME"
  run ! lab systemctl start "netns-${TYPE}tt@$NAME"
  [[ $(journal "netns-${TYPE}tt@$NAME") == *'would be 256 bytes long, the limit is 254'* ]]
  lab test ! -e "$LOG"
}

@test "netns-update and check report a configured instance whose unit names are too long" {
  plugin "${TYPE}t"
  config "${TYPE}t-$NAME.conf" </dev/null
  run --separate-stderr -1 lab netns-update
  [[ $stderr == *"/etc/conf.d/netns/${TYPE}t-$NAME.conf: invalid instance"*'would be 255 bytes long, the limit is 254; skipped'* ]]
  run -1 lab netnsctl check
  [[ $output == *"error: /etc/conf.d/netns/${TYPE}t-$NAME.conf: invalid instance"* ]]
}

@test "a service in a namespace with many hyphens stops when the namespace is deleted manually" {
  unit test-web.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  lab netnsctl attach test-web "lo@$HYPHENS"
  lab systemctl start test-web
  is_in "$HYPHENS" test-web
  delete_manually "$HYPHENS"
  eventually is test-web inactive
}

@test "a service cannot be attached to a namespace whose mount unit name is too long; the namespace itself works" {
  unit test-web.service <<<$'[Service]\nExecStart=/bin/sleep infinity'
  run --separate-stderr -1 lab netnsctl attach test-web "lo@${HYPHENS}n"
  [[ $stderr == *"\`${HYPHENS}n\` has too many hyphens: the unit name"*'would be 256 bytes long, the limit is 255'* ]]
  lab test ! -e /etc/systemd/system/test-web.service.d
  lab netnsctl up "lo@${HYPHENS}n"
  exists "${HYPHENS}n"
  # As an older version has attached it.
  lab netnsctl attach test-web "lo@$HYPHENS"
  lab sed -i "s/${HYPHENS}/${HYPHENS}n/g" /etc/systemd/system/test-web.service.d/50-netns.conf
  run -1 lab netnsctl check
  [[ $output == *'error: `test-web.service` does not stop when its namespace is deleted: '*'would be 256 bytes long'* ]]
  lab netnsctl detach test-web
  lab netnsctl down "lo@${HYPHENS}n"
  nothing_left "${HYPHENS}n"
}
