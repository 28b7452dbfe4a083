# shellcheck shell=bash disable=SC2034,SC2154 # the wrapper and failure.sh share __netns_*
# The runtime: what plugins and .conf files may call. netnsinit puts it in front of every hook.
# Names that begin with `__netns_` belong to the host; all others are for plugins.
#
# Between two blank lines stands one function and what goes with it. It is in front of the call where a layer names it.

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
# Ends the hook with status 1 unless VARIABLE holds a name that the kernel takes for an interface
# (dev_valid_name in net/core/dev.c: 1 to 15 bytes, no slash, colon or white space, not `.` or `..`), and takes as it is: `%`
# makes it a pattern (dev_alloc_name).
assert_ifname() {
  assert_non_empty "$1"
  local __netns_name=${!1}
  # Bytes, not characters. Where they are the same, bash need not load the locale.
  if [[ $__netns_name == *[![:ascii:]]* ]]; then local LC_ALL=C; fi
  if ((${#__netns_name} > 15)); then
    echo "$1='$__netns_name': an interface name has at most 15 characters, this one has ${#__netns_name}" >&2
  elif [[ $__netns_name == . || $__netns_name == .. || $__netns_name == *[/:%[:space:]]* ]]; then
    echo "$1='$__netns_name' is no interface name: it is '.' or '..', or has a slash, a colon, a percent sign or white space in it" >&2
  else
    return 0
  fi
  builtin exit 1
}

# Usage: assert_command COMMAND PACKAGE
#   assert_command nft nftables
# Ends the hook with status 1 unless COMMAND is in PATH; says which Debian package has it.
assert_command() {
  type -P "$1" >/dev/null && return
  echo "the program \`$1\` is not installed, or not in PATH ($PATH): install it, on Debian with 'apt install $2'" >&2
  builtin exit 1
}

# Usage: inside_check NSNAME
#   inside_check "$NSNAME" || echo 'the name is gone'
# Whether this shell is in the network namespace that is called NSNAME now.
inside_check() { [[ /proc/self/ns/net -ef $__netns_dir/$1 ]]; }

# Usage: on_failure COMMAND [ARGUMENT...]
#   ip link add "$IFNAME" type bridge
#   on_failure ip link delete dev "$IFNAME"
# Undoes a step: COMMAND runs if the hook fails or is terminated after this; the last one named runs first.
on_failure() { __netns_undo+=("$@" "$#"); }
__netns_roll_back() {
  local -i words
  while ((${#__netns_undo[@]})); do
    words=${__netns_undo[-1]}
    "${__netns_undo[@]: -words-1:words}"
    __netns_undo=("${__netns_undo[@]:0:${#__netns_undo[@]}-words-1}")
  done
}

# Usage: with_netns_files COMMAND [ARGUMENT...]
#   with_netns_files dhclient ve-shop1
# Runs COMMAND with the files of /etc/netns/NSNAME in /etc. What it writes to /etc/resolv.conf is written there, and never to
# the host's file.
with_netns_files() { __netns_failed __netns_with_files "$@"; }

# Usage: assert_may_come_up NSNAME
#   assert_may_come_up "$VETH_NSNAME_OUTSIDE"
# Ends the hook with status 1 if no interface may come up in the namespace NSNAME, since its firewall cannot be loaded. The host
# checks the hook's own namespace.
assert_may_come_up() {
  [[ -e ${__netns_state%/*/*}/closed/$1 ]] || return 0
  echo "the firewall of namespace '$1' cannot be loaded, so no interface comes up in it" >&2
  builtin exit 1
}

# Usage: ignore_routers IFNAME [NSNAME]
#   ignore_routers ve-shop0
# For an interface of the host, or of the namespace NSNAME, whose other end is not trusted. It ignores router advertisements
# and redirects, and gets no address from them. Call this before the interface is up: it keeps what it has learned.
ignore_routers() {
  if [[ -n ${2-} ]]; then
    # /proc/sys/net is that of the network namespace of the process that opens it.
    # shellcheck disable=SC2016 # expanded there
    (export -f ignore_routers && exec nsenter --net="$__netns_dir/$2" -- "$BASH" -c 'ignore_routers "$1"' bash "$1")
    return
  fi
  # These are no interfaces there.
  [[ $1 != @(all|default) ]] || return 0
  local __netns_setting __netns_file __netns_now __netns_refused=()
  for __netns_setting in ipv6:accept_ra ipv6:autoconf ipv6:accept_redirects ipv4:accept_redirects; do
    __netns_file=/proc/sys/net/${__netns_setting%:*}/conf/$1/${__netns_setting#*:}
    # Without IPv6, there is no such file.
    [[ ! -e $__netns_file ]] || echo 0 >|"$__netns_file" || __netns_refused+=("$__netns_file")
  done 2>/dev/null
  for __netns_file in "${__netns_refused[@]}"; do
    read -r __netns_now <"$__netns_file" || :
    [[ $__netns_now == 0 ]] || echo "warning: $__netns_file is $__netns_now, cannot set it to 0: is /proc/sys read-only?" >&2
  done
}

# Usage: remember VARIABLE...
#   remember VETH_IFNAME_OUTSIDE
# Keeps values (not arrays) for the instance's later hooks, since its .conf may be edited before it goes down.
remember() {
  if [[ ! -d ${__netns_state%/*} ]]; then (umask 077 && mkdir -p -- "${__netns_state%/*}"); fi
  local __netns_name __netns_entries=()
  for __netns_name; do
    if [[ -v $__netns_name ]]; then
      __netns_entries+=("$__netns_name=${!__netns_name}")
    else
      __netns_entries+=("$__netns_name")
    fi
  done
  if [[ ! -e $__netns_state ]]; then
    printf '%s\0' "${__netns_entries[@]}" >"$__netns_state"
    return
  fi
  if [[ ! -f $__netns_state ]]; then
    echo "$__netns_state is no regular file: move it out of the way" >&2
    return 1
  fi
  # What is remembered already, but for what is remembered anew.
  while IFS= read -r -d '' __netns_name; do
    [[ " $* " == *" ${__netns_name%%=*} "* ]] || __netns_entries+=("$__netns_name")
  done <"$__netns_state"
  if ! printf '%s\0' "${__netns_entries[@]}" >"$__netns_state~"; then
    rm -f -- "$__netns_state~" # the disk is full, say
    return 1
  fi
  mv -- "$__netns_state~" "$__netns_state"
}

# Usage: recall
# Gives the remembered variables back the values that they had; changes nothing where none are remembered.
recall() {
  [[ -f $__netns_state ]] || return 0
  local __netns_entry __netns_name
  while IFS= read -r -d '' __netns_entry; do
    __netns_name=${__netns_entry%%=*}
    [[ ${!__netns_name@a} != *r* ]] || continue # readonly: a .conf insists on it
    if [[ $__netns_entry == *=* ]]; then
      printf -v "$__netns_name" %s "${__netns_entry#*=}"
    else
      unset -v "$__netns_name"
    fi
  done <"$__netns_state"
}

# Usage: display_usage
display_usage() { "$0" --help; }
