configure_t_up_outside() { echo hook >>/mnt/obs; }
