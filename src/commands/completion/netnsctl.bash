# shellcheck shell=bash
# Completion of netnsctl and its links for bash. It queries the program. bash splits words at `@`, so this script splits the line
# itself.

_netnsctl() {
  local line=${COMP_LINE:0:COMP_POINT} program=${1##*/} words current offset
  read -ra words <<<"$line"
  [[ $line != *[[:space:]] ]] || words+=('')
  # The words of COMMAND in `netnsctl run NAME COMMAND` are completed as a command line of their own.
  if [[ $line == *run* ]]; then
    offset=$(NETNSCTL_COMPLETE='command' "$program" -- "${words[@]}" 2>/dev/null)
    if [[ $offset ]]; then
      _netnsctl_command "$offset" "$2"
      return
    fi
  fi

  current=${words[-1]}
  mapfile -t COMPREPLY < <(
    NETNSCTL_COMPLETE=bash _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1)) _CLAP_COMPLETE_COMP_TYPE=$COMP_TYPE \
      _CLAP_COMPLETE_SPACE=true "$program" -- "${words[@]}"
  )
  # bash replaces only the part after `@`, so the part before is removed from each candidate.
  COMPREPLY=("${COMPREPLY[@]#"${current%"$2"}"}")
}

# Usage: _netnsctl_command OFFSET CURRENT
# Completes the command line that begins at the word OFFSET of `words`. The word to complete is CURRENT.
_netnsctl_command() {
  if ! declare -F _command_offset >/dev/null; then # without the package bash-completion
    ((${#words[@]} > $1 + 1)) || mapfile -t COMPREPLY < <(compgen -c -- "$2")
    return
  fi
  # bash has split these words further. Both together have the same characters.
  local IFS='' before
  before=${words[*]:0:$1}
  local -i at=0 length=0
  while ((length < ${#before} && at < COMP_CWORD)); do length+=${#COMP_WORDS[at++]}; done
  IFS=$' \t\n'
  _command_offset "$at"
}

complete -o bashdefault -F _netnsctl netnsctl netns-update netns-nft-save
