say() { printf "%s\n" "$*" >>/mnt/obs; }
NO_CONFIG_REQUIRED=y
configure_t_up_outside() {
  on_failure say first
  on_failure say second
  true
  echo $$ >/mnt/ready.new; mv /mnt/ready.new /mnt/ready
  sleep 20
  say never
}
