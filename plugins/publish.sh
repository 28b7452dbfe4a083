# shellcheck shell=bash
# publish: ports of the host that lead to a service in the namespace.
#
# Contains: only definitions
# After: links
# Provides: host-rules
# Publishes: PUBLISH
#
# Settings (in publish-NAME.conf):
#   PUBLISH     array of ports, each [HOSTADDR:]PORT[:PORT][/PROTOCOL]: ("8080:80" "192.0.2.1:5353:53/udp" "[2001:db8::1]:443")
#   PUBLISH_BY  dnat: rules of the host; or proxy: a program of the host, only for tcp; default: dnat
#   PUBLISH_IDLE  with proxy: the namespace goes down after this time without a connection, such as 10min; default: it stays up
#   PUBLISH_WAKES  with proxy: array of units that the first connection starts with the namespace, such as attached services
#   PUBLISH_HOST_FIREWALL  yes: allow the packets in firewall chains of the host that drop forwarded packets; default: no, only a warning

# Everything is made by the inside hook, after the interfaces of the namespace. So a restart applies the present settings.
configure_publish_up_inside() {
  local ports problems
  problems=$(configure_publish_validate || true)
  [[ ! $problems ]] || refuse_settings "$problems"
  claim_ports ports PUBLISH || exit 1
  # A restart can be the first one with another PUBLISH_BY.
  if [[ ${PUBLISH_BY-} == proxy ]]; then
    proxy_ports PUBLISH PUBLISH_IDLE PUBLISH_WAKES
  else
    daemon_stop proxy
    publish_by_dnat "$ports"
  fi
}

# Prints a line for each invalid setting.
configure_publish_validate() {
  local port unit addresses=() problems='' proxy=()
  [[ ${PUBLISH-} ]] || echo 'PUBLISH: is not set'
  [[ ${PUBLISH_BY-} != proxy ]] || proxy=(--proxy PUBLISH_WAKES)
  valid_ports PUBLISH "${proxy[@]}"
  valid_setting PUBLISH_BY is_one_of dnat proxy || true
  valid_setting PUBLISH_HOST_FIREWALL is_one_of yes no || true
  valid_time_span PUBLISH_IDLE
  for unit in "${PUBLISH_WAKES[@]}"; do
    [[ $unit == [![:space:]@.-]*.@(service|socket|target) ]] ||
      echo "PUBLISH_WAKES: '$unit' is not a unit: expected NAME.service, NAME.socket or NAME.target"
  done
  [[ ${PUBLISH_BY-} == proxy || ! ${PUBLISH_IDLE-}${PUBLISH_WAKES-} ]] ||
    echo 'PUBLISH_BY: PUBLISH_IDLE and PUBLISH_WAKES need PUBLISH_BY=proxy'
  for port in "${PUBLISH[@]}"; do
    [[ $port != */udp || ${PUBLISH_BY-} != proxy ]] || echo "PUBLISH: '$port': a proxy is only for tcp; set PUBLISH_BY=dnat"
    [[ $port != '[::1]:'* || ${PUBLISH_BY-} == proxy ]] ||
      echo "PUBLISH: '$port': the kernel does not forward packets from ::1; use 127.0.0.1"
  done
  if [[ ${PUBLISH_BY-} != proxy ]] && can_check_network && publish_find_addresses 2>/dev/null; then
    printf %s "$problems"
  fi
}

# Prints a line for each address of the namespace to which the ports do not lead.
configure_publish_check_inside() {
  local family address rules
  rules=$(publish_table) # if it is missing, the library reports that
  for family in 4 6; do
    address=$(publish_address "$family")
    [[ ! $address || $rules != *" dnat ip${family/4/} to "* || $rules == *"ip${family/4/} daddr $address "* ]] ||
      echo "the published ports do not lead to '$address', the present address of the namespace"
  done
}

# Prints the rules of the instance on the host, if there are any.
publish_table() { host_run nft list table inet "netns_$NSTYPE-${NSNAME//://}" 2>/dev/null || true; }

# Usage: publish_by_dnat PORTS
# Lets the host change the destination of packets. PORTS are the lines of claim_ports.
publish_by_dnat() {
  local family ip address ifname found rules='' translated='' loopback='' segments='' passes='' chains inner=() locals=()
  local addresses=() problems=''
  assert_command nft nftables
  publish_find_addresses || exit 1
  [[ ! $problems ]] || refuse_settings "$problems"
  for family in 4 6; do
    ip=ip${family/4/} # as nft calls it
    address=${addresses[family]}
    [[ $address ]] || continue
    found=$(publish_rules "$family" "$address" <<<"$1")
    [[ $found ]] || continue
    ifname=$(publish_ifname "$address") || exit 1
    rules+=$found$'\n'
    passes+=$(publish_passes "$family" "$address" "$ifname" <<<"$1")$'\n'
    # The way to a client can have a smaller MTU than the namespace.
    segments+="ct status dnat $ip saddr $address tcp flags syn tcp option maxseg size set rt mtu"$'\n'
    segments+="ct status dnat $ip daddr $address tcp flags syn tcp option maxseg size set rt mtu"$'\n'
    [[ " ${inner[*]} " == *" $ifname "* ]] || inner+=("$ifname")
    # Without this, the answers to these senders would not come back to the host: the namespace itself, its neighbors on a
    # bridge, and programs of the host that use 127.0.0.1.
    translated+="ct status dnat iifname \"$ifname\" oifname \"$ifname\" $ip daddr $address masquerade"$'\n'
    if ((family == 4)); then
      translated+="ct status dnat oifname \"$ifname\" ip saddr 127.0.0.0/8 ip daddr $address masquerade"$'\n'
      locals+=("net/ipv4/conf/$ifname/route_localnet=1")
      # The sysctl also lets the namespace send packets to 127.0.0.1 of the host. It stays with an interface that is renamed, and so do
      # these rules.
      loopback+="iif \"$ifname\" ip saddr 127.0.0.0/8 drop"$'\n'"iif \"$ifname\" ip daddr 127.0.0.0/8 drop"$'\n'
    fi
  done
  host_forward chains --all "${inner[@]}" || exit 1
  host_table_load <<END || exit 1
$chains
chain ports {
$rules
}
chain prerouting {
type nat hook prerouting priority dstnat; policy accept;
fib daddr type local goto ports
}
chain output {
type nat hook output priority -100; policy accept;
ip6 daddr ::1 accept
fib daddr type local goto ports
}
chain postrouting {
type nat hook postrouting priority srcnat; policy accept;
$translated
}
chain published {
type filter hook forward priority filter - 13; policy accept;
$passes
}
chain segments {
type filter hook forward priority filter; policy accept;
$segments
}
chain loopback {
type filter hook prerouting priority raw; policy accept;
$loopback
}
END
  ((${#locals[@]} == 0)) || sysctl_set --host "${locals[@]}" || exit 1
  host_firewall PUBLISH_HOST_FIREWALL --dnat "${inner[@]}"
}

# Sets `addresses` to the address of the namespace of each family, and `problems` to a line for each port that needs a missing one.
publish_find_addresses() {
  local family port
  for family in 4 6; do addresses[family]=$(publish_address "$family") || return; done
  problems=''
  if [[ ! ${addresses[4]}${addresses[6]} ]]; then
    problems="PUBLISH: namespace '$NSNAME' has no address; fix: bring up a type with an address, such as veth@$NSNAME"$'\n'
    return
  fi
  for port in "${PUBLISH[@]}"; do
    case $port in
      '['*) family=6 ;;
      *.*:*) family=4 ;;
      *) continue ;;
    esac
    [[ ${addresses[family]} ]] ||
      problems+="PUBLISH: '$port': namespace '$NSNAME' has no IPv$family address; fix: give it one, such as in VETH_IFADDR_INSIDE of veth@$NSNAME"$'\n'
  done
}

# Usage: publish_address 4|6
# Prints the first address of the namespace, if it has one. The host reaches a veth pair, but no macvlan on its own interface.
publish_address() {
  local type addresses address=''
  for type in 'type veth' ''; do
    # shellcheck disable=SC2086 # two words or none
    addresses=$(inside_run ip "-$1" -oneline address show up scope global $type) || return
    read -r _ _ _ address _ <<<"$addresses" || true
    [[ ! $address ]] || break
  done
  echo "${address%/*}"
}

# Usage: publish_ifname ADDRESS
# Prints the interface of the host that leads to an address of the namespace.
publish_ifname() {
  local route
  if route=$(host_run ip -oneline route get "$1" 2>&1) && [[ $route == "$1 "*dev\ * && $route != *' via '* ]]; then
    route=${route#* dev }
    echo "${route%% *}"
  else
    echo "cannot publish ports: the host is not connected to '$1', the address of namespace '$NSNAME': \`ip route get $1\`: $route;" \
      "fix: bring up an interface to the host, such as veth@$NSNAME, or set PUBLISH_BY=proxy" >&2
    return 1
  fi
}

# Usage: publish_has_family 4|6 HOST
# Whether a host address of claim_ports can have this family; `*` has both.
publish_has_family() { [[ $1:$2 != @(4:*:*|6:*.*) ]]; }

# Usage: publish_passes 4|6 ADDRESS IFNAME
# Prints rules that let the host forward the packets of each line of stdin that is about this family, and the answers. A connection to a
# port that is not published any more matches none.
publish_passes() {
  local ip=ip${1/4/} address=$2 ifname=$3 protocol host ports
  local -i first last inside
  while read -r protocol host first last inside; do
    publish_has_family "$1" "$host" || continue
    ports=$inside
    ((first == last)) || ports+=-$((inside + last - first))
    echo "ct status dnat ct direction original oifname \"$ifname\" $ip daddr $address $protocol dport $ports jump pass"
    echo "ct status dnat ct direction reply iifname \"$ifname\" $ip saddr $address $protocol sport $ports jump pass"
  done
  # Errors of ICMP about these connections.
  echo "ct status dnat ct state related oifname \"$ifname\" jump pass"
  echo "ct status dnat ct state related iifname \"$ifname\" jump pass"
}

# Usage: publish_rules 4|6 ADDRESS
# Prints a rule for each line of stdin that is about this family.
publish_rules() {
  local family=$1 address=$2 ip=ip${1/4/} protocol host match to
  local -i first last inside port
  while read -r protocol host first last inside; do
    publish_has_family "$family" "$host" || continue
    match="meta nfproto ipv$family"
    [[ $host == @(\*|0.0.0.0|::) ]] || match="$ip daddr $host"
    match+=" $protocol dport $first"
    ((first == last)) || match+="-$last"
    # Without a port, the port stays the same.
    to=$address
    if ((first == last && first != inside)); then
      ((family == 4)) || to=[$address]
      to+=:$inside
    elif ((first != inside)); then
      ((family == 4)) || to=[$address]
      to+=" : $protocol dport map { "
      for ((port = first; port <= last; port++)); do to+="$port : $((port - first + inside)), "; done
      to+='}'
    fi
    echo "$match dnat $ip to $to"
  done
}
