NO_CONFIG_REQUIRED=y
configure_t_up_outside() { echo "of the plugin"; }
