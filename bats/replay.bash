# shellcheck shell=bash
# Replays documents: writes their files and runs their commands, which must print what the document shows. The suite has the functions
# `write_file` and `lab`, and the table NOT_REPLAYED.

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

# Usage: section FILE HEADING
# Prints a section of a document, up to the next heading of its level.
section() { awk -v heading="## $2" '/^## / { inside = $0 == heading } inside' "$1"; }

# Usage: replay_arrangements PLACE
# Replays the arrangements of docs/arrangements.md that are tested in PLACE, as its table says.
replay_arrangements() {
  local place=$1
  local page=$ROOT/docs/arrangements.md names name
  mapfile -t names < <(sed -n "s/^| \[\(.*\)\](#.*| $place |\$/\1/p" "$page")
  ((${#names[@]} > 0))
  for name in "${names[@]}"; do section "$page" "$name"; done >"$BATS_TEST_TMPDIR/arrangements.md"
  walk "$BATS_TEST_TMPDIR/arrangements.md" write_file run_command
}

# Usage: run_command PROMPT COMMAND OUTPUT
# Runs a command, which must print OUTPUT. `…` in there matches any text, and blanks at the ends of lines are ignored. So are the
# quotes in messages of `systemctl enable`, which differ between versions, and the time that ping took.
run_command() {
  local prompt=$1 command=$2 shown=$3
  local pattern printed try
  [[ ! ${NOT_REPLAYED[$command]-} ]] || return 0
  [[ $prompt == '#' ]] || {
    echo "not replayed: $command. It is neither a command of root nor listed in NOT_REPLAYED" >&2
    return 1
  }
  local ignored='/^(Created symlink|Removed) /s/["'\'']//g; s/(packet loss, time) [0-9]+ms$/\1 0ms/'
  pattern=$(sed --regexp-extended "$ignored"'; s/[]?*\\[]/\\&/g; s/…/*/g; s/ *$//' <<<"${shown%$'\n'}")
  for ((try = 0; try < 100; try++)); do
    # On a busy machine, netnsctl reports that it still waits.
    printed=$(lab bash -c "$command" 2>&1 </dev/null | sed --regexp-extended "$ignored"'; /^still /d; s/ *$//')
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
