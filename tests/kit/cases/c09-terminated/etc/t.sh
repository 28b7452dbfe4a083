say() { printf "%s\n" "$*" >>/mnt/obs; }
NO_CONFIG_REQUIRED=y
nap() { sleep 1.2; }
configure_t_up_outside() {
  case $2 in
    plain) : >/mnt/ready; nap; say never ;;
    trapexit) trap 'say exit trap' EXIT; : >/mnt/ready; nap; say never ;;
    trapterm) trap 'say term trap' TERM; : >/mnt/ready; nap; say after ;;
  esac
}
