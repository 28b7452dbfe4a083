#!/usr/bin/env bats
# The manual pages say what is so.

load ../engine/engine

@test "they are free of warnings" {
  for page in "$ROOT"/man/*; do
    run -0 man --warnings --local-file "$page"
    [[ -z $(man --warnings --local-file "$page" 2>&1 >/dev/null) ]]
  done
}

@test "the example of netns-plugin(7) is what netnsctl new writes, and that works" {
  netnsctl new bridge >/dev/null
  rm -rf /etc/systemd/system/netns*
  # As roff(7) has it: \- \e \(aq \(ga \(dq.
  example=$(sed -n '/^\.\\" begin: bridge.sh/,/^\.\\" end/p' "$ROOT/man/netns-plugin.7" | sed '1d; $d' |
    sed "s/\\\\-/-/g; s/\\\\(aq/'/g; s/\\\\(ga/\`/g; s/\\\\(dq/\"/g; s/\\\\e/\\\\/g")
  diff --label 'netnsctl new' --label manual --unified "$CONF/bridge.sh" <(echo "$example")
  netnsctl up bridge@example
  netnsctl check bridge
  netnsctl down bridge@example
  nothing_left
}

@test "netns.conf(5) and docs/types.md have every setting of every shipped type" {
  for setting in $(netnsctl types --json | jq --raw-output '.items[].settings[].name'); do
    grep --quiet --word-regexp "$setting" "$ROOT/man/netns.conf.5"
    grep --quiet --word-regexp "$setting" "$ROOT/docs/types.md"
  done
}

@test "netnsctl(8) has every verb and every option" {
  page=$(sed 's/\\-/-/g' "$ROOT/man/netnsctl.8")
  for verb in $(netnsctl --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    [[ $verb == help || $page == *"$verb"* ]]
    for option in $(netnsctl "$verb" --help | grep --only-matching -- '--[a-z-]*' | sort -u); do
      [[ $page == *"$option"* ]] || [[ $(sed 's/\\-/-/g' "$ROOT"/man/netns-update.8) == *"$option"* ]] || {
        echo "$verb $option is not in the manual"
        return 1
      }
    done
  done
}

@test "each test that docs/reliability.md names is there" {
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
