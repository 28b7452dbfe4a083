#!/usr/bin/env bats
# Files that other users than root can write are not run as root.

load ../engine/engine

setup() { plugin probe ": >>$BATS_TEST_TMPDIR/read"; }

# Usage: refused PATH WHY COMMAND [OPTION...]
# Succeeds if neither up nor down reads a file, and the suggested command fixes it.
refused() {
  local path=$1 why=$2 fix=$3
  rm -f "$BATS_TEST_TMPDIR/read"
  run -1 netnsctl up probe@a
  [[ $output == *"$path: $why; fix: \`$fix\`"* ]] || {
    echo "$output" >&2
    return 1
  }
  run -1 netnsinit probe a down outside
  [[ $output == *"$path: $why"* && ! -e $BATS_TEST_TMPDIR/read ]]
  gone a
  bash -c "$fix"
  netnsctl up probe@a
  netnsctl down probe@a
  nothing_left
}

@test "a plugin or layer that other users can write is refused, with the fix" {
  chmod o+w "$CONF/probe.sh"
  refused "$CONF/probe.sh" 'any user can write it' "chmod o-w $CONF/probe.sh"
  : >"$CONF/probe-a.conf"
  chown nobody "$CONF/probe-a.conf"
  refused "$CONF/probe-a.conf" 'it belongs to the user nobody (65534)' "chown root $CONF/probe-a.conf"
  chgrp nogroup "$CONF/default.conf"
  chmod g+w "$CONF/default.conf"
  refused "$CONF/default.conf" 'the group nogroup (65534) can write it' "chmod g-w $CONF/default.conf"
}

@test "a directory above a plugin that other users can write is refused too" {
  chmod 1777 "$CONF"
  refused "$CONF" 'any user can create files in it' "chmod o-w $CONF"
  chown nobody /etc/conf.d
  refused /etc/conf.d 'it belongs to the user nobody (65534)' 'chown root /etc/conf.d'
}

@test "access control lists are checked" {
  setfacl -m u:nobody:rw "$CONF/probe.sh"
  refused "$CONF/probe.sh" 'the user nobody (65534) can write it, by an access control list' "setfacl -x u:65534 $CONF/probe.sh"
  setfacl -m g:nogroup:rwx "$CONF"
  refused "$CONF" 'the group nogroup (65534) can create files in it, by an access control list' "setfacl -x g:65534 $CONF"
  setfacl -b "$CONF" "$CONF/probe.sh"
}

@test "a link is checked at its own place and at its target" {
  mkdir /run/elsewhere
  cp "$CONF/probe.sh" /run/elsewhere
  ln -sf /run/elsewhere/probe.sh "$CONF/probe.sh"
  netnsctl up probe@a
  netnsctl down probe@a
  chmod o+w /run/elsewhere
  refused /run/elsewhere 'any user can create files in it' 'chmod o-w /run/elsewhere'
  chown -h nobody "$CONF/probe.sh"
  refused "$CONF/probe.sh" 'it belongs to the user nobody (65534)' "chown -h root $CONF/probe.sh"
  rm -r /run/elsewhere
}

@test "an active instance can be taken down: its namespace is removed, and no untrusted file is run" {
  netnsctl up probe@a
  rm "$BATS_TEST_TMPDIR/read"
  chmod o+w "$CONF/probe.sh"
  run -1 netnsctl down probe@a
  [[ $output == *"$CONF/probe.sh: any user can write it"* && ! -e $BATS_TEST_TMPDIR/read ]]
  gone a
}

@test "only NETNS_ALLOW_UNSAFE_FILES=1 allows untrusted files, with a warning each time" {
  chmod o+w "$CONF/probe.sh"
  export NETNS_ALLOW_UNSAFE_FILES=1
  for verb in up down; do
    run -0 netnsctl "$verb" probe@a
    [[ $output == *"warning: $CONF/probe.sh: any user can write it"* ]]
  done
  NETNS_ALLOW_UNSAFE_FILES=yes run -1 netnsctl up probe@a
}
