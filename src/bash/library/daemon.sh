# shellcheck shell=bash disable=SC2154
# The functions of the library for daemons. The program does the work (src/library/daemon).

# Usage: daemon_start NAME [--outside] [--host-files] [--user USER] [--ready COMMAND] COMMAND [ARGUMENT...]
#   daemon_start dns dnsmasq --keep-in-foreground --interface="ve-${1}1"
# Starts a daemon in the namespace, with the files of /etc/netns/NSNAME in /etc. COMMAND must stay in the foreground. It is started
# again if it ends, and is stopped when the instance goes down. A daemon with the same NAME and the same arguments keeps running; with
# other arguments it is restarted. Fails if COMMAND ends at once.
#   --outside      run it in the network of the host, with the files of the host
#   --host-files   run it with the files of the host
#   --user USER    run it as this user
#   --ready COMMAND  wait until this bash command succeeds, at most 30 seconds
daemon_start() { __netns_daemon start "$@"; }

# Usage: daemon_stop NAME
# Stops a daemon, if it was started by daemon_start.
daemon_stop() { __netns_daemon stop "$1"; }

# Usage: daemon_restart NAME
# Restarts a daemon that was started by daemon_start, with the same arguments.
daemon_restart() { __netns_daemon restart "$1"; }

# Usage: __netns_daemon start|stop|restart DAEMON [ARGUMENT...]
__netns_daemon() { __netns_library "daemon_$1" "${@:2}"; }
