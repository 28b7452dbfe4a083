# shellcheck shell=bash disable=SC2004,SC2034,SC2153,SC2154 # keys of associative arrays; the files of this directory share variables
# What is so: on the machine that this runs on.

CONF=/etc/conf.d/netns
# What the hooks of the type `probe` are told to do: UPDOWN-INOUT-NAME holds `fail` or `hang`.
TOLD=/run/soak

# Usage: machine_prepare
# The settings of all instances, a parent for macvlan, and the type whose hooks do as they are told.
machine_prepare() {
  local name
  rm -f "$CONF"/*.conf "$CONF"/*.rules
  mkdir "$TOLD"
  mkfifo "$TOLD/fifo"
  ip link add parent type veth peer name parent-peer
  ip link set parent up
  ip link set parent-peer up
  cat >"$CONF/probe.sh" <<'END'
NO_CONFIG_REQUIRED=yes
configure_probe_up_outside() { probe_obey "$1"; }
configure_probe_up_inside() { probe_obey "$1"; }
configure_probe_down_inside() { probe_obey "$1"; }
configure_probe_down_outside() { probe_obey "$1"; }
probe_obey() {
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
  # The first namespace has /run/netns made a mount, as `ip netns` has it.
  ip netns add first
  ip netns delete first
}

# Usage: machine_configure NAME
# Writes the files that the steps edit.
machine_configure() {
  local name=$1 net=10.${1#n}.${VETH[$1]}
  printf 'VETH_IFADDR_OUTSIDE=%s.1/30\nVETH_IFADDR_INSIDE=%s.2/30\n' "$net" "$net" >"$CONF/veth-$name.conf"
  echo "table inet soak { comment \"generation ${RULES[$name]}\"; chain in { type filter hook input priority 0; policy drop; }; }" \
    >"$CONF/nft-$name.rules"
}

# Usage: observed
# The state of the machine, a line for each thing, in order.
observed() {
  local name
  {
    observed_states
    for name in /run/netns/*; do
      [[ $name == */\* ]] || echo "namespace ${name##*/}"
    done
    observed_links host ip
    for name in "${NAMES[@]}"; do
      if [[ -e /run/netns/$name ]] && looks_into "$name"; then
        observed_links "$name" ip -netns "$name"
        observed_rules "$name"
      fi
    done
  } | sort
}

# Usage: observed_links WHERE COMMAND...
# The interfaces, and of those that are up the IPv4 addresses.
observed_links() {
  local where=$1 ifname addresses
  # The namespace may just be going.
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
# The generation of the rules in a namespace.
observed_rules() {
  nsenter --net="/run/netns/$1" nft list ruleset 2>/dev/null | # it may just be going
    sed -n "s/.*comment \"generation \(.*\)\".*/$1 rules \1/p"
}

# Usage: listed
# What `netnsctl list` says, `TYPE@NAME STATE` for each instance that is not down.
listed() {
  netnsctl list --json | jq --raw-output '.items[] | select(.state != "down") | "\(.instance) \(.state)"' | sort
}

# Usage: agrees
# Whether the machine comes to be as the model says: systemd does some of what it does after `systemctl` has returned, and so does the
# kernel when a namespace goes.
agrees() {
  local -i try
  local want
  want=$(expected)
  for ((try = 0; try < 200; try++)); do
    [[ $want != "$(observed)" ]] || return 0
    sleep 0.02
  done
  return 1
}

# Usage: machine_world
# All that could be left behind.
machine_world() {
  ip -oneline link | sed 's/^[0-9]*: //; s/@.*//; s/:.*//' | sort
  nft list ruleset
  # But for what systemd-nspawn, outside, has there.
  cut -d ' ' -f 4- /proc/self/mountinfo | grep --invert-match ' /run/host' | sort
  find /run/netns /run/systemd-netns "$TOLD" -type f 2>/dev/null
  engine_world
  ps -eo ppid=,args= | awk '$1 == 1 && !/systemd|agetty|dbus|soak.d\/walk/' | cut -c 8- | sort
}
