#!/usr/bin/env bats
# Bad input that only a kernel shows: each has one clear line and a status that is not 0, and changes nothing.

load kernel

@test "a .conf that is a dangling link is an error for up, and a warning for down" {
  config macvlan.conf <<<''
  ln -s nowhere "$CONF/macvlan-a.conf"
  create a
  run --separate-stderr -1 hook macvlan a up outside
  reported "$CONF/macvlan-a.conf is a dangling symbolic link"
  run --separate-stderr hook macvlan a down outside
  [[ $stderr == *'warning:'*'is a dangling symbolic link'* ]]
}

# Usage: plugin TYPE <<<TEXT
plugin() { cat >"$SHARE/$1.sh"; }

@test "up inside refuses to run on the host" {
  create a
  refused 'current netns is the global netns' 'ip netns exec a' -- netnsinit lo a up inside
}

@test "down inside refuses to run on the host" {
  create a
  refused 'current netns is the global netns' -- netnsinit lo a down inside
}

@test "up inside refuses another namespace, and prints its name" {
  create a b
  refused 'current netns is `b`, not the required `a`' -- inside b netnsinit lo a up inside
}

@test "up inside refuses a namespace without a name" {
  create a
  refused 'current netns has no name, not the required `a`' -- unshare --net netnsinit lo a up inside
}

@test "up inside refuses another namespace if the required one does not exist" {
  create b
  refused 'current netns is `b`, not the required `a`' -- inside b netnsinit lo a up inside
}

@test "a name that is a link to another namespace means that namespace" {
  create a
  ip netns add b
  touch /run/netns/alias
  mount --bind /run/netns/a /run/netns/alias
  inside a netnsinit lo alias up inside
  refused 'not the required `alias`' -- inside b netnsinit lo alias up inside
}

@test "down inside warns in another namespace, and runs there if it can be the deleted one" {
  plugin probe <<<'NO_CONFIG_REQUIRED=y; configure_probe_down_inside() { echo "in \"$CURRENT_NETNS_NAME\""; }'
  # These have no ownership record.
  ip netns add a
  ip netns add b
  run --separate-stderr -0 inside b netnsinit probe a down inside
  [[ $stderr == *'current netns is `b`, not the required `a`'* && $output == *'in "b"' ]]
  run --separate-stderr -0 unshare --net netnsinit probe a down inside
  [[ $stderr == *'current netns has no name, not the required `a`'* && $output == *'in ""' ]]
  ip -all netns delete

  create a b
  run --separate-stderr -0 inside b netnsinit probe a down inside
  [[ $stderr == *'this is not the namespace that was created as `a`: no hook is run in it'* && $output != *'in "b"' ]]
  hold a
  ip netns delete a
  run --separate-stderr -0 nsenter --net="$HELD" netnsinit probe a down inside
  [[ $stderr == *'current netns has no name, not the required `a`'* && $output == *'in ""' ]]
}

@test "the check of the namespace starts no process, and works without any program" {
  plugin probe <<<'NO_CONFIG_REQUIRED=y; configure_probe_up_inside() { inside_check "$1" && echo "${0##*/}: $CURRENT_NETNS_NAME"; }'
  create a
  run -0 inside a env --ignore-environment PATH=/nosuch "$NETNS_BIN/netnsinit" probe a up inside
  [[ $output == *'netnsinit: a' ]]
}

@test "outside hooks run in the namespace of the caller" {
  plugin probe <<<'NO_CONFIG_REQUIRED=y; configure_probe_up_outside() { echo "$CURRENT_NETNS_NAME"; }'
  create a
  netnsinit probe a up outside
  inside a netnsinit probe a up outside
}

@test "inside hooks of a user without privilege are refused" {
  create a
  refused root -- setpriv --reuid=nobody --clear-groups netnsinit lo a up inside
}

@test "the error about a missing bash names the package" {
  create a
  # A mount cannot remove a file, but an overlay of its directory can.
  mkdir -p /run/bin/{upper,work}
  missing() {
    unshare --mount bash -c 'bin=$(cd -P /bin && pwd)
      mount -t overlay none -o "lowerdir=$bin,upperdir=/run/bin/upper,workdir=/run/bin/work" "$bin"
      rm "$bin/bash"; exec "$@"' bash "$@"
  }
  refused 'bash' 'not installed' -- missing netnsinit lo a up outside
}

@test "invalid types, names, phases and sides, and missing arguments, are refused" {
  create a
  refused 'letters, digits' -- netnsinit ../lo a up outside
  refused 'letters, digits' -- netnsinit lo ../a up outside
  refused 'letters, digits' -- netnsinit --create ../a
  refused 'letters, digits' -- netnsinit --delete ../a
  refused 'letters, digits' -- netns-nft-save ../a
  refused '"start"' -- netnsinit lo a start outside
  refused '"within"' -- netnsinit lo a up within
  run --separate-stderr -1 netnsinit lo a up
  [[ $stderr == *'Usage: netnsinit'* ]]
}

@test "the error about a missing plugin names its possible paths" {
  create a
  refused "$CONF/nosuch.sh" "$SHARE/nosuch.sh" -- netnsinit nosuch a up outside
  mkdir "$CONF/dir.sh"
  refused "$CONF/dir.sh" -- netnsinit dir a up outside
}

@test "for a syntax error or DOS line ends, the last line has file and line, and no hook runs" {
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 'VETH_IFADDR_INSIDE="192.0.2.2/30' | config veth-a.conf
  plugin broken <<<$'true\nif'
  plugin open <<<'words=(a'
  plugin dos <<<$'configure_dos_up_outside() {\r\n  true\r\n}\r'
  create a
  before=$(world)
  for type in veth broken open dos; do
    run --separate-stderr ! netnsinit "$type" a up outside
    file=$SHARE/$type.sh
    if [[ $type == veth ]]; then file=$CONF/veth-a.conf; fi
    [[ ${stderr##*$'\n'} == "netnsinit: $type@a: up outside "*": syntax error in $file: line "* ]]
    unchanged "$before"
  done
  [[ $stderr == *'DOS line ends'* ]]
}

@test "an array without its end in a .conf is an error for up and a warning for down, and the later files are read" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin open <<<'configure_open_up_outside() { :; }
    configure_open_down_outside() { eval "local words=(a b)"; echo "${words[*]} $early ${late[*]}"; }'
  config open-a.conf <<<$'late=(c\n  d)'
  create a
  for file in default open; do
    config "$file.conf" <<<$'early=1\nopen=(a'
    run --separate-stderr ! netnsinit open a up outside
    [[ ${stderr##*$'\n'} == "netnsinit: open@a: up outside "*": syntax error in $CONF/$file.conf: line 2: unexpected EOF"* ]]
    run --separate-stderr -0 netnsinit open a down outside
    [[ $stderr == *"warning: syntax error in $CONF/$file.conf: line 2: unexpected EOF"* && $output == *$'\n'"a b 1 c d" ]]
    rm "$CONF/$file.conf"
  done
}

@test "a here-document without its end in a .conf is not a syntax error" {
  plugin open <<<'configure_open_up_outside() { :; }'
  config open.conf <<<$'grep nothing <<END\ntext'
  create a
  run --separate-stderr -0 netnsinit open a up outside
  [[ $stderr == *here-document* && $stderr != *'syntax error'* ]]
}

@test "a failed outside hook of a user without privilege is reported, and creates nothing" {
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 | config veth-a.conf
  create a
  before=$(world)
  run --separate-stderr ! setpriv --reuid=nobody --clear-groups netnsinit veth a up outside
  [[ ${stderr##*$'\n'} == *'(not run as root)' ]]
  unchanged "$before"
}
