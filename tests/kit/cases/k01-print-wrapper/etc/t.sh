NO_CONFIG_REQUIRED=y
configure_t_up_outside() {
  printf '<%s>' "$0" "$-" "$NSTYPE" "$NSNAME" "$UPDOWN" "$INOUT" "$v" "$@" >/mnt/seen
  [[ $2 != fail ]]
}
