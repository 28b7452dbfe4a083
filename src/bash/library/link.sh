# shellcheck shell=bash disable=SC2034,SC2154
# The functions of the library for interfaces. The program does the work (src/library/link).

# Usage: link_add PREFIX [SUFFIX] type KIND [ARGUMENT...]
#   link_add BRIDGE type bridge stp_state "${BRIDGE_STP:-0}"
#   link_add VETH _OUTSIDE type veth peer _INSIDE
# Creates the interface PREFIX_IFNAME of the kind KIND, down, with PREFIX_MAC and PREFIX_MTU. ARGUMENTs are those of `ip link add`
# after the kind. The interface is in the namespace of the instance; with the SUFFIX _OUTSIDE it is on the host, or in the namespace
# PREFIX_NSNAME_OUTSIDE. If PREFIX_PARENT_IFNAME is set, the interface is created on this parent, in the namespace
# PREFIX_PARENT_NSNAME or on the host. A veth pair needs the SUFFIX of its other end as `peer SUFFIX`; this end is in the namespace.
# Checks all settings of the interface before it is created. An interface that the instance has created already stays. With another parent or other
# ARGUMENTs than before, it is changed, or deleted and created again if the kernel cannot change it, with its present name.
link_add() {
  local __netns_prefix=${1-} __netns_suffix='' __netns_peer='' __netns_settings
  set -- "${@:2}"
  if [[ ${1-} == _* ]]; then __netns_suffix=$1 && shift; fi
  if [[ $# == 4 && $3 == peer ]]; then __netns_peer=$4 && set -- "${@:1:2}"; fi
  __netns_read_settings "$__netns_prefix" "$__netns_suffix" ${__netns_peer:+"$__netns_peer"}
  __netns_library link_add "$__netns_prefix" "$__netns_suffix" "$__netns_peer" "$@" -- "${__netns_settings[@]}"
}

# Usage: link_configure PREFIX [SUFFIX] [type KIND [ARGUMENT...]]
#   link_configure BRIDGE
#   link_configure VETH _INSIDE
# Gives an interface its hardware address, MTU, alias, group, addresses, routes, gateway, sysctls and bridge (PREFIX_MAC, _MTU, _ALIAS,
# _GROUP, _IFADDR, _ROUTES, _GATEWAY, _SYSCTLS, _BRIDGE), sets it up, and waits until it can be used. The interfaces PREFIX_PORTS of
# the same place become its ports, also those that link_configure configures later. A tunnel sends to the addresses PREFIX_REMOTES.
# With `auto` in PREFIX_IFADDR, waits for an IPv6 address of a router. Called again, it applies the present settings. With a KIND, it then
# first does what link_add does: for an interface that only the hook on the host has created.
link_configure() {
  local __netns_prefix=${1-} __netns_ends=('') __netns_settings
  set -- "${@:2}"
  if [[ ${1-type} != type ]]; then __netns_ends=("$1") && shift; fi
  # A restart of the inside end of a pair also configures the outside end. A moved interface has its name in PREFIX_IFNAME_INSIDE.
  case ${__netns_ends[0]} in
    _INSIDE) __netns_ends+=(_OUTSIDE) ;;
    '') __netns_ends+=(_INSIDE) ;;
  esac
  __netns_read_settings "$__netns_prefix" "${__netns_ends[@]}"
  __netns_library link_configure "$__netns_prefix" "${__netns_ends[0]}" "$@" -- "${__netns_settings[@]}"
}

# Usage: link_move PREFIX
#   link_move HOSTDEV
# Moves an interface of the host into the namespace. PREFIX_IFNAME selects it: by its name, its hardware address, or a path in /sys. Waits
# PREFIX_TIMEOUT seconds for it. In the namespace its name is PREFIX_IFNAME_INSIDE, or the same. When the instance goes down, the host
# gets it back with its name, hardware address, MTU and state. A wireless interface is moved with its whole device, by iw(8).
link_move() {
  local __netns_settings
  __netns_read_settings "$1" '' _INSIDE
  __netns_library link_move "$1" -- "${__netns_settings[@]}"
}

# Usage: link_delete PREFIX [SUFFIX]
#   link_delete BRIDGE
# Removes an interface that link_add has created, or gives back the one that link_move has moved. `down` does this too.
link_delete() { __netns_library link_delete "$1" "${2-}"; }

# Usage: link_up IFNAME
#   link_up lo
# Sets an interface of the namespace up that is not made by link_add.
link_up() { __netns_library link_up "$1"; }

# Usage: default_ifname VARIABLE NAME
#   default_ifname VETH_IFNAME_OUTSIDE "ve-${1}0"
# Sets VARIABLE to NAME, unless it has a value. A NAME that the kernel refuses is replaced: one of more than 15 characters, or with `/`,
# `:`, `%` or white space. Its begin and its last character stay, with `_` for these characters, and a hash of the whole NAME is between
# them. So the name is always the same, and different for each namespace.
default_ifname() {
  [[ -z ${!1-} ]] || return 0
  local __netns_name=$2
  if ((${#2} > 15)) || [[ $2 == *[/:%[:space:]]* ]]; then
    local -i __netns_hash=2166136261 __netns_at __netns_code # FNV-1a, 32 bits
    for ((__netns_at = 0; __netns_at < ${#2}; __netns_at++)); do
      printf -v __netns_code %d "'${2:__netns_at:1}"
      __netns_hash=$(((__netns_hash ^ __netns_code) * 16777619 & 0xffffffff))
    done
    printf -v __netns_name '%s%08x%s' "${2:0:6}" "$__netns_hash" "${2: -1}"
    __netns_name=${__netns_name//[\/:%[:space:]]/_}
  fi
  printf -v "$1" %s "$__netns_name"
}

# Usage: __netns_read_settings PREFIX SUFFIX [SUFFIX]
# Sets __netns_settings to the settings of interfaces, as NAME=VALUE. An array has an entry for each element.
__netns_read_settings() {
  local __netns_key __netns_names=() __netns_suffixes=("${@:2}") __netns_value
  for __netns_key in MTU GATEWAY BRIDGE PORTS REMOTES CARRIER_TIMEOUT NSNAME_OUTSIDE NSNAME_SOCKET PARENT_IFNAME PARENT_NSNAME PARENT_TIMEOUT \
    TIMEOUT; do
    __netns_names+=("$1_$__netns_key")
  done
  for __netns_key in IFNAME MAC ALIAS GROUP IFADDR ROUTES SYSCTLS; do
    __netns_names+=("${__netns_suffixes[@]/#/$1_$__netns_key}")
  done
  __netns_settings=()
  for __netns_key in "${__netns_names[@]}"; do
    local -n __netns_variable=$__netns_key
    for __netns_value in "${__netns_variable[@]}"; do
      [[ -z $__netns_value ]] || __netns_settings+=("$__netns_key=$__netns_value")
    done
    unset -n __netns_variable
  done
}

# Usage: __netns_library FUNCTION [ARGUMENT...]
# Runs a function of the library in the program. After a failure of the hook, the program undoes what the hook has done.
__netns_library() {
  local __netns_trace=-
  __netns_begin
  [[ $- != *x* ]] || __netns_trace=trace
  "$0" --library "$__netns_root" "${__netns_state##*/}" "$INOUT" "$__netns_hook_id" "$__netns_trace" "$@"
}

# Before the first call of the library by a hook. In a subshell, this would be forgotten.
__netns_begin() {
  [[ -z ${__netns_hook_id-} ]] || return 0
  __netns_hook_id=$$.$EPOCHREALTIME
  __netns_on_failure __netns_library undo
}
