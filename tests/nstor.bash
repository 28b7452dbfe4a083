# shellcheck shell=bash
# The arrangement of the README that needs an order: nsbrowser and nstor, joined by veth, nstor on the network by macvlan,
# with rules in both that name the interfaces. Its files are taken from there. The test that sources this defines `on
# COMMAND...`, which runs a command on the machine.

# Usage: nstor_files DIRECTORY
# Writes its .conf and .rules files.
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
# The host's interface, and a machine behind it.
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
# What is meant to pass passes, and nothing else does.
nstor_works() {
  local try
  # The kernel takes up to a second until an address is used and a link is found to be up.
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
# The other order of the README: the interfaces require the rules, which name interfaces that are not there yet.
nstor_rules_first() {
  : >"$1/nft-nstor.conf"
  : >"$1/nft-nsbrowser.conf"
  echo 'NETNS_REQUIRES=nft@nstor' >>"$1/macvlan-nstor.conf"
  echo 'NETNS_REQUIRES="nft@nstor nft@nsbrowser"' >>"$1/veth-nstor.conf"
  sed -i 's/\<\([io]if\)\>/\1name/' "$1/nft-nstor.rules" "$1/nft-nsbrowser.rules"
}
