NO_CONFIG_REQUIRED=y
configure_t_up_outside() { echo "$# ${#2} ${*: -1:1}" | cut -c1-40 >>/mnt/obs; }
