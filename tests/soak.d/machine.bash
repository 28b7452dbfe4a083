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
  netns-update >/dev/null
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
    systemctl list-units --all --full --plain --no-legend --no-pager 'netns*@*.service' |
      while read -r unit _ active _; do
        [[ $active == inactive ]] || echo "unit ${unit%.service} $active"
      done
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
# The interfaces that are up, with their IPv4 addresses.
observed_links() {
  local where=$1 ifname addresses
  while read -r ifname _ addresses; do
    case $where-${ifname%@*} in
      host-lo | host-parent* | host-eth0 | host-host0) ;;
      *-lo) echo "$where lo" ;;
      *) echo "$where ${ifname%@*} ${addresses%% }" ;;
    esac
  done < <("${@:2}" -4 -brief address show up 2>/dev/null) # it may just be going
}

# Usage: observed_rules NAME
# The generation of the rules in a namespace.
observed_rules() {
  nsenter --net="/run/netns/$1" nft list ruleset 2>/dev/null | # it may just be going
    sed -n "s/.*comment \"generation \(.*\)\".*/$1 rules \1/p"
}

# Usage: agrees
# Whether the machine comes to be as the model says: systemd does some of what it does after `systemctl` has returned.
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

# Usage: machine_size
# Of PID 1: its memory in kB and its descriptors; the mounts and interfaces of the machine.
machine_size() {
  local kilobytes descriptors=(/proc/1/fd/*) links=(/sys/class/net/*) mounts
  kilobytes=$(awk '/^VmRSS/ { print $2 }' /proc/1/status)
  mapfile -t mounts </proc/1/mountinfo
  echo "$kilobytes kB, ${#descriptors[@]} descriptors, ${#mounts[@]} mounts, ${#links[@]} links"
}

# Usage: machine_has_not_grown EARLIER LAST FIRST
# With nothing up, PID 1 has no more memory than after a part of the time, and no more descriptors than at first, give or take
# (those of connections that are just being closed). Mounts and links are as they were.
machine_has_not_grown() {
  local -i more_memory=4096 more_descriptors=4
  local was is began
  read -ra was <<<"$1"
  read -ra is <<<"$2"
  read -ra began <<<"$3"
  ((is[0] <= was[0] + more_memory && is[2] <= began[2] + more_descriptors)) &&
    [[ ${is[*]:4} == "${began[*]:4}" ]]
}

# Usage: machine_world
# All that could be left behind.
machine_world() {
  ip -oneline link | sed 's/^[0-9]*: //; s/@.*//; s/:.*//' | sort
  nft list ruleset
  # But for what systemd-nspawn, outside, has there.
  cut -d ' ' -f 4- /proc/self/mountinfo | grep --invert-match ' /run/host' | sort
  find /run/netns /run/systemd-netns "$TOLD" -type f 2>/dev/null
  systemctl list-units --plain --no-legend --no-pager 'netns*'
  ps -eo ppid=,args= | awk '$1 == 1 && !/systemd|agetty|dbus/' | cut -c 8- | sort
  find /etc/systemd/system /run/systemd/system -name 'netns*' | sort
}

# Usage: machine_stop_all
machine_stop_all() {
  local -i try
  find "$TOLD" -type f -delete
  systemctl stop 'netns-*@*.service'
  systemctl disable --quiet "${ENABLED[@]/#/netns-}" 2>/dev/null
  for ((try = 0; try < 1000; try++)); do
    systemctl reset-failed 'netns*' 2>/dev/null
    [[ $(systemctl list-units --plain --no-legend --state=active,activating,deactivating 'netns*') ]] || break
    sleep 0.02
  done
}
