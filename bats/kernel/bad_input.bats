#!/usr/bin/env bats
# Bad input, where it takes a kernel to tell: each gets one clear line and a status that is not 0, and changes nothing.

load kernel

@test "a .conf that is a link to nothing stops up, and is warned of on down" {
  config macvlan.conf <<<''
  ln -s nowhere "$CONF/macvlan-a.conf"
  create a
  run --separate-stderr -1 hook macvlan a up outside
  told "$CONF/macvlan-a.conf is a dangling symbolic link"
  run --separate-stderr hook macvlan a down outside
  [[ $stderr == *'warning:'*'is a dangling symbolic link'* ]]
}

# Usage: plugin TYPE <<<TEXT
plugin() { cat >"$SHARE/$1.sh"; }

@test "up inside on the host" {
  create a
  refused 'current netns is the global netns' 'ip netns exec a' -- netnsinit lo a up inside
}

@test "down inside on the host: there, tearing down would be the host's own" {
  create a
  refused 'current netns is the global netns' -- netnsinit lo a down inside
}

@test "up inside in another namespace, which is named" {
  create a b
  refused 'current netns is `b`, not the required `a`' -- inside b netnsinit lo a up inside
}

@test "up inside in a namespace without a name" {
  create a
  refused 'current netns has no name, not the required `a`' -- unshare --net netnsinit lo a up inside
}

@test "up inside in another namespace, where the required one does not exist" {
  create b
  refused 'current netns is `b`, not the required `a`' -- inside b netnsinit lo a up inside
}

@test "a name that points to another namespace is that namespace" {
  create a
  ip netns add b
  touch /run/netns/alias
  mount --bind /run/netns/a /run/netns/alias
  inside a netnsinit lo alias up inside
  refused 'not the required `alias`' -- inside b netnsinit lo alias up inside
}

@test "down inside in another namespace is told, and runs where it may be what is left: the name may have been deleted by hand" {
  plugin probe <<<'NO_CONFIG_REQUIRED=y; configure_probe_down_inside() { echo "in \"$CURRENT_NETNS_NAME\""; }'
  # Of these it is not noted which one was made.
  ip netns add a
  ip netns add b
  run --separate-stderr -0 inside b netnsinit probe a down inside
  [[ $stderr == *'current netns is `b`, not the required `a`'* && $output == *'in "b"' ]]
  run --separate-stderr -0 unshare --net netnsinit probe a down inside
  [[ $stderr == *'current netns has no name, not the required `a`'* && $output == *'in ""' ]]
  ip -all netns delete

  create a b
  run --separate-stderr -0 inside b netnsinit probe a down inside
  [[ $stderr == *'this is not the namespace that was made as `a`: nothing is run in it'* && $output != *'in "b"' ]]
  hold a
  ip netns delete a
  run --separate-stderr -0 nsenter --net="$HELD" netnsinit probe a down inside
  [[ $stderr == *'current netns has no name, not the required `a`'* && $output == *'in ""' ]]
}

@test "the check of the namespace starts no process: it works where no program can be found" {
  plugin probe <<<'NO_CONFIG_REQUIRED=y; configure_probe_up_inside() { inside_check "$1" && echo "${0##*/}: $CURRENT_NETNS_NAME"; }'
  create a
  run -0 inside a env --ignore-environment PATH=/nosuch "$NETNS_BIN/netnsinit" probe a up inside
  [[ $output == *'netnsinit: a' ]]
}

@test "the outside half runs wherever it is started from" {
  plugin probe <<<'NO_CONFIG_REQUIRED=y; configure_probe_up_outside() { echo "$CURRENT_NETNS_NAME"; }'
  create a
  netnsinit probe a up outside
  inside a netnsinit probe a up outside
}

@test "a plain user: inside hooks are told to be root's, and nothing runs" {
  create a
  refused root -- setpriv --reuid=nobody --clear-groups netnsinit lo a up inside
}

@test "bash that is not installed: the message names the package" {
  create a
  # A mount cannot take a file away; an overlay of its directory can.
  mkdir -p /run/bin/{upper,work}
  missing() {
    unshare --mount bash -c 'bin=$(cd -P /bin && pwd)
      mount -t overlay none -o "lowerdir=$bin,upperdir=/run/bin/upper,workdir=/run/bin/work" "$bin"
      rm "$bin/bash"; exec "$@"' bash "$@"
  }
  refused 'bash' 'not installed' -- missing netnsinit lo a up outside
}

@test "types and names outside the rule, phases and sides that there are not, too few words" {
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

@test "a plugin that is missing, or is no file: both places, or the one, are named" {
  create a
  refused "$CONF/nosuch.sh" "$SHARE/nosuch.sh" -- netnsinit nosuch a up outside
  mkdir "$CONF/dir.sh"
  refused "$CONF/dir.sh" -- netnsinit dir a up outside
}

@test "a plugin or conf with an error, or the line ends of DOS: the last line has file and line, and no hook runs" {
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 'VETH_IFADDR_INSIDE="192.0.2.2/30' | config veth-a.conf
  plugin broken <<<$'true\nif'
  plugin dos <<<$'configure_dos_up_outside() {\r\n  true\r\n}\r'
  create a
  before=$(world)
  for type in veth broken dos; do
    run --separate-stderr ! netnsinit "$type" a up outside
    file=$SHARE/$type.sh
    if [[ $type == veth ]]; then file=$CONF/veth-a.conf; fi
    [[ ${stderr##*$'\n'} == "netnsinit: $type@a: up outside "*": syntax error in $file: line "* ]]
    unchanged "$before"
  done
  [[ $stderr == *'DOS line ends'* ]]
}

@test "a plain user: an outside hook that fails is told with that, and makes nothing" {
  printf '%s\n' VETH_IFADDR_OUTSIDE=192.0.2.1/30 VETH_IFADDR_INSIDE=192.0.2.2/30 | config veth-a.conf
  create a
  before=$(world)
  run --separate-stderr ! setpriv --reuid=nobody --clear-groups netnsinit veth a up outside
  [[ ${stderr##*$'\n'} == *'(not run as root)' ]]
  unchanged "$before"
}
