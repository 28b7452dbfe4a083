# shellcheck shell=bash disable=SC2154 # netnsctl sets __netns_layers and __netns_validates before this text
# Reads the layers of an instance like a hook, and prints where each variable and function was set last. The output consists of
# records with NUL-terminated fields: `variable NAME VALUE FILE:LINE`, `array NAME FILE:LINE COUNT ELEMENT...`,
# `function NAME FILE:LINE`, `invalid LINE`, `exited FILE:LINE`.

declare -A __netns_values __netns_places
__netns_at='' __netns_command=''

# Usage: __netns_compare
# Records __netns_at as the place of all variables that have changed since the last call.
__netns_compare() {
  __netns_compare_names \
    "${!a@}" "${!b@}" "${!c@}" "${!d@}" "${!e@}" "${!f@}" "${!g@}" "${!h@}" "${!i@}" "${!j@}" "${!k@}" "${!l@}" "${!m@}" \
    "${!n@}" "${!o@}" "${!p@}" "${!q@}" "${!r@}" "${!s@}" "${!t@}" "${!u@}" "${!v@}" "${!w@}" "${!x@}" "${!y@}" "${!z@}" \
    "${!A@}" "${!B@}" "${!C@}" "${!D@}" "${!E@}" "${!F@}" "${!G@}" "${!H@}" "${!I@}" "${!J@}" "${!K@}" "${!L@}" "${!M@}" \
    "${!N@}" "${!O@}" "${!P@}" "${!Q@}" "${!R@}" "${!S@}" "${!T@}" "${!U@}" "${!V@}" "${!W@}" "${!X@}" "${!Y@}" "${!Z@}" "${!_@}"
}

# Usage: __netns_compare_names NAME...
# Does the same for these variables. It does not fork for common variables.
__netns_compare_names() {
  local __netns_name __netns_value
  for __netns_name; do
    case $__netns_name in
      __netns_* | BASH* | COMP_* | EPOCH* | FUNCNAME | LINENO | PIPESTATUS | PPID | RANDOM | SECONDS | SHELLOPTS | SRANDOM | _) continue ;;
    esac
    __netns_value=''
    if [[ ! -R $__netns_name ]]; then
      local -n __netns_variable=$__netns_name
      [[ ! -v __netns_variable[@] ]] || __netns_value=${__netns_variable[*]@A}
      unset -n __netns_variable
    fi
    # The variable is a name reference or an associative array, or has no value.
    [[ $__netns_value ]] || __netns_value=$(declare -p "$__netns_name" 2>/dev/null) || continue
    if [[ ! -v __netns_values[$__netns_name] || ${__netns_values[$__netns_name]} != "$__netns_value" ]]; then
      __netns_values[$__netns_name]=$__netns_value
      __netns_places[$__netns_name]=$__netns_at
    fi
  done
}

# Usage: __netns_before COMMAND PLACE
# Runs before each command of the files. Records the changes by the last command. A simple assignment changes only its variable.
__netns_before() {
  local __netns_changed=${__netns_command%%=*}
  __netns_changed=${__netns_changed%+}
  if [[ $__netns_command != *=* || $__netns_command == *[[:space:]\$\`]* || $__netns_changed == *[!a-zA-Z_0-9]* ]]; then
    __netns_compare
  else
    __netns_compare_names "$__netns_changed"
  fi
  __netns_command=$1 __netns_at=$2
}

__netns_show() {
  set +u # a layer may have set it
  local __netns_name __netns_file __netns_line
  __netns_compare
  for __netns_name in "${!__netns_places[@]}"; do
    [[ ${__netns_places[$__netns_name]} ]] || continue # set by the environment
    declare -p "$__netns_name" >/dev/null || continue
    local -n __netns_variable=$__netns_name
    if [[ ${__netns_variable@a} == *[aA]* ]]; then
      printf >&"$__netns_out" '%s\0' array "$__netns_name" "${__netns_places[$__netns_name]}" \
        "${#__netns_variable[@]}" "${__netns_variable[@]}"
    else
      printf >&"$__netns_out" 'variable\0%s\0%s\0%s\0' "$__netns_name" "$__netns_variable" "${__netns_places[$__netns_name]}"
    fi
    unset -n __netns_variable
  done
  shopt -s extdebug # makes declare -F print line and file
  local - IFS=$'\n'
  set -f
  # `read` would read a pipe byte by byte.
  for __netns_line in $(for __netns_name in $(compgen -A function); do declare -F "$__netns_name"; done); do
    __netns_name=${__netns_line%% *} __netns_line=${__netns_line#* }
    __netns_file=${__netns_line#* } __netns_line=${__netns_line%% *}
    [[ $__netns_file == "$__netns_self" ]] || printf >&"$__netns_out" 'function\0%s\0%s\0' "$__netns_name" "$__netns_file:$__netns_line"
  done
}

# Sources the files in a function, like a hook. So `local` is legal in them, and their local variables are visible only here.
__netns_read_layers() {
  local __netns_layer
  for __netns_layer in "${__netns_layers[@]}"; do
    # In a hook, a failed command in the plugin or default.conf is fatal. Here it is ignored.
    # shellcheck disable=SC2064 # the text of the trap is in the variable
    builtin trap "$__netns_trap" DEBUG
    # shellcheck disable=SC1090 # only known at run time
    source "$__netns_layer" || __netns_reset_parser
    builtin trap - DEBUG
    __netns_compare
    __netns_at='' __netns_command=''
  done
  if declare -F "configure_${NSTYPE}_defaults" >/dev/null; then
    # shellcheck disable=SC2064 # as above
    builtin trap "$__netns_trap" DEBUG
    "configure_${NSTYPE}_defaults" "$NSNAME" || :
    builtin trap - DEBUG
    __netns_compare
  fi
  builtin trap - EXIT
  __netns_show
  __netns_validate
}

# Usage: __netns_validate
# Calls the validate function of the plugin, which prints a line for each invalid setting.
__netns_validate() {
  local __netns_line
  [[ $__netns_validates ]] && declare -F "configure_${NSTYPE}_validate" >/dev/null || return 0
  while IFS= read -r __netns_line || [[ $__netns_line ]]; do
    printf >&"$__netns_out" 'invalid\0%s\0' "$__netns_line"
  done < <("configure_${NSTYPE}_validate" "$NSNAME")
}

__netns_self=${BASH_SOURCE[0]}
# Separates the output of the files from the records.
exec {__netns_out}>&1 >&2
# A file can call exit.
builtin trap 'builtin trap - DEBUG; printf >&"$__netns_out" "exited\0%s\0" "$__netns_at"; __netns_show' EXIT
__netns_compare
__netns_places=()
set -T # the DEBUG trap also fires in sourced files
# In an EXIT trap, BASH_COMMAND is the command of the level above. The trap is set only while a file is read, because it would also
# fire for each command of this text.
# shellcheck disable=SC2016 # the trap expands it
__netns_trap='[[ ${BASH_SOURCE[0]} == "$__netns_self" || $BASH_COMMAND == "source \"\$__netns_layer\"" ]] || __netns_before "$BASH_COMMAND" "${BASH_SOURCE[0]}:$LINENO"'
__netns_read_layers
