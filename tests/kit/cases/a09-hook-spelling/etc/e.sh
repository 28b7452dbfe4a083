say() { printf "%s\n" "$*" >>/mnt/obs; }
NO_CONFIG_REQUIRED=y
eval 'configure_e_up_outside() { say e; }'
