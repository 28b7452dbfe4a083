source "${BASH_SOURCE[0]%/*}/lib.inc"

helper() {
  true
  bash -c 'exit 3'
  true
}
deep() { helper; }
configure_t_up_outside() {
  case $2 in
    sourced) source "${BASH_SOURCE[0]%/*}/now.inc" ;;
    *) "$2" ;;
  esac
  true
}
