#!/bin/bash
# Usage: tests/kit/run.sh [-q] [-c GLOB]... COMMAND [ARGUMENT...]
# Runs the cases of the compatibility kit against COMMAND, which takes `TYPE NAME [WORD...] up|down outside|inside`;
# README says what a case is. Needs root; everything happens in private namespaces, and the host is left as it was.
#   -q       only the verdicts, no differences
#   -c GLOB  only the cases that match (may be given more than once)
# The last line is `N passed, N failed`; the exit status is 1 if one failed.
set -u

kit=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

# What is mounted over, filled for each case, and seen by COMMAND and by the cases alone.
confdir=/etc/conf.d/netns
sharedir=/usr/share/systemd-netns
scratch=/run/kit

# Usage: cover DIRECTORY
# Mounts an empty file system on DIRECTORY. Where it does not exist, an overlay of the nearest directory above that does
# makes room for it.
cover() {
  local top=$1 layer
  while [[ ! -d $top ]]; do top=${top%/*}; done
  if [[ ${top:-/} != "$1" ]]; then
    layer=$scratch/overlay${top//\//_}
    mkdir -p "$layer"/{upper,work}
    mount -t overlay kit -o "lowerdir=$top,upperdir=$layer/upper,workdir=$layer/work" "$top" || exit 2
    mkdir -p "$1"
  fi
  mount -t tmpfs -o mode=755 kit "$1" || exit 2
}

# Usage: clean
# An empty world for the next case.
clean() {
  local namespace
  for namespace in /run/netns/*; do
    [[ ! -e $namespace ]] || ip netns delete "${namespace##*/}"
  done
  rm -rf /run/systemd-netns
  find "$confdir" "$sharedir" /mnt -mindepth 1 -delete
  mkdir /mnt/cwd
  : >/mnt/obs
  chmod 755 /mnt "$confdir" "$sharedir"
}

# Usage: run_case DIRECTORY COMMAND...
run_case() {
  local case=$1
  shift
  [[ ! -d $case/etc ]] || cp -a --no-preserve=ownership "$case/etc/." "$confdir/"
  [[ ! -d $case/usr ]] || cp -a --no-preserve=ownership "$case/usr/." "$sharedir/"
  # The group may be allowed to write a clone: then the files are not trusted.
  chmod -R go-w "$confdir" "$sharedir"
  (
    cd /mnt/cwd || exit
    # shellcheck disable=SC2016 # for that bash to expand
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C KIT="$kit" \
      timeout -k 2 40 bash -c 'source "$KIT/lib.bash"; CMD=("${@:2}"); source "$1"' kit "$case/do" "$@" \
      </dev/null >/mnt/do.out 2>/mnt/do.err
  )
}

# Usage: as_expected DIRECTORY
# Whether what was seen is one of the expectations of the case.
as_expected() {
  local expectation
  for expectation in "$1"/expect "$1"/expect.*; do
    [[ ! -e $expectation ]] || ! cmp -s "$expectation" /mnt/obs || return 0
  done
  return 1
}

# Usage: explain DIRECTORY
explain() {
  sed -n '2,$s/^/     # /p' "$1/about"
  diff -u --label expected --label seen "$1/expect" /mnt/obs | sed 's/^/     /'
  head -n 10 /mnt/do.err | sed 's/^/     do: /'
  [[ ! -e /mnt/err ]] || tail -n 10 /mnt/err | sed 's/^/     stderr of the last run: /'
}

# Usage: wanted NAME
# Whether a case was asked for.
wanted() {
  local glob globs
  [[ $KIT_ONLY ]] || return 0
  read -ra globs <<<"$KIT_ONLY"
  for glob in "${globs[@]}"; do
    # shellcheck disable=SC2053 # a pattern
    [[ $1 != $glob ]] || return 0
  done
  return 1
}

usage() {
  sed -n '2,7s/^# //p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

if [[ -z ${KIT_INSIDE-} ]]; then
  export KIT_INSIDE=y KIT_QUIET='' KIT_ONLY=''
  while getopts qc: option; do
    case $option in
      q) KIT_QUIET=y ;;
      c) KIT_ONLY+=" $OPTARG" ;;
      *) usage ;;
    esac
  done
  shift $((OPTIND - 1))
  (($#)) || usage
  ((EUID == 0)) || {
    echo 'run.sh: this needs root: it makes namespaces' >&2
    exit 2
  }
  command=$(type -P -- "$1") || {
    echo "run.sh: no such command: $1" >&2
    exit 2
  }
  # Not resolved: a link to the binary is another program, by its name.
  command=$(cd "$(dirname "$command")" && pwd -P)/${command##*/}
  exec "$kit/../private" bash "$kit/run.sh" "$command" "${@:2}"
fi

# From here on in the namespaces. PID 1 is this shell, so its network namespace is the host's to all that asks.
mount --no-mtab -t tmpfs kit /run || exit 2
mount -t tmpfs kit /mnt || exit 2
mkdir /run/netns "$scratch"
cover "${confdir%/*}"
mkdir "$confdir"
cover "$sharedir"
ip link set lo up

passed=0
failed=()
for case in "$kit"/cases/*/; do
  case=${case%/}
  name=${case##*/}
  wanted "$name" || continue
  clean
  run_case "$case" "$@"
  if as_expected "$case"; then
    passed=$((passed + 1))
    echo "passed  $name"
  else
    failed+=("$name")
    echo "FAILED  $name"
    [[ $KIT_QUIET ]] || explain "$case"
  fi
done

echo
((${#failed[@]} == 0)) || echo "failed: ${failed[*]}"
echo "$passed passed, ${#failed[@]} failed"
((passed > 0 && ${#failed[@]} == 0))
