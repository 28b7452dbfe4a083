# shellcheck shell=bash
# dns: name resolution in the namespace, by files in /etc/netns/NAME. Attached services, `netnsctl run` and `ip netns exec`
# see these files in place of those in /etc.
#
# Contains: only definitions
# Etc: nsswitch.conf resolv.conf
#
# Settings (in dns-NAME.conf; those for all namespaces in dns.conf):
#   DNS_SERVERS  addresses of the servers, separated by blanks: "192.0.2.53 2001:db8::53"; libc uses the first three
#   DNS_SEARCH   domains that are tried for short names, separated by blanks
#   DNS_OPTIONS  options as in resolv.conf(5), separated by blanks: "timeout:2 edns0"
#   DNS_HOSTS    lines as in hosts(5), added after the lines for localhost

# The files are written before anything in the namespace starts. A restart writes them again, with the present settings.
configure_dns_up_outside() { resolver_write DNS; }

# The settings may have changed before a restart.
configure_dns_up_inside() {
  configure_dns_validate >&2 || exit 1
  resolver_write DNS
}

# `down inside` is not defined: the files stay during a restart.
configure_dns_down_outside() { resolver_remove; }

# Prints a line for each file that differs from the settings.
configure_dns_check_outside() { resolver_check DNS; }

# Prints a line for each invalid setting. libc ignores an invalid server, and without any server it uses 127.0.0.1.
configure_dns_validate() {
  local word line address names valid=yes
  local -a servers domains
  # `read` fails at the end of the text: there is no NUL in it.
  read -r -d '' -a servers <<<"${DNS_SERVERS-}" || true
  read -r -d '' -a domains <<<"${DNS_SEARCH-}" || true
  ((${#servers[@]})) || dns_is_wrong 'DNS_SERVERS: no server is set'
  for word in "${servers[@]}"; do
    is_address "$word" || dns_is_wrong "DNS_SERVERS: '$word' is not an IP address"
  done
  for word in "${domains[@]}"; do
    [[ $word != *[^[:alnum:]._-]* ]] || dns_is_wrong "DNS_SEARCH: '$word' is not a domain"
  done
  while read -r line; do
    # A line is an address with names, or a comment.
    read -r address names <<<"${line%%#*}" || true
    [[ -z $address ]] || { is_address "$address" && [[ $names && $names != *[^[:alnum:][:space:]._-]* ]]; } ||
      dns_is_wrong "DNS_HOSTS: '$line' is not an address with a name"
  done <<<"${DNS_HOSTS-}"
  [[ $valid ]]
}

# Usage: dns_is_wrong LINE
dns_is_wrong() { valid='' && echo "$1"; }
