# shellcheck shell=bash disable=SC2154 # the wrapper sets __netns_*
# Leases of a DHCP server. The client runs as a daemon. It calls a program with the functions below, which applies the lease: so it
# cannot change the host.

# Usage: lease_start PREFIX
#   configure_vpn_up_outside() { lease_start VPN; }
# Starts a DHCP client for the interface PREFIX_IFNAME of the namespace: PREFIX_CLIENT (dhcpcd, udhcpc or dhclient), or the installed
# one. With PREFIX_IPV6=yes, dhcpcd also asks for IPv6. Without PREFIX_IFNAME, sets it to the only interface that is up. Call it in both
# hooks of `up`: the client of the outside hook keeps its lease during a restart, and the inside hook applies changed settings.
lease_start() {
  local __netns_lease __netns_client __netns_index __netns_now __netns_name=$1_IFNAME __netns_setting=$1_CLIENT __netns_six=$1_IPV6
  local __netns_wanted=${!__netns_setting-}
  __netns_six=${!__netns_six:-no}
  if [[ $__netns_six == yes && ! $__netns_wanted ]]; then
    __netns_setting=$1_IPV6 __netns_wanted=dhcpcd
  elif [[ $__netns_six == yes && $__netns_wanted != dhcpcd ]]; then
    echo "$1_IPV6: the client '$__netns_wanted' ($1_CLIENT) is used only for IPv4; fix: set $1_CLIENT=dhcpcd," \
      "or remove $1_IPV6 and set the address of the interface to 'auto'" >&2
    return 1
  fi
  __netns_lease_place
  __netns_lease_interface "$1" || return
  __netns_lease_client "$__netns_setting" "$__netns_wanted" || return
  # Before the directory exists. A restart needs what the outside hook has registered.
  __netns_remember "$1_IFNAME"
  [[ $INOUT == inside ]] || __netns_on_failure __netns_lease_end
  (umask 077 && mkdir -p -- "$__netns_lease")
  __netns_now="${!__netns_name} ${__netns_client[0]} $__netns_six ${__netns_client[*]:1}"
  # dhcpcd sets the address and the routes only once.
  if [[ -e $__netns_lease/client && $(<"$__netns_lease/client") != "$__netns_now" ||
  ${__netns_client[0]} == dhcpcd && $(__netns_lease_differences) ]]; then
    __netns_daemon stop dhcp-client
    __netns_lease_drop
  fi
  echo "$__netns_now" >"$__netns_lease/client"
  __netns_lease_program
  __netns_daemon start dhcp-client --host-files "$BASH" "$__netns_lease/program" start "$__netns_index"
}

# Usage: lease_wait PREFIX
#   lease_wait VPN
# Waits until the client of lease_start has a lease, at most PREFIX_TIMEOUT, a time span of systemd.time(7); default: 30s. Fails if no
# server answers.
lease_wait() {
  local __netns_lease __netns_name=$1_IFNAME __netns_timeout=$1_TIMEOUT __netns_left
  __netns_timeout=${!__netns_timeout:-30s}
  __netns_left=$(__netns_library time_span "$1_TIMEOUT" "$__netns_timeout") || return
  __netns_lease_place
  # The clock of the machine may be set while this waits.
  for (( ; __netns_left > 0; __netns_left -= 50)); do
    [[ ! -s $__netns_lease/lease ]] || break
    sleep 0.05
  done
  if [[ ! -s $__netns_lease/lease ]]; then
    __netns_name=${!__netns_name} __netns_timeout=${__netns_timeout@Q}
    echo "no DHCP server has answered on interface '$__netns_name' within $__netns_timeout ($1_TIMEOUT; client: $(__netns_lease_of client));" \
      "fix: connect the interface to a network with a server, or increase $1_TIMEOUT;" \
      "hint: show the requests with \`ip netns exec $NSNAME tcpdump -ni $__netns_name udp port 67\`" >&2
    return 1
  fi
  __netns_lease_locked __netns_lease_apply
}

# Usage: lease_check
#   configure_vpn_check_outside() { lease_check; }
# Prints a line for each difference from the lease: the address, the routes and the files of the resolver.
lease_check() {
  local __netns_lease __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH} __netns_ifname
  __netns_lease_place
  __netns_ifname=$(__netns_lease_of ifname)
  if ! __netns_inside_run ip link show dev "$__netns_ifname" &>/dev/null; then
    echo "interface '$__netns_ifname' does not exist"
  elif __netns_lease_read; then
    __netns_lease_differences
    __netns_resolver_check __netns_lease
  else
    echo "interface '$__netns_ifname' has no lease of a DHCP server"
  fi
}

# Prints a line if the interface does not have the address of the lease, and for each of its routes that is missing.
__netns_lease_differences() {
  local __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH} __netns_ifname __netns_route
  __netns_lease_read || return 0
  __netns_ifname=$(__netns_lease_of ifname)
  [[ $(__netns_inside_run ip -4 -oneline address show dev "$__netns_ifname") == *" ${__netns_lease_ADDRESS%/*}/"* ]] ||
    echo "interface '$__netns_ifname' does not have the address '${__netns_lease_ADDRESS%/*}' of its lease"
  while read -r -d , __netns_route; do
    __netns_route=${__netns_route% onlink}
    # The client and the kernel add other words.
    [[ " $(__netns_inside_run ip -4 route show "${__netns_route%% *}" dev "$__netns_ifname") " == *" ${__netns_route#* } "* ]] ||
      echo "the route '$__netns_route' over interface '$__netns_ifname' is missing"
  done <<<"$__netns_lease_ROUTES"
}

# Usage: lease_end
#   configure_vpn_down_outside() { lease_end; }
# Removes what the client has set. The client itself is stopped before this, and releases its lease then.
lease_end() { __netns_lease_end; }

# Usage: __netns_lease_end
__netns_lease_end() {
  local __netns_lease
  __netns_lease_place
  # After a failure of the hook, the client may still run.
  [[ $UPDOWN == down ]] || __netns_daemon stop dhcp-client
  if [[ -e $__netns_lease/client && ! ${NSNAME_LOST-} ]]; then
    # Only this client does not release the lease when it is stopped.
    [[ $(__netns_lease_of client) != dhclient || ! -s $__netns_lease/lease ]] ||
      __netns_inside_run "$BASH" "$__netns_lease/program" release || true
    __netns_lease_drop
  fi
  __netns_resolver_remove
  rm -rf -- "$__netns_lease"
}

# Usage: __netns_lease_place
# Sets __netns_lease to the directory of the client: its program and its files.
__netns_lease_place() { __netns_lease=${__netns_state%/*/*}/daemons/$NSTYPE@$NSNAME.lease; }

# Usage: __netns_lease_of ifname|client
__netns_lease_of() {
  local ifname client
  read -r ifname client _ <"$__netns_lease/client"
  if [[ $1 == ifname ]]; then echo "$ifname"; else echo "$client"; fi
}

# Usage: __netns_lease_interface PREFIX
# Sets PREFIX_IFNAME, and __netns_index to its number, which changes if the interface is created again.
__netns_lease_interface() {
  local -n __netns_variable=$1_IFNAME
  local __netns_links __netns_names=() __netns_line
  if [[ ${__netns_variable-} ]]; then
    __netns_links=$(__netns_inside_run ip -oneline link show dev "$__netns_variable" 2>/dev/null) || {
      echo "$1_IFNAME: interface '$__netns_variable' does not exist in namespace '$NSNAME'; bring up the type that creates it first" >&2
      return 1
    }
    __netns_index=${__netns_links%%:*}
    __netns_inside_run ip link set dev "$__netns_variable" up
    return
  fi
  # Some kernels have tunnels in each namespace, which are down.
  __netns_links=$(__netns_inside_run ip -oneline link show up)
  while IFS=': ' read -r __netns_line __netns_variable _; do
    [[ $__netns_variable != lo && $__netns_variable ]] || continue
    __netns_index=$__netns_line
    __netns_names+=("${__netns_variable%%@*}")
  done <<<"$__netns_links"
  __netns_variable=${__netns_names[0]-}
  ((${#__netns_names[@]} != 1)) || return 0
  echo "cannot choose an interface: namespace '$NSNAME' has ${#__netns_names[@]} that are up${__netns_names[*]:+ (${__netns_names[*]})};" \
    "fix: set $1_IFNAME, or bring up the type that creates the interface first" >&2
  return 1
}

# Usage: __netns_lease_client SETTING NAME
# Sets the array __netns_client to the name of the client and the words of its command. Without NAME, takes the installed
# one. The setting requires the client.
__netns_lease_client() {
  local __netns_name __netns_path __netns_missing='no DHCP client is installed'
  local -A __netns_packages=([dhcpcd]=dhcpcd-base [udhcpc]=udhcpc [dhclient]=isc-dhcp-client)
  for __netns_name in ${2:-dhcpcd udhcpc dhclient}; do
    __netns_client=("$__netns_name")
    if __netns_path=$(type -P "$__netns_name"); then
      __netns_client+=("$__netns_path")
      return
    elif [[ $__netns_name == udhcpc ]] && __netns_path=$(type -P busybox) && "$__netns_path" --list | grep --quiet --line-regexp udhcpc; then
      __netns_client+=("$__netns_path" udhcpc)
      return
    fi
  done
  __netns_name=${2:-udhcpc}
  [[ ! $2 ]] || __netns_missing="$1: the DHCP client '$2' is not installed"
  echo "$__netns_missing: \`$__netns_name\` is not in PATH ($PATH); $("$0" --package-hint "${__netns_packages[$__netns_name]}")" >&2
  return 1
}

# Writes the program that starts the client, and that the client calls.
__netns_lease_program() {
  local __netns_functions
  mapfile -t __netns_functions < <(compgen -A function __netns_)
  {
    echo '#!/bin/bash'
    declare -p NSTYPE NSNAME __netns_lease
    echo 'INOUT=inside'
    declare -f "${__netns_functions[@]}"
    # shellcheck disable=SC2016 # for the program
    echo '__netns_lease_main "$@"'
  } >"$__netns_lease/program~"
  chmod 700 -- "$__netns_lease/program~"
  mv -- "$__netns_lease/program~" "$__netns_lease/program"
}

# Usage: __netns_lease_locked COMMAND
# The client and a hook can change the lease at the same time.
__netns_lease_locked() {
  local __netns_lock __netns_status=0
  exec {__netns_lock}>"$__netns_lease/lock"
  flock "$__netns_lock"
  "$@" {__netns_lock}>&- || __netns_status=$?
  exec {__netns_lock}>&-
  return "$__netns_status"
}

# Usage: __netns_lease_main start|release|EVENT
# The program. The clients have the event in `reason`, or as an argument.
__netns_lease_main() {
  case ${reason-${1-}} in
    start | release) exec unshare --mount --propagation slave -- "$BASH" "$0" "in-$1" ;;
    in-*) __netns_lease_run "${1#in-}" ;;
    BOUND | RENEW | REBIND | REBOOT | TIMEOUT | bound | renew) __netns_lease_locked __netns_lease_accept ;;
    ROUTERADVERT | *6) __netns_lease_locked __netns_lease_accept_six ;;
    EXPIRE | FAIL | NAK | nak) __netns_lease_locked __netns_lease_drop ;;
  esac
}

# Usage: __netns_lease_run start|release
# Becomes the client, in a private mount namespace: all its files are in the own directory, and a client of the host is not visible.
__netns_lease_run() {
  local ifname name six words options=() address directory
  read -r ifname name six words <"$__netns_lease/client"
  read -r -a words <<<"$words"
  # A client runs its script, and /run may be mounted with noexec.
  mount --bind "$__netns_lease" "$__netns_lease"
  mount -o remount,bind,exec,nosuid,nodev "$__netns_lease"
  case $name in
    udhcpc)
      options=(-f -R -i "$ifname" -s "$__netns_lease/program" -p "$__netns_lease/pid" -t 4 -T 1 -A 3 -O search -O staticroutes)
      # The client that was killed had this address.
      if [[ -s $__netns_lease/lease ]] && read -r address <"$__netns_lease/lease"; then options+=(-r "${address%/*}"); fi
      ;;
    dhclient)
      # It has no name for this option. RFC 3442 asks for it before the routers.
      echo 'option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
        request rfc3442-classless-static-routes, subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, domain-search;
        timeout 30; retry 3; initial-interval 1; backoff-cutoff 3;' >"$__netns_lease/config"
      options=(-4 -d -cf "$__netns_lease/config" -lf "$__netns_lease/leases" -pf "$__netns_lease/pid")
      if [[ $1 == release ]]; then options+=(-r -sf /bin/true "$ifname"); else options+=(-sf "$__netns_lease/program" "$ifname"); fi
      # AppArmor allows the program at its usual path only the files of the host (apparmor.d/sbin.dhclient of Debian).
      touch "$__netns_lease/dhclient"
      mount --bind "${words[0]}" "$__netns_lease/dhclient"
      words=("$__netns_lease/dhclient")
      ;;
    dhcpcd)
      # It has no options for these directories.
      for directory in /run/dhcpcd /var/lib/dhcpcd; do
        mkdir -p "$directory" "$__netns_lease$directory"
        mount --bind "$__netns_lease$directory" "$directory"
      done
      [[ $six == yes ]] || options=(--ipv4only)
      printf '%s\n' noipv4ll noarp nodev release 'timeout 0' "script $__netns_lease/program" \
        'option domain_name_servers, domain_name, domain_search, classless_static_routes, interface_mtu' \
        'option dhcp6_name_servers, dhcp6_domain_search' >"$__netns_lease/config"
      options+=(--nobackground --config "$__netns_lease/config" "$ifname")
      ;;
  esac
  exec "${words[@]}" "${options[@]}"
}

# Records the lease in the variables of the client, and applies it. A server is not trusted: other text is ignored.
__netns_lease_accept() {
  local address=${new_ip_address-${ip-}} mask=${new_subnet_mask-${subnet-}} seconds=${new_dhcp_lease_time-${lease-}}
  local uptime end=0 routes __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH}
  __netns_is_address "$address" && __netns_is_address "${mask:=255.255.255.255}" || return
  routes=$(__netns_lease_routes)
  if [[ $(__netns_lease_of client) != dhcpcd ]] && __netns_lease_read; then # dhcpcd does this itself
    if [[ $__netns_lease_ADDRESS != "$address/$mask" ]]; then
      __netns_lease_drop
    elif [[ $__netns_lease_ROUTES != "$routes" ]]; then
      ip -4 route flush dev "$(__netns_lease_of ifname)" proto dhcp
    fi
  fi
  read -r uptime _ </proc/uptime
  # 4294967295 means a lease without end (RFC 2131, section 3.3).
  if __netns_is_number "$seconds" 1 4294967294; then end=$((${uptime%.*} + seconds)); fi
  {
    echo "$address/$mask"
    echo "$end"
    echo "$routes"
    __netns_lease_words "${new_domain_name_servers-${dns-}}" __netns_is_address
    __netns_lease_words "${new_domain_search-${search-${new_domain_name-${domain-}}}}" __netns_lease_is_domain
  } >"$__netns_lease/lease~"
  mv -- "$__netns_lease/lease~" "$__netns_lease/lease"
  __netns_lease_apply
}

# Records the name servers of a router or of a DHCPv6 server. dhcpcd itself sets the addresses.
__netns_lease_accept_six() {
  local name servers=${new_dhcp6_name_servers-} search=${new_dhcp6_domain_search-} from=server
  [[ $reason != ROUTERADVERT ]] || from=router
  for name in "${!nd@}"; do
    case $name in
      nd*_rdnss*_servers) servers+=" ${!name}" ;;
      nd*_dnssl*_search) search+=" ${!name}" ;;
    esac
  done
  {
    __netns_lease_words "$servers" __netns_is_address
    __netns_lease_words "$search" __netns_lease_is_domain
  } >"$__netns_lease/$from"
  __netns_lease_apply || true # there may be no lease for IPv4 yet
}

# Prints the routes in the variables of the client, on one line: arguments of `ip route`, with a comma after each route. Classless static
# routes replace the router (RFC 3442).
__netns_lease_routes() {
  local words destination gateway routes='' at
  read -r -a words <<<"${new_classless_static_routes-${staticroutes-$(__netns_lease_decoded_routes)}}"
  if [[ ! ${words[*]} ]]; then
    gateway=$(__netns_lease_words "${new_routers-${router-}}" __netns_is_address)
    words=(0.0.0.0/0 "${gateway%% *}")
  fi
  for ((at = 0; at + 1 < ${#words[@]}; at += 2)); do
    destination=${words[at]} gateway=${words[at + 1]}
    if [[ $destination$gateway == *:* ]] || ! __netns_is_address "${destination%/*}" || ! __netns_is_number "${destination##*/}" 0 32 ||
      ! __netns_is_address "$gateway"; then
      continue
    fi
    destination=$(__netns_lease_network "${destination%/*}" "${destination##*/}")
    # The first of several routes to a destination counts.
    if [[ ,$routes == *",$destination "* ]]; then
      continue
    elif [[ $gateway == 0.0.0.0 ]]; then
      routes+="$destination scope link,"
    else
      # A gateway can be outside of the network of the address.
      routes+="$destination via $gateway onlink,"
    fi
  done
  echo "$routes"
}

# Usage: __netns_lease_network ADDRESS LENGTH
# Prints the network of an IPv4 address, as an argument of `ip route`. A server may set bits after the length (RFC 3442).
__netns_lease_network() {
  local bytes number
  IFS=. read -r -a bytes <<<"$1"
  number=$(((bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3]) & 0xffffffff << (32 - $2)))
  if (($2 == 0)); then
    echo default
  else
    echo "$((number >> 24 & 255)).$((number >> 16 & 255)).$((number >> 8 & 255)).$((number & 255))/$2"
  fi
}

# Prints the classless static routes of dhclient as the other clients do: destination, gateway, destination, gateway, and so on. dhclient
# has the bytes: the length of the destination, as many of its bytes as this length needs, and the gateway.
__netns_lease_decoded_routes() {
  local bytes destination size
  read -r -a bytes <<<"${new_rfc3442_classless_static_routes-}"
  while __netns_is_number "${bytes[0]-}" 0 32; do
    size=$(((bytes[0] + 7) / 8))
    destination=("${bytes[@]:1:size}" 0 0 0 0)
    printf '%s.%s.%s.%s/%s ' "${destination[@]:0:4}" "${bytes[0]}"
    printf '%s.%s.%s.%s ' "${bytes[@]:size+1:4}"
    bytes=("${bytes[@]:size+5}")
  done
}

# Usage: __netns_lease_words TEXT CHECK
# Prints the words of a text that pass the check, on one line.
__netns_lease_words() {
  local word words valid=()
  read -r -a words <<<"$1" || true
  for word in "${words[@]}"; do
    ! "$2" "$word" || valid+=("${word%.}") # a domain can end with a dot
  done
  echo "${valid[*]}"
}

# Usage: __netns_lease_is_domain WORD
__netns_lease_is_domain() { [[ $1 =~ ^[[:alnum:]_][[:alnum:]_.-]*$ ]]; }

# Usage: __netns_lease_read
# Sets the variables __netns_lease_ADDRESS, _END, _ROUTES, _SERVERS and _SEARCH to the lease. The status is 1 if there is none.
__netns_lease_read() {
  local __netns_file __netns_lines
  [[ -s $__netns_lease/lease ]] || return
  {
    read -r __netns_lease_ADDRESS
    read -r __netns_lease_END
    read -r __netns_lease_ROUTES
    read -r __netns_lease_SERVERS
    read -r __netns_lease_SEARCH
  } <"$__netns_lease/lease"
  for __netns_file in "$__netns_lease"/{server,router}; do
    [[ -s $__netns_file ]] || continue
    mapfile -t __netns_lines <"$__netns_file"
    __netns_lease_SERVERS+=${__netns_lines[0]:+ ${__netns_lines[0]}}
    __netns_lease_SEARCH+=${__netns_lines[1]:+ ${__netns_lines[1]}}
  done
}

# Usage: __netns_lease_apply
# Gives the interface the recorded lease, and writes its resolvers for the namespace. The kernel removes the address at the end of the
# lease, also if the client was killed.
__netns_lease_apply() {
  local __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH} __netns_ifname __netns_route __netns_left=forever
  __netns_lease_read || return
  __netns_ifname=$(__netns_lease_of ifname)
  if [[ $(__netns_lease_of client) != dhcpcd ]]; then # dhcpcd does this itself
    if ((__netns_lease_END)); then
      read -r __netns_left _ </proc/uptime
      __netns_left=$((__netns_lease_END - ${__netns_left%.*}))
      ((__netns_left > 0)) || return 0 # the client renews it, or not
    fi
    ip -4 address replace "$__netns_lease_ADDRESS" broadcast + dev "$__netns_ifname" valid_lft "$__netns_left" preferred_lft "$__netns_left"
    while read -r -d , -a __netns_route; do
      # A server may send a gateway that the kernel refuses: check reports it.
      ip -4 route replace "${__netns_route[@]}" dev "$__netns_ifname" proto dhcp || true
    done <<<"$__netns_lease_ROUTES"
  fi
  __netns_resolver_write __netns_lease
}

# Usage: __netns_lease_drop
# Removes the address and the routes of a lease that is not valid any more.
__netns_lease_drop() {
  local __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH} __netns_ifname
  __netns_lease_read || return 0
  __netns_ifname=$(__netns_lease_of ifname)
  # The interface or the address may not exist any more.
  __netns_inside_run ip -4 address delete "$__netns_lease_ADDRESS" dev "$__netns_ifname" 2>/dev/null || true
  __netns_inside_run ip -4 route flush dev "$__netns_ifname" proto dhcp 2>/dev/null || true
  rm -f -- "$__netns_lease"/{lease,server,router}
}
