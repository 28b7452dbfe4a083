#!/usr/bin/env bats
# The manual pages agree with the program.

load ../engine/engine

# Usage: section PAGE HEADING
# Prints a section of the source of a page, without its heading. A line of a literal block is not a heading.
section() {
  awk -v heading="$2" '
    $0 == heading { found = 1; next }
    /^```$/ { inside = !inside }
    !inside && /^##? / { found = found && length($1) > index(heading, " ") - 1 }
    found' "$ROOT/man/$1.scd"
}

# The lines of the literal blocks in stdin. scdoc takes a backslash in front of each character.
literal() { awk '/^```$/ { inside = !inside; next } inside' | sed 's/\\\(.\)/\1/g'; }

# Usage: file_in PAGE PATH
# Prints a file that is announced in a page.
file_in() { awk -v line="_$2_:" '$0 == line { found = 1 } found' "$ROOT/man/$1.scd" | awk '/^```$/ && ++count == 2 { print; exit } 1' | literal; }

@test "each manual page renders without warnings in 80 columns" {
  local LC_ALL=C.UTF-8 page line text
  make --silent --directory "$ROOT" TARGET="$BATS_TEST_TMPDIR" manual >/dev/null
  # groff since 1.23 also warns about a line of a table with wide gaps between words (`break`).
  local warnings=mac
  [[ $(troff --version) == *' 1.22.'* ]] || warnings+=',!break'
  for page in "$BATS_TEST_TMPDIR"/man/*; do
    [[ -z $(MANWIDTH=80 man --warnings="$warnings" --local-file "$page" 2>&1 >/dev/null) ]]
    [[ -z $(MANWIDTH=120 man --warnings="$warnings" --local-file "$page" 2>&1 >/dev/null) ]]
    # Only the lines of literal blocks cannot be broken.
    while IFS= read -r line; do
      text=${line#"${line%%[! ]*}"}
      ((${#line} <= 80)) || literal <"$ROOT/man/${page##*/}.scd" | grep --quiet --fixed-strings -- "$text" || {
        echo "$page: longer than 80 columns: $line" >&2
        return 1
      }
    done < <(MANWIDTH=80 man --local-file "$page")
  done
}

@test "the literal blocks of the manual pages are printed unchanged" {
  local LC_ALL=C.UTF-8 page
  make --silent --directory "$ROOT" TARGET="$BATS_TEST_TMPDIR" manual >/dev/null
  for page in "$BATS_TEST_TMPDIR"/man/*; do
    comm -23 <(literal <"$ROOT/man/${page##*/}.scd" | sed 's/^ *//' | sort --unique) \
      <(MANWIDTH=200 man --local-file "$page" | sed 's/^ *//' | sort --unique) >"$BATS_TEST_TMPDIR/changed"
    [[ ! -s $BATS_TEST_TMPDIR/changed ]] || {
      cat "$BATS_TEST_TMPDIR/changed" >&2
      return 1
    }
  done
}

@test "each manual page has examples with commands" {
  local page
  for page in "$ROOT"/man/*.scd; do
    page=${page##*/}
    section "${page%.scd}" '# EXAMPLES' | literal | grep --quiet '^# '
  done
}

@test "the example of netns-plugin(7) is the plugin of netnsctl new, and works" {
  netnsctl new switch >/dev/null
  rm -rf /etc/systemd/system/netns*
  for file in switch.sh switch-example.conf; do
    diff --label "$file of netnsctl new" --label manual --unified "$CONF/$file" <(file_in netns-plugin.7 "/etc/conf.d/netns/$file")
  done
  netnsctl up switch@example
  netnsctl check switch
  netnsctl down switch@example
  nothing_left
}

@test "netns-plugin(7) has an entry for each function that plugins can call, and for no other" {
  # display_usage only exists for plugins of the bash scripts.
  diff --label library --label manual --unified \
    <(sed --quiet 's/^\([a-z_]*\)() {.*/\1/p' "$ROOT"/src/bash/library/*.sh | grep --invert-match --extended-regexp '^__netns_|^display_usage$' | sort) \
    <(section netns-plugin.7 '# FUNCTIONS TO CALL' | sed -n 's/^\*\([a-z_]*\)\*.*/\1/p' | sort)
}

# Usage: example FUNCTION
# Prints the example in the entry of a function in netns-plugin(7).
example() {
  section netns-plugin.7 '# FUNCTIONS TO CALL' | awk -v name="*$1*" '
    /^```$/ { inside = !inside }
    !inside && /^[*_#]/ { found = $1 == name }
    found' | literal
}

@test "the example of each function in netns-plugin(7) works in a hook" {
  local function text
  file_in netns-plugin.7 /etc/conf.d/netns/vpn-shop.conf >"$CONF/vpn-shop.conf"
  file_in netns-plugin.7 /etc/vpn.ini >"$TOP/etc/vpn.ini"
  for function in $(section netns-plugin.7 '# FUNCTIONS TO CALL' | sed --quiet 's/^\*\([a-z_]*\)\*.*/\1/p'); do
    text=$(example "$function")
    [[ $text == *"$function"* ]]
    # The kernel may lack the module; bats/vm/wireguard.bats calls it.
    [[ $function != wireguard_apply ]] || continue
    # They need an interface and a server, as in bats/kernel/dhcp.bats.
    [[ $function != lease_@(start|wait) ]] || continue
    # Most examples are part of a hook.
    [[ $text == configure_* ]] || text=$'configure_vpn_up_inside() {\n'$text$'\ntouch /run/example\n}'
    echo "$text" >"$CONF/vpn.sh"
    netnsctl up vpn@shop
    [[ $text == configure_* ]] || rm "$TOP/run/example"
    netnsctl down vpn@shop
    rm -rf "$TOP/etc/netns/shop"
  done
  rm "$TOP/etc/vpn.ini"
}

@test "the page for users of the bash scripts has each name that is new for plugins" {
  # The bash scripts had the functions that are left out.
  diff --label netns-plugin.7 --label document --unified \
    <(section netns-plugin.7 '# FUNCTIONS TO CALL' | sed -n 's/^\*\([a-z_]*\)\*.*/\1/p' | grep --invert-match --line-regexp -e assert_non_empty -e inside_check |
      cat - <(grep '^\*configure_TYPE_' "$ROOT/man/netns-plugin.7.scd" | grep --only-matching 'configure_TYPE_[a-z_]*\*' | tr --delete '*' | grep --invert-match '_up_\|_down_') | sort --unique) \
    <(sed -n '/^- These names/,/^$/p' "$ROOT/docs/moving-from-the-bash-scripts.md" | grep --only-matching '`[A-Za-z_]*`' | tr --delete '`' | sort)
}

@test "the tables of netns.conf(5) and docs/types.md have the settings of the shipped types, and no others" {
  settings=$(netnsctl types --json | jq --raw-output '.items[] | .type as $type | .settings[] | "\($type) \(.name)"' | sort)
  [[ $settings == *'veth VETH_IFNAME'* ]]
  # Rows of tables: the type in the heading, and the setting. NETNS_REQUIRES is for all types.
  diff --label program --label manual --unified <(sort <(echo "$settings") - <<<'common settings NETNS_REQUIRES') \
    <(sed -n 's/^# \(.*\)/\1/; t heading; s/^|. \*\([A-Z0-9_]*\)\*$/\1/; T; G; s/\(.*\)\n\(.*\)/\L\2 \E\1/p; b; :heading; h' "$ROOT/man/netns.conf.5.scd" | sort)
  diff --label program --label docs/types.md --unified <(cut --delimiter=' ' --fields=2 <<<"$settings" | sort) \
    <(sed -n 's/^| `\([A-Z0-9_]*\)` |.*/\1/p' "$ROOT/docs/types.md" | sort)
}

# The options in stdin, in the notation of --help or of a page, one on each line.
options() { tr ' *,|<>[]_' '\n' | grep --extended-regexp -e '^--?[a-zA-Z][a-z-]*$' | sort --unique; }

# Usage: options_of_help COMMAND...
options_of_help() { "$@" --help | grep --extended-regexp '^ {2,6}-' | sed 's/ \{2,\}[^ -].*//' | options; }

# The options that have an entry in stdin, a part of a page: a line, then an indented text.
entries() { awk 'entry && /^\t/ { print entry } { entry = /^\*-/ ? $0 : "" }' | options; }

@test "the manual pages of the smaller programs have an entry for each option, and for no other" {
  for program in netnsinit netns-update netns-nft-save; do
    diff --label "$program --help" --label manual --unified <(options_of_help "$program") <(entries <"$ROOT/man/$program.8.scd")
  done
}

# Every long option of the programs.
all_options() {
  local program verb
  {
    for program in netnsinit netns-update netns-nft-save netnsctl; do options_of_help "$program"; done
    netnsctl --help | sed -n '/^Commands:/,/^  help/s/^  \([a-z]*\) .*/\1/p' | grep --invert-match help |
      while read -r verb; do options_of_help netnsctl "$verb"; done
  } | sort --unique
}

@test "the manual pages and documents name no option or setting that does not exist" {
  local documents=("$ROOT"/man/*.scd "$ROOT"/docs/*.md "$ROOT/README.md")
  # The functions for plugins have options, too.
  local functions
  functions=$(grep --no-filename --only-matching --extended-regexp -- '--[a-z-]+' "$ROOT"/src/bash/library/*.sh)
  diff --label none --label 'not an option' --unified /dev/null \
    <(comm -23 <(sed -n 's/[*`]--[a-z]/\n&/gp' "${documents[@]}" | sed -n 's/^[*`]\(--[a-z-]*\).*/\1/p' | sort --unique) <(all_options | sort --unique - <(echo "$functions")))
  # A name that begins like a setting of a shipped type, or like one of the program.
  diff --label none --label 'not a setting' --unified /dev/null \
    <(comm -23 <(grep --no-filename --only-matching --extended-regexp '\<(LO|NFT|DNS|DHCP|VETH|MACVLAN|BRIDGE|VLAN|IPVLAN|VXLAN|DUMMY|VRF|BOND|NETNS)_[A-Z_]+\>' "${documents[@]}" | sort --unique) \
      <(grep --no-filename --only-matching --extended-regexp --recursive '\<[A-Z]+_[A-Z_]+\>' "$ROOT/src" "$ROOT/plugins" | sort --unique))
}

@test "netnsctl(8) has the synopsis of each verb with its options, and an entry for each option" {
  local verb help text common
  verbs=$(netnsctl --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
  # The texts are the same, but for `help`, whose text is clap's.
  diff --label 'netnsctl --help' --label manual --unified \
    <(netnsctl --help | sed -n '/^Commands:/,/^  help/s/^  \([a-z]*\)  *\(.*\)/\1 \2/p' | sed 's/^help .*/help/') \
    <(section netnsctl.8 '# COMMANDS' | awk '/^## / { exit } 1' |
      sed -n '/^|  /{N;s/^|  \*\([a-z]*\)\*\n:  /\1 /;s/^help .*/help/;p}')
  common=$(section netnsctl.8 '# OPTIONS' | entries)
  for verb in $verbs; do
    [[ $verb != help ]] || continue
    help=$(options_of_help netnsctl "$verb")
    text=$(section netnsctl.8 "## $verb")
    # The synopsis is the first paragraph. Short options and --help are not in all of them.
    diff --label "netnsctl $verb --help" --label synopsis --unified <(grep -e '^--' <<<"$help" | grep --invert-match --line-regexp -e '--help' -e '--version') \
      <(awk 'NF { found = 1 } found && !NF { exit } found' <<<"$text" | options | grep -e '^--')
    # Each option has an entry, and each entry in the section is an option.
    diff --label none --label 'option without an entry' --unified /dev/null \
      <(comm -23 <(echo "$help") <(sort --unique <(echo "$common") <(entries <<<"$text")))
    diff --label none --label 'entry without an option' --unified /dev/null <(comm -13 <(echo "$help") <(entries <<<"$text"))
  done
  diff --label none --label 'entry without an option' --unified /dev/null <(comm -23 <(echo "$common") <(all_options))
}

@test "each test in docs/reliability.md exists" {
  local shown file='' word name
  local -i names=0
  while IFS='|' read -r _ _ _ _ shown _; do
    file=''
    # `FILE`: NAME; NAME, each whole or up to `…`.
    while IFS= read -r word; do
      if [[ $word == *'`'*/*'`'* ]]; then
        file=${word#*\`}
        file=${file%%\`*}
        [[ -f $ROOT/$file ]]
        word=${word#*\`*\`}
      fi
      name=${word#:}
      name=${name%%…*}
      name=${name//\`/}
      name=${name# }
      name=${name%% }
      [[ $name ]] || continue
      grep --quiet --fixed-strings -e "$name" "$ROOT/$file" || {
        echo "not in $file: $name" >&2
        return 1
      }
      names+=1
    done < <(sed 's/; /\n/g; s/\. *`/\n`/g' <<<"$shown")
  done < <(grep '^| ' "$ROOT/docs/reliability.md" | grep --invert-match '^| fault ')
  ((names > 50))
}
