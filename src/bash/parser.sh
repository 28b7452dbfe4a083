# shellcheck shell=bash disable=SC2034 # the variable is not read

# Usage: source FILE || __netns_reset_parser
# After an array without its closing parenthesis, bash 5.3 reads the next text as elements of an array, until a syntax error.
# This assignment is such a text. For other versions, and after other failures, it has no effect.
__netns_reset_parser() { eval '__netns_unused=()' 2>/dev/null || :; }
