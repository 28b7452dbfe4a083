NO_CONFIG_REQUIRED=y V=1
configure_t_up_outside() { remember V; [[ ${2-} != fail ]]; }
configure_t_down_outside() { recall; [[ ${2-} != fail ]]; }
