# shellcheck shell=bash disable=SC2154 # the wrapper sets __netns_*
# Checks of values and settings, and files of settings.

# Usage: is_address VALUE
#   is_address "$VPN_SERVER" || exit 1
# Whether VALUE is an IPv4 or IPv6 address. A link-local address can have its interface: fe80::1%eth0.
is_address() { __netns_is_address "$@"; }

# Usage: __netns_is_address VALUE
# Refuses leading zeros in IPv4: libc reads 010 as 8.
__netns_is_address() {
  local address=${1-} byte='(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])' group='[0-9A-Fa-f]{1,4}'
  local -a groups
  local four="(${byte}[.]){3}${byte}" some="(${group}(:${group})*)?"
  if [[ $address =~ ^$four$ ]]; then return 0; fi
  if [[ $address == *%?* ]]; then address=${address%%%*}; fi # the interface
  if [[ $address =~ ^(.*:)$four$ ]]; then address=${BASH_REMATCH[1]}0:0; fi
  IFS=' ' read -r -a groups <<<"${address//:/ }"
  if [[ $address =~ ^${some}::${some}$ ]]; then ((${#groups[@]} <= 7)); else [[ $address =~ ^${group}(:${group}){7}$ ]]; fi
}

# Usage: is_prefix VALUE
#   is_prefix "$VPN_NETWORK" || exit 1
# Whether VALUE is ADDRESS/LENGTH, with a length of at most 32 (IPv4) or 128 (IPv6).
is_prefix() {
  local address=${1%/*} length=${1##*/} longest=32
  [[ $address != *:* ]] || longest=128
  [[ $1 == */* && $address != *%* ]] && __netns_is_address "$address" && __netns_is_number "$length" 0 "$longest"
}

# Usage: is_mac VALUE
#   is_mac "$VPN_MAC" || exit 1
# Whether VALUE is a hardware address that an interface can have: six bytes, not all zero, and not a multicast address.
is_mac() {
  [[ ${1-} =~ ^([0-9A-Fa-f]{1,2}:){5}[0-9A-Fa-f]{1,2}$ && $1 == *[!0:]* ]] || return
  # The lowest bit of the first byte (IEEE 802, "Individual/Group").
  ((!(16#${1%%:*} & 1)))
}

# Usage: is_port VALUE
#   is_port "$VPN_PORT" || exit 1
# Whether VALUE is a TCP or UDP port: a number from 1 to 65535.
is_port() { __netns_is_number "${1-}" 1 65535; }

# Usage: is_number VALUE [MIN [MAX]]
#   is_number "$VPN_KEEPALIVE" 0 65535 || exit 1
# Whether VALUE is a decimal integer from MIN to MAX.
is_number() { __netns_is_number "$@"; }

# Usage: __netns_is_number VALUE [MIN [MAX]]
# Refuses leading zeros, because bash reads 010 as 8. 18 digits always fit in 64 bits.
__netns_is_number() { [[ ${1-} =~ ^(0|-?[1-9][0-9]{0,17})$ ]] && (($1 >= ${2:-$1} && $1 <= ${3:-$1})); }

# Usage: is_one_of VALUE WORD...
#   is_one_of "$VPN_MODE" tun tap || exit 1
# Whether VALUE is one of the words.
is_one_of() {
  local __netns_word
  for __netns_word in "${@:2}"; do
    [[ $1 != "$__netns_word" ]] || return 0
  done
  return 1
}

# Usage: valid_time_span VARIABLE [LIMIT]
#   configure_vpn_validate() { valid_time_span VPN_IDLE; }
# Prints a line if VARIABLE is set and is not a time span of systemd.time(7), such as 10min, as the function configure_TYPE_validate
# must do. With LIMIT, another time span, the time must be less than LIMIT.
valid_time_span() { [[ ! ${!1-} ]] || __netns_library valid_time_span "$1" "${!1}" "${@:2}"; }

# Usage: valid_setting VARIABLE CHECK [ARGUMENT...]
#   configure_vpn_validate() { valid_setting VPN_KEEPALIVE is_number 0 65535; }
# Runs CHECK VALUE ARGUMENT... for the value of VARIABLE, or for each element of an array. Prints a line for each invalid value, as
# the function configure_TYPE_validate must do. A variable that is unset or empty is valid. The status is 1 if a value is invalid.
valid_setting() {
  local -n __netns_setting=$1
  local __netns_value __netns_status=0
  for __netns_value in "${__netns_setting[@]-}"; do
    if [[ $__netns_value ]] && ! "$2" "$__netns_value" "${@:3}"; then
      __netns_status=1
      echo "$1: ${__netns_value@Q} is $(__netns_expected "${@:2}")"
    fi
  done
  return "$__netns_status"
}
__netns_expected() {
  case ${1#is_} in
    address) echo 'not an IP address: expected an address such as 192.0.2.1 or 2001:db8::1' ;;
    prefix) echo 'not a prefix: expected ADDRESS/LENGTH, such as 192.0.2.0/24 or 2001:db8::/64' ;;
    mac) echo 'not a hardware address of an interface: expected six bytes, such as 02:00:00:00:00:01, not multicast' ;;
    port) echo 'not a port: expected a number from 1 to 65535' ;;
    number) echo "not a valid number: expected an integer${2:+, at least $2}${3:+, at most $3}" ;;
    one_of) echo "not a valid word: expected one of ${*:2}" ;;
    *) echo "not valid: refused by \`$*\`" ;;
  esac
}

# Usage: can_check_network
#   configure_vpn_validate() {
#     ! can_check_network || [[ $(inside_run ip -6 route) ]] || echo 'VPN_NETWORK: the namespace has no IPv6'
#   }
# Whether the function configure_TYPE_validate can compare the settings with the network of the namespace: `netnsctl check` or
# `netnsctl restart` has called it, the instance is up, and no other instance of the namespace is restarted too.
can_check_network() { [[ ${__netns_validates-} == network && -e $__netns_state ]]; }

# Usage: read_ini FILE ARRAY
#   local -A config
#   read_ini /etc/vpn.ini config
#   ip address replace "${config[interface.address]}" dev "$VPN_IFNAME"
# Reads a file with lines `key = value` and `[section]` into the associative array ARRAY, with the keys `section.key`. The values
# of a repeated key are separated by newlines. Lines that begin with `#` or `;` are comments.
read_ini() {
  local __netns_line __netns_key __netns_section=''
  local -i __netns_number=0
  # The keys of an indexed array would be evaluated as arithmetic.
  if [[ $(declare -p "$2" 2>/dev/null) != 'declare -'*([!\ ])A* ]]; then
    echo "read_ini: '$2' is not an associative array; declare it first: local -A $2" >&2
    return 1
  elif [[ ! -r $1 || -d $1 ]]; then
    echo "cannot read '$1': it does not exist, or is not a readable file" >&2
    return 1
  fi
  local -n __netns_array=$2
  __netns_array=()
  while IFS=$' \t' read -r __netns_line || [[ $__netns_line ]]; do
    __netns_number+=1
    __netns_line=${__netns_line%$'\r'}
    __netns_line=${__netns_line%"${__netns_line##*[! $'\t']}"}
    case $__netns_line in
      '' | [\#\;]*) continue ;;
      \[?*\])
        __netns_section=${__netns_line:1:-1}.
        continue
        ;;
      *=*) __netns_key=${__netns_line%%=*} ;;
      *) __netns_key='' ;;
    esac
    __netns_key=${__netns_key%"${__netns_key##*[! $'\t']}"}
    if [[ ! $__netns_key || $__netns_key == *[!A-Za-z0-9_.-]* ]]; then
      echo "$1:$__netns_number: invalid line ${__netns_line@Q}: expected KEY = VALUE, [SECTION] or a comment" >&2
      return 1
    fi
    __netns_key=$__netns_section$__netns_key
    __netns_line=${__netns_line#*=}
    __netns_line=${__netns_line#"${__netns_line%%[! $'\t']*}"}
    # shellcheck disable=SC2004 # the array is associative
    __netns_array[$__netns_key]+=${__netns_array[$__netns_key]+$'\n'}$__netns_line
  done <"$1"
}
