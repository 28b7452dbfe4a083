#!/usr/bin/env bats
# What both engines do alike.

load engine

@test "up and down: the network works, and nothing is left" {
  pair a
  run -0 on netnsctl up veth@a
  [[ $output == 'veth@a is up' ]]
  on ping -q -c1 -w5 192.0.2.2
  [[ $(state veth@a) == up ]]
  run -0 on netnsctl down veth@a
  [[ $output == 'veth@a is down' ]]
  nothing_left
}

@test "the hooks run in their order, each on its side" {
  # shellcheck disable=SC2016 # for the hook to expand
  plugin probe 'configure_probe_up_outside() { [[ -e /run/netns/$1 ]] && [[ ! /proc/self/ns/net -ef /run/netns/$1 ]] && echo out >>'"$LOG"'; }
configure_probe_up_inside() { [[ /proc/self/ns/net -ef /run/netns/$1 ]] && echo in >>'"$LOG"'; }'
  on netnsctl up probe@a
  [[ $(hooks) == 'out,in' ]]
  on netnsctl down probe@a
  [[ $(hooks) == 'probe@a down inside,probe@a down outside' ]]
}

@test "up of what is up, and down of what is down, change nothing" {
  plugin probe
  on netnsctl up probe@a
  hooks
  run -0 on netnsctl up probe@a
  [[ $output == 'probe@a was up already' ]]
  on netnsctl down probe@a
  hooks
  run -0 on netnsctl down probe@a
  [[ $output == 'probe@a was down already' ]]
  [[ -z $(hooks) ]]
}

@test "a restart runs the inside hooks alone; of what is down, it is an up" {
  plugin probe
  on netnsctl restart probe@a
  [[ $(hooks) == 'probe@a up outside,probe@a up inside' ]]
  on netnsctl restart probe@a
  [[ $(hooks) == 'probe@a down inside,probe@a up inside' ]]
}

@test "types share a namespace, which goes with the last one" {
  plugin one
  plugin two
  on netnsctl up one@a two@a
  on netnsctl down one@a
  exists a
  [[ $(state two@a) == up ]]
  on netnsctl down two@a
  nothing_left
}

@test "a bare name is every type that has a file for it, or is up" {
  plugin one
  plugin two
  plugin three
  config one-a.conf <<<''
  config two-a.conf <<<''
  run -0 on netnsctl up a
  [[ $output == $'one@a is up\ntwo@a is up' ]]
  on netnsctl up three@a
  run -0 on netnsctl down a
  [[ ${#lines[@]} == 3 ]]
  nothing_left
}

@test "names with hyphens" {
  plugin probe
  config probe-my-net.conf <<<''
  on netnsctl up my-net
  [[ $(hooks) == 'probe@my-net up outside,probe@my-net up inside' ]]
  on netnsctl down my-net
  nothing_left
}

@test "up outside fails: it is told with its last lines, no down hook runs, and the namespace goes" {
  plugin probe 'configure_probe_up_outside() { echo "what it said"; false; }'
  run --separate-stderr -1 on netnsctl up probe@a
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'`probe@a`'*'what it said'*'probe@a: up outside'*'failed with status 1 at /etc/conf.d/netns/probe.sh:'* ]]
  [[ -z $(hooks) ]]
  gone a
}

@test "what has failed is listed so, with its last lines in status, until it is taken down" {
  plugin probe 'configure_probe_up_inside() { echo "what it said"; false; }'
  run -1 on netnsctl up probe@a
  [[ $(state probe@a) == failed ]]
  run -1 on netnsctl status a
  [[ $output == *'probe failed since'*'what it said'* ]]
  on netnsctl down probe@a
  [[ -z $(state probe@a) ]]
  nothing_left
}

@test "up inside fails: down outside is run, and the namespace goes" {
  plugin probe 'configure_probe_up_inside() { false; }'
  run --separate-stderr -1 on netnsctl up probe@a
  [[ $stderr == *'probe@a: up inside'*'rollback: '*'namespace `a` is removed' ]]
  eventually gone a
  [[ $(hooks) == 'probe@a up outside,probe@a down outside' ]]
}

@test "a type that fails leaves the others on its namespace alone" {
  plugin good
  plugin bad 'configure_bad_up_inside() { false; }'
  on netnsctl up good@a
  run -1 on netnsctl up bad@a
  exists a
  [[ $(state good@a) == up ]]
}

@test "a failing restart takes the instance down" {
  plugin probe
  on netnsctl up probe@a
  plugin probe 'configure_probe_up_inside() { false; }'
  run -1 on netnsctl restart probe@a
  eventually gone a
}

@test "down inside fails: the rest goes on, and it is told" {
  plugin probe 'configure_probe_down_inside() { false; }'
  on netnsctl up probe@a
  hooks
  run --separate-stderr -1 on netnsctl down probe@a
  [[ $stderr == *'`probe@a` is down, but'*'probe@a: down inside'* ]]
  [[ $(hooks) == 'probe@a down outside' ]]
  gone a
}

@test "a namespace that somebody else has made is refused, and left alone" {
  plugin probe
  on ip netns add a
  run --separate-stderr -1 on netnsctl up probe@a
  [[ $stderr == *'ip netns delete a'* && $stderr != *'is removed'* ]]
  exists a
  [[ -z $(hooks) ]]
}

@test "a namespace that was deleted by hand: down, then up, work" {
  pair a
  on netnsctl up veth@a
  on ip netns delete a
  run on netnsctl down veth@a
  on netnsctl up veth@a
  on ping -q -c1 -w5 192.0.2.2
  on netnsctl down veth@a
  nothing_left
}

@test "what was edited while it was up goes as it came" {
  pair a
  on netnsctl up veth@a
  config veth-a.conf <<<'VETH_IFNAME=other-'
  on netnsctl down veth@a
  nothing_left
}

@test "several at once, each told" {
  plugin probe 'configure_probe_up_inside() { [[ $1 != bad ]]; }'
  run --separate-stderr -1 on netnsctl up probe@a probe@bad probe@c
  [[ $output == $'probe@a is up\nprobe@c is up' && $stderr == *'`probe@bad`'* ]]
  eventually gone bad
  on netnsctl down probe@a probe@bad probe@c
  nothing_left
}

@test "what takes longer than a second says so meanwhile, and what does not says nothing" {
  plugin probe 'configure_probe_up_inside() { sleep 1.5; }'
  run --separate-stderr -0 on netnsctl up probe@a
  [[ $stderr == 'still bringing up probe@a...' ]]
  run --separate-stderr -0 on netnsctl up probe@a
  [[ -z $stderr ]]
}

@test "list tells state, engine, time and addresses" {
  pair a
  pair b
  on netnsctl up veth@a
  run -0 on netnsctl list --no-legend
  [[ ${lines[0]} =~ ^'a '.*' veth '.*' up '.*" $ENGINE "*20..-..-..\ ..:..:.*192\.0\.2\.2/30$ ]]
  [[ ${lines[1]} =~ ^b\ +veth\ +down ]]
}

@test "an unknown type or name is refused, with the nearest there is" {
  pair shop
  run --separate-stderr -1 on netnsctl up vet@shop
  [[ $stderr == *'neither /etc/conf.d/netns/vet.sh nor /usr/share/systemd-netns/vet.sh'*'`veth@shop`'* ]]
  run --separate-stderr -1 on netnsctl up shpo
  [[ $stderr == *'`shop`'* ]]
  run -2 on netnsctl up 'a b'
  run -2 on netnsctl upp a
  run -2 on netnsctl up --engine nosuch a
}
