say() { printf "%s\n" "$*" >>/mnt/obs; }
NO_CONFIG_REQUIRED=y
function configure_b_up_outside() { say b; }
