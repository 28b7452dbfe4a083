configure_t_up_outside() { echo "up $v"; state=x; } >>/mnt/obs
configure_t_down_outside() { echo "down $v ${state-none}"; } >>/mnt/obs
