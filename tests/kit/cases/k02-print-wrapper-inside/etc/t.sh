NO_CONFIG_REQUIRED=y
seen() { echo "$UPDOWN in $(ip netns identify) $CURRENT_NETNS_NAME $([[ $CURRENT_NETNS_ID == "$(readlink /proc/self/ns/net)" ]] && echo 'right id')" >>/mnt/obs; }
configure_t_up_inside() { seen; }
configure_t_down_inside() { seen; }
