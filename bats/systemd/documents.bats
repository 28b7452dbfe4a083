#!/usr/bin/env bats
# Every console block of the README, of docs/ and of the manual pages shows the real output. Each document is replayed from top to
# bottom, as its reader would do it, on a machine with a fresh install.

load systemd

ROOT=$BATS_TEST_DIRNAME/../..

# These commands build and install the program, or run this suite. tests/makefile.rs and the stages of tests/run test them.
NOT_REPLAYED=('make build' 'make demo' 'make install' 'make test')

# Usage: replay FILE
# Writes each announced file (a line that is its path in backticks or underscores and a colon, then a block), and runs each command
# of a console block. A command is a line that begins with `# ` or `$ `. Its output must match the lines below the command, where
# `…` matches any text, and blanks at the ends of lines are ignored. In a manual page, only blocks of EXAMPLES count. Fails if there
# is no command.
replay() {
  local line block='' path='' command='' expected='' in_block='' section='' count=0
  while IFS= read -r line; do
    if [[ $line == '```'* && ! $in_block ]]; then
      in_block=y block=${line#'```'}
      # scdoc has no languages: a block without a path is a console block.
      [[ $block != '' || $section != EXAMPLES || $path ]] || block=console
      [[ ! $path ]] || new_file "$path"
    elif [[ $line == '```' ]]; then
      [[ ! $command ]] || check "$command" "$expected" || return
      in_block='' path='' command=''
    elif [[ ! $in_block ]]; then
      [[ $1 != *.scd || $line != '# '* ]] || section=${line#'# '}
      if [[ $line =~ ^[\`_](/[^\`]+)[\`_]:$ ]]; then path=${BASH_REMATCH[1]//\\/}; elif [[ $line ]]; then path=''; fi
    elif [[ $path ]]; then
      echo "$line" >>"$LAB/root$path"
    elif [[ $block == console ]]; then
      if [[ $line == '# '* || $line == '$ '* ]]; then
        [[ ! $command ]] || check "$command" "$expected" || return
        command=${line:2} expected='' count=$((count + 1))
      else
        expected+=$line$'\n'
      fi
    fi
  done <"$1"
  ((count > 0))
}

# Usage: new_file PATH
new_file() {
  mkdir -p "$(dirname "$LAB/root$1")"
  : >"$LAB/root$1"
}

# Usage: check COMMAND EXPECTED
check() {
  local output pattern not_replayed
  for not_replayed in "${NOT_REPLAYED[@]}"; do [[ $1 != "$not_replayed" ]] || return 0; done
  # The kernel takes up to a second to report a link as UP (net/core/link_watch.c).
  [[ $1 != *@('-brief address'|'netnsctl status')* ]] || sleep 1.2
  # On a busy machine, netnsctl reports that it still waits.
  output=$(lab bash -c "$1" 2>&1 </dev/null | sed '/^still /d; s/ *$//')
  pattern=$(sed 's/[]?*\\[]/\\&/g; s/…/*/g; s/ *$//' <<<"$2")
  # shellcheck disable=SC2053 # a pattern
  [[ $output == $pattern ]] && return
  printf '# %s\n%s\n-- the document has:\n%s\n' "$1" "$output" "$2" >&2
  return 1
}

@test "the README shows the real output" {
  replay "$ROOT/README.md"
  nothing_left nstest
}

@test "docs/joining-namespaces.md shows the real output" {
  parent eth0
  replay "$ROOT/docs/joining-namespaces.md"
  nothing_left nstor
}

@test "docs/services.md shows the real output" {
  replay "$ROOT/docs/services.md"
  rm "$LAB/root/etc/systemd/system/web.service"
  nothing_left shop
}

@test "docs/dns.md shows the real output" {
  replay "$ROOT/docs/dns.md"
  nothing_left shop
}

@test "docs/leak-tests.md shows the real output" {
  replay "$ROOT/docs/leak-tests.md"
  nothing_left outer
}

@test "docs/writing-a-type.md shows the real output" {
  replay "$ROOT/docs/writing-a-type.md"
  nothing_left world
}

@test "the examples of netnsctl(8) show the real output" { replay "$ROOT/man/netnsctl.8.scd"; }

@test "the examples of netnsinit(8) show the real output" { replay "$ROOT/man/netnsinit.8.scd"; }

@test "the examples of netns-update(8) show the real output" { replay "$ROOT/man/netns-update.8.scd"; }

@test "the examples of netns-nft-save(8) show the real output" { replay "$ROOT/man/netns-nft-save.8.scd"; }

@test "the examples of netns.conf(5) show the real output" { replay "$ROOT/man/netns.conf.5.scd"; }

@test "the examples of netns-plugin(7) show the real output" { replay "$ROOT/man/netns-plugin.7.scd"; }

@test "every document with a console block is replayed" {
  local file
  for file in "$ROOT"/*.md "$ROOT"/docs/*.md "$ROOT"/man/*.scd; do
    grep --quiet --extended-regexp '^[#$] (make|netns|systemctl|ip) ' <(sed -n '/^```/,/^```/p' "$file") || continue
    grep --quiet --fixed-strings "replay \"\$ROOT/${file#"$ROOT/"}\"" "$BATS_TEST_FILENAME" || {
      echo "not replayed: $file" >&2
      return 1
    }
  done
}
