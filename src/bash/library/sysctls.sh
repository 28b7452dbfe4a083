# shellcheck shell=bash disable=SC2154 # the wrapper sets __netns_*
# The function of the library for sysctls. The program does the work (src/library/sysctl).

# Usage: sysctl_set [--host] KEY=VALUE...
#   sysctl_set net.ipv4.ip_unprivileged_port_start=80
#   sysctl_set --host net.ipv4.ip_forward=1
# Sets sysctls in the namespace of the instance, or on the host. KEY is written as for sysctl(8). Checks all keys before the first
# one is set. The values before are restored when the hook fails, when the instance goes down, and after a restart that does not
# set the sysctl again. A sysctl of the host is restored after the last instance that has set it.
sysctl_set() { __netns_library sysctl_set "$@"; }
