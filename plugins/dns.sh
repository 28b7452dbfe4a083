# shellcheck shell=bash
# dns: who is asked for names in the namespace, by files in /etc/netns/NAME, which attached services, `netnsctl run` and
# `ip netns exec` have in place of those in /etc.
#
# Contains: only definitions
# Etc: nsswitch.conf resolv.conf
#
# Settings (in dns-NAME.conf; those for all namespaces in dns.conf):
#   DNS_SERVERS  addresses of the servers, separated by blanks: "192.0.2.53 2001:db8::53"; libc asks the first three
#   DNS_SEARCH   domains that are tried for short names, separated by blanks
#   DNS_OPTIONS  options as in resolv.conf(5), separated by blanks: "timeout:2 edns0"
#   DNS_HOSTS    lines as in hosts(5), which follow those for localhost

# Written before anything in the namespace starts, and again on each restart, since that takes what the .conf says now.
configure_dns_up_outside() {
  on_failure dns_remove "$1"
  dns_write "$1"
}

configure_dns_up_inside() { dns_write "$1"; }

# The files stay on a restart.
configure_dns_down_outside() { dns_remove "$1"; }

# What is not as `up` left it, a line each.
configure_dns_check_outside() {
  local NS_NAME=$1 file path
  for file in resolv.conf nsswitch.conf hosts; do
    path=/etc/netns/$NS_NAME/$file
    if ! dns_wants "$file"; then
      ! dns_is_ours "$path" || echo "'$path' is there, though DNS_HOSTS is empty"
    elif [[ ! -e $path ]]; then
      echo "'$path' is gone"
    elif [[ $(<"$path") != "$(dns_content "$file")" ]]; then
      echo "'$path' is not what DNS_SERVERS and the other settings come to"
    fi
  done
}

# Usage: dns_write NAME
# All files or none: what cannot be is found before the first one is replaced.
dns_write() {
  local directory=/etc/netns/$1 file
  local -a files=(resolv.conf nsswitch.conf hosts)
  configure_dns_validate >&2 || exit 1
  for file in "${files[@]}"; do
    if [[ -e $directory/$file || -L $directory/$file ]] && ! dns_is_ours "$directory/$file" && dns_wants "$file"; then
      echo "'$directory/$file' was not written by the type dns, and is left alone: remove it, or do without dns@$1" >&2
      return 1
    fi
  done
  mkdir -p -- "$directory"
  for file in "${files[@]}"; do
    if dns_wants "$file"; then
      # Beside the directory, since all that is in there counts, then renamed: nobody ever reads half of it.
      dns_content "$file" >"/etc/netns/.$1.$file"
      mv -T -- "/etc/netns/.$1.$file" "$directory/$file"
    elif dns_is_ours "$directory/$file"; then
      rm -- "$directory/$file"
    fi
  done
}

# Usage: dns_remove NAME
# What is ours goes, whatever the .conf says by now.
dns_remove() {
  local directory=/etc/netns/$1 file
  for file in resolv.conf nsswitch.conf hosts; do
    rm -f -- "/etc/netns/.$1.$file"
    ! dns_is_ours "$directory/$file" || rm -- "$directory/$file"
  done
  rmdir --ignore-fail-on-non-empty -- "$directory" 2>/dev/null || true # it may be gone, or not there yet
}

# What is wrong with the settings, a line each. libc passes over what it cannot read, and asks 127.0.0.1 where no server is left.
configure_dns_validate() {
  local word line address names valid=yes
  local -a servers domains
  # Only the end of the text ends it.
  read -r -d '' -a servers <<<"${DNS_SERVERS-}" || true
  read -r -d '' -a domains <<<"${DNS_SEARCH-}" || true
  ((${#servers[@]})) || dns_is_wrong 'DNS_SERVERS: it names no server'
  for word in "${servers[@]}"; do
    dns_is_address "$word" || dns_is_wrong "DNS_SERVERS: '$word' is not an IP address"
  done
  for word in "${domains[@]}"; do
    [[ $word != *[^[:alnum:]._-]* ]] || dns_is_wrong "DNS_SEARCH: '$word' is not a domain"
  done
  while read -r line; do
    # A line has an address and names, or nothing but a comment.
    read -r address names <<<"${line%%#*}" || true
    [[ -z $address ]] || { dns_is_address "$address" && [[ $names && $names != *[^[:alnum:][:space:]._-]* ]]; } ||
      dns_is_wrong "DNS_HOSTS: '$line' is not an address with a name"
  done <<<"${DNS_HOSTS-}"
  [[ $valid ]]
}

# Usage: dns_is_wrong LINE
dns_is_wrong() { valid='' && echo "$1"; }

# Usage: dns_is_address WORD
# No leading zeros in IPv4: libc reads 010 as 8.
dns_is_address() {
  local address=$1 byte='(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])' group='[0-9A-Fa-f]{1,4}'
  local -a groups
  local four="(${byte}[.]){3}${byte}" some="(${group}(:${group})*)?"
  if [[ $address =~ ^$four$ ]]; then return 0; fi
  if [[ $address == *%?* ]]; then address=${address%%%*}; fi # the interface, as in fe80::1%eth0
  if [[ $address =~ ^(.*:)$four$ ]]; then address=${BASH_REMATCH[1]}0:0; fi
  read -r -a groups <<<"${address//:/ }"
  if [[ $address =~ ^${some}::${some}$ ]]; then ((${#groups[@]} <= 7)); else [[ $address =~ ^${group}(:${group}){7}$ ]]; fi
}

# Usage: dns_wants FILE
# Without DNS_HOSTS, the host's stays.
dns_wants() { [[ $1 != hosts || -n ${DNS_HOSTS-} ]]; }

# Usage: dns_is_ours PATH
dns_is_ours() {
  local line
  [[ -f $1 && ! -L $1 ]] || return
  read -r line <"$1" || true
  [[ $line == "$(dns_header)" ]]
}

dns_header() { echo '# Written by the type dns of systemd-netns, which removes it again.'; }

# Usage: dns_content FILE
dns_content() {
  local -a servers
  dns_header
  case $1 in
    resolv.conf)
      read -r -d '' -a servers <<<"$DNS_SERVERS" || true # as above
      printf 'nameserver %s\n' "${servers[@]}"
      [[ -z ${DNS_SEARCH-} ]] || echo "search ${DNS_SEARCH//[[:space:]]/ }"
      [[ -z ${DNS_OPTIONS-} ]] || echo "options ${DNS_OPTIONS//[[:space:]]/ }"
      ;;
    nsswitch.conf)
      # The host's, for users and groups. Names go by the two files alone: `resolve`, `mdns` and `myhostname` ask the host.
      # `$a\` ends its last line, where it has no end.
      if [[ -e /etc/nsswitch.conf ]]; then sed -e '/^[[:space:]]*hosts:/d' -e "\$a\\" /etc/nsswitch.conf; fi
      echo 'hosts: files dns'
      ;;
    hosts)
      printf '%s\n' '127.0.0.1 localhost' '::1 localhost ip6-localhost ip6-loopback' "$DNS_HOSTS"
      ;;
  esac
}
