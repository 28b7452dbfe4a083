# shellcheck shell=bash disable=SC2154,SC2178
# The functions of the library for WireGuard tunnels. The program does the work (src/library/wireguard).

# Usage: wireguard_read PREFIX
#   configure_vpn_validate() { wireguard_read VPN; }
# Reads the file PREFIX_CONFIG, in the format of wg-quick(8), and sets PREFIX_IFADDR, PREFIX_ROUTES, PREFIX_MTU, PREFIX_DNS_SERVERS and
# PREFIX_DNS_SEARCH, unless they are set already. Prints a line for each invalid value, as the function configure_TYPE_validate must do;
# the status is then 1.
wireguard_read() {
  local __netns_settings __netns_values __netns_line __netns_status=0
  __netns_tunnel_settings "$1"
  __netns_values=$(__netns_library wireguard_read "$1" -- "${__netns_settings[@]}") || return
  while IFS= read -r __netns_line; do
    case $__netns_line in
      '') ;;
      !*)
        echo "${__netns_line#!}"
        __netns_status=1
        ;;
      *)
        local -n __netns_variable=${__netns_line%%=*}
        __netns_variable+=("${__netns_line#*=}")
        unset -n __netns_variable
        ;;
    esac
  done <<<"$__netns_values"
  return "$__netns_status"
}

# Usage: wireguard_apply PREFIX
#   link_configure VPN
#   wireguard_apply VPN
# Gives an interface of link_add the keys and peers of its settings. A peer that stays keeps its session. Names of endpoints are resolved
# on the host, and again while the handshake is stale.
wireguard_apply() {
  local __netns_settings
  __netns_tunnel_settings "$1"
  __netns_library wireguard_apply "$1" -- "${__netns_settings[@]}"
}

# Usage: wireguard_run PREFIX KEY
#   wireguard_run VPN PostUp
# Runs the commands of a KEY of the file (PreUp, PostUp, PreDown, PostDown), with the name of the interface in place of %i, if
# PREFIX_RUN_COMMANDS is yes. Fails if one of them fails.
wireguard_run() {
  local __netns_name=$1_RUN_COMMANDS __netns_settings __netns_commands __netns_place __netns_command __netns_status
  [[ ${!__netns_name-} == yes ]] || return 0
  __netns_tunnel_settings "$1"
  __netns_commands=$(__netns_library wireguard_commands "$1" "$2" -- "${__netns_settings[@]}") || return
  while IFS=$'\t' read -r __netns_place __netns_command; do
    [[ $__netns_place ]] || continue # there is no command
    __netns_status=0
    # A command must not read the next ones.
    "$BASH" -c "$__netns_command" </dev/null || __netns_status=$?
    if ((__netns_status)); then
      echo "$__netns_place: $2: the command has failed with status $__netns_status: $__netns_command" >&2
      return "$__netns_status"
    fi
  done <<<"$__netns_commands"
}

# Usage: __netns_tunnel_settings PREFIX
# Sets __netns_settings to the settings of a tunnel, as NAME=VALUE. An array has an entry for each element.
__netns_tunnel_settings() {
  local __netns_key __netns_value
  __netns_settings=()
  for __netns_key in CONFIG RUN_COMMANDS NSNAME_SOCKET PRIVATE_KEY_FILE PEERS LISTEN_PORT FWMARK TABLE IFNAME IFADDR ROUTES MTU \
    DNS_SERVERS DNS_SEARCH; do
    local -n __netns_variable=$1_$__netns_key
    for __netns_value in "${__netns_variable[@]}"; do
      [[ -z $__netns_value ]] || __netns_settings+=("$1_$__netns_key=$__netns_value")
    done
    unset -n __netns_variable
  done
}
