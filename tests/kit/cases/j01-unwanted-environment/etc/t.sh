NO_CONFIG_REQUIRED=y
configure_t_up_outside() {
  {
    echo "<${BASH_ENV-unset}> <${ENV-unset}> <${POSIXLY_CORRECT-unset}> <$PS4> <${BASH_XTRACEFD-unset}> kept: $KEPT"
    for option in pipefail nounset xtrace posix; do [[ -o $option ]] && echo "$option"; done
    shopt -q extglob && echo extglob
    shopt -q nullglob && echo nullglob
    env | grep -E '^(BASH_ENV|ENV|SHELLOPTS|BASHOPTS|POSIXLY_CORRECT|PS4|BASH_XTRACEFD)=' || echo 'children see none'
  } >>/mnt/obs
}
