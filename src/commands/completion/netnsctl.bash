# shellcheck shell=bash
# Completion of netnsctl for bash. It queries the program. bash splits words at `@`, so this script splits the line itself.

_netnsctl() {
  local line=${COMP_LINE:0:COMP_POINT} words current
  read -ra words <<<"$line"
  [[ $line != *[[:space:]] ]] || words+=('')
  current=${words[-1]}
  mapfile -t COMPREPLY < <(
    NETNSCTL_COMPLETE=bash _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$((${#words[@]} - 1)) _CLAP_COMPLETE_COMP_TYPE=$COMP_TYPE \
      _CLAP_COMPLETE_SPACE=true netnsctl -- "${words[@]}"
  )
  # bash replaces only the part after `@`, so the part before is removed from each candidate.
  COMPREPLY=("${COMPREPLY[@]#"${current%"$2"}"}")
}
complete -o bashdefault -F _netnsctl netnsctl
