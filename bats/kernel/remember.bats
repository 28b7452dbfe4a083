#!/usr/bin/env bats
# remember and recall: values that pass from one hook of an instance to the later ones.

load kernel

# Usage: keeps DECLARATION VARIABLE...
# A type whose `up outside` runs DECLARATION and remembers the VARIABLEs. `down outside` recalls them and prints them, one element a
# line.
keeps() {
  cat >"$CONF/keeps.sh" <<END
NO_CONFIG_REQUIRED=yes
configure_keeps_up_outside() {
  $1
  remember ${*:2}
}
configure_keeps_down_outside() {
  recall
  local name
  for name in ${*:2}; do
    local -n values=\$name
    printf '%s: %s elements\n' "\$name" "\${#values[@]}"
    [[ ! -v values[@] ]] || printf '[%q]\n' "\${values[@]}"
    printf 'indices: %s\n' "\${!values[*]}"
    unset -n values
  done
}
END
}

# Usage: recalled
# Prints the output of `down outside` without the line of netnsinit.
recalled() { netnsinit keeps a down outside | grep --invert-match '^Starting\|^No configuration'; }

@test "remember keeps every element of an array, also empty ones and those with a newline or a special character" {
  keeps "LIST=('' \$'two\nlines' ' a  b ' '*' '=' '(x)' 'LIST+=y' 'LIST=z' '&' '\\' \$'\xff' '')" LIST
  create a
  netnsinit keeps a up outside
  # The .conf file has other elements now.
  config keeps.conf <<<'LIST=(new1 new2)'
  diff --unified - <(recalled) <<'END'
LIST: 12 elements
['']
[$'two\nlines']
[\ a\ \ b\ ]
[\*]
[=]
[\(x\)]
[LIST+=y]
[LIST=z]
[\&]
[\\]
[$'\377']
['']
indices: 0 1 2 3 4 5 6 7 8 9 10 11
END
}

@test "remember keeps the order of a sparse array, and an array without elements" {
  keeps 'SPARSE=([7]=last [3]=first) EMPTY=()' SPARSE EMPTY
  create a
  netnsinit keeps a up outside
  config keeps.conf <<<'SPARSE=([9]=new) EMPTY=(new)'
  diff --unified - <(recalled | sed 's/ $//') <<'END'
SPARSE: 2 elements
[first]
[last]
indices: 0 1
EMPTY: 0 elements
indices:
END
}

@test "a later remember replaces an array, and keeps the other values" {
  keeps 'LIST=(a b c) OTHER=(d e); remember LIST OTHER; LIST=(f)' LIST
  create a
  netnsinit keeps a up outside
  sed -i 's/for name in LIST/for name in LIST OTHER/' "$CONF/keeps.sh"
  [[ $(recalled | paste -sd ' ') == 'LIST: 1 elements [f] indices: 0 OTHER: 2 elements [d] [e] indices: 0 1' ]]
}

@test "recall does not change a readonly array" {
  keeps 'LIST=(a b)' LIST
  create a
  netnsinit keeps a up outside
  config keeps.conf <<<'readonly LIST=(new)'
  [[ $(recalled | paste -sd ' ') == 'LIST: 1 elements [new] indices: 0' ]]
}

@test "remember refuses an associative array, and keeps nothing" {
  keeps 'local -A MAP=([key]=value); LIST=(a)' LIST MAP
  create a
  run --separate-stderr -1 netnsinit keeps a up outside
  [[ $stderr == *"cannot keep the value of 'MAP': it is an associative array"* ]]
  [[ ! -e $MEMORY/keeps@a ]]
}
