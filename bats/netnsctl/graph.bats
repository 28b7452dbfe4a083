#!/usr/bin/env bats
# netnsctl graph draws the real state, in each format.

load ../engine/engine

# Usage: arrangement
# Two joined namespaces, one of them also on the network of the host's eth0, with firewalls on both.
arrangement() {
  ip link add eth0 type veth peer name wire
  ip address add 192.0.2.2/24 dev eth0
  ip link set dev eth0 up
  echo 'MACVLAN_IFADDR=192.0.2.7/24' >"$CONF/macvlan-nstor.conf"
  config veth-nsbrowser.conf <<'END'
VETH_NSNAME_OUTSIDE=nstor
VETH_IFADDR_OUTSIDE=198.51.100.2/30
VETH_IFADDR_INSIDE=198.51.100.1/30
END
  echo 'NETNS_REQUIRES="macvlan@nstor veth@nsbrowser"' >"$CONF/nft-nstor.conf"
  netnsctl up macvlan@nstor
  netnsctl up veth@nsbrowser nft@nsbrowser
  netnsctl up nft@nstor
}

# Usage: parses XML
parses() { python3 -c 'import sys, xml.dom.minidom as dom; dom.parse(sys.stdin)' <<<"$1"; }

@test "namespaces are drawn with their instances, interfaces, addresses and links" {
  arrangement
  rm "$CONF/veth-nstest.conf"
  run -0 netnsctl graph
  diff --label expected --label shown --unified - <(echo "$output") <<'END'
the host
  = eth0 up 192.0.2.2/24
nsbrowser
  ● nft up
  ● veth up
  = ve-nsbrowser1 up 198.51.100.1/30
nstor
  ● macvlan up
  ● nft up
  = macvlan0 up 192.0.2.7/24
  = ve-nsbrowser0 up 198.51.100.2/30
links
  macvlan0 in nstor --macvlan-- eth0 on the host
  ve-nsbrowser1 in nsbrowser --veth-- ve-nsbrowser0 in nstor
requires
  nft@nstor -> macvlan@nstor
  nft@nstor -> veth@nsbrowser
  veth@nsbrowser -> nstor
END
}

@test "up, failed and down look different in every format" {
  config bad.sh <<<$'NO_CONFIG_REQUIRED=yes\nconfigure_bad_down_inside() { false; }'
  config bad-n.conf <<<''
  config lo-n.conf <<<''
  netnsctl up lo@n bad@n
  run ! netnsctl down bad@n
  [[ $(netnsctl graph n) == *'✗ bad failed'*'● lo up'* && $(netnsctl graph nstest) == *'nstest (does not exist)'*'○ veth down'* ]]
  for format in dot mermaid svg; do
    run -0 netnsctl graph --format "$format"
    for word in up failed down; do [[ $output == *"$word"* ]]; done
    [[ $output == *'does not exist'* ]]
  done
}

@test "the ends of links are right, also with repeated interface indexes" {
  for name in a b c d; do ip netns add "$name"; done
  ip link add ab netns a type veth peer name ba netns b
  ip link add cd netns c type veth peer name dc netns d
  run -0 netnsctl graph a
  [[ $output == *'ab in a --veth-- ba in b'* && $output != *' in c'* ]]
  run -0 netnsctl graph d
  [[ $output == *'cd in c --veth-- dc in d'* && $output != *' in a'* ]]
}

@test "ports of a bridge, and interfaces on top of others, are joined to them" {
  ip netns add a
  ip -netns a link add br0 type bridge
  ip -netns a link add one type veth peer name two
  ip -netns a link set dev one master br0
  ip -netns a link add link two name mv type macvlan
  run -0 netnsctl graph a
  [[ $output == *'one in a --port-- br0 in a'* && $output == *'mv in a --macvlan-- two in a'* ]]
}

@test "a named namespace is drawn only with its neighbours" {
  arrangement
  netnsctl up lo@other
  run -0 netnsctl graph nsbrowser
  [[ $output == *nstor* && $output != *other* && $output != *eth0* ]]
  run --separate-stderr -1 netnsctl graph nosuch
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'namespace `nosuch` does not exist'* ]]
}

@test "the picture is valid XML, reproducible, and shows each address" {
  arrangement
  run -0 netnsctl graph --format svg
  parses "$output"
  [[ $output == "$(netnsctl graph --format svg)" ]]
  for word in 192.0.2.2/24 192.0.2.7/24 198.51.100.1/30 198.51.100.2/30; do
    [[ $output == *"$word"* ]]
  done
}

@test "the picture of 20 namespaces, and of an interface with a hostile name, is valid XML" {
  for ((number = 0; number < 20; number++)); do
    ip netns add "n$number"
    ip link add "out$number" type veth peer name in netns "n$number"
  done
  local name names=('<x>"&' '-->]]' '&#1;' '&nosuch;' '&lt;' $'\\' $'a\\' '\N\l"];' $'\uffff' $'\ufffe' $'\x9b31m' $'\u202e' '];}' '<b>')
  for ((number = 0; number < ${#names[@]}; number += 2)); do
    ip -netns n0 link add "${names[number]}" type veth peer name "${names[number + 1]}"
  done
  run -0 netnsctl graph --format svg
  parses "$output"
  # In XML, each name is unchanged, or escaped as on a terminal.
  shown=$(python3 -c 'import sys, xml.etree.ElementTree as tree
for text in tree.parse(sys.stdin).iter("{http://www.w3.org/2000/svg}text"): print(text.text)' <<<"$output")
  for name in "${names[@]:0:8}" '\uffff' '\ufffe' '\x9b31m' '\u202e' '];}' '<b>'; do
    grep --line-regexp --fixed-strings -e "$name down" <<<"$shown"
  done
}

@test "without Graphviz, or if it fails, the error has the cause and the next step" {
  local tool
  mkdir "$BATS_TEST_TMPDIR/bin"
  for tool in netnsctl bash; do ln -s "$(type -P "$tool")" "$BATS_TEST_TMPDIR/bin"; done
  run --separate-stderr -1 env PATH="$BATS_TEST_TMPDIR/bin" netnsctl graph --format svg
  # shellcheck disable=SC2154 # set by run
  [[ -z $output && $stderr == *'`dot` is not installed'*'`apt install graphviz`'*'`netnsctl graph --format dot`'* ]]
  PATH=$BATS_TEST_TMPDIR/bin run -0 netnsctl graph --format dot
  [[ $output == 'digraph netns {'* ]]
  printf '%s\n' '#!/bin/bash' $'printf \'no \e[35mfonts\' >&2; exit 3' >"$BATS_TEST_TMPDIR/bin/dot"
  chmod +x "$BATS_TEST_TMPDIR/bin/dot"
  run --separate-stderr -1 env PATH="$BATS_TEST_TMPDIR/bin" netnsctl graph --format svg
  [[ -z $output && $stderr == *'`dot -Tsvg` failed'*'3'*'no \x1b[35mfonts'* ]]
}

@test "without the privilege to enter namespaces, the rest is drawn, and the missing capability is reported" {
  config lo-n.conf <<<''
  netnsctl up lo@n
  run --separate-stderr -0 setpriv --reuid nobody --regid nogroup --clear-groups netnsctl graph
  [[ $output == *'● lo up'* ]]
  [[ $stderr == *'the interfaces of n are not shown'* ]]
}

@test "an attached service is drawn in its namespace, with its instances" {
  arrangement
  mkdir -p /etc/systemd/system/browser.service.d
  printf '%s\n' '# Written by `netnsctl attach`' '[Unit]' 'After=netns-veth@nsbrowser.service netns-lo@nsbrowser.service' \
    >/etc/systemd/system/browser.service.d/50-netns.conf
  shown=$(netnsctl graph nsbrowser)
  mermaid=$(netnsctl graph --format mermaid)
  svg=$(netnsctl graph --format svg)
  rm -r /etc/systemd/system/browser.service.d
  # An inactive instance of the attached service is drawn too.
  [[ $shown == *'○ lo down'*'> browser.service'*'browser.service -> veth@nsbrowser lo@nsbrowser'* ]]
  [[ $mermaid == *'-.->|attached|'* && $svg == *'>browser.service<'*'is attached to'* ]]
}

@test "the host is drawn once, with its name, if its namespace has one" {
  arrangement
  ip netns attach machine $$
  for format in text dot mermaid svg; do
    run --separate-stderr -0 netnsctl graph --format "$format"
    [[ -z $stderr && $output != *machine* ]]
  done
  [[ $(netnsctl graph | grep --count '= eth0 up') == 1 && $(netnsctl graph | grep --count -- '--macvlan-- eth0 on the host') == 1 ]]
  run -0 netnsctl graph machine
  [[ $output == *'= eth0 up'* && $output == *nstor* ]]
  ip netns delete machine
}

@test "a namespace with an impossible name is reported on stderr" {
  for name in 'a|b' "a'b" 'a"b' 'a b'; do
    ip netns add "$name"
    run --separate-stderr -0 netnsctl graph
    [[ $stderr == *'is not shown: '*'invalid NSNAME'* && $stderr == *"${name//\"/\\\"}"* ]]
    [[ $(netnsctl graph --json 2>/dev/null | jq --raw-output '.items[0].missing[]') == *"${name//\"/\\\"}"* ]]
    ip netns delete "$name"
  done
}

@test "the JSON output matches its schema" {
  arrangement
  netnsctl graph --json >"$BATS_TEST_TMPDIR/document.json"
  PYTHONPATH='' /usr/bin/jsonschema --instance "$BATS_TEST_TMPDIR/document.json" "$ROOT/docs/json/graph.json"
  [[ $(jq '.items[0].links | length' "$BATS_TEST_TMPDIR/document.json") == 2 ]]
}
