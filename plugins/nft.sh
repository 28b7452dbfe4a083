# shellcheck shell=bash
# nft: a firewall in the namespace. Brings lo up, too.
#
# The rules are /etc/conf.d/netns/nft-NAME.rules, else nft.rules there, in the language of nft(8). They replace all that
# is in force, in one transaction; where they cannot be loaded, what is in force stays.
#
# Settings (in nft-NAME.conf, nft.conf or default.conf):
#   NFT_AUTO_SAVE  yes: on stop, save the rules in force to nft-NAME.rules

# shellcheck disable=SC2034 # read by netnsinit
NO_CONFIG_REQUIRED=yes

# Whatever keeps the rules from being loaded, be it a .conf that bash cannot read, which fails up outside: nothing passes
# unfiltered.
if [[ $UPDOWN == up ]]; then on_failure nft_fail_closed; fi

configure_nft_up_inside() {
  local rules
  rules=$(nft_rules "$1")
  assert_command ip iproute2
  assert_command nft nftables

  ip link set dev lo up
  if [[ -e $rules && ! -f $rules ]]; then
    echo "'$rules' is not a file" >&2 # nft would include a directory, and find no rules in it
    return 1
  fi
  # One run of nft is one transaction: there is no moment between the old rules and the new ones.
  nft --file - <<<"flush ruleset; include \"$rules\"" || {
    echo "cannot load '$rules' in namespace '$1'; mend it, then run \`systemctl restart netns-nft@$1\`" >&2
    return 1
  }
}

# The rules stay as long as the namespace does: other types may still be up in it.
configure_nft_down_inside() {
  [[ ${NFT_AUTO_SAVE-} == yes ]] || return 0
  if inside_check "$1"; then
    netns-nft-save "$1"
  else
    echo "the name of namespace '$1' is gone: its rules are not saved" >&2
  fi
}

# The rules as they are against those of the file, which a namespace of its own tells. What sets hold is left aside, since
# traffic may change it.
configure_nft_check_inside() {
  local rules links file now
  [[ $(ip -oneline link show dev lo) == *[\<,]UP[,\>]* ]] || echo "interface 'lo' is not up"
  [[ ${NFT_AUTO_SAVE-} != yes ]] || return 0 # those in force will be saved
  rules=$(nft_rules "$1")
  [[ -f $rules ]] || {
    echo "the rules in force have no file any more: '$rules' is not there"
    return 0
  }
  links=$(ip -oneline link show)
  if file=$(unshare --net -- "$BASH" -c "$(declare -f nft_list nft_try); nft_try \"\$@\"" bash "$rules" "$links"); then
    now=$(nft_list)
    [[ $now == "$file" ]] || echo "the rules in force are not those of '$rules'"
  else
    nft_first_error "$file"
  fi
}

nft_list() { nft --stateless --terse list ruleset; }

# Usage: nft_try FILE LINKS
# Prints what becomes of the rules beside the interfaces LINKS, else what nft says against them.
# Where rules have `iif` or `oif`, the kernel keeps an interface's index, so each has a stand-in of its name and index.
nft_try() {
  local rules=$1 links=$2 index name said
  while IFS=': ' read -r index name _; do
    # Of a veth, ip prints `NAME@PEER`. What cannot be made is told by nft, if the rules name it.
    ip link add name "${name%@*}" index "$index" type bridge 2>/dev/null
  done < <(grep --invert-match '^1: lo:' <<<"$links")
  if said=$(nft --file "$rules" 2>&1); then
    nft_list
  else
    echo "$said"
    return 1
  fi
}

# Usage: nft_first_error WORDS
# nft's first error in one line: `FILE:LINE:COLUMNS: WHAT`, and the line that it is about, which nft marks below that.
nft_first_error() {
  local words=$1 error text more message
  {
    IFS= read -r error
    read -r text
    more=$(grep --count ': Error: ')
  } <<<"$words"$'\n'
  message="the rules cannot be loaded any more: ${error/: Error: /: }"
  [[ -z $text ]] || message+=": \`$text\`"
  ((more == 0)) || message+=" (and $more more)"
  echo "$message"
}

# The file that a namespace has its rules from.
nft_rules() {
  local rules=/etc/conf.d/netns/nft-$1.rules
  # One that is broken, such as a link to nothing, is not passed over for rules that may be laxer.
  [[ -e $rules || -L $rules ]] || rules=/etc/conf.d/netns/nft.rules
  echo "$rules"
}

# The rules are not loaded. What is in force stays; where nothing is, nothing passes but what is on lo.
nft_fail_closed() {
  local inside=()
  type -P nft >/dev/null || return 0
  [[ $INOUT == inside ]] || inside=(nsenter --net="/run/netns/$NSNAME" --)
  if [[ -n $("${inside[@]}" nft list tables) ]]; then
    echo 'the rules that were in force stay in force' >&2
  else
    "${inside[@]}" nft --file - <<'END'
table inet netns_nft_failed {
  chain input { type filter hook input priority filter; policy drop; iifname "lo" accept; }
  chain forward { type filter hook forward priority filter; policy drop; }
  chain output { type filter hook output priority filter; policy drop; oifname "lo" accept; }
}
END
    echo 'no rules were in force: everything but lo is dropped now' >&2
  fi
}
