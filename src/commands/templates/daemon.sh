# shellcheck shell=bash
# TYPE: a daemon in the namespace.
#
# Contains: only definitions
#
# Settings (in TYPE-NAME.conf; those for all instances in TYPE.conf):
#   SETTING_COMMAND  array: the command of the daemon, which must stay in the foreground

# Checks the settings before `up` and for `netnsctl check`: prints a line for each error, and changes nothing.
configure_TYPE_validate() {
  [[ ${SETTING_COMMAND[0]-} ]] || echo 'SETTING_COMMAND: is not set'
}

# Runs in the namespace, and again on each restart. The host records the daemon: `down` stops it, and `check` reports if it does not run.
configure_TYPE_up_inside() {
  daemon_start DAEMON "${SETTING_COMMAND[@]}"
}
