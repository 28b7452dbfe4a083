say() { printf "%s\n" "$*" >>/mnt/obs; }
NO_CONFIG_REQUIRED=y
configure_t_up_outside() {
  on_failure say first
  on_failure cat /no/such/file
  on_failure surely-no-such-command
  on_failure say last
  bash -c 'exit 7'
}
