NO_CONFIG_REQUIRED=y
echo read >>/mnt/obs
configure_t_up_inside() { echo up >>/mnt/obs; }
configure_t_down_inside() { echo "down <$CURRENT_NETNS_NAME>" >>/mnt/obs; }
