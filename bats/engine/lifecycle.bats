#!/usr/bin/env bats
# Common behaviour of both engines.

load engine

@test "up and down: the network works, and nothing is left behind" {
  pair a
  run --separate-stderr -0 on netnsctl up veth@a
  [[ $output == 'veth@a is up' ]]
  on ping -q -c1 -w5 192.0.2.2
  [[ $(state veth@a) == up ]]
  run --separate-stderr -0 on netnsctl down veth@a
  [[ $output == 'veth@a is down' ]]
  nothing_left
}

@test "the hooks run in order, each on its side" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin probe 'configure_probe_up_outside() { [[ -e /run/netns/$1 ]] && [[ ! /proc/self/ns/net -ef /run/netns/$1 ]] && echo out >>'"$LOG"'; }
configure_probe_up_inside() { [[ /proc/self/ns/net -ef /run/netns/$1 ]] && echo in >>'"$LOG"'; }'
  on netnsctl up probe@a
  [[ $(hooks) == 'out,in' ]]
  on netnsctl down probe@a
  [[ $(hooks) == 'probe@a down inside,probe@a down outside' ]]
}

@test "up of an active instance, and down of an inactive one, change nothing" {
  plugin probe
  on netnsctl up probe@a
  hooks
  run --separate-stderr -0 on netnsctl up probe@a
  [[ $output == 'probe@a was already up' ]]
  on netnsctl down probe@a
  hooks
  run --separate-stderr -0 on netnsctl down probe@a
  [[ $output == 'probe@a was already down' ]]
  [[ -z $(hooks) ]]
}

@test "a restart runs only the inside hooks, and brings an inactive instance up" {
  plugin probe
  on netnsctl restart probe@a
  [[ $(hooks) == 'probe@a up outside,probe@a up inside' ]]
  on netnsctl restart probe@a
  [[ $(hooks) == 'probe@a down inside,probe@a up inside' ]]
}

@test "types share a namespace, and the last one removes it" {
  plugin one
  plugin two
  on netnsctl up one@a two@a
  on netnsctl down one@a
  exists a
  [[ $(state two@a) == up ]]
  on netnsctl down two@a
  nothing_left
}

@test "a name alone means every configured or active type" {
  plugin one
  plugin two
  plugin three
  config one-a.conf <<<''
  config two-a.conf <<<''
  run --separate-stderr -0 on netnsctl up a
  [[ $output == $'one@a is up\ntwo@a is up' ]]
  on netnsctl up three@a
  run --separate-stderr -0 on netnsctl down a
  [[ ${#lines[@]} == 3 ]]
  nothing_left
}

@test "names with hyphens work" {
  plugin probe
  config probe-my-net.conf <<<''
  on netnsctl up my-net
  [[ $(hooks) == 'probe@my-net up outside,probe@my-net up inside' ]]
  on netnsctl down my-net
  nothing_left
}

@test "a failed up outside is reported with its last lines, runs no down hook, and removes the namespace" {
  plugin probe 'configure_probe_up_outside() { echo "what it said"; false; }'
  run --separate-stderr -1 on netnsctl up probe@a
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'`probe@a`'*'what it said'*'probe@a: up outside'*'failed with status 1 at /etc/conf.d/netns/probe.sh:'* ]]
  [[ -z $(hooks) ]]
  gone a
}

@test "a failed instance is listed, with its last lines in status, until it is taken down" {
  plugin probe 'configure_probe_up_inside() { echo "what it said"; false; }'
  run -1 on netnsctl up probe@a
  [[ $(state probe@a) == failed ]]
  run -1 on netnsctl status a
  [[ $output == *'probe failed since'*'what it said'* ]]
  on netnsctl down probe@a
  [[ -z $(state probe@a) ]]
  nothing_left
}

@test "after a failed up inside, down outside runs, and the namespace is removed" {
  plugin probe 'configure_probe_up_inside() { false; }'
  run --separate-stderr -1 on netnsctl up probe@a
  [[ $stderr == *'probe@a: up inside'*'rollback: '*'namespace `a` is removed' ]]
  eventually gone a
  [[ $(hooks) == 'probe@a up outside,probe@a down outside' ]]
}

@test "a failed type does not affect the other types on its namespace" {
  plugin good
  plugin bad 'configure_bad_up_inside() { false; }'
  on netnsctl up good@a
  run -1 on netnsctl up bad@a
  exists a
  [[ $(state good@a) == up ]]
}

@test "a failed restart takes the instance down" {
  plugin probe
  on netnsctl up probe@a
  plugin probe 'configure_probe_up_inside() { false; }'
  run -1 on netnsctl restart probe@a
  eventually gone a
}

@test "a restart with files that no hook would read is refused with the cause, and changes nothing" {
  local dir=/etc/conf.d/netns
  pair a
  config nft-a.rules <<<'table inet t { chain c { type filter hook input priority 0; policy accept; }; }'
  plugin probe
  config probe-a.conf <<<PROBE_A=1
  on netnsctl up veth@a probe@a nft@a
  hooks
  # Usage: refused INSTANCE CAUSE
  refused() {
    run -1 on netnsctl restart veth@a probe@a nft@a
    [[ $output == *"cannot restart: $2"*'; nothing was restarted' ]]
    [[ -z $(hooks) && $(state veth@a) == up && $(state probe@a) == up && $(state nft@a) == up ]]
    on ping -q -c 1 -w 5 192.0.2.2
    rm --force "$CONF/$1-a.conf"
  }
  pair a 'X=('
  refused veth "$dir/veth-a.conf:3: error: "
  pair a
  config probe-a.conf <<<'X=('
  refused probe "$dir/probe-a.conf:1: error: "
  config nft-a.conf <<<'X=('
  refused nft "$dir/nft-a.conf:1: error: "
  config probe-a.conf <<<'exit 0'
  refused probe "$dir/probe-a.conf:1: error: probe@a: the file calls \`exit\` here"
  config probe-a.conf <<<PROBE_A=1
  chmod 666 "$CONF/probe-a.conf"
  refused probe "error: probe@a: "
  ln -s missing "$CONF/nft-a.conf"
  refused nft "error: nft@a: $dir/nft-a.conf is a dangling symbolic link"
  plugin probe $'configure_probe_up_inside() {\n  (\n}'
  refused probe "$dir/probe.sh:8: error: "
  plugin probe NO_CONFIG_REQUIRED=
  refused probe "error: probe@a: $dir/probe-a.conf does not exist"
}

@test "a restart with settings that the type refuses names each one, and changes nothing" {
  plugin probe 'configure_probe_validate() {
  valid_setting PROBE_PORT is_port
  valid_setting PROBE_MODE is_one_of a b
}'
  plugin other
  on netnsctl up probe@a other@b
  hooks
  config probe-a.conf <<<$'PROBE_PORT=http\nPROBE_MODE=c'
  run -1 on netnsctl restart other@b probe@a
  [[ $output == *"cannot restart: /etc/conf.d/netns/probe-a.conf:1: error: probe@a: PROBE_PORT: 'http' is not a port"* ]]
  [[ $output == *"/etc/conf.d/netns/probe-a.conf:2: error: probe@a: PROBE_MODE: "*'; nothing was restarted' ]]
  [[ -z $(hooks) && $(state probe@a) == up && $(state other@b) == up ]]
  config probe-a.conf <<<PROBE_PORT=80
  on netnsctl restart probe@a
  [[ $(hooks) == 'probe@a down inside,probe@a up inside' ]]
}

@test "up and restart print the warnings of hooks that succeed, each once, with the instance" {
  plugin warns 'configure_warns_up_outside() { echo "warning: the disk is full" >&2; }
configure_warns_up_inside() { printf "%s\n" "netnsinit: warning: a chain drops packets" "warning: the disk is full" "no warning: x"; }'
  plugin silent
  config silent-b.conf <<<NETNS_REQUIRES=warns@a
  update
  run --separate-stderr -0 on netnsctl up silent@b
  full='netnsctl: warning: warns@a: the disk is full' chain='netnsctl: warning: warns@a: a chain drops packets'
  [[ $output == 'silent@b is up' && $stderr == "$full"$'\n'"$chain" ]]
  run --separate-stderr -0 on netnsctl up silent@b warns@a
  [[ -z $stderr ]]
  on netnsctl down silent@b
  plugin warns 'configure_warns_down_inside() { echo "warning: the disk is full"; }
configure_warns_up_inside() { echo "warning: the disk is full"; }'
  run --separate-stderr -0 on netnsctl restart warns@a
  [[ $output == 'warns@a was restarted' && $stderr == "$full" ]]
}

@test "an instance that fails prints its warnings only in the error" {
  plugin warns 'configure_warns_up_inside() { echo "warning: the disk is full"; false; }'
  run --separate-stderr -1 on netnsctl up warns@a
  [[ $stderr == *'| warning: the disk is full'* && $stderr != *'warning: warns@a'* ]]
}

@test "a failed down inside is reported, and the teardown continues" {
  plugin probe 'configure_probe_down_inside() { false; }'
  on netnsctl up probe@a
  hooks
  run --separate-stderr -1 on netnsctl down probe@a
  [[ $stderr == *'`probe@a` is down, but'*'probe@a: down inside'* ]]
  [[ $(hooks) == 'probe@a down outside' ]]
  gone a
}

@test "a foreign namespace is refused, and not changed" {
  plugin probe
  on ip netns add a
  run --separate-stderr -1 on netnsctl up probe@a
  [[ $stderr == *'ip netns delete a'* && $stderr != *'is removed'* ]]
  exists a
  [[ -z $(hooks) ]]
}

@test "after a manual deletion of the namespace, down and up work" {
  pair a
  on netnsctl up veth@a
  on ip netns delete a
  run on netnsctl down veth@a
  on netnsctl up veth@a
  on ping -q -c1 -w5 192.0.2.2
  on netnsctl down veth@a
  nothing_left
}

@test "down removes what up created, also after a change of the .conf" {
  pair a
  on netnsctl up veth@a
  config veth-a.conf <<<'VETH_IFNAME=other-'
  on netnsctl down veth@a
  nothing_left
}

@test "each of several failures is reported" {
  plugin probe 'configure_probe_up_inside() { [[ $1 != bad ]]; }'
  run --separate-stderr -1 on netnsctl up probe@a probe@bad probe@c
  [[ $output == $'probe@a is up\nprobe@c is up' && $stderr == *'`probe@bad`'* ]]
  eventually gone bad
  on netnsctl down probe@a probe@bad probe@c
  nothing_left
}

@test "progress is printed after one second, and not before" {
  plugin probe 'configure_probe_up_inside() { sleep 1.5; }'
  run --separate-stderr -0 on netnsctl up probe@a
  [[ $stderr == 'still bringing up probe@a...'* ]]
  start=${EPOCHREALTIME/./}
  run --separate-stderr -0 on netnsctl up probe@a
  ((${EPOCHREALTIME/./} - start >= 1000000)) || [[ -z $stderr ]]
}

@test "list shows state, engine, time and addresses" {
  pair a
  pair b
  on netnsctl up veth@a
  run -0 on netnsctl list --no-legend
  [[ ${lines[0]} =~ ^'a '.*' veth '.*' up '.*" $ENGINE "*20..-..-..\ ..:..:.*192\.0\.2\.2/30$ ]]
  [[ ${lines[1]} =~ ^b\ +veth\ +down ]]
}

@test "an unknown type or name is refused, with a suggestion" {
  pair shop
  run --separate-stderr -1 on netnsctl up vet@shop
  [[ $stderr == *'neither /etc/conf.d/netns/vet.sh nor /usr/share/systemd-netns/vet.sh'*'`veth@shop`'* ]]
  run --separate-stderr -1 on netnsctl up shpo
  [[ $stderr == *'`shop`'* ]]
  run -2 on netnsctl up 'a b'
  run -2 on netnsctl upp a
  run -2 on netnsctl up --engine nosuch a
}
