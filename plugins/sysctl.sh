# shellcheck shell=bash
# sysctl: sysctls of the namespace.
#
# Contains: only definitions
#
# Settings (in sysctl-NAME.conf; those for all namespaces in sysctl.conf):
#   SYSCTLS  array of sysctls, each as for sysctl(8): "net.ipv4.ping_group_range=0 2147483647"; only net.*

# A restart runs this again, with the present settings.
configure_sysctl_up_inside() { sysctl_set "${SYSCTLS[@]}"; }

# Prints a line for each invalid setting.
configure_sysctl_validate() {
  local sysctl
  ((${#SYSCTLS[@]})) || echo 'SYSCTLS: is not set'
  for sysctl in "${SYSCTLS[@]}"; do
    [[ $sysctl == net[./]*=* ]] || echo "SYSCTLS: '$sysctl' is not a sysctl of a namespace: expected net.KEY=VALUE"
  done
}
