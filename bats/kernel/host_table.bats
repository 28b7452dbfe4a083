#!/usr/bin/env bats
# host_table_load: the nftables table of an instance on the host. The host of these tests is private.

load kernel

# Usage: guard [SIDE] <<<CONTENTS
# A type whose hook loads the table.
guard() {
  {
    echo "NO_CONFIG_REQUIRED=yes; configure_guard_up_${1-outside}() { host_table_load <<'END'"
    cat
    echo 'END'
    echo 'after; }; after() { :; }'
  } | config guard.sh
}

# Usage: table
# Prints the table of guard@a, without counters.
table() { nft --stateless list table inet netns_guard-a; }

# Usage: idle SESSION
# Succeeds if no program of a killed hook runs.
idle() { ! pgrep --session "$1" >/dev/null; }

setup() {
  rm -rf "$CONF" "$SHARE"
  mkdir -p "$CONF" "$SHARE"
  create a
  RULES='chain forward { type filter hook forward priority filter; iifname "ve-a0" counter accept; }'
}

@test "the table is loaded on the host from either side, names its instance, and is removed by down" {
  for side in outside inside; do
    guard "$side" <<<"$RULES"
    before=$(world)
    hook guard a up outside
    hook guard a up inside
    [[ $(table) == *'comment "systemd-netns guard@a"'*'iifname "ve-a0" counter accept'* ]]
    [[ -z $(inside a nft list tables) ]]
    down_hooks guard a
    unchanged "$before"
  done
}

@test "each instance has its own table, whatever characters its name has" {
  guard <<<"$RULES"
  for name in x:y x-y x.y x_y; do
    create "$name"
    hook guard "$name" up outside
  done
  [[ $(nft list tables | sort | paste -sd,) == 'table inet netns_guard-x-y,table inet netns_guard-x.y,table inet netns_guard-x/y,table inet netns_guard-x_y' ]]
  hook guard x:y down outside
  [[ $(nft list tables) != *x/y* && $(nft list tables) == *x-y* ]]
  for name in x-y x.y x_y; do hook guard "$name" down outside; done
  [[ -z $(nft list tables) ]]
}

@test "a second load replaces the whole table in one transaction" {
  guard inside <<<"$RULES"
  hook guard a up outside
  hook guard a up inside
  nft add chain inet netns_guard-a manual
  guard inside <<<'chain input { type filter hook input priority filter; }'
  hook guard a up inside
  [[ $(table) == *'chain input'* && $(table) != *forward* && $(table) != *manual* ]]
  hook guard a down outside
  [[ -z $(nft list tables) ]]
}

@test "host_table_remove removes the table before the instance goes down, and does nothing without one" {
  guard inside <<<"$RULES"
  hook guard a up outside
  hook guard a up inside
  config guard.sh <<<'NO_CONFIG_REQUIRED=yes; configure_guard_up_inside() { host_table_remove; host_table_remove; }'
  hook guard a up inside
  [[ -z $(nft list tables) ]]
  down_hooks guard a
  [[ ! -e $MEMORY/guard@a ]]
}

@test "a foreign table of the same name is refused, and stays; one of a killed command is replaced" {
  guard <<<"$RULES"
  nft add table inet netns_guard-a '{ comment "mine"; }'
  before=$(table)
  fails hook guard a up outside
  [[ $stderr == *"the table 'inet netns_guard-a' exists on the host already, and \`guard@a\` has not created it; fix: \`nft delete table inet netns_guard-a\`"* ]]
  [[ $(table) == "$before" && ! -e $MEMORY/guard@a ]]
  nft delete table inet netns_guard-a
  nft add table inet netns_guard-a '{ comment "systemd-netns guard@a"; }'
  hook guard a up outside
  [[ $(table) == *'iifname "ve-a0"'* ]]
  hook guard a down outside
  [[ -z $(nft list tables) ]]
}

@test "rules that nft refuses are reported with their line, the message of nft and the line of the plugin, and leave nothing" {
  guard <<<$'chain forward {\n  type filter hook forward priority filter\n  iifname "ve-a0" nonsense\n}'
  fails hook guard a up outside
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *"cannot load the table 'inet netns_guard-a' on the host: line 3:"*'iifname "ve-a0" nonsense'*' ^'* ]]
  [[ $stderr == *"failed with status 1 at $CONF/guard.sh:1"* ]]
}

@test "rules that nft refuses on a restart leave the loaded ones in force, and recorded" {
  guard inside <<<"$RULES"
  hook guard a up outside
  hook guard a up inside
  guard inside <<<'chain forward { nonsense; }'
  fails hook guard a up inside
  guard inside <<<"$RULES"
  hook guard a down outside
  [[ -z $(nft list tables) ]]
}

@test "a hook that fails later removes the table that it has made, and not an earlier one" {
  guard inside <<<"$RULES"
  hook guard a up outside
  echo 'after() { return 1; }' >>"$CONF/guard.sh"
  run ! hook guard a up inside
  [[ -z $(nft list tables) ]]
  echo 'after() { :; }' >>"$CONF/guard.sh"
  hook guard a up inside
  echo 'after() { return 1; }' >>"$CONF/guard.sh"
  fails hook guard a up inside
  [[ $(table) == *ve-a0* ]]
  hook guard a down outside
}

@test "a hook that is killed at any moment leaves nothing that down does not remove" {
  guard <<<"$RULES"
  for delay in 0 0.005 0.01 0.02 0.03 0.05 0.1; do
    setsid netnsinit guard a up outside >/dev/null 2>&1 3>&- &
    sleep "$delay"
    kill -KILL "$!" || true
    wait "$!" || true
    eventually idle "$!"
    hook guard a down outside
    [[ -z $(nft list tables) && ! -e $MEMORY/guard@a ]]
  done
}

@test "without stdin or with arguments, the hook fails" {
  config guard.sh <<<'NO_CONFIG_REQUIRED=yes; configure_guard_up_outside() { host_table_load </dev/null; }'
  refused 'expected the contents of the table on stdin' -- hook guard a up outside
}

@test "without nft, the hook fails, and the message has the package" {
  guard <<<"$RULES"
  refused 'nft' 'is not installed' nftables -- env PATH="$(only bash ip)" netnsinit guard a up outside
}

@test "a traced hook prints the command that loads the table" {
  guard <<<"$RULES"
  run --separate-stderr -0 netnsinit --trace guard a up outside
  [[ $stderr == *"+ nft --file - <<'END'"*'table inet netns_guard-a { comment "systemd-netns guard@a";'*"$RULES"* ]]
  hook guard a down outside
}
