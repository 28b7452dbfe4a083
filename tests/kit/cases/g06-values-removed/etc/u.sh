NO_CONFIG_REQUIRED=y V=1
configure_u_up_outside() { remember V; }
