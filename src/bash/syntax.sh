# shellcheck shell=bash disable=SC2034 # __netns_syntax_error is read elsewhere

# Usage: __netns_parses FILE
# Whether bash can parse FILE. If not, __netns_syntax_error is the first line of the error, after any warnings. A file can set
# extglob, which changes the syntax. For an array without its closing parenthesis, `bash -n` of version 5.1 prints the error and
# has status 0. A warning is not an error.
__netns_parses() {
  local option
  for option in +O -O; do
    # In a trap, a plain `return` would return the status before the trap.
    __netns_syntax_error=$(LC_ALL=C "$BASH" "$option" extglob -n "$1" 2>&1) &&
      [[ $__netns_syntax_error != *@(syntax error near|unexpected EOF while)* ]] && return 0
  done
  while [[ ${__netns_syntax_error%%$'\n'*} == *': warning: '* && $__netns_syntax_error == *$'\n'* ]]; do
    __netns_syntax_error=${__netns_syntax_error#*$'\n'}
  done
  __netns_syntax_error=${__netns_syntax_error%%$'\n'*}
  return 1
}
