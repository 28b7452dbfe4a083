# shellcheck shell=bash disable=SC2034,SC2154 # the wrapper and the runtime share __netns_*
# The host's code for failures. It is after the call in the wrapper, and is loaded only after a failure.

# Usage: __netns_fail MESSAGE
# Ends the hook with an error of the host, also if a file has disabled errexit or redefined exit.
__netns_fail() {
  __netns_reported=y
  printf 'netnsinit: %s: %s\n' "$__netns_what" "$1" >&2
  builtin exit 1
}

# Usage: __netns_end_command
# Called by the EXIT trap. If a signal has ended bash while it waited for a command, this command is now the last job, without
# `&`. The command could complete its step after the rollback. So it is terminated first, and bash waits for it.
__netns_end_command() {
  local __netns_jobs
  __netns_jobs=$(builtin jobs -l)
  [[ -z $__netns_jobs || $__netns_jobs == *' &' ]] || {
    # The text of a command can contain secrets, and every user can read arguments. A here-string can need a file, and the disk
    # can be full. `set -a` exports variables, and the environment has a size limit.
    builtin printf '%s\n' "$__netns_jobs" |
      (unset -v __netns_jobs && exec "${__netns_netnsinit[@]}" --end-command "$__netns_patience")
  } || :
}

# Usage: __netns_open NSNAME PLUGIN
# Called after the hook of a firewall has returned. The hook of the plugin replaces the closing rules itself; if they still
# exist, it has loaded no rules. A hook of a .conf file opens the namespace if it succeeds. Without errexit, its status is not
# reliable.
__netns_open() {
  local unsure=(--unsure) file
  shopt -s extdebug # makes declare -F print line and file
  file=$(declare -F "$__netns_hook")
  shopt -u extdebug
  [[ $- != *e* || $file == *" $2" ]] || unsure=()
  (exec "${__netns_netnsinit[@]}" --open "${unsure[@]}" "$1") && return
  __netns_reported=y
  builtin exit 1
}

# Usage: __netns_fail_or_warn MESSAGE
# An error for `up`, and a warning for `down`: a partial teardown is better than none.
__netns_fail_or_warn() {
  [[ $__netns_phase == down ]] || __netns_fail "$1"
  printf 'netnsinit: %s: warning: %s\n' "$__netns_what" "$1" >&2
}

# Usage: __netns_no_conf DIRECTORY
# Called if both .conf files are missing and the plugin requires one.
__netns_no_conf() {
  local message="no configuration: neither $1/$NSTYPE.conf nor $1/$NSTYPE-$NSNAME.conf is a file"
  # The file was deleted while the instance was up. The teardown uses the remembered values.
  if [[ $__netns_phase == down && -e $__netns_state ]]; then __netns_fail_or_warn "$message"; else __netns_fail "$message"; fi
}

# Usage: __netns_clear ARGUMENT...
# Called with the arguments of netnsinit before `up outside`, if there are remembered values. If the last `down outside` has not
# completed, it runs now.
__netns_clear() {
  local values
  mapfile -d '' values <"$__netns_state"
  if [[ " ${values[*]} " == *' __netns_left '* ]]; then
    echo "The last teardown of $1@$2 was not completed. It runs again now, before the setup."
    (exec "${__netns_netnsinit[@]}" "${@:1:$#-2}" down outside) ||
      printf 'netnsinit: %s: warning: the teardown failed; leftovers may remain\n' "$__netns_what" >&2
  fi
  __netns_forget
}

# Usage: __netns_refuse LINES
# Ends the hook because of LINES of the function configure_TYPE_validate, `SETTING: MESSAGE` or `/FILE:LINE: MESSAGE`. The error has
# the last line of the .conf files that assigns the setting.
__netns_refuse() {
  local - IFS=$'\n' line name file place lines
  local -i at
  set -f
  for line in $1; do
    if [[ $line == /* ]]; then
      # The line of a file that the settings name.
      printf 'netnsinit: %s: %s\n' "$NSTYPE@$NSNAME" "$line" >&2
      continue
    fi
    name=${line%%:*} place=$__netns_conf/$NSTYPE-$NSNAME.conf
    for file in "$__netns_conf"/{default,"$NSTYPE","$NSTYPE-$NSNAME"}.conf; do
      [[ -f $file ]] || continue
      mapfile -t lines <"$file"
      for at in "${!lines[@]}"; do
        [[ ! ${lines[at]} =~ ^[[:blank:]]*((declare|export|readonly|typeset)[[:blank:]].*)?"$name"(\[.*\])?\+?= ]] || place=$file:$((at + 1))
      done
    done
    printf 'netnsinit: %s: %s: %s\n' "$NSTYPE@$NSNAME" "$place" "$line" >&2
  done
  __netns_reported=y
  builtin exit 1
}

# Checks a layer that netnsinit did not check before, because a file has changed its name. netnsinit prints the error.
__netns_check_layer_trust() {
  (exec "${__netns_netnsinit[@]}" --check-trust "$__netns_layer") && return
  __netns_reported=y
  builtin exit 1
}

# Usage: __netns_with_files COMMAND [ARGUMENT...]
__netns_with_files() { (exec "${__netns_netnsinit[@]}" --with-files "$NSNAME" "$@"); }

# Reports a layer that exists and cannot be read.
__netns_unreadable() {
  if [[ -e $__netns_layer ]]; then
    __netns_fail_or_warn "cannot read $__netns_layer: permission denied"
  else
    __netns_fail_or_warn "$__netns_layer is a dangling symbolic link"
  fi
}

# Usage: __netns_print_syntax_error FILE
# Prints the error after `__netns_parses FILE`.
__netns_print_syntax_error() {
  local dos=''
  [[ $(<"$1") != *$'\r\n'* ]] || dos='; the file has DOS line ends (\r\n)'
  printf '%s\n' "syntax error in $__netns_syntax_error$dos"
}

# Usage: __netns_sourced STATUS FILE
# Called after a .conf file was sourced with errexit off and has failed. A failed command is ignored, but a syntax error is not.
# For a syntax error `source` returns 2, or 1 for an array without its closing parenthesis.
__netns_sourced() {
  if (($1 == 1 || $1 == 2)) && [[ -f $2 ]]; then __netns_parses "$2" || __netns_fail_or_warn "$(__netns_print_syntax_error "$2")"; fi
}

# Usage: __netns_explain STATUS COMMAND
# Called by the EXIT trap. Reports the failure with its place.
__netns_explain() {
  local status=$1 where
  __netns_where "$2"
  if [[ -z $__netns_hook && $status == [12] && -f $__netns_layer ]] && ! __netns_parses "$__netns_layer"; then
    printf 'netnsinit: %s: %s\n' "$__netns_what" "$(__netns_print_syntax_error "$__netns_layer")" >&2
  else
    ((EUID == 0)) || where+=' (not run as root)'
    printf 'netnsinit: %s failed with status %d at %s\n' "$__netns_what" "$status" "$where" >&2
  fi
}

# Usage: __netns_where COMMAND
# Sets `where` to file and line of the failed COMMAND. Bash has a line for each caller on the stack. In an EXIT trap it has none
# for the innermost function. If the ERR trap has not recorded it, the text of COMMAND is searched.
__netns_where() {
  local -i top=3 frame # the frames above are this function and its callers
  frame=top
  while [[ ${BASH_SOURCE[frame]-} == "${BASH_SOURCE[0]}" && ${FUNCNAME[frame]} != autoconfigure ]]; do frame+=1; done
  if ((frame > top)) && [[ ${BASH_SOURCE[frame]-} != "${BASH_SOURCE[0]}" ]]; then
    where=${BASH_SOURCE[frame]}:${BASH_LINENO[frame - 1]}
  elif [[ -z $__netns_hook || ${FUNCNAME[frame]-} == source ]]; then
    # Bash does not keep the line in a file that is being sourced.
    where=$__netns_layer
    [[ ${FUNCNAME[frame]-} != source ]] || where=${BASH_SOURCE[frame]}
    if [[ $__netns_at == "$where":* && $__netns_at_status == "$status" ]]; then
      where=$__netns_at
    elif [[ ${FUNCNAME[frame]-} != source ]]; then
      __netns_last_list
    fi
  elif [[ $__netns_at_status == "$status" && $1 == @("$__netns_at_command"|__netns_at=*) ]]; then
    # For a failed subshell, bash 5.3 has the last command of the ERR trap as COMMAND.
    where=$__netns_at
  elif [[ ${FUNCNAME[frame]-autoconfigure} == @(autoconfigure|main) ]]; then
    __netns_search "$__netns_hook" "$1"
  else
    __netns_search "${FUNCNAME[frame]}" "$1"
  fi
}

# Usage: __netns_last_list
# Adds a line number to `where`, a file whose status was not 0: the last line, if it is an && or || list, which is the usual
# cause.
__netns_last_list() {
  local lines
  local -i last
  [[ -f $where ]] || return 0 # reading a FIFO would block
  mapfile -t lines <"$where"
  last=${#lines[@]}
  while ((last)) && [[ ${lines[last - 1]} =~ ^[[:space:]]*(#|$) ]]; do last+=-1; done
  [[ ${lines[last - 1]-} != *@(&&|\|\|)* ]] || where+=:$last
}

# Usage: __netns_search FUNCTION COMMAND
# Sets `where` to FILE:LINE of COMMAND in FUNCTION, or to all lines that contain COMMAND. Blanks are ignored, because bash does
# not keep the layout of a command.
__netns_search() {
  local IFS=$'\n' name file text command=${2//[ $'\t']/} lines=() found=()
  local -i start at
  # The possible text before and after a command, without blanks. The command has to begin in the first line of `text`.
  local before=$'^(|[^\n]*[;|&{)!`]|[^\n]*[^$\n][(]|[(])(if|elif|then|else|while|until|do|!|time)*'
  local after=$'($|[\n;|&)}#<>`])'
  shopt -s extdebug # makes declare -F print line and file
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
