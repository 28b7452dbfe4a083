# shellcheck shell=bash disable=SC2154 # the wrapper sets __netns_*
# Checks that end the hook.

# Usage: assert_non_empty VARIABLE
#   assert_non_empty VETH_IFADDR_INSIDE
# Ends the hook with status 1 unless VARIABLE is set and not empty.
assert_non_empty() { __netns_assert_non_empty "$@"; }

# Usage: __netns_assert_non_empty VARIABLE
__netns_assert_non_empty() {
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
  __netns_assert_non_empty "$1"
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

# Usage: refuse_settings LINES
#   refuse_settings "VPN_SERVER: '$VPN_SERVER' is an address of the namespace; fix: use another one"
# Ends the hook with status 1 because of invalid settings. LINES are those that the function configure_TYPE_validate prints. The
# messages also have the file and the line.
refuse_settings() { __netns_failed __netns_refuse "$1"; }

# Usage: assert_may_come_up NSNAME
#   assert_may_come_up "$VETH_NSNAME_OUTSIDE"
# Ends the hook with status 1 if the firewall of the namespace NSNAME cannot be loaded: then no interface may come up in it. The
# host checks the hook's own namespace.
assert_may_come_up() {
  [[ -e ${__netns_state%/*/*}/closed/$1 ]] || return 0
  echo "the firewall of namespace '$1' cannot be loaded, so no interface comes up in it" >&2
  builtin exit 1
}
