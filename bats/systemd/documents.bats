#!/usr/bin/env bats
# The README, the pages of docs/ and the examples of the manual pages: each document that shows commands is replayed from top to
# bottom on a machine that was just installed and booted, and prints what the document shows. The description of a test is the path
# of its document.

load systemd

ROOT=$BATS_TEST_DIRNAME/../..

# Commands of the documents that cannot run in the lab, and where they are tested.
# (-g, since bats reads this file in a function.)
declare -gA NOT_REPLAYED=(
  ['make build']='needs Rust and the clone; .ci/run, and every stage of tests/run that needs the program'
  ['make install']='needs the clone; tests/makefile.rs, and lab_install of tests/lab.bash'
  ['make demo']='needs the clone; a stage of tests/run'
  ['make test']='runs this suite; .ci/run'
)

# Each test boots a machine of its own, so the suite has none.
setup_file() {
  [[ ${NETNS_PRIVATE-} ]] || {
    echo 'run this by tests/private: it mounts and boots' >&2
    return 1
  }
}

teardown_file() { :; }

teardown() {
  # It exists if the test has booted a machine.
  [[ ! -e $LAB/nspawn ]] || lab_destroy
}

# Usage: boot
boot() {
  lab_create
  lab_install
  lab_boot
}

# Usage: replay
# Does what the document of this test shows: writes its files and runs its commands. The document also has to remove what it
# creates.
replay() {
  walk "$ROOT/$BATS_TEST_DESCRIPTION" write_file run_command
  eventually no_namespace
  nothing_failed
}

# Usage: walk FILE ON_FILE ON_COMMAND
# Reads the fenced blocks of a document in order. For a block that is announced as a file, it calls ON_FILE PATH TEXT. For each
# command of a console block, it calls ON_COMMAND PROMPT COMMAND OUTPUT. It stops at the first call that fails.
#
# A file is announced by a line with nothing but its path, in backticks, underscores or asterisks, and a colon. In Markdown, a block
# of commands has the language `console`. scdoc has no languages: there, each other block of the section EXAMPLES has commands.
walk() {
  local file=$1 on_file=$2 on_command=$3
  local line language='' text='' path='' section='' in_block='' number=0
  while IFS= read -r line; do
    number=$((number + 1))
    if [[ $in_block && $line == '```' ]]; then
      in_block=''
      if [[ $path ]]; then
        "$on_file" "$path" "$text" || return
      elif [[ $language == console || ($file == *.scd && $section == '# EXAMPLES') ]]; then
        walk_console "$text" "$on_command" || return
      elif [[ $language == @(bash|sh|shell) || ($file == *.md && $text == [#$]' '*) ]]; then
        echo "${file#"$ROOT/"}:$number: this block needs the path of a file, or the language console" >&2
        return 1
      fi
      path=''
    elif [[ $in_block ]]; then
      text+=$line$'\n'
    elif [[ $line == '```'* ]]; then
      in_block=yes language=${line#'```'} text=''
    elif [[ $line =~ ^[[:blank:]]+(\`\`\`|~~~)|^~~~ && ($file == *.md || $section == '# EXAMPLES') ]]; then
      echo "${file#"$ROOT/"}:$number: a block must begin with \`\`\` at the start of the line" >&2
      return 1
    elif [[ $line =~ ^[\`_*](/[^\`*]+)[\`_*]:$ ]]; then
      path=${BASH_REMATCH[1]//\\/}
    elif [[ $line == '# '* ]]; then
      section=$line path=''
    elif [[ $line ]]; then
      path=''
    fi
  done <"$file"
}

# Usage: walk_console TEXT ON_COMMAND
# The same for one console block: a line that begins with `# ` or `$ ` is a command, and the lines below it are its output.
walk_console() {
  local text=$1 on_command=$2
  local line prompt='' command='' output=''
  while IFS= read -r line; do
    if [[ $line == [#$]' '* ]]; then
      [[ ! $command ]] || "$on_command" "$prompt" "$command" "$output" || return
      prompt=${line:0:1} command=${line:2} output=''
    elif [[ $command ]]; then
      output+=$line$'\n'
    else
      echo "output without a command: $line" >&2
      return 1
    fi
  done <<<"${text%$'\n'}"
  "$on_command" "$prompt" "$command" "$output"
}

# Usage: write_file PATH TEXT
write_file() {
  mkdir -p "$(dirname "$LAB/root$1")"
  printf '%s' "$2" >"$LAB/root$1"
}

# Usage: run_command PROMPT COMMAND OUTPUT
# Runs a command, which must print OUTPUT. `…` in there matches any text, and blanks at the ends of lines are ignored. So are the
# quotes in messages of `systemctl enable`, which differ between versions.
run_command() {
  local prompt=$1 command=$2 shown=$3
  local pattern printed try
  [[ ! ${NOT_REPLAYED[$command]-} ]] || return 0
  [[ $prompt == '#' ]] || {
    echo "not replayed: $command. It is neither a command of root nor listed in NOT_REPLAYED" >&2
    return 1
  }
  local quotes='/^(Created symlink|Removed) /s/["'\'']//g'
  pattern=$(sed --regexp-extended "$quotes"'; s/[]?*\\[]/\\&/g; s/…/*/g; s/ *$//' <<<"${shown%$'\n'}")
  for ((try = 0; try < 100; try++)); do
    # On a busy machine, netnsctl reports that it still waits.
    printed=$(lab bash -c "$command" 2>&1 </dev/null | sed --regexp-extended "$quotes"'; /^still /d; s/ *$//')
    # shellcheck disable=SC2053 # a pattern
    [[ $printed != $pattern ]] || return 0
    only_shows "$command" || break
    sleep 0.1
  done
  printf '# %s\n%s\n-- the document has:\n%s\n' "$command" "$printed" "$shown" >&2
  return 1
}

# Usage: only_shows COMMAND
# Whether a command shows the state and changes nothing. It is repeated, since a change may take a moment: the kernel takes up to a
# second to report a link as UP (net/core/link_watch.c), and systemd removes a namespace after `systemctl stop` has returned.
only_shows() {
  case " $1" in
    *' ip '*' -brief '* | *' ip netns list' | *' ss '* | *' systemctl is-active '*) ;;
    ' netnsctl check'* | ' netnsctl graph'* | ' netnsctl list'* | ' netnsctl status'*) ;;
    *) return 1 ;;
  esac
}

# Usage: no_namespace
# Whether no namespace, and no record of an instance, is left.
no_namespace() { [[ ! $(lab find /run/netns /run/systemd-netns -type f 2>/dev/null) ]]; }

# Usage: uplink
# The host has eth0 on the network of the samples, whose router is 192.0.2.1. The router is the network of a service, without a name.
uplink() {
  local router
  lab systemd-run --quiet --unit=test-router --property=Type=exec --property=PrivateNetwork=yes sleep infinity
  router=$(main_pid test-router)
  lab ip link add eth0 type veth peer name up netns "$router"
  lab ip link set dev eth0 up
  lab ip address add 192.0.2.2/24 dev eth0
  lab ip route add default via 192.0.2.1
  lab nsenter --net="/proc/$router/ns/net" ip address add 192.0.2.1/24 dev up
  lab nsenter --net="/proc/$router/ns/net" ip link set dev up up
}

# Usage: documents
# The README, the pages of docs/ and the manual pages.
documents() { (cd "$ROOT" && printf '%s\n' README.md docs/*.md man/*.scd); }

@test "README.md" {
  boot
  uplink
  replay
}

@test "docs/types.md" {
  boot
  uplink
  replay
}

@test "docs/joining-namespaces.md" {
  boot
  parent eth0
  replay
}

@test "docs/nat-and-published-ports.md" {
  boot
  uplink
  replay
}

@test "docs/services.md" {
  boot
  lab useradd --uid 1000 --create-home user 2>/dev/null || lab id 1000
  lab loginctl enable-linger 1000
  replay
}

@test "docs/dns.md" {
  boot
  lab rm -f /etc/resolv.conf
  write_file /etc/resolv.conf $'nameserver 198.51.100.53\n'
  replay
}

@test "docs/leak-tests.md" {
  boot
  replay
}

@test "docs/writing-a-type.md" {
  boot
  replay
}

@test "man/netnsctl.8.scd" {
  boot
  replay
}

@test "man/netnsinit.8.scd" {
  boot
  replay
}

@test "man/netns-update.8.scd" {
  boot
  replay
}

@test "man/netns-nft-save.8.scd" {
  boot
  replay
}

@test "man/netns.conf.5.scd" {
  boot
  replay
}

@test "man/netns-plugin.7.scd" {
  boot
  replay
}

# Usage: note_command PROMPT COMMAND OUTPUT
note_command() { commands+=("$2"); }

@test "each document that shows commands has a test above, and each listed command is in a document" {
  local document command commands=() all=()
  for document in $(documents); do
    commands=()
    walk "$ROOT/$document" true note_command
    all+=("${commands[@]}")
    [[ ! ${commands[*]} ]] || grep --quiet --line-regexp --fixed-strings "@test \"$document\" {" "$BATS_TEST_FILENAME" || {
      echo "no test replays $document" >&2
      return 1
    }
  done
  for command in "${!NOT_REPLAYED[@]}"; do
    [[ " ${all[*]/%/,} " == *" $command, "* ]] || {
      echo "no document has the command \`$command\`, which NOT_REPLAYED lists" >&2
      return 1
    }
  done
}

# Usage: replay_text TEXT
# Replays a page with this text. Its commands run here instead of in the lab.
replay_text() {
  lab() { "$@"; }
  printf '%s\n' "$1" >"$BATS_TEST_TMPDIR/page.md"
  walk "$BATS_TEST_TMPDIR/page.md" true run_command
}

@test "the replay of a page fails if its output differs or if a command would not run" {
  replay_text $'```console\n# echo one two\none …\n# true\n# printf \'3\\n4  \\n\'\n3\n4\n```'
  run ! replay_text $'```console\n# echo one\ntwo\n```'
  run ! replay_text $'```console\n# echo one\n```'
  run ! replay_text $'```console\n# true\nmore\n# true\n```'
  run ! replay_text $'```console\n$ make unknown\n```'
  run ! replay_text $'```console\noutput\n# true\n```'
  run ! replay_text $'```bash\ntrue\n```'
  run ! replay_text $'```\n# true\n```'
  run ! replay_text $'1. A list:\n\n   ```console\n   # true\n   ```'
}

# Usage: anchors FILE
# The anchors of the headings of a document, as GitHub makes them.
anchors() {
  sed '/^```/,/^```$/d' "$1" | sed -n 's/^##* //p' | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9 _-]//g; s/ /-/g'
}

@test "each link of a document leads to a file, and to a heading in there" {
  local document link file anchor count=0
  for document in $(documents) CONTRIBUTING.md CHANGELOG.md SECURITY.md; do
    [[ $document == *.md ]] || continue
    while IFS= read -r link; do
      count=$((count + 1))
      [[ $link != *://* ]] || continue
      file=${link%%#*} anchor=''
      if [[ $link == *'#'* ]]; then anchor=${link#*#}; fi
      if [[ $file ]]; then file=$(dirname "$ROOT/$document")/$file; else file=$ROOT/$document; fi
      [[ -e $file ]] && { [[ ! $anchor ]] || anchors "$file" | grep --quiet --line-regexp --fixed-strings -e "$anchor"; } || {
        echo "$document: the link $link leads nowhere" >&2
        return 1
      }
    done < <(tr '\n' ' ' <"$ROOT/$document" | grep --only-matching --extended-regexp '\]\([^() ]+\)' | sed 's/^](//; s/)$//')
  done
  ((count > 0))
}
