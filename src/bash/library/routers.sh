# shellcheck shell=bash disable=SC2154 # the wrapper sets __netns_*
# Router advertisements and redirects.

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
