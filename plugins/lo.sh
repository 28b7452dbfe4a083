# shellcheck shell=bash
# lo: the loopback interface of a namespace. No configuration.
#
# Contains: only definitions

# shellcheck disable=SC2034 # read by netnsinit
NO_CONFIG_REQUIRED=yes

configure_lo_up_inside() {
  assert_command ip iproute2
  ip link set dev lo up
}

# What is not as `up` left it, a line each.
configure_lo_check_inside() {
  [[ $(ip -oneline link show dev lo) == *[\<,]UP[,\>]* ]] || echo "interface 'lo' is not up"
}

# There is nothing to take down: other types on the namespace may need lo, and it goes with the namespace.
