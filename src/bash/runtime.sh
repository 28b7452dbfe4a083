# shellcheck shell=bash disable=SC2034,SC2154 # the wrapper and failure.sh share __netns_*
# The runtime: the functions that plugins and .conf files can call. They are part of the wrapper of every hook.
# Names that begin with `__netns_` belong to the host. Plugins can use all other names.
#
# Between two blank lines is one function with its helpers. If a layer contains its name, the function is before the call in the
# wrapper.

# Usage: assert_non_empty VARIABLE
#   assert_non_empty VETH_IFADDR_INSIDE
# Ends the hook with status 1 unless VARIABLE is set and not empty.
assert_non_empty() {
  if [[ -z ${1-} ]]; then
    echo 'Error: No variable name specified.' >&2
  elif [[ -z ${!1+set} ]]; then
    echo "Variable $1 is not set!" >&2
  elif [[ -z ${!1} ]]; then
    echo "Variable $1 is empty!" >&2
  else
    return 0
  fi
  builtin exit 1
}

# Usage: assert_ifname VARIABLE
#   assert_ifname VETH_IFNAME_OUTSIDE
# Ends the hook with status 1 unless VARIABLE contains a valid interface name: 1 to 15 bytes, without slash, colon or white
# space, not `.` or `..` (dev_valid_name in net/core/dev.c). `%` is not allowed either, because it makes the name a pattern
# (dev_alloc_name).
assert_ifname() {
  assert_non_empty "$1"
  local __netns_name=${!1}
  # The limit is in bytes, not characters. For an ASCII name, bash does not have to load the locale.
  if [[ $__netns_name == *[![:ascii:]]* ]]; then local LC_ALL=C; fi
  if ((${#__netns_name} > 15)); then
    echo "$1='$__netns_name': interface name is too long: ${#__netns_name} characters, at most 15 are possible" >&2
  elif [[ $__netns_name == . || $__netns_name == .. || $__netns_name == *[/:%[:space:]]* ]]; then
    echo "$1='$__netns_name': invalid interface name: it is '.' or '..', or contains a slash, a colon, a percent sign or white space" >&2
  else
    return 0
  fi
  builtin exit 1
}

# Usage: assert_command COMMAND PACKAGE
#   assert_command nft nftables
# Ends the hook with status 1 unless COMMAND is in PATH. The message has the command that installs
# PACKAGE, which is the name of the Debian package.
assert_command() {
  type -P "$1" >/dev/null && return
  echo "the program \`$1\` is not installed, or not in PATH ($PATH); $("$0" --package-hint "$2")" >&2
  builtin exit 1
}

# Usage: inside_check NSNAME
#   inside_check "$NSNAME" || echo 'the namespace was replaced'
# Whether this shell runs in the network namespace that now has the name NSNAME.
inside_check() { [[ /proc/self/ns/net -ef $__netns_dir/$1 ]]; }

# Usage: on_failure COMMAND [ARGUMENT...]
#   ip link add "$IFNAME" type bridge
#   on_failure ip link delete dev "$IFNAME"
# Registers COMMAND to undo a step. It runs if the hook fails or is terminated later. The last registered command runs first.
on_failure() { __netns_on_failure "$@"; }

# Usage: __netns_on_failure COMMAND [ARGUMENT...]
# Does the same for the library, also if a file has defined another on_failure.
__netns_on_failure() { __netns_undo+=("$@" "$#"); }
__netns_roll_back() {
  local -i length
  while ((${#__netns_undo[@]})); do
    length=${__netns_undo[-1]}
    "${__netns_undo[@]: -length-1:length}"
    __netns_undo=("${__netns_undo[@]:0:${#__netns_undo[@]}-length-1}")
  done
}

# Usage: with_netns_files COMMAND [ARGUMENT...]
#   with_netns_files dhclient ve-shop1
# Runs COMMAND with the files of /etc/netns/NSNAME in /etc. COMMAND can write to /etc/resolv.conf; this changes the file of the
# namespace, and never the host's file.
with_netns_files() { __netns_failed __netns_with_files "$@"; }

# Usage: assert_may_come_up NSNAME
#   assert_may_come_up "$VETH_NSNAME_OUTSIDE"
# Ends the hook with status 1 if the firewall of the namespace NSNAME cannot be loaded: then no interface may come up in it. The
# host checks the hook's own namespace.
assert_may_come_up() {
  [[ -e ${__netns_state%/*/*}/closed/$1 ]] || return 0
  echo "the firewall of namespace '$1' cannot be loaded, so no interface comes up in it" >&2
  builtin exit 1
}

# Usage: ignore_routers IFNAME [NSNAME]
#   ignore_routers ve-shop0
# Makes an interface of the host, or of the namespace NSNAME, ignore router advertisements and redirects. Use it if the other
# end is not trusted. Call it before the interface is up, because it does not remove addresses and routes that exist already.
ignore_routers() {
  if [[ -n ${2-} ]]; then
    # /proc/sys/net shows the network namespace of the process that opens it.
    # shellcheck disable=SC2016 # expanded by the other bash
    (export -f ignore_routers && exec nsenter --net="$__netns_dir/$2" -- "$BASH" -c 'ignore_routers "$1"' bash "$1")
    return
  fi
  # In /proc/sys/net these are not interfaces.
  [[ $1 != @(all|default) ]] || return 0
  local __netns_setting __netns_file __netns_now __netns_refused=()
  for __netns_setting in ipv6:accept_ra ipv6:autoconf ipv6:accept_redirects ipv4:accept_redirects; do
    __netns_file=/proc/sys/net/${__netns_setting%:*}/conf/$1/${__netns_setting#*:}
    # The IPv6 files do not exist if IPv6 is disabled.
    [[ ! -e $__netns_file ]] || echo 0 >|"$__netns_file" || __netns_refused+=("$__netns_file")
  done 2>/dev/null
  for __netns_file in "${__netns_refused[@]}"; do
    read -r __netns_now <"$__netns_file" || :
    [[ $__netns_now == 0 ]] || echo "warning: cannot set $__netns_file to 0, it is $__netns_now: is /proc/sys read-only?" >&2
  done
}

# Usage: remember VARIABLE...
#   remember VETH_IFNAME_OUTSIDE
# Stores values for the later hooks of the instance, because its .conf file may be edited before `down`. An array keeps its
# elements in their order; its indices are stored as 0, 1, 2 ...
remember() {
  if [[ ! -d ${__netns_state%/*} ]]; then (umask 077 && mkdir -p -- "${__netns_state%/*}"); fi
  local - __netns_name __netns_entries=()
  set +u # a layer may have set it
  for __netns_name; do
    local -n __netns_variable=$__netns_name
    if [[ ${__netns_variable[*]@a} == *A* ]]; then
      echo "cannot remember '$__netns_name': it is an associative array" >&2
      return 1
    elif [[ ${__netns_variable[*]@a} == *a* ]]; then
      __netns_entries+=("$__netns_name()" "${__netns_variable[@]/#/$__netns_name+=}")
    elif [[ -v $__netns_name ]]; then
      __netns_entries+=("$__netns_name=${!__netns_name}")
    else
      __netns_entries+=("$__netns_name")
    fi
    unset -n __netns_variable
  done
  if [[ ! -e $__netns_state ]]; then
    printf '%s\0' "${__netns_entries[@]}" >"$__netns_state"
    return
  fi
  if [[ ! -f $__netns_state ]]; then
    echo "$__netns_state is not a regular file; move it out of the way" >&2
    return 1
  fi
  # The values that are stored already and have no new value.
  while IFS= read -r -d '' __netns_name; do
    [[ " $* " == *" ${__netns_name%%[=+(]*} "* ]] || __netns_entries+=("$__netns_name")
  done <"$__netns_state"
  if ! printf '%s\0' "${__netns_entries[@]}" >"$__netns_state~"; then
    rm -f -- "$__netns_state~" # the disk may be full
    return 1
  fi
  mv -- "$__netns_state~" "$__netns_state"
}

# Usage: recall
# Restores the values that the instance has stored. Changes nothing if there are none.
recall() {
  [[ -f $__netns_state ]] || return 0
  local - __netns_entry __netns_name
  set +u # a layer may have set it
  while IFS= read -r -d '' __netns_entry; do
    __netns_name=${__netns_entry%%[=+(]*}
    [[ ${!__netns_name@a} != *r* ]] || continue # a .conf file has made it readonly
    case ${__netns_entry#"$__netns_name"} in
      =*) printf -v "$__netns_name" %s "${__netns_entry#*=}" ;;
      +=*)
        local -n __netns_variable=$__netns_name
        __netns_variable+=("${__netns_entry#*=}")
        unset -n __netns_variable
        ;;
      *) unset -v "$__netns_name" ;;
    esac
  done <"$__netns_state"
}

# Usage: display_usage
# Prints the help of netnsinit.
display_usage() { "$0" --help; }
