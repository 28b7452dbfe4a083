say() { printf "%s\n" "$*" >>/mnt/obs; }
NO_CONFIG_REQUIRED=y
helper() { cat /no/such/file; }
configure_t_up_outside() {
  on_failure say first
  on_failure say second 'two  words' '' '*' '$HOME'
  case $2 in
    failure) false ;;
    return) return 3 ;;
    exit) exit 4 ;;
    exit0) exit 0 ;;
    helper) helper ;;
    assert) assert_non_empty NOT_THERE ;;
  esac
  on_failure say third
}
