# shellcheck shell=bash
# The help of netnsinit.

# Usage: display_usage
# Prints the help of netnsinit.
display_usage() { "$0" --help; }
