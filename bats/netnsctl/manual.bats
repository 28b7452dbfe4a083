#!/usr/bin/env bats
# The manual pages agree with the program.

load ../engine/engine

@test "each manual page renders without warnings and has examples" {
  for page in "$ROOT"/man/*.scd; do
    name=$(basename "${page%.scd}")
    file=/usr/share/man/man${name##*.}/$name
    # A terminal with UTF-8, since the pages have characters such as the ellipsis.
    [[ -z $(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings --local-file "$file" 2>&1 >/dev/null) ]]
    LC_ALL=C.UTF-8 man --local-file "$file" | grep --quiet '^EXAMPLES'
  done
}

@test "the example of netns-plugin(7) is the plugin of netnsctl new, and works" {
  netnsctl new bridge >/dev/null
  rm -rf /etc/systemd/system/netns*
  example=$(awk '/bridge.sh_:$/ { found = 1 } found && /^```$/ { block++; next } found && block == 1' "$ROOT/man/netns-plugin.7.scd")
  diff --label 'netnsctl new' --label manual --unified "$CONF/bridge.sh" <(echo "$example")
  netnsctl up bridge@example
  netnsctl check bridge
  netnsctl down bridge@example
  nothing_left
}

# The settings in the tables of netns.conf(5).
settings_of_manual() { sed -n 's/^|  \*\([A-Z0-9_]*\)\*$/\1/p' "$ROOT/man/netns.conf.5.scd" | sort; }

@test "the tables of netns.conf(5) and docs/types.md have the settings of the shipped types, and no others" {
  settings=$(netnsctl types --json | jq --raw-output '.items[].settings[].name' | sort)
  diff --label program --label manual --unified <(echo "$settings") <(settings_of_manual)
  diff --label program --label docs/types.md --unified <(echo "$settings") \
    <(sed -n 's/^| `\([A-Z0-9_]*\)` |.*/\1/p' "$ROOT/docs/types.md" | sort)
}

# Usage: options_of_page PAGE
# The options that have an entry in a page, one on each line.
options_of_page() { grep --extended-regexp '^\*-' "$ROOT/man/$1.scd" | grep --only-matching --extended-regexp -e '--[a-z-]+' | sort -u; }

# Usage: options_of_help COMMAND...
options_of_help() { "$@" --help | grep --extended-regexp '^ +-' | grep --only-matching --extended-regexp -e '--[a-z-]+' | sort -u; }

@test "the pages of netnsinit, netns-update and netns-nft-save have an entry for each option, and no others" {
  for command in netnsinit netns-update netns-nft-save; do
    diff --label "$command --help" --label manual --unified <(options_of_help "$command") <(options_of_page "$command.8")
  done
}

@test "netnsctl(8) has a section for each verb, each of its options, and no others" {
  verbs=$(netnsctl --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p' | grep --invert-match --line-regexp help)
  all=$(for verb in $verbs; do options_of_help netnsctl "$verb"; done | sort -u)
  for verb in $verbs; do
    section=$(awk -v verb="## $verb" '$0 == verb { found = 1; next } /^##? / { found = 0 } found' "$ROOT/man/netnsctl.8.scd")
    [[ $section ]]
    for option in $(options_of_help netnsctl "$verb"); do
      [[ $option == --help || $section == *"$option"* || $verb == @(update|save) ]] || {
        echo "netnsctl(8) does not have $verb $option" >&2
        return 1
      }
    done
  done
  for option in $(options_of_page netnsctl.8); do
    grep --quiet --line-regexp -e "$option" <(
      echo "$all"
      echo --version
    ) || {
      echo "netnsctl(8) has $option, which no verb has" >&2
      return 1
    }
  done
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
