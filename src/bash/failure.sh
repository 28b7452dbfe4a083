# shellcheck shell=bash disable=SC2034,SC2154 # the wrapper and the runtime share __netns_*
# What the host does when something is wrong. It stands behind the call in the wrapper, and is read only then.

# Usage: __netns_fail MESSAGE
# The host itself has a reason to stop; also where a file has switched errexit off or has redefined exit.
__netns_fail() {
  __netns_told=y
  printf 'netnsinit: %s: %s\n' "$__netns_what" "$1" >&2
  builtin exit 1
}

# Usage: __netns_end_command
# Called by the EXIT trap. If a signal has ended bash while it waited for a command, that is the last job now, and has no `&` behind
# it. It would take its step after that was undone: so it is asked to end, and waited for, before.
__netns_end_command() {
  local __netns_jobs
  __netns_jobs=$(builtin jobs -l)
  [[ -z $__netns_jobs || $__netns_jobs == *' &' ]] || {
    # The text of a command may hold secrets, and every user can read arguments. A here-string may need a file, and the disk
    # may be full. `set -a` exports variables, and the environment is limited.
    builtin printf '%s\n' "$__netns_jobs" |
      (unset -v __netns_jobs && exec "${__netns_netnsinit[@]}" --end-command "$__netns_patience")
  } || :
}

# Usage: __netns_open NSNAME PLUGIN
# The hook of a firewall has returned. The hook of the plugin replaces the closing rules itself: if they are still there, it has
# loaded nothing. A hook that a .conf has put in its place opens the namespace by its success; but without errexit its status says
# nothing.
__netns_open() {
  local unsure=(--unsure) file
  shopt -s extdebug # declare -F then tells line and file
  file=$(declare -F "$__netns_hook")
  shopt -u extdebug
  [[ $- != *e* || $file == *" $2" ]] || unsure=()
  (exec "${__netns_netnsinit[@]}" --open "${unsure[@]}" "$1") && return
  __netns_told=y
  builtin exit 1
}

# Usage: __netns_complain MESSAGE
# Stops `up`; `down` is only warned, since a tear-down half done beats none.
__netns_complain() {
  [[ $__netns_phase == down ]] || __netns_fail "$1"
  printf 'netnsinit: %s: warning: %s\n' "$__netns_what" "$1" >&2
}

# Usage: __netns_no_conf DIRECTORY
# There is neither of the two .conf files, and a plugin that wants one.
__netns_no_conf() {
  local said="no configuration: neither $1/$NSTYPE.conf nor $1/$NSTYPE-$NSNAME.conf is a file"
  # It was deleted while the instance was up, which remembers what it needs.
  if [[ $__netns_phase == down && -e $__netns_state ]]; then __netns_complain "$said"; else __netns_fail "$said"; fi
}

# Usage: __netns_clear WORD...
# Called with the words of the hook before `up outside`, where something is remembered. If the `down outside` of an earlier instance
# has not come to its end, it runs now.
__netns_clear() {
  local memory
  mapfile -d '' memory <"$__netns_state"
  if [[ " ${memory[*]} " == *' __netns_left '* ]]; then
    echo "An earlier $1@$2 was not taken down to its end. That comes first."
    (exec "${__netns_netnsinit[@]}" "${@:1:$#-2}" down outside) ||
      printf 'netnsinit: %s: warning: something of it may be left\n' "$__netns_what" >&2
  fi
  __netns_forget
}

# Nobody has looked yet who can write this layer. What is wrong with it, netnsinit says.
__netns_check_layer_trust() {
  (exec "${__netns_netnsinit[@]}" --check-trust "$__netns_layer") && return
  __netns_told=y
  builtin exit 1
}

# Usage: __netns_with_files COMMAND [ARGUMENT...]
__netns_with_files() { (exec "${__netns_netnsinit[@]}" --with-files "$NSNAME" "$@"); }

# There is something in the place of a layer that cannot be read.
__netns_unreadable() {
  if [[ -e $__netns_layer ]]; then
    __netns_complain "cannot read $__netns_layer: permission denied"
  else
    __netns_complain "$__netns_layer is a symbolic link to nothing"
  fi
}

# Usage: __netns_parses FILE
# Whether FILE is sound bash; sets __netns_said to what bash says otherwise. A file may set extglob and so change what is sound.
__netns_parses() {
  __netns_said=$("$BASH" -n "$1" 2>&1 || "$BASH" -O extglob -n "$1" 2>&1) && return 0 # said, since in a trap it would be the status before
  __netns_said="syntax error in ${__netns_said%%$'\n'*}"
  [[ $(<"$1") != *$'\r\n'* ]] || __netns_said+=", which has the line ends of DOS (\\r\\n)"
  return 1
}

# Usage: __netns_sourced STATUS FILE
# A .conf was sourced with errexit off. Its status counts for nothing, but a syntax error must not pass for a
# failing command: then `source` returns 2, or 1 for an array that is left open.
__netns_sourced() {
  if (($1 == 1 || $1 == 2)) && [[ -f $2 ]]; then __netns_parses "$2" || __netns_complain "$__netns_said"; fi
}

# Usage: __netns_explain STATUS COMMAND
# Called by the EXIT trap.
__netns_explain() {
  local status=$1 where
  __netns_where "$2"
  if [[ -z $__netns_hook && $status == [12] && -f $__netns_layer ]] && ! __netns_parses "$__netns_layer"; then
    printf 'netnsinit: %s: %s\n' "$__netns_what" "$__netns_said" >&2
  else
    ((EUID == 0)) || where+=' (not run as root)'
    printf 'netnsinit: %s failed with status %d at %s\n' "$__netns_what" "$status" "$where" >&2
  fi
}

# Usage: __netns_where COMMAND
# Sets `where` to the user's file and line of COMMAND, which failed. Bash keeps a line for each caller on the stack. For the
# innermost function it has none in an EXIT trap: what the ERR trap did not note is looked up by the text of COMMAND.
__netns_where() {
  local -i top=3 frame # above it are this function and those that called it
  frame=top
  while [[ ${BASH_SOURCE[frame]-} == "${BASH_SOURCE[0]}" && ${FUNCNAME[frame]} != autoconfigure ]]; do frame+=1; done
  if ((frame > top)) && [[ ${BASH_SOURCE[frame]-} != "${BASH_SOURCE[0]}" ]]; then
    where=${BASH_SOURCE[frame]}:${BASH_LINENO[frame - 1]}
  elif [[ -z $__netns_hook || ${FUNCNAME[frame]-} == source ]]; then
    # Bash does not follow the command through a file that is being sourced.
    where=$__netns_layer
    [[ ${FUNCNAME[frame]-} != source ]] || where=${BASH_SOURCE[frame]}
    if [[ $__netns_at == "$where":* && $__netns_at_status == "$status" ]]; then
      where=$__netns_at
    elif [[ ${FUNCNAME[frame]-} != source ]]; then
      __netns_last_list
    fi
  elif [[ $__netns_at_status == "$status" && $__netns_at_command == "$1" ]]; then
    where=$__netns_at
  elif [[ ${FUNCNAME[frame]-autoconfigure} == @(autoconfigure|main) ]]; then
    __netns_search "$__netns_hook" "$1"
  else
    __netns_search "${FUNCNAME[frame]}" "$1"
  fi
}

# Usage: __netns_last_list
# Adds to `where`, a file that failed as a whole, its last line if that is an && or || list: the usual reason.
__netns_last_list() {
  local lines
  local -i last
  [[ -f $where ]] || return 0 # reading a FIFO would wait
  mapfile -t lines <"$where"
  last=${#lines[@]}
  while ((last)) && [[ ${lines[last - 1]} =~ ^[[:space:]]*(#|$) ]]; do last+=-1; done
  [[ ${lines[last - 1]-} != *@(&&|\|\|)* ]] || where+=:$last
}

# Usage: __netns_search FUNCTION COMMAND
# Sets `where` to FILE:LINE of COMMAND in FUNCTION (to every line, where it stands there more than once). Blanks are left
# aside: bash gives back the words of a command, not its layout.
__netns_search() {
  local IFS=$'\n' name file text command=${2//[ $'\t']/} lines=() found=()
  local -i start at
  # What stands before and after a command, where there are no blanks: here it has to begin in the first line.
  local before=$'^(|[^\n]*[;|&{)!`]|[^\n]*[^$\n][(]|[(])(if|elif|then|else|while|until|do|!|time)*'
  local after=$'($|[\n;|&)}#<>`])'
  shopt -s extdebug # declare -F then tells file and line
  IFS=' ' read -r name start file < <(declare -F "$1")
  mapfile -t -s $((start - 1)) lines <"$file"
  for ((at = 0; at < ${#lines[@]}; at++)); do
    text=${lines[*]:at:20}
    text=${text//\\$'\n'/}
    [[ ! ${text//[ $'\t']/} =~ $before"$command"$after ]] || found+=($((start + at)))
    [[ ${lines[at]} != "$name"*[\)\}] && ${lines[at + 1]-} != [\)\}]* ]] || break
  done
  printf -v where ' or %s' "${found[@]:-$start}"
  where=$file:${where# or }
}
