# shellcheck shell=bash disable=SC2154 # the wrapper sets __netns_*
# Commands on the host and in the namespace.

# Usage: host_run COMMAND [ARGUMENT...]
#   host_run ip route get 192.0.2.1
# Runs a program in the network namespace of the host, also from an inside hook.
host_run() { __netns_host_run "$@"; }

# Usage: __netns_host_run COMMAND [ARGUMENT...]
__netns_host_run() {
  local __netns_enter=()
  [[ /proc/self/ns/net -ef /proc/1/ns/net ]] || __netns_enter=(nsenter --net=/proc/1/ns/net --)
  (exec "${__netns_enter[@]}" "$@")
}

# Usage: inside_run COMMAND [ARGUMENT...]
#   inside_run ip address replace 192.0.2.1/24 dev "$VPN_IFNAME"
# Runs a program in the network namespace of the instance, also from an outside hook.
inside_run() { __netns_inside_run "$@"; }

# Usage: __netns_inside_run COMMAND [ARGUMENT...]
__netns_inside_run() {
  local __netns_enter=()
  if [[ ${NSNAME_LOST-} ]]; then
    echo "cannot run \`$1\` in namespace '$NSNAME': the namespace was deleted, or replaced by another program" >&2
    return 1
  fi
  # An inside hook runs in the namespace, even if the name was deleted.
  [[ $INOUT == inside ]] || __netns_enter=(nsenter --net="$__netns_dir/$NSNAME" --)
  (exec "${__netns_enter[@]}" "$@")
}

# Usage: inside_check NSNAME
#   inside_check "$NSNAME" || echo 'the namespace was replaced'
# Whether this shell runs in the network namespace that now has the name NSNAME.
inside_check() { [[ /proc/self/ns/net -ef $__netns_dir/$1 ]]; }

# Usage: with_netns_files COMMAND [ARGUMENT...]
#   with_netns_files dhclient ve-shop1
# Runs COMMAND with the files of /etc/netns/NSNAME in /etc. COMMAND can write to /etc/resolv.conf; this changes the file of the
# namespace, and never the host's file.
with_netns_files() { __netns_failed __netns_with_files "$@"; }

# Usage: resolve_name VARIABLE NAME
#   resolve_name servers vpn.example.org
#   ip route replace "${servers[0]}" via "$VPN_GATEWAY"
# Sets the array VARIABLE to the addresses of a host name, in the order in which a program should try them. The host resolves the
# name, also in an inside hook.
resolve_name() {
  local __netns_enter=() __netns_answer __netns_line __netns_status=0
  [[ /proc/self/ns/mnt -ef /proc/1/ns/mnt ]] || __netns_enter=(nsenter --mount=/proc/1/ns/mnt --)
  __netns_answer=$(__netns_host_run "${__netns_enter[@]}" getent ahosts -- "$2") || __netns_status=$?
  if ((__netns_status)); then
    # getent(1): status 2 means that the name was not found.
    ((__netns_status == 2)) || __netns_answer="getent failed with status $__netns_status"
    echo "cannot resolve '$2' on the host: ${__netns_answer:-not found}; test it with: getent ahosts $2" >&2
    return 1
  fi
  local -n __netns_addresses=$1
  __netns_addresses=()
  # getent prints each address once for each type of socket: `192.0.2.1 STREAM name`.
  while read -r __netns_line; do
    [[ $__netns_line != *' STREAM'* ]] || __netns_addresses+=("${__netns_line%% *}")
  done <<<"$__netns_answer"
}

# Usage: load_module NAME [SOURCE [OPTION...]]
#   load_module wireguard CONFIG_WIREGUARD
#   load_module dummy linux-image-amd64 numdummies=0
# Loads a kernel module, unless it is loaded or built into the kernel. The error has SOURCE: the Debian package with the module, or
# the option of the kernel (CONFIG_...). OPTIONs are those of the module.
load_module() {
  local name=$1 from=${2-} release error hint
  [[ ! -d /sys/module/${name//-/_} ]] || return 0
  if ! type -P modprobe >/dev/null; then
    echo "cannot load the kernel module '$name': the program \`modprobe\` is not installed; $("$0" --package-hint kmod)" >&2
    return 1
  fi
  # modprobe succeeds for a module that is built in.
  ! error=$(modprobe -- "$name" "${@:3}" 2>&1) || return 0
  read -r release </proc/sys/kernel/osrelease
  case $from in
    CONFIG_*) hint="hint: use a kernel with the option $from" ;;
    ?*) hint=$("$0" --package-hint "$from") ;;
    '') hint="hint: install all modules of the kernel $release" ;;
  esac
  if [[ ! -d /lib/modules/$release ]]; then
    # A kernel without modules, or a container: the kernel may still have it.
    echo "cannot tell whether the kernel $release has the module '$name': /lib/modules/$release does not exist; if it is missing, $hint" >&2
    return 0
  fi
  echo "cannot load the kernel module '$name' (kernel $release): ${error#modprobe: }; $hint" >&2
  return 1
}
