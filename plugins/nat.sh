# shellcheck shell=bash
# nat: the namespace reaches what the host reaches, with the addresses of the host (masquerading).
#
# Contains: only definitions
# After: links
# Provides: host-rules
#
# Settings (in nat-NAME.conf; those for all namespaces in nat.conf; none is required). Lists are separated by blanks, or arrays:
#   NAT_SOURCES     prefixes of the addresses to translate: "192.0.2.0/30 2001:db8::/64"; default: the networks of the namespace
#   NAT_IFNAME_OUT  interfaces of the host by which packets may leave; default: any, except those to other namespaces
#   NAT_TO          prefixes to which packets may go; default: everywhere
#   NAT_EXCEPT      prefixes to which packets never go: "10.0.0.0/8 192.168.0.0/16"
#   NAT_HOST_FIREWALL  yes: allow the packets in firewall chains of the host that drop forwarded packets; default: no, only a warning

# shellcheck disable=SC2034 # read by netnsinit
NO_CONFIG_REQUIRED=yes

# Everything is on the host. It is set by the inside hook, so that a restart applies the present settings and addresses.
configure_nat_up_inside() {
  local chains links=() problems='' sources=()
  configure_nat_validate >/dev/null || refuse_settings "$(configure_nat_validate || true)"
  assert_command ip iproute2
  assert_command nft nftables
  nat_split
  nat_find_links || exit 1
  [[ ! $problems ]] || refuse_settings "$problems"
  host_forward chains "${NAT_IFNAME_OUT[@]:---uplinks}" "${links[@]}"
  host_table_load <<<"$chains"$'\n'"$(nat_rules)"
  host_firewall NAT_HOST_FIREWALL "${links[@]}"
}

# Prints a line for each invalid setting. An interface of NAT_IFNAME_OUT may appear later.
configure_nat_validate() {
  local ifname links=() problems='' sources=() status=0
  nat_split
  valid_setting NAT_SOURCES is_prefix || status=1
  valid_setting NAT_TO is_prefix || status=1
  valid_setting NAT_EXCEPT is_prefix || status=1
  valid_setting NAT_HOST_FIREWALL is_one_of yes no || status=1
  for ifname in "${NAT_IFNAME_OUT[@]}"; do
    if [[ $ifname == *[/:%\"\\*]* || ${#ifname} -gt 15 ]]; then
      echo "NAT_IFNAME_OUT: '$ifname' is not the name of an interface: expected at most 15 characters, without / : % \" \\ *"
      status=1
    elif [[ $ifname == lo ]]; then
      echo "NAT_IFNAME_OUT: '$ifname' is the loopback interface, by which no packet leaves the host; fix: name another interface"
      status=1
    fi
  done
  if ((status == 0)) && can_check_network && nat_find_links 2>/dev/null && [[ $problems ]]; then
    echo "$problems"
    status=1
  fi
  return "$status"
}

# Makes the settings arrays of words.
nat_split() {
  local name
  local -a words
  for name in NAT_SOURCES NAT_IFNAME_OUT NAT_TO NAT_EXCEPT; do
    local -n setting=$name
    read -r -d '' -a words <<<"${setting[*]-}" || true # `read` fails at the end of the text
    setting=("${words[@]}")
    unset -n setting
  done
}

# Sets `links` to the interfaces of the host that have the address of a gateway of the namespace, and over which the host reaches the
# namespace. Sets `sources` to NAT_SOURCES, or to the addresses in the namespace with such a way. Sets `problems` to a line for a
# setting that does not match them.
nat_find_links() {
  local version routes addresses address gateways gateway ifname link prefix families='' targets='' at=()
  [[ $INOUT == inside ]] || at=(inside_run)
  for version in 4 6; do
    routes=$("${at[@]}" ip "-$version" route show) || return
    gateways=$(nat_after via <<<"$routes")
    addresses=$("${at[@]}" ip "-$version" -oneline address show scope global) || return
    while read -r _ _ _ address _; do
      link=$(nat_link "$address")
      for gateway in $gateways; do
        [[ $link && $(host_run ip -oneline address show dev "$link" to "$gateway") ]] || continue
        [[ " ${links[*]} " == *" $link "* ]] || links+=("$link")
        sources+=("$address")
        families+=" $(nat_family "$address") "
        break
      done
    done <<<"$addresses"
  done
  if ((${#links[@]} == 0)); then
    echo "namespace '$NSNAME' has no way to the host: no route in it has an address of the host as its gateway;" \
      "fix: bring up an interface to the host first, such as veth@$NSNAME with VETH_GATEWAY=outside" >&2
    return 1
  fi
  for ifname in "${NAT_IFNAME_OUT[@]}"; do
    if [[ " ${links[*]} " == *" $ifname "* ]]; then
      problems="NAT_IFNAME_OUT: '$ifname' leads to the namespace itself; fix: name an interface by which packets leave the host"
      return
    fi
  done
  for prefix in "${NAT_SOURCES[@]}"; do
    if [[ $families != *" $(nat_family "$prefix") "* ]]; then
      problems="NAT_SOURCES: '$prefix': no gateway of namespace '$NSNAME' with an address of this family is on the host; fix: add a gateway, such as VETH_GATEWAY of veth@$NSNAME, or remove the prefix"
      return
    fi
    link=$(nat_link "$prefix")
    if [[ " ${links[*]} " != *" $link "* ]]; then
      problems="NAT_SOURCES: '$prefix': the host does not reach it over ${links[*]}; fix: add a route, such as VETH_ROUTES_OUTSIDE of veth@$NSNAME, or correct the prefix"
      return
    fi
  done
  ((${#NAT_SOURCES[@]} == 0)) || sources=("${NAT_SOURCES[@]}")
  families=''
  for prefix in "${sources[@]}"; do families+=" $(nat_family "$prefix") "; done
  for prefix in "${NAT_TO[@]}"; do targets+=" $(nat_family "$prefix") "; done
  if [[ $targets && $families != *" ip "* && $targets != *" ip6 "* || $targets && $families != *" ip6 "* && $targets != *" ip "* ]]; then
    problems="NAT_TO: '${NAT_TO[*]}': expected a prefix of the family of the sources, '${sources[*]}'"
  fi
}

# Prints the chains of the instance.
nat_rules() {
  local in prefix match reject='counter reject with icmpx admin-prohibited' translated='' from='' destination=''
  in=$(nat_set "${links[@]}")
  for prefix in "${sources[@]}"; do
    match="$(nat_family "$prefix") saddr $prefix"
    translated+="iifname $in oifname != $in $match masquerade"$'\n'
    from+="$match goto destination"$'\n'
  done
  # Other namespaces are closed, unless the administrator names their interface. This is the group of all of them.
  ((${#NAT_IFNAME_OUT[@]})) || destination+="meta oifgroup 28275 $reject"$'\n'
  for prefix in "${NAT_EXCEPT[@]}"; do destination+="$(nat_family "$prefix") daddr $prefix $reject"$'\n'; done
  ((${#NAT_IFNAME_OUT[@]} == 0)) || destination+="oifname != $(nat_set "${NAT_IFNAME_OUT[@]}") $reject"$'\n'
  for prefix in "${NAT_TO[@]}"; do destination+="$(nat_family "$prefix") daddr $prefix goto pass"$'\n'; done
  if ((${#NAT_TO[@]})); then destination+=$reject; else destination+='goto pass'; fi
  cat <<END
chain destination {
$destination
}
chain from {
# Published ports: their instances decide.
ct status dnat return
ct state established,related goto pass
$from
}
chain forward {
type filter hook forward priority filter - 13; policy accept;
# The way to a destination can have a smaller MTU than the namespace.
iifname $in tcp flags syn tcp option maxseg size set rt mtu
oifname $in tcp flags syn tcp option maxseg size set rt mtu
iifname $in jump from
oifname $in ct direction reply ct state established,related jump pass
}
chain postrouting {
type nat hook postrouting priority srcnat; policy accept;
$translated
}
END
}

# Usage: nat_family ADDRESS
# Prints the word of nft for the family of an address or prefix.
nat_family() { if [[ $1 == *:* ]]; then echo ip6; else echo ip; fi; }

# Usage: nat_set WORD...
# Prints a set of nft with these strings.
nat_set() {
  local words
  printf -v words ', "%s"' "$@"
  echo "{ ${words:2} }"
}

# Usage: nat_link PREFIX
# Prints the interface over which the host reaches a prefix.
nat_link() {
  local route
  # Without a route, ip fails.
  route=$(host_run ip -oneline route get "${1%/*}" 2>/dev/null) || return 0
  nat_after dev <<<"$route"
}

# Usage: nat_after WORD
# Prints the word after WORD in each route in stdin that has WORD, except routes to link-local addresses, which each interface has.
nat_after() {
  local word=$1 route
  while read -r route; do
    [[ " $route" == *" $word "* && $route != fe80:* ]] || continue
    route=${route#*"$word" }
    echo "${route%% *}"
  done
}
