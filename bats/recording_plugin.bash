# shellcheck shell=bash
# A type for the suites under systemd and for both engines.

# The file in which the hooks of such types record their calls, on the machine.
LOG=/run/hooks.log

# Usage: recording_plugin TYPE [TEXT]
# Prints a plugin whose hooks record that they ran. TEXT is bash that can override any of them.
recording_plugin() {
  cat <<END
NO_CONFIG_REQUIRED=yes
configure_$1_up_outside() { echo "$1@\$1 up outside" >>$LOG; }
configure_$1_up_inside() { echo "$1@\$1 up inside" >>$LOG; }
configure_$1_down_inside() { echo "$1@\$1 down inside" >>$LOG; }
configure_$1_down_outside() { echo "$1@\$1 down outside" >>$LOG; }
${2-}
END
}
