# shellcheck shell=bash
# nft: a firewall in the namespace. Brings lo up, too.
#
# Loads the rules of /etc/conf.d/netns/nft-NAME.rules, or of nft.rules there, in the language of nft(8). They replace all
# rules in force, in one transaction. If they cannot be loaded, the rules in force stay. If no rules are in force, only
# loopback traffic passes.
#
# Provides: firewall
# Provides: loopback
# Files: nft-NAME.rules
# Rules: nft-NAME.rules nft.rules
#
# Settings (in nft-NAME.conf, nft.conf or default.conf):
#   NFT_AUTO_SAVE  yes: on stop, save the rules in force to nft-NAME.rules

# shellcheck disable=SC2034 # read by netnsinit
NO_CONFIG_REQUIRED=yes

# If no rules were in force, netnsinit has closed the namespace before it reads any file.
if [[ $UPDOWN == up ]]; then on_failure nft_report; fi

# Each step ends the hook itself if it fails: a .conf may have switched errexit off.
configure_nft_up_inside() {
  local rules
  rules=$(nft_rules "$1") || exit 1
  assert_command ip iproute2
  assert_command nft nftables

  ip link set dev lo up || exit 1
  if [[ ! -e $rules ]]; then
    echo "cannot load '$rules': it does not exist; write rules, or copy the sample: netns.conf(5) has its path" >&2
    exit 1
  fi
  if [[ ! -f $rules ]]; then
    echo "cannot load '$rules': it is not a regular file" >&2 # nft would include a directory, and find no rules in it
    exit 1
  fi
  # One run of nft is one transaction: there is no moment between the old rules and the new ones.
  nft --file - <<<"flush ruleset; include \"$rules\"" || {
    echo "cannot load '$rules' in namespace '$1'; correct it, then run \`systemctl restart netns-$NSTYPE@$1\`" >&2
    exit 1
  }
}

# The rules stay until the namespace is deleted: other types may still be up in it.
configure_nft_down_inside() {
  [[ ${NFT_AUTO_SAVE-} == yes ]] || return 0
  if inside_check "$1"; then
    netns-nft-save --type "$NSTYPE" "$1"
  else
    echo "namespace '$1' was deleted manually: its rules are not saved" >&2
  fi
}

# Compares the rules in force with the rules of the file, which are loaded in a temporary namespace. The elements of sets are
# ignored, because traffic can change them.
configure_nft_check_inside() {
  local rules links file now
  [[ $(ip -oneline link show dev lo) == *[\<,]UP[,\>]* ]] || echo "interface 'lo' is not up"
  rules=$(nft_rules "$1")
  nft_filters || echo 'no rules are in force: nothing is filtered'
  if [[ -f $rules ]] && nft_is_empty "$rules"; then echo "'$rules' has no rules: nothing is filtered"; fi
  [[ ${NFT_AUTO_SAVE-} != yes ]] || return 0 # the rules in force will be saved
  [[ -f $rules ]] || {
    echo "the file of the rules in force, '$rules', does not exist any more"
    return 0
  }
  links=$(ip -oneline link show)
  if file=$(unshare --net -- "$BASH" -c "$(declare -f nft_list nft_try); nft_try \"\$@\"" bash "$rules" "$links"); then
    now=$(nft_list)
    # An empty ruleset is reported above.
    [[ -z $now || $now == "$file" ]] || echo "the rules in force differ from '$rules'"
  else
    nft_first_error "$file"
  fi
}

# Usage: nft_filters
# Whether any rules are in force.
nft_filters() { [[ $(nft list chains) == *'hook '* ]]; }

# Usage: nft_is_empty FILE
# Whether a file of rules has only comments, blank lines and `flush ruleset`.
nft_is_empty() { ! grep --quiet --invert-match --extended-regexp '^[[:space:]]*(#.*|flush ruleset[[:space:];]*)?$' "$1"; }

nft_list() { nft --stateless --terse list ruleset; }

# Usage: nft_try FILE LINKS
# Loads the rules and prints them as nft lists them, or prints the errors of nft.
# The kernel stores the index of an interface for `iif` and `oif`, so each of the interfaces LINKS gets a substitute with the
# same name and index.
nft_try() {
  local rules=$1 links=$2 index name errors
  while IFS=': ' read -r index name _; do
    # ip prints `NAME@PEER` for a veth. If an interface cannot be created, nft reports that, provided the rules name it.
    [[ $name == lo ]] || ip link add name "${name%@*}" index "$index" type bridge 2>/dev/null
  done <<<"$links"
  if errors=$(nft --file "$rules" 2>&1); then
    nft_list
  else
    echo "$errors"
    return 1
  fi
}

# Usage: nft_first_error ERRORS
# Prints the first error of nft in one line: `FILE:LINE:COLUMNS: MESSAGE`, and the rule that it is about.
nft_first_error() {
  local errors=$1 error text more message
  {
    IFS= read -r error
    read -r text
    more=$(grep --count ': Error: ')
  } <<<"$errors"$'\n'
  message="the rules cannot be loaded any more: ${error/: Error: /: }"
  [[ -z $text ]] || message+=": \`$text\`"
  ((more == 0)) || message+=" (and $more more)"
  echo "$message"
}

# Prints the path of the rules of a namespace.
nft_rules() {
  local rules=/etc/conf.d/netns/$NSTYPE-$1.rules
  # A broken file, such as a dangling link, is an error: the rules in nft.rules may allow more.
  [[ -e $rules || -L $rules ]] || rules=/etc/conf.d/netns/$NSTYPE.rules
  echo "$rules"
}

# Reports which rules filter the namespace after the hook has failed.
nft_report() {
  local inside=()
  [[ $INOUT == inside ]] || inside=(nsenter --net="/run/netns/$NSNAME" --)
  if "${inside[@]}" nft list table inet netns_closed &>/dev/null; then
    echo "the firewall is not loaded: only loopback traffic passes in namespace '$NSNAME'" >&2
  else
    echo 'the rules that were in force stay in force' >&2
  fi
}
