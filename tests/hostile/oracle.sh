# shellcheck shell=bash
# Usage: bash oracle.sh DIRECTORY COUNT
# Sources the files 0, 1, ... of a directory, each in a shell of its own, and prints for each a record of four fields, each
# ended by NUL: status and what it printed, what it made, its functions, its variables with their values.

cd "$1/made" || exit
shopt -s nullglob
for ((number = 0; number < $2; number++)); do
  (
    exec 3>&1 >"../said" 2>&1
    # In a function, as in a hook. Nothing of it shows but what it does to the rest of this shell.
    # shellcheck disable=SC1090 # only known by then
    try() { source "$1"; }
    mapfile -t names <"../$number.names"
    # shellcheck disable=SC2317 # the trap calls it
    # A syntax error in a command substitution ends the shell: so it tells as it ends, one way or the other.
    tell() {
      status=$1 made=(*)
      unset -f tell
      printf >&3 '%s %s\0%s\0' "$status" "$(<../said)" "${made[*]}"
      compgen -A function >&3
      printf >&3 '\0'
      compgen -v >&3
      printf >&3 '\n'
      for name in "${names[@]}"; do printf >&3 '%s=%s\n' "$name" "${!name}"; done
      printf >&3 '\0'
    }
    trap 'tell "$?"' EXIT
    try "../$number"
    exit
  )
  rm -f ./*
done
