for p in up down; do eval "configure_t_${p}_outside() { echo \"$p v=\$v\" >>/mnt/obs; }"; done
