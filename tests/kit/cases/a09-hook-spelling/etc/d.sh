say() { printf "%s\n" "$*" >>/mnt/obs; }
NO_CONFIG_REQUIRED=y
configure_d_up_outside() ( say d; cd /; X=1; )
