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

# Whatever keeps the rules from being loaded, be it a .conf that bash cannot read: nothing passes unfiltered.
if [[ $UPDOWN-$INOUT == up-inside ]]; then on_failure nft_fail_closed; fi

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
  local rules file now list='nft --stateless --terse list ruleset'
  [[ $(ip -oneline link show dev lo) == *[\<,]UP[,\>]* ]] || echo "interface 'lo' is not up"
  [[ ${NFT_AUTO_SAVE-} != yes ]] || return 0 # those in force will be saved
  rules=$(nft_rules "$1")
  file=$(unshare --net -- "$BASH" -c "nft --file \"\$1\" && $list" bash "$rules")
  now=$($list)
  [[ $now == "$file" ]] || echo "the rules in force are not those of '$rules'"
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
  type -P nft >/dev/null || return 0
  if [[ -n $(nft list tables) ]]; then
    echo 'the rules that were in force stay in force' >&2
  else
    nft --file - <<'END'
table inet netns_nft_failed {
  chain input { type filter hook input priority filter; policy drop; iifname "lo" accept; }
  chain forward { type filter hook forward priority filter; policy drop; }
  chain output { type filter hook output priority filter; policy drop; oifname "lo" accept; }
}
END
    echo 'no rules were in force: everything but lo is dropped now' >&2
  fi
}
