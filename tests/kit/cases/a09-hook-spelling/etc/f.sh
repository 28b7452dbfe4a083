say() { printf "%s\n" "$*" >>/mnt/obs; }
NO_CONFIG_REQUIRED=y
configure_f_up_outside() { say f; } >/dev/null
