# shellcheck shell=bash
# lo: the loopback interface of a namespace. No configuration.
#
# Contains: only definitions
# Provides: loopback

# shellcheck disable=SC2034 # read by netnsinit
NO_CONFIG_REQUIRED=yes

configure_lo_up_inside() {
  link_up lo
}

# Prints a line if the interface was changed since `up`.
configure_lo_check_inside() {
  [[ $(ip -oneline link show dev lo) == *[\<,]UP[,\>]* ]] || echo "interface 'lo' is not up"
}

# No `down`: other types of the namespace may need lo, and the kernel removes it with the namespace.
