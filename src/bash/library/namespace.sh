# shellcheck shell=bash disable=SC2154 # the wrapper sets __netns_*
# The namespace of the instance.

# Usage: inside_check NSNAME
#   inside_check "$NSNAME" || echo 'the namespace was replaced'
# Whether this shell runs in the network namespace that now has the name NSNAME.
inside_check() { [[ /proc/self/ns/net -ef $__netns_dir/$1 ]]; }

# Usage: with_netns_files COMMAND [ARGUMENT...]
#   with_netns_files dhclient ve-shop1
# Runs COMMAND with the files of /etc/netns/NSNAME in /etc. COMMAND can write to /etc/resolv.conf; this changes the file of the
# namespace, and never the host's file.
with_netns_files() { __netns_failed __netns_with_files "$@"; }
