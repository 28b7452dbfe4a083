# shellcheck shell=bash disable=SC2154 # the wrapper sets __netns_*
# Leases of a DHCP server. The client runs as a daemon. It calls a program with the functions below, which applies the lease: so it
# cannot change the host.

# Usage: lease_start PREFIX
#   configure_vpn_up_outside() { lease_start VPN; }
# Starts a DHCP client for the interface PREFIX_IFNAME of the namespace: PREFIX_CLIENT (dhcpcd, udhcpc or dhclient), or the installed
# one. With PREFIX_IPV6=yes, the client also asks for IPv6. Without PREFIX_IFNAME, sets it to the only interface that is up. Call it in
# both hooks of `up`: the client of the outside hook keeps its lease during a restart, and the inside hook applies changed settings.
lease_start() {
  local __netns_lease __netns_client __netns_index __netns_now __netns_name=$1_IFNAME __netns_six=$1_IPV6
  __netns_six=${!__netns_six:-no}
  __netns_lease_place
  __netns_lease_interface "$1" || return
  __netns_lease_client "$1" || return
  # Before the directory exists. A restart needs what the outside hook has registered.
  __netns_remember "$1_IFNAME"
  [[ $INOUT == inside ]] || __netns_on_failure __netns_lease_end
  (umask 077 && mkdir -p -- "$__netns_lease")
  __netns_now="${!__netns_name} ${__netns_client[0]} $__netns_six ${__netns_client[*]:1}"
  # dhcpcd sets the address and the routes only once.
  if [[ -e $__netns_lease/client && $(<"$__netns_lease/client") != "$__netns_now" ||
  ${__netns_client[0]} == dhcpcd && $(__netns_lease_differences) ]]; then
    __netns_lease_stop
    __netns_lease_drop
    __netns_lease_drop_six
  fi
  echo "$__netns_now" >"$__netns_lease/client"
  __netns_lease_program
  # dhcpcd takes over the addresses of routers, and does not give them back to the kernel.
  [[ $__netns_six == no || ${__netns_client[0]} != dhcpcd ]] ||
    __netns_library sysctl_set "net/ipv6/conf/${!__netns_name}/"{accept_ra=0,addr_gen_mode=1}
  __netns_daemon start dhcp-client --host-files "$BASH" "$__netns_lease/program" start4 "$__netns_index"
  [[ $__netns_six == no || ${__netns_client[0]} == dhcpcd ]] ||
    __netns_daemon start dhcp-client6 --host-files "$BASH" "$__netns_lease/program" start6 "$__netns_index"
}

# Usage: lease_wait PREFIX
#   lease_wait VPN
# Waits until the client of lease_start has a lease, with PREFIX_IPV6=yes also for IPv6, at most PREFIX_TIMEOUT, a time span of
# systemd.time(7); default: 30s. Fails if no server answers.
lease_wait() {
  local __netns_lease __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH,SIX,SIX_END}
  local __netns_name=$1_IFNAME __netns_six=$1_IPV6 __netns_timeout=$1_TIMEOUT __netns_left __netns_server=DHCP __netns_port=67
  __netns_timeout=${!__netns_timeout:-30s}
  __netns_left=$(__netns_library time_span "$1_TIMEOUT" "$__netns_timeout") || return
  __netns_lease_place
  # The clock of the machine may be set while this waits.
  for (( ; __netns_left > 0; __netns_left -= 50)); do
    if __netns_lease_read && [[ ${!__netns_six-} != yes || $__netns_lease_SIX ]]; then
      __netns_lease_locked __netns_lease_apply
      return
    fi
    sleep 0.05
  done
  [[ ! ${__netns_lease_ADDRESS-} ]] || __netns_server=DHCPv6 __netns_port=547
  __netns_name=${!__netns_name} __netns_timeout=${__netns_timeout@Q}
  echo "no $__netns_server server has answered on interface '$__netns_name' within $__netns_timeout ($1_TIMEOUT; client: $(__netns_lease_of client));" \
    "fix: connect the interface to a network with a server, or increase $1_TIMEOUT;" \
    "hint: show the requests with \`ip netns exec $NSNAME tcpdump -ni $__netns_name udp port $__netns_port\`" >&2
  return 1
}

# Usage: lease_check
#   configure_vpn_check_outside() { lease_check; }
# Prints a line for each difference from the lease: the address, the routes and the files of the resolver.
lease_check() {
  local __netns_lease __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH,SIX,SIX_END} __netns_ifname
  __netns_lease_place
  __netns_ifname=$(__netns_lease_of ifname)
  if ! __netns_inside_run ip link show dev "$__netns_ifname" &>/dev/null; then
    echo "interface '$__netns_ifname' does not exist"
  elif __netns_lease_read; then
    [[ $(__netns_lease_of six) == no || $__netns_lease_SIX ]] || echo "interface '$__netns_ifname' has no lease of a DHCPv6 server"
    __netns_lease_differences
    __netns_resolver_check __netns_lease
  else
    echo "interface '$__netns_ifname' has no lease of a DHCP server"
  fi
}

# Prints a line for each address and each route of the lease that the interface does not have.
__netns_lease_differences() {
  local __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH,SIX,SIX_END} __netns_ifname __netns_address __netns_route
  __netns_lease_read || return 0
  __netns_ifname=$(__netns_lease_of ifname)
  [[ $(__netns_inside_run ip -4 -oneline address show dev "$__netns_ifname") == *" ${__netns_lease_ADDRESS%/*}/"* ]] ||
    echo "interface '$__netns_ifname' does not have the address '${__netns_lease_ADDRESS%/*}' of its lease"
  for __netns_address in $__netns_lease_SIX; do
    # The kernel compares them: there are several ways to write one.
    [[ $(__netns_inside_run ip -6 -oneline address show dev "$__netns_ifname" to "$__netns_address") ]] ||
      echo "interface '$__netns_ifname' does not have the address '$__netns_address' of its lease"
  done
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
  [[ $UPDOWN == down ]] || __netns_lease_stop
  if [[ -e $__netns_lease/client && ! ${NSNAME_LOST-} ]]; then
    # Only this client does not release the lease when it is stopped.
    if [[ $(__netns_lease_of client) == dhclient ]]; then
      [[ ! -s $__netns_lease/lease ]] || __netns_inside_run "$BASH" "$__netns_lease/program" release4 || true
      [[ ! -s $__netns_lease/server ]] || __netns_inside_run "$BASH" "$__netns_lease/program" release6 || true
    fi
    __netns_lease_drop
    __netns_lease_drop_six
  fi
  __netns_resolver_remove
  rm -rf -- "$__netns_lease"
}

# Usage: __netns_lease_stop
__netns_lease_stop() {
  __netns_daemon stop dhcp-client
  __netns_daemon stop dhcp-client6
}

# Usage: __netns_lease_place
# Sets __netns_lease to the directory of the client: its program and its files.
__netns_lease_place() { __netns_lease=${__netns_state%/*/*}/daemons/$NSTYPE@$NSNAME.lease; }

# Usage: __netns_lease_of ifname|client|six
__netns_lease_of() {
  local ifname client six
  # shellcheck disable=SC2034 # the argument chooses one
  read -r ifname client six _ <"$__netns_lease/client"
  echo "${!1}"
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

# Usage: __netns_lease_client PREFIX
# Sets the array __netns_client to the name of the client, PREFIX_CLIENT or the first that is installed, and the words of its command.
__netns_lease_client() {
  local __netns_name __netns_path __netns_applet=udhcpc __netns_wanted=$1_CLIENT __netns_missing='no DHCP client is installed'
  local -A __netns_packages=([dhcpcd]=dhcpcd-base [udhcpc]=udhcpc [dhclient]=isc-dhcp-client)
  __netns_wanted=${!__netns_wanted-}
  # For IPv6, udhcpc has another program, which not every busybox has (that of Debian: from 13 on).
  [[ $__netns_six == no ]] || __netns_applet=udhcpc6
  for __netns_name in ${__netns_wanted:-dhcpcd udhcpc dhclient}; do
    __netns_client=("$__netns_name")
    if [[ $__netns_name$__netns_applet != udhcpcudhcpc6 ]] && __netns_path=$(type -P "$__netns_name"); then
      __netns_client+=("$__netns_path")
      return
    elif [[ $__netns_name == udhcpc ]] && __netns_path=$(type -P busybox) &&
      "$__netns_path" --list | grep --quiet --line-regexp "$__netns_applet"; then
      __netns_client+=("$__netns_path" udhcpc)
      return
    fi
  done
  if [[ $__netns_wanted$__netns_applet == udhcpcudhcpc6 ]]; then
    echo "$1_IPV6: the client 'udhcpc' ($1_CLIENT) is used only for IPv4: no \`busybox\` with the applet udhcpc6 is in PATH ($PATH);" \
      "fix: set $1_CLIENT=dhcpcd or $1_CLIENT=dhclient, or remove $1_IPV6 and set the address of the interface to 'auto'" >&2
    return 1
  fi
  __netns_name=${__netns_wanted:-udhcpc}
  if [[ $__netns_wanted ]]; then
    __netns_missing="$1_CLIENT: the DHCP client '$__netns_wanted' is not installed"
  elif [[ $__netns_six == yes ]]; then
    __netns_name=dhcpcd __netns_missing="$1_IPV6: no DHCP client for IPv6 is installed"
  fi
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

# Usage: __netns_lease_main start4|start6|release4|release6|EVENT
# The program. The clients have the event in `reason`, or as an argument; udhcpc6 has the same events as udhcpc.
__netns_lease_main() {
  case ${reason-${1-}}${netns_family-} in
    start? | release?) exec unshare --mount --propagation slave -- "$BASH" "$0" "in-$1" ;;
    in-*) __netns_lease_run "${1:3:-1}" "${1: -1}" ;;
    BOUND | RENEW | REBIND | REBOOT | TIMEOUT | bound | renew) __netns_lease_locked __netns_lease_accept ;;
    EXPIRE | FAIL | NAK | nak) __netns_lease_locked __netns_lease_drop ;;
    PREINIT6 | DEPREF6 | deconfig6 | leasefail6) ;; # the lease stays
    ROUTERADVERT | *6) __netns_lease_locked __netns_lease_accept_six ;;
  esac
}

# Usage: __netns_lease_run start|release 4|6
# Becomes the client, in a private mount namespace: all its files are in the own directory, and a client of the host is not visible.
__netns_lease_run() {
  local ifname name six words options=() address directory
  read -r ifname name six words <"$__netns_lease/client"
  read -r -a words <<<"$words"
  # A client for IPv6 ends if it cannot use the link-local address yet.
  until [[ $1$2 != start6 || $(ip -6 -oneline address show dev "$ifname" scope link -tentative 2>/dev/null) ]]; do sleep 0.05; done
  # A client runs its script, and /run may be mounted with noexec.
  mount --bind "$__netns_lease" "$__netns_lease"
  mount -o remount,bind,exec,nosuid,nodev "$__netns_lease"
  case $name in
    udhcpc)
      options=(-f -R -i "$ifname" -s "$__netns_lease/program" -p "$__netns_lease/pid$2" -t 4 -T 1 -A 3 -O search)
      if (($2 == 6)); then
        export netns_family=6
        words[-1]=udhcpc6
      else
        options+=(-O staticroutes)
        # The client that was killed had this address.
        if [[ -s $__netns_lease/lease ]] && read -r address <"$__netns_lease/lease"; then options+=(-r "${address%/*}"); fi
      fi
      ;;
    dhclient)
      # It has no name for this option. RFC 3442 asks for it before the routers.
      echo 'option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
        request rfc3442-classless-static-routes, subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, domain-search,
          dhcp6.name-servers, dhcp6.domain-search;
        timeout 30; retry 3; initial-interval 1; backoff-cutoff 3;' >"$__netns_lease/config$2"
      options=("-$2" -d -cf "$__netns_lease/config$2" -lf "$__netns_lease/leases$2" -pf "$__netns_lease/pid$2")
      # The hardware address identifies the machine, as for IPv4.
      (($2 == 4)) || options+=(-D LL)
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
  local address=${new_ip_address-${ip-}} mask=${new_subnet_mask-${subnet-}} routes __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH,SIX,SIX_END}
  __netns_is_address "$address" && __netns_is_address "${mask:=255.255.255.255}" || return
  routes=$(__netns_lease_routes)
  if [[ $(__netns_lease_of client) != dhcpcd ]] && __netns_lease_read; then # dhcpcd does this itself
    if [[ $__netns_lease_ADDRESS != "$address/$mask" ]]; then
      __netns_lease_drop
    elif [[ $__netns_lease_ROUTES != "$routes" ]]; then
      ip -4 route flush dev "$(__netns_lease_of ifname)" proto dhcp
    fi
  fi
  {
    echo "$address/$mask"
    __netns_lease_end_after "${new_dhcp_lease_time-${lease-}}"
    echo "$routes"
    __netns_lease_words "${new_domain_name_servers-${dns-}}" __netns_is_address
    __netns_lease_words "${new_domain_search-${search-${new_domain_name-${domain-}}}}" __netns_lease_is_domain
  } >"$__netns_lease/lease~"
  mv -- "$__netns_lease/lease~" "$__netns_lease/lease"
  __netns_lease_apply
}

# Records the addresses and name servers of a DHCPv6 server or of a router, and applies them. Without an address, the lease is over.
__netns_lease_accept_six() {
  local addresses=${new_ip6_address-${ipv6-}} servers=${new_dhcp6_name_servers-${dns-}} search=${new_dhcp6_domain_search-${search-}}
  local name from=server __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH,SIX,SIX_END}
  [[ ${reason-} != ROUTERADVERT ]] || from=router
  for name in "${!nd@}" "${!new_dhcp6_ia_na@}"; do
    case $name in
      nd*_rdnss*_servers) servers+=" ${!name}" ;;
      nd*_dnssl*_search) search+=" ${!name}" ;;
      nd*_addr*[0-9] | *_ia_addr*[0-9]) addresses+=" ${!name%/*}" ;;
    esac
  done
  addresses=$(__netns_lease_words "$addresses" __netns_lease_is_six)
  __netns_lease_read || true
  [[ $(__netns_lease_of client) == dhcpcd || $__netns_lease_SIX == "$addresses" ]] || __netns_lease_drop_six # dhcpcd does this itself
  {
    __netns_lease_words "$servers" __netns_is_address
    __netns_lease_words "$search" __netns_lease_is_domain
    echo "$addresses"
    __netns_lease_end_after "${new_max_life-${lease-}}"
  } >"$__netns_lease/$from~"
  mv -- "$__netns_lease/$from~" "$__netns_lease/$from"
  __netns_lease_apply || true # there may be no lease for IPv4 yet
}

# Usage: __netns_lease_end_after SECONDS
# Prints the end of a lease in seconds since the boot, or 0 for a lease without end: 4294967295 (RFC 2131, section 3.3; RFC 8415,
# section 7.7).
__netns_lease_end_after() {
  local uptime end=0
  read -r uptime _ </proc/uptime
  if __netns_is_number "$1" 1 4294967294; then end=$((${uptime%.*} + $1)); fi
  echo "$end"
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

# Usage: __netns_lease_is_six WORD
__netns_lease_is_six() { [[ $1 == *:* && $1 != *%* ]] && __netns_is_address "$1"; }

# Usage: __netns_lease_is_domain WORD
__netns_lease_is_domain() { [[ $1 =~ ^[[:alnum:]_][[:alnum:]_.-]*$ ]]; }

# Usage: __netns_lease_read
# Sets the variables __netns_lease_ADDRESS, _END, _ROUTES, _SERVERS and _SEARCH to the lease, and _SIX and _SIX_END to its IPv6 addresses
# and their end. The status is 1 if there is no lease for IPv4.
__netns_lease_read() {
  local __netns_file __netns_lines
  __netns_lease_ADDRESS='' __netns_lease_SERVERS='' __netns_lease_SEARCH='' __netns_lease_SIX=''
  if [[ -s $__netns_lease/lease ]]; then
    {
      read -r __netns_lease_ADDRESS
      read -r __netns_lease_END
      read -r __netns_lease_ROUTES
      read -r __netns_lease_SERVERS
      read -r __netns_lease_SEARCH
    } <"$__netns_lease/lease"
  fi
  for __netns_file in "$__netns_lease"/{server,router}; do
    [[ -s $__netns_file ]] || continue
    mapfile -t __netns_lines <"$__netns_file"
    __netns_lease_SERVERS+=${__netns_lines[0]:+ ${__netns_lines[0]}}
    __netns_lease_SEARCH+=${__netns_lines[1]:+ ${__netns_lines[1]}}
    __netns_lease_SIX+=${__netns_lines[2]:+${__netns_lease_SIX:+ }${__netns_lines[2]}}
    __netns_lease_SIX_END=${__netns_lines[3]}
  done
  [[ $__netns_lease_ADDRESS ]]
}

# Usage: __netns_lease_apply
# Gives the interface the recorded lease, and writes its resolvers for the namespace. The kernel removes an address at the end of the
# lease, also if the client was killed. The routes for IPv6 come from a router.
__netns_lease_apply() {
  local __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH,SIX,SIX_END} __netns_ifname __netns_client __netns_route __netns_left __netns_status=0
  __netns_lease_read || __netns_status=$?
  __netns_ifname=$(__netns_lease_of ifname)
  __netns_client=$(__netns_lease_of client)
  # dhcpcd does this itself. A client renews a lease that is over, or not.
  if [[ $__netns_client != dhcpcd && $__netns_lease_SIX ]] && __netns_left=$(__netns_lease_left "$__netns_lease_SIX_END"); then
    # No wait for a duplicate, as for IPv4. A server may send an address that the kernel refuses: check reports it.
    ip -6 address replace "$__netns_lease_SIX/128" dev "$__netns_ifname" valid_lft "$__netns_left" preferred_lft "$__netns_left" nodad || true
  fi
  ((__netns_status == 0)) || return
  if [[ $__netns_client != dhcpcd ]]; then
    __netns_left=$(__netns_lease_left "$__netns_lease_END") || return 0
    ip -4 address replace "$__netns_lease_ADDRESS" broadcast + dev "$__netns_ifname" valid_lft "$__netns_left" preferred_lft "$__netns_left"
    while read -r -d , -a __netns_route; do
      # A server may send a gateway that the kernel refuses: check reports it.
      ip -4 route replace "${__netns_route[@]}" dev "$__netns_ifname" proto dhcp || true
    done <<<"$__netns_lease_ROUTES"
  fi
  __netns_resolver_write __netns_lease
}

# Usage: __netns_lease_left END
# Prints the time until the end of a lease in seconds, or `forever`. The status is 1 if it is over.
__netns_lease_left() {
  local __netns_uptime __netns_left=forever
  read -r __netns_uptime _ </proc/uptime
  (($1 == 0)) || __netns_left=$(($1 - ${__netns_uptime%.*}))
  [[ $__netns_left == forever || $__netns_left -gt 0 ]] && echo "$__netns_left"
}

# Usage: __netns_lease_drop
# Removes the IPv4 address and the routes of a lease that is not valid any more.
__netns_lease_drop() {
  local __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH,SIX,SIX_END} __netns_ifname
  __netns_lease_read || return 0
  __netns_ifname=$(__netns_lease_of ifname)
  # The interface or the address may not exist any more.
  __netns_inside_run ip -4 address delete "$__netns_lease_ADDRESS" dev "$__netns_ifname" 2>/dev/null || true
  __netns_inside_run ip -4 route flush dev "$__netns_ifname" proto dhcp 2>/dev/null || true
  rm -f -- "$__netns_lease/lease"
}

# Usage: __netns_lease_drop_six
# The same for IPv6.
__netns_lease_drop_six() {
  local __netns_lease_{ADDRESS,END,ROUTES,SERVERS,SEARCH,SIX,SIX_END} __netns_address
  __netns_lease_read || true
  for __netns_address in $__netns_lease_SIX; do
    __netns_inside_run ip -6 address flush dev "$(__netns_lease_of ifname)" to "$__netns_address" 2>/dev/null || true
  done
  rm -f -- "$__netns_lease"/{server,router}
}
