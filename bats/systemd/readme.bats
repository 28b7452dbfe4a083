#!/usr/bin/env bats
# What the README shows is what one sees.

load systemd
# shellcheck source=tests/nstor.bash
source "$BATS_TEST_DIRNAME/../../tests/nstor.bash"

README=$BATS_TEST_DIRNAME/../../README.md

# Usage: replay HEADING
# Goes through a section as its reader would: writes each file (a path in backticks and a colon, then a block), runs each
# command of a console block, and compares what it prints, where `…` stands for anything and blanks at the ends of lines
# do not count. Ends with 1 unless there was a command.
replay() {
  local line block='' path='' command='' expected='' in_section='' ran=''
  while IFS= read -r line; do
    case $block$line in
      '#'*) if [[ $line == "$1" ]]; then in_section=y; elif [[ $line == '## '* ]]; then in_section=''; fi ;;
      '```'*)
        block=${line#'```'}:
        [[ -z $path || -z $in_section ]] || {
          mkdir -p "$(dirname "$LAB/root$path")"
          : >"$LAB/root$path"
        }
        ;;
      '`/'*'`:') path=${line:1:-2} ;;
      *:'```')
        if [[ $block == console: && $in_section ]]; then
          check "$command" "$expected" || return
          ran=y
        fi
        block='' path='' command=''
        ;;
      'console:# '*)
        [[ $in_section ]] || continue
        [[ -z $command ]] || check "$command" "$expected" || return
        command=${line#'# '} expected=''
        ;;
      *:*)
        [[ $in_section ]] || continue
        if [[ $block == console: ]]; then expected+=$line$'\n'; elif [[ $block && $path ]]; then echo "$line" >>"$LAB/root$path"; fi
        ;;
    esac
  done <"$README"
  [[ $ran ]]
}

# Usage: check COMMAND EXPECTED
check() {
  local said pattern
  # The kernel takes up to a second until it calls a link UP (net/core/link_watch.c), and a reader as long to type.
  [[ $1 != *@('-brief address'|'netnsctl status')* ]] || sleep 1.2
  # On a busy machine, netnsctl reports that it is still at work.
  said=$(lab bash -c "$1" 2>&1 </dev/null | sed '/^still /d; s/ *$//')
  pattern=$(sed 's/[]?*\\[]/\\&/g; s/…/*/g; s/ *$//' <<<"$2")
  # shellcheck disable=SC2053 # a pattern
  [[ $said == $pattern ]] && return
  printf '# %s\n%s\n-- the README has:\n%s\n' "$1" "$said" "$2" >&2
  return 1
}

@test "the first namespace, in five minutes" {
  replay '## The first namespace, in five minutes'
  nothing_left nstest
}

@test "join two namespaces" {
  parent eth0
  replay '## Join two namespaces'
}

@test "what gets out of the two namespaces that are joined" {
  parent eth0
  nstor_files "$CONF"
  lab netns-update --daemon-reload >/dev/null
  lab netnsctl up nsbrowser nstor
  replay '## What gets out?'
  lab netnsctl down nsbrowser nstor
  nothing_left nsbrowser
}

@test "write a type, and what one sees when it does not work" { replay '## Write a type'; }
