#!/usr/bin/env bats
# Completion in interactive shells on a terminal, with the installed files.

load ../engine/engine

setup() {
  config lo-shop.conf <<<''
  # A program with its own completion, for COMMAND of `run`.
  printf '#!/bin/sh\n' >/usr/local/bin/bats-program
  chmod +x /usr/local/bin/bats-program
  export HOME=$BATS_TEST_TMPDIR TERM=xterm
  unset XDG_CONFIG_HOME XDG_DATA_HOME BASH_ENV
}

# Usage: completes SETUP SHELL LINE WORD... [\; LINE WORD...]...
# Runs SETUP in an interactive shell, then types each LINE and TAB, which must complete the line to the WORDs.
completes() {
  local setup=$1 shell=$2 steps=() line words
  local -A commands=([bash]='bash --norc --noprofile -i' [zsh]='zsh -f -i' [fish]='fish -i')
  shift 2
  steps=("send:$setup; echo rea''dy\\n" expect:ready)
  while (($#)); do
    line=$1 words=''
    shift
    while (($#)) && [[ $1 != ';' ]]; do
      words+="<$1>"
      shift
    done
    shift || true
    # Ctrl-A: the words of the completed line become the arguments of printf.
    steps+=("send:$line\\t\\x01printf '<%s>' \\n" "expect:$words")
  done
  # shellcheck disable=SC2086 # several words
  python3 "$ROOT/bats/netnsctl/terminal.py" "${steps[@]}" 'send:exit\n' -- ${commands[$shell]} >"$BATS_TEST_TMPDIR/printed" 3>&- || {
    cat -v "$BATS_TEST_TMPDIR/printed"
    return 1
  }
}

# Usage: each_shell LINE WORD... [\; LINE WORD...]...
# The same with the installed files, in a new session of each shell.
each_shell() {
  completes '. /usr/share/bash-completion/bash_completion; complete -W "first second" bats-program' bash "$@"
  completes 'autoload -Uz compinit && compinit -u -D; compdef "compadd first second" bats-program' zsh "$@"
  completes 'complete -c bats-program -xa "first second"' fish "$@"
}

@test "bash, zsh and fish complete the first line of a session" {
  each_shell 'netnsctl resta' netnsctl restart
  each_shell 'netns-update --dae' netns-update --daemon-reload
}

@test "bash, zsh and fish complete the types, names, instances and options of the machine" {
  each_shell 'netnsctl up lo@' netnsctl up lo@shop \; 'netnsctl up sh' netnsctl up shop \; 'netnsctl types vet' netnsctl types veth \; \
    'netnsctl run sh' netnsctl run shop \; 'netnsctl up --engine d' netnsctl up --engine direct \; \
    'netnsctl run shop --us' netnsctl run shop --user
}

@test "bash, zsh and fish complete the arguments of netns-update and netns-nft-save" {
  each_shell 'netns-update --root /usr/shar' netns-update --root /usr/share/ \; 'netns-update --cl' netns-update --clean \; \
    'netns-nft-save sh' netns-nft-save shop \; 'netns-nft-save --type vet' netns-nft-save --type veth
}

@test "bash, zsh and fish complete COMMAND of run, and its arguments, as a command line" {
  each_shell 'netnsctl run shop bats-pro' netnsctl run shop bats-program \; \
    'netnsctl run shop -- bats-pro' netnsctl run shop -- bats-program \; \
    'netnsctl run shop -- bats-program fi' netnsctl run shop -- bats-program first \; \
    'netnsctl run --user=bob shop bats-program run sec' netnsctl run --user=bob shop bats-program run second
}

@test "the scripts of netnsctl completion work without the installed files, in bash also without bash-completion" {
  local lines=('netnsctl resta' netnsctl restart \; 'netns-nft-save sh' netns-nft-save shop \;
    'netnsctl run shop bats-pro' netnsctl run shop bats-program)
  completes '. <(netnsctl completion bash)' bash "${lines[@]}"
  # shellcheck disable=SC2016 # for zsh
  completes 'fpath=(${fpath:#*/vendor-completions}); autoload -Uz compinit && compinit -u -D; . <(netnsctl completion zsh)' zsh "${lines[@]}"
  completes 'set -e fish_complete_path; netnsctl completion fish | source' fish "${lines[@]}"
}
