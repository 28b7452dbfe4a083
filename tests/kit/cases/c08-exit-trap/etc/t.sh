say() { printf "%s\n" "$*" >>/mnt/obs; }
NO_CONFIG_REQUIRED=y
plain=global
configure_t_up_outside() {
  case $2 in
    ok) say hook ;;
    fail) say hook; (exit 4) ;;
    exit) say hook; exit 6 ;;
    swallow) trap 'exit 0' EXIT; return 5 ;;
    raise) trap 'exit 9' EXIT; say hook ;;
    broken) trap 'say t; false; say never' EXIT; say hook ;;
  esac
}
trap 'say "exit trap $? $plain $NSNAME"' EXIT
