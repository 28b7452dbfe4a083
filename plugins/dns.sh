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
configure_dns_up_outside() {
  on_failure dns_remove "$1"
  dns_write "$1"
}

# The settings may have changed before a restart.
configure_dns_up_inside() {
  configure_dns_validate >&2 || exit 1
  dns_write "$1"
}

# `down inside` is not defined: the files stay during a restart.
configure_dns_down_outside() { dns_remove "$1"; }

# Prints a line for each file that differs from the settings.
configure_dns_check_outside() {
  local NS_NAME=$1 file path
  for file in resolv.conf nsswitch.conf hosts; do
    path=/etc/netns/$NS_NAME/$file
    if ! dns_wants "$file"; then
      ! dns_is_ours "$path" || echo "'$path' exists, but DNS_HOSTS is empty"
    elif [[ ! -e $path ]]; then
      echo "'$path' is missing"
    elif [[ $(<"$path") != "$(dns_content "$file")" ]]; then
      echo "'$path' differs from the settings"
    fi
  done
}

# Usage: dns_write NAME
# Writes all files or none: the checks come before the first file is replaced.
dns_write() {
  local directory=/etc/netns/$1 file
  local -a files=(resolv.conf nsswitch.conf hosts)
  for file in "${files[@]}"; do
    if [[ -e $directory/$file || -L $directory/$file ]] && ! dns_is_ours "$directory/$file" && dns_wants "$file"; then
      echo "cannot replace '$directory/$file': it was not written by the type dns; remove it, or do not use dns@$1" >&2
      return 1
    fi
  done
  mkdir -p -- "$directory"
  for file in "${files[@]}"; do
    if dns_wants "$file"; then
      # Written beside the directory, then renamed: no process reads a partial file.
      dns_content "$file" >"/etc/netns/.$1.$file"
      mv -T -- "/etc/netns/.$1.$file" "$directory/$file"
    elif dns_is_ours "$directory/$file"; then
      rm -- "$directory/$file"
    fi
  done
}

# Usage: dns_remove NAME
# Removes the files that dns_write created, whatever the settings are now.
dns_remove() {
  local directory=/etc/netns/$1 file
  for file in resolv.conf nsswitch.conf hosts; do
    rm -f -- "/etc/netns/.$1.$file"
    ! dns_is_ours "$directory/$file" || rm -- "$directory/$file"
  done
  rmdir --ignore-fail-on-non-empty -- "$directory" 2>/dev/null || true # it may not exist
}

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

# Usage: dns_wants FILE
# Without DNS_HOSTS, the host's file stays in use.
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
      # The host's file, for users and groups. Only `files` and `dns` resolve names: `resolve`, `mdns` and `myhostname`
      # would query the host. `$a\` adds a missing newline at the end of the file.
      if [[ -e /etc/nsswitch.conf ]]; then sed -e '/^[[:space:]]*hosts:/d' -e "\$a\\" /etc/nsswitch.conf; fi
      echo 'hosts: files dns'
      ;;
    hosts)
      printf '%s\n' '127.0.0.1 localhost' '::1 localhost ip6-localhost ip6-loopback' "$DNS_HOSTS"
      ;;
  esac
}
