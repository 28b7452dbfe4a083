NO_CONFIG_REQUIRED=y
configure_t_up_outside() { { while [[ ! -e /mnt/go ]]; do sleep 0.02; done; echo job >>/mnt/obs; : >/mnt/done; } & }
