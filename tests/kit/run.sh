#!/bin/bash
# Usage: tests/kit/run.sh [-q] [-c GLOB]... COMMAND [ARGUMENT...]
# Runs the cases of the compatibility kit against COMMAND, whose arguments are `TYPE NAME [ARGUMENT...] up|down outside|inside`. README
# describes the cases. Needs root. The cases run in private namespaces, and do not change the host.
#   -q       print only the results, without differences
#   -c GLOB  run only matching cases (can be repeated)
# The last line is `N passed, N failed`. The exit status is 1 if a case failed.
set -u

kit=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)

# The directories with the files of a case. An empty file system is mounted on each, visible only to COMMAND and the cases.
confdir=/etc/conf.d/netns
sharedir=/usr/share/systemd-netns
scratch=/run/kit

# Usage: mount_empty DIRECTORY
# Mounts an empty file system on DIRECTORY. If DIRECTORY does not exist, it is created in an overlay of the nearest existing parent.
mount_empty() {
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

# Usage: reset_state
# Removes the files and namespaces of the last case.
reset_state() {
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
# Copies the files of a case to the two directories, and runs its `do` file.
run_case() {
  local case=$1
  shift
  [[ ! -d $case/etc ]] || cp -a --no-preserve=ownership "$case/etc/." "$confdir/"
  [[ ! -d $case/usr ]] || cp -a --no-preserve=ownership "$case/usr/." "$sharedir/"
  # In a clone, the group can have write permission, and netnsinit refuses such files.
  chmod -R go-w "$confdir" "$sharedir"
  (
    cd /mnt/cwd || exit
    # shellcheck disable=SC2016 # expanded by the inner bash
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C KIT="$kit" \
      timeout -k 2 40 bash -c 'source "$KIT/lib.bash"; CMD=("${@:2}"); source "$1"' kit "$case/do" "$@" \
      </dev/null >/mnt/do.out 2>/mnt/do.err
  )
}

# Usage: as_expected DIRECTORY
# Whether the observations are equal to an expectation of the case.
as_expected() {
  local expectation
  for expectation in "$1"/expect "$1"/expect.*; do
    [[ ! -e $expectation ]] || ! cmp -s "$expectation" /mnt/obs || return 0
  done
  return 1
}

# Usage: explain DIRECTORY
# Prints the rule of a failed case, the difference, and the errors.
explain() {
  sed -n '2,$s/^/     # /p' "$1/about"
  diff -u --label expected --label observed "$1/expect" /mnt/obs | sed 's/^/     /'
  head -n 10 /mnt/do.err | sed 's/^/     do: /'
  [[ ! -e /mnt/err ]] || tail -n 10 /mnt/err | sed 's/^/     stderr of the last run: /'
}

# Usage: is_selected NAME
# Whether a case matches the option -c.
is_selected() {
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
    echo 'run.sh: only root can create namespaces: run it as root' >&2
    exit 2
  }
  command=$(type -P -- "$1") || {
    echo "run.sh: command not found: $1" >&2
    exit 2
  }
  # Links are not resolved, because the name of the link selects the applet.
  command=$(cd "$(dirname "$command")" && pwd -P)/${command##*/}
  exec "$kit/../private" bash "$kit/run.sh" "$command" "${@:2}"
fi

# This part runs in the private namespaces. PID 1 is this shell, so its network namespace counts as the namespace of the host.
mount --no-mtab -t tmpfs kit /run || exit 2
mount -t tmpfs kit /mnt || exit 2
mkdir /run/netns "$scratch"
mount_empty "${confdir%/*}"
mkdir "$confdir"
mount_empty "$sharedir"
ip link set lo up

passed=0
failed=()
for case in "$kit"/cases/*/; do
  case=${case%/}
  name=${case##*/}
  is_selected "$name" || continue
  reset_state
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
