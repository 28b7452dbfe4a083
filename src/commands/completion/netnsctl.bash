# shellcheck shell=bash
# Completion of netnsctl for bash: the program itself is asked. Of an instance, bash takes `@` for the end of a word.

_netnsctl() {
  local line=${COMP_LINE:0:COMP_POINT} words whole
  read -ra words <<<"$line"
  [[ $line != *[[:space:]] ]] || words+=('')
  whole=${words[-1]}
  mapfile -t COMPREPLY < <(
    NETNSCTL_COMPLETE=bash _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1)) _CLAP_COMPLETE_COMP_TYPE=$COMP_TYPE \
      _CLAP_COMPLETE_SPACE=true netnsctl -- "${words[@]}"
  )
  # What stands before the part that bash wants to see replaced.
  COMPREPLY=("${COMPREPLY[@]#"${whole%"$2"}"}")
}
complete -o bashdefault -F _netnsctl netnsctl
