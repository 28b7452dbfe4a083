# shellcheck shell=bash
# Usage: bash oracle.sh DIRECTORY COUNT
# Sources the files 0, 1, ... of DIRECTORY, each in a separate subshell. Prints for each a record of four NUL-terminated fields:
# status and output, created files, functions, variables with their values.

cd "$1/created" || exit
shopt -s nullglob
for ((number = 0; number < $2; number++)); do
  (
    exec 3>&1 >"../output" 2>&1
    # Sources the file in a function, like a hook. So only effects on the whole shell are recorded.
    # shellcheck disable=SC1090 # only known at run time
    try() { source "$1"; }
    mapfile -t names <"../$number.names"
    # shellcheck disable=SC2317 # the trap calls it
    # Runs as EXIT trap, because a syntax error in a command substitution ends the shell.
    report() {
      status=$1 created=(*)
      unset -f report
      printf >&3 '%s %s\0%s\0' "$status" "$(<../output)" "${created[*]}"
      compgen -A function >&3
      printf >&3 '\0'
      compgen -v >&3
      printf >&3 '\n'
      for name in "${names[@]}"; do printf >&3 '%s=%s\n' "$name" "${!name}"; done
      printf >&3 '\0'
    }
    trap 'report "$?"' EXIT
    try "../$number"
    exit
  )
  rm -f ./*
done
