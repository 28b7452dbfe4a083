#!/usr/bin/env bats
# Two namespaces joined by veth, one with a macvlan, both with firewalls that name the interfaces: only .conf and .rules files.

load engine
# shellcheck source=tests/nstor.bash
source "$ROOT/tests/nstor.bash"

INSTANCES=(macvlan@nstor veth@nstor nft@nstor nft@nsbrowser)

# Usage: unchanged
# Succeeds if check has no finding.
unchanged() {
  run -0 on netnsctl check
  [[ -z $output ]]
}

@test "nsbrowser and nstor work from a cold start, after a restart of each part, and after down and up of each part" {
  nstor_files "$CONF"
  update
  nstor_network
  on netnsctl up nsbrowser nstor
  nstor_works
  unchanged
  for instance in "${INSTANCES[@]}"; do
    on netnsctl restart "$instance"
    nstor_works
    unchanged
  done
  for instance in "${INSTANCES[@]}"; do
    on netnsctl down --recursive "$instance"
    on netnsctl up nsbrowser nstor
    nstor_works
  done
  on netnsctl down nsbrowser nstor
  on ip netns delete internet
  eventually nothing_left
}

@test "one firewall alone brings up all its requirements" {
  nstor_files "$CONF"
  update
  nstor_network
  on netnsctl up nft@nstor
  [[ $(state macvlan@nstor) == up && $(state veth@nstor) == up ]]
  nstor_ping nsbrowser 198.51.100.2
  run --separate-stderr -1 on netnsctl down macvlan@nstor
  # shellcheck disable=SC2154 # set by run
  [[ $stderr == *'cannot take down `macvlan@nstor`: `nft@nstor` is up and requires it'* ]]
}

@test "an interface that fails before the rules are loaded leaves the namespace closed, and the message reports it" {
  nstor_files "$CONF"
  nstor_network
  config veth-nstor.conf <<<$'VETH_NSNAME_OUTSIDE=nsbrowser\nVETH_IFADDR_INSIDE=nonsense'
  update
  run --separate-stderr -1 on netnsctl up nstor
  [[ $stderr == *'`nft@nstor` is not up: namespace `nstor` stays closed: only loopback traffic passes' ]]
  on netnsctl down nstor
  config nft-nstor.rules <<<'nonsense'
  config nft-nstor.conf <<<''
  update
  run --separate-stderr -1 on netnsctl up macvlan@nstor nft@nstor
  [[ $stderr == *'namespace `nstor` stays closed: only loopback traffic passes' ]]
  on netnsctl down nstor
  on ip netns delete internet
}

@test "interfaces that require the rules are never up without them" {
  nstor_files "$CONF"
  nstor_rules_first "$CONF"
  update
  nstor_network
  on netnsctl up nsbrowser nstor
  nstor_works
  for instance in "${INSTANCES[@]}"; do
    on netnsctl restart "$instance"
    nstor_works
  done
  run --separate-stderr -1 on netnsctl down nft@nstor
  on netnsctl down nsbrowser nstor
  config nft-nstor.rules <<<'nonsense'
  run --separate-stderr -1 on netnsctl up nsbrowser nstor
  [[ $(state macvlan@nstor) != up && $(state veth@nstor) != up && $stderr == *'it requires `nft@nstor`'* ]]
  on netnsctl down nsbrowser nstor
  on ip netns delete internet
  eventually nothing_left
}
