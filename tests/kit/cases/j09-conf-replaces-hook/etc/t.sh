helper() { echo "plugin helper" >>/mnt/obs; }
configure_t_up_outside() { helper; }
configure_t_down_outside() { echo "plugin down" >>/mnt/obs; }
