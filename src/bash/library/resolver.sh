# shellcheck shell=bash disable=SC2154 # the wrapper sets __netns_*
# The files for name resolution in the namespace: resolv.conf, nsswitch.conf and hosts in /etc/netns/NSNAME.

# Usage: resolver_write PREFIX
#   VPN_SERVERS=192.0.2.53
#   resolver_write VPN
# Writes the files for the servers PREFIX_SERVERS, with PREFIX_SEARCH, PREFIX_OPTIONS and PREFIX_HOSTS. Writes all files or none: the
# checks come before the first file is replaced. Without servers, it removes the files. Registers their removal if the hook fails.
resolver_write() { __netns_resolver_write "$@"; }

# Usage: __netns_resolver_write PREFIX
__netns_resolver_write() {
  local __netns_servers=$1_SERVERS __netns_etc=/etc/netns/$NSNAME __netns_file __netns_files=(resolv.conf nsswitch.conf hosts)
  if [[ ! ${!__netns_servers-} ]]; then
    __netns_resolver_remove
    return
  fi
  for __netns_file in "${__netns_files[@]}"; do
    if [[ -e $__netns_etc/$__netns_file || -L $__netns_etc/$__netns_file ]] &&
      ! __netns_resolver_is_ours "$__netns_etc/$__netns_file" && __netns_resolver_wants "$1" "$__netns_file"; then
      __netns_resolver_explain "$__netns_etc/$__netns_file" >&2
      return 1
    fi
  done
  # A restart must not leave the namespace without its files.
  [[ $INOUT == inside ]] || __netns_on_failure __netns_resolver_remove
  mkdir -p -- "$__netns_etc"
  for __netns_file in "${__netns_files[@]}"; do
    if __netns_resolver_wants "$1" "$__netns_file"; then
      # Written beside the directory first: no process reads a partial file.
      __netns_resolver_content "$1" "$__netns_file" >"/etc/netns/.$NSNAME.$__netns_file"
      __netns_resolver_replace "/etc/netns/.$NSNAME.$__netns_file" "$__netns_etc/$__netns_file"
    elif __netns_resolver_is_ours "$__netns_etc/$__netns_file"; then
      rm -- "$__netns_etc/$__netns_file"
    fi
  done
}

# Usage: __netns_resolver_explain PATH
# Prints why a file that exists cannot be replaced.
__netns_resolver_explain() {
  local __netns_line='' __netns_owner
  [[ ! -f $1 ]] || read -r __netns_line <"$1" || true
  if [[ $__netns_line =~ ^'# Written by the type '([^ ]+)' of systemd-netns' ]]; then
    __netns_owner=${BASH_REMATCH[1]}@$NSNAME
    echo "cannot replace '$1', which $__netns_owner has written; use only one of $__netns_owner and $NSTYPE@$NSNAME," \
      "or set servers in only one of them"
  else
    echo "cannot replace '$1': it was not written by the type $NSTYPE; remove it, or do not use $NSTYPE@$NSNAME"
  fi
}

# Usage: __netns_resolver_replace NEW PATH
# Puts the text of the file NEW into the file at PATH, and removes NEW.
__netns_resolver_replace() {
  local LC_ALL=C __netns_descriptor __netns_new __netns_old __netns_rest=''
  if [[ ! -e $2 ]]; then
    mv -T -- "$1" "$2"
    return
  fi
  # `read` fails at the end of a file, and needs no process.
  IFS='' read -r -d '' __netns_new <"$1" || true
  IFS='' read -r -d '' __netns_old <"$2" || true
  if [[ $__netns_new != "$__netns_old" ]]; then
    # Services have this file mounted, so it stays. Empty lines replace the rest of a longer text, until they are cut off: no process reads
    # a part of the old text.
    ((${#__netns_old} <= ${#__netns_new})) || printf -v __netns_rest '%*s' "$((${#__netns_old} - ${#__netns_new}))" ''
    # Not `1<>`: `declare -f` of bash prints it without the 1.
    exec {__netns_descriptor}<>"$2"
    printf %s "$__netns_new${__netns_rest// /$'\n'}" >&"$__netns_descriptor"
    exec {__netns_descriptor}>&-
    truncate --size="${#__netns_new}" -- "$2"
  fi
  rm -- "$1"
}

# Usage: resolver_remove
# Removes the files that resolver_write has written for this type, whatever the settings are now.
resolver_remove() { __netns_resolver_remove; }

# Usage: resolver_check PREFIX
#   configure_vpn_check_outside() { resolver_check VPN; }
# Prints a line for each file that differs from the settings of resolver_write.
resolver_check() { __netns_resolver_check "$@"; }

# Usage: __netns_resolver_check PREFIX
__netns_resolver_check() {
  local __netns_servers=$1_SERVERS __netns_file __netns_path
  [[ ${!__netns_servers-} ]] || return 0
  for __netns_file in resolv.conf nsswitch.conf hosts; do
    __netns_path=/etc/netns/$NSNAME/$__netns_file
    if ! __netns_resolver_wants "$1" "$__netns_file"; then
      ! __netns_resolver_is_ours "$__netns_path" || echo "'$__netns_path' exists, but $1_HOSTS is empty"
    elif [[ ! -e $__netns_path ]]; then
      echo "'$__netns_path' is missing"
    elif [[ $(<"$__netns_path") != "$(__netns_resolver_content "$1" "$__netns_file")" ]]; then
      echo "'$__netns_path' differs from the settings"
    fi
  done
}

# Usage: __netns_resolver_remove
__netns_resolver_remove() {
  local __netns_etc=/etc/netns/$NSNAME __netns_file
  for __netns_file in resolv.conf nsswitch.conf hosts; do
    rm -f -- "/etc/netns/.$NSNAME.$__netns_file"
    ! __netns_resolver_is_ours "$__netns_etc/$__netns_file" || rm -- "$__netns_etc/$__netns_file"
  done
  rmdir --ignore-fail-on-non-empty -- "$__netns_etc" 2>/dev/null || true # it may not exist
}

# Usage: __netns_resolver_wants PREFIX FILE
# Without PREFIX_HOSTS, the host's file stays in use.
__netns_resolver_wants() {
  local __netns_hosts=$1_HOSTS
  [[ $2 != hosts || -n ${!__netns_hosts-} ]]
}

# Usage: __netns_resolver_is_ours PATH
__netns_resolver_is_ours() {
  local __netns_line
  [[ -f $1 && ! -L $1 ]] || return
  read -r __netns_line <"$1" || true
  [[ $__netns_line == "$(__netns_resolver_header)" ]]
}

# Usage: __netns_resolver_header
__netns_resolver_header() { echo "# Written by the type $NSTYPE of systemd-netns, which removes it again."; }

# Usage: __netns_resolver_content PREFIX FILE
__netns_resolver_content() {
  local __netns_servers=$1_SERVERS __netns_search=$1_SEARCH __netns_options=$1_OPTIONS __netns_hosts=$1_HOSTS __netns_words
  __netns_resolver_header
  case $2 in
    resolv.conf)
      # `read` fails at the end of the text: there is no NUL in it.
      read -r -d '' -a __netns_words <<<"${!__netns_servers}" || true
      printf 'nameserver %s\n' "${__netns_words[@]}"
      [[ -z ${!__netns_search-} ]] || echo "search ${!__netns_search//[[:space:]]/ }"
      [[ -z ${!__netns_options-} ]] || echo "options ${!__netns_options//[[:space:]]/ }"
      ;;
    nsswitch.conf)
      # The host's file, for users and groups. Only `files` and `dns` resolve names: `resolve`, `mdns` and `myhostname`
      # would query the host. `$a\` adds a missing newline at the end of the file.
      if [[ -e /etc/nsswitch.conf ]]; then sed -e '/^[[:space:]]*hosts:/d' -e "\$a\\" /etc/nsswitch.conf; fi
      echo 'hosts: files dns'
      ;;
    hosts)
      printf '%s\n' '127.0.0.1 localhost' '::1 localhost ip6-localhost ip6-loopback' "${!__netns_hosts}"
      ;;
  esac
}
