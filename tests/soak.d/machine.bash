# shellcheck shell=bash disable=SC2004,SC2034,SC2153,SC2154 # keys of associative arrays; the files of this directory share variables
# The observed state: prepares the machine on which the walk runs, and prints its state.

CONF=/etc/conf.d/netns
# The directory with the commands for the hooks of the type `probe`: the file UPDOWN-INOUT-NAME contains `fail` or `hang`.
PROBE=/run/soak

# Usage: machine_prepare
# Writes the settings of all instances and the plugin of the type `probe`, and creates a parent interface for macvlan.
machine_prepare() {
  local name
  rm -f "$CONF"/*.conf "$CONF"/*.rules
  mkdir "$PROBE"
  mkfifo "$PROBE/fifo"
  ip link add parent type veth peer name parent-peer
  ip link set parent up
  ip link set parent-peer up
  cat >"$CONF/probe.sh" <<'END'
NO_CONFIG_REQUIRED=yes
configure_probe_up_outside() { probe_run_command "$1"; }
configure_probe_up_inside() { probe_run_command "$1"; }
configure_probe_down_inside() { probe_run_command "$1"; }
configure_probe_down_outside() { probe_run_command "$1"; }
probe_run_command() {
  local file=/run/soak/$UPDOWN-$INOUT-$1
  [[ -e $file ]] || return 0
  case $(<"$file") in
    fail) return 3 ;;
    hang)
      echo "$$" >"$file.new"
      mv "$file.new" "$file.pid"
      read -rt 60 <>/run/soak/fifo
      ;;
  esac
}
END
  printf 'MACVLAN_PARENT_IFNAME=parent\nMACVLAN_IFNAME=macvlan0\n' >"$CONF/macvlan.conf"
  for name in "${NAMES[@]}"; do
    echo "MACVLAN_IFADDR=10.100.${name#n}.2/24" >"$CONF/macvlan-$name.conf"
    machine_configure "$name"
  done
  engine_prepare
  # The first namespace of `ip netns` turns /run/netns into a mount.
  ip netns add first
  ip netns delete first
}

# Usage: machine_configure NAME
# Writes the settings of a namespace that steps change.
machine_configure() {
  local name=$1 net=10.${1#n}.${VETH[$1]}
  printf 'VETH_IFADDR_OUTSIDE=%s.1/30\nVETH_IFADDR_INSIDE=%s.2/30\n' "$net" "$net" >"$CONF/veth-$name.conf"
  echo "table inet soak { comment \"generation ${RULES[$name]}\"; chain in { type filter hook input priority 0; policy drop; }; }" \
    >"$CONF/nft-$name.rules"
}

# Usage: observed
# Prints the state of the machine, a line for each object, sorted.
observed() {
  local name
  {
    observed_states
    for name in /run/netns/*; do
      [[ $name == */\* ]] || echo "namespace ${name##*/}"
    done
    observed_links host ip
    for name in "${NAMES[@]}"; do
      if [[ -e /run/netns/$name ]] && is_compared_inside "$name"; then
        observed_links "$name" ip -netns "$name"
        observed_rules "$name"
      fi
    done
  } | sort
}

# Usage: observed_links WHERE COMMAND...
# Prints the interfaces, and the IPv4 addresses of the interfaces that are up.
observed_links() {
  local where=$1 ifname addresses
  # Errors are not printed, because the namespace can be removed at this moment.
  while IFS=': ' read -r _ ifname _; do
    case $where-${ifname%@*} in
      *-lo | host-parent* | host-eth0 | host-host0) ;;
      *) echo "$where link ${ifname%@*}" ;;
    esac
  done < <("${@:2}" -oneline link show 2>/dev/null)
  while read -r ifname _ addresses; do
    case $where-${ifname%@*} in
      host-lo | host-parent* | host-eth0 | host-host0) ;;
      *-lo) echo "$where lo" ;;
      *) echo "$where ${ifname%@*} ${addresses%% }" ;;
    esac
  done < <("${@:2}" -4 -brief address show up 2>/dev/null)
}

# Usage: observed_rules NAME
# Prints the generation of the rules in a namespace.
observed_rules() {
  nsenter --net="/run/netns/$1" nft list ruleset 2>/dev/null | # the namespace can be removed at this moment
    sed -n "s/.*comment \"generation \(.*\)\".*/$1 rules \1/p"
}

# Usage: listed
# Prints `TYPE@NAME STATE` for each instance that is not down, from the output of `netnsctl list`.
listed() {
  netnsctl list --json | jq --raw-output '.items[] | select(.state != "down") | "\(.instance) \(.state)"' | sort
}

# Usage: agrees
# Whether the machine agrees with the model. Waits some seconds at most, because systemd finishes some work after `systemctl` has returned,
# and the kernel removes a namespace with a delay.
agrees() {
  local -i try
  local expected
  expected=$(expected)
  for ((try = 0; try < 200; try++)); do
    [[ $expected != "$(observed)" ]] || return 0
    sleep 0.02
  done
  return 1
}

# Usage: machine_state
# Prints everything that can be left after the walk.
machine_state() {
  ip -oneline link | sed 's/^[0-9]*: //; s/@.*//; s/:.*//' | sort
  nft list ruleset
  # The mounts of systemd-nspawn are left out.
  cut -d ' ' -f 4- /proc/self/mountinfo | grep --invert-match ' /run/host' | sort
  find /run/netns /run/systemd-netns "$PROBE" -type f 2>/dev/null
  engine_leftovers
  ps -eo ppid=,args= | awk '$1 == 1 && !/systemd|agetty|dbus|soak.d\/walk/' | cut -c 8- | sort
}
