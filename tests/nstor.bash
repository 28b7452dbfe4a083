# shellcheck shell=bash
# The example of docs/joining-namespaces.md that needs an order: nsbrowser and nstor are joined by veth, nstor is on the
# network by macvlan, and the rules of both name the interfaces. The files are read from that page. The test that sources
# this file defines `on COMMAND...`, which runs a command on the machine.

# Usage: nstor_files DIRECTORY
# Writes the .conf and .rules files of the example.
nstor_files() {
  local line file='' block=''
  while IFS= read -r line; do
    case $line in
      '`/etc/conf.d/netns/'*-nstor.*'`:' | '`/etc/conf.d/netns/'*-nsbrowser.*'`:') file=${line#'`/etc/conf.d/netns/'} file=$1/${file%'`:'} ;;
      '```'*) if [[ $file && -z $block ]]; then block=y && : >"$file"; else file='' block=''; fi ;;
      *) [[ -z $block ]] || echo "$line" >>"$file" ;;
    esac
  done <"${BASH_SOURCE[0]%/*}/../docs/joining-namespaces.md"
}

# Usage: nstor_network
# Creates the interface of the host, and a machine behind it.
nstor_network() {
  on ip netns add internet
  on ip link add eth0 type veth peer name eth0 netns internet
  on ip link set eth0 up
  on ip -netns internet address add 192.0.2.9/24 dev eth0
  on ip -netns internet link set eth0 up
}

# Usage: nstor_ping NAME ADDRESS
nstor_ping() { on ip netns exec "$1" ping -c1 -W1 -q "$2" >/dev/null 2>&1; }

# Usage: nstor_works
# Succeeds if all allowed packets pass, and no others.
nstor_works() {
  local try
  # The kernel needs up to a second to use an address and to see that a link is up.
  for ((try = 0; try < 5; try++)); do
    ! nstor_ping nsbrowser 198.51.100.2 || ! nstor_ping nstor 192.0.2.9 || break
  done
  nstor_ping nsbrowser 198.51.100.2 || return
  nstor_ping nstor 192.0.2.9 || return
  ! nstor_ping nstor 198.51.100.1 || return
  ! nstor_ping internet 192.0.2.7 || return
  ! nstor_ping nsbrowser 192.0.2.9 || return
  ! nstor_ping nsbrowser 192.0.2.7
}

# Usage: nstor_rules_first DIRECTORY
# The other order of the page: the interfaces require the rules, and the rules name interfaces that do not exist yet.
nstor_rules_first() {
  : >"$1/nft-nstor.conf"
  : >"$1/nft-nsbrowser.conf"
  echo 'NETNS_REQUIRES=nft@nstor' >>"$1/macvlan-nstor.conf"
  echo 'NETNS_REQUIRES="nft@nstor nft@nsbrowser"' >>"$1/veth-nstor.conf"
  sed -i 's/\<\([io]if\)\>/\1name/' "$1/nft-nstor.rules" "$1/nft-nsbrowser.rules"
}
