#!/usr/bin/env bats
# Network managers of the host leave the interfaces of systemd-netns alone. Each test configures a manager to give an address from
# 198.51.100.0/24 to every interface. It waits until a foreign interface has such an address, then checks ours.

load systemd

ETC=$LAB/root/etc
# The link group of our interfaces.
GROUP=28275

setup_file() {
  lab_create
  lab_install
  lab_packages managers
  # What the scripts of the packages do.
  chroot "$LAB/root" useradd --system --home-dir /nonexistent dhcpcd
  mkdir -p "$ETC"/{netplan,network,NetworkManager/system-connections}
  rm -rf "$ETC"/systemd/network/*
  # udev reports only what changes here: the devices of the machine below are not touched. Otherwise any change of an interface starts
  # systemd-networkd.
  ln -s /dev/null "$ETC/systemd/system/systemd-udev-trigger.service"
  ln -s /dev/null "$ETC/systemd/system/systemd-networkd.socket"
  mkdir -p "$CONF"
  cp -a "$CONF" "$LAB/conf"
  lab_boot_devices
  lab systemctl start dbus
}

teardown() {
  [[ ${BATS_TEST_COMPLETED-} ]] || lab journalctl --boot --lines=40 --no-pager >&2
  lab systemctl stop systemd-networkd NetworkManager dhcpcd connman 'ifup@*' 2>/dev/null || true
  # Before a reload of systemd, in which netplan would wait.
  lab bash -c 'rm -rf /etc/systemd/network/* /run/systemd/network {/etc,/run}/udev/rules.d/* /etc/NetworkManager/system-connections/* \
    /run/NetworkManager /etc/netplan/* /etc/network/interfaces /run/network
    udevadm control --reload'
  undo_test
}

# Usage: add_link NAME KIND [OPTION...]
# Creates an interface with a carrier, and sets it up.
add_link() {
  local name=$1 kind=$2 peer=()
  [[ $kind != veth ]] || peer=(peer name "peer$((++PEERS))")
  lab ip link add "$name" "${@:3}" type "$kind" "${peer[@]}"
  [[ $kind != veth ]] || lab ip link set dev "peer$PEERS" up
  lab ip link set dev "$name" up
}

# Usage: add_ours NAME KIND
# Creates an interface as systemd-netns does: the link group is part of the request.
add_ours() {
  add_link "$1" "$2" group "$GROUP"
  lab ip address add 192.0.2.1/30 dev "$1"
}

# Usage: addresses NAME
# Prints the addresses, except those that the kernel adds.
addresses() {
  lab ip -json address show dev "$1" |
    jq --raw-output '[.[].addr_info[]? | select(.family == "inet" or .scope == "global") | "\(.local)/\(.prefixlen)"] | join(" ")'
}

# What the next functions expect. OURS are names and kinds of our interfaces. The names of foreign ones are CONTROL and a number. The
# manager gives them an address that matches CONFIGURED. The command VIEW prints the state of an interface in the manager, which is
# UNMANAGED for ours.
OURS=() CONTROL='' CONFIGURED='^198\.51\.100\.' VIEW='' UNMANAGED=''
# The present foreign interface, and the number of them so far.
FOREIGN='' CONTROLS=7

# Usage: is_configured NAME
is_configured() { [[ $(addresses "$1") =~ $CONFIGURED ]]; }

# Usage: check_links
# Waits until the manager has configured a new foreign interface, then checks ours. The name is a new one each time: a manager that has
# not yet seen the end of an interface can take a new one of the same name for it.
check_links() {
  if [[ $FOREIGN ]]; then lab ip link delete dev "$FOREIGN"; fi
  FOREIGN=$CONTROL$((++CONTROLS))
  add_link "$FOREIGN" veth
  eventually is_configured "$FOREIGN"
  check_ours
}

# Usage: check_ours
check_ours() {
  local name
  for name in "${OURS[@]% *}"; do
    echo "$name: $(addresses "$name"), $("$VIEW" "$name")"
    [[ $(addresses "$name") == 192.0.2.1/30 ]]
    [[ $(lab cat "/sys/class/net/$name/netdev_group") == "$GROUP" ]]
    [[ $(lab cat "/sys/class/net/$name/operstate") != down ]]
    [[ $("$VIEW" "$name") == "$UNMANAGED" ]]
  done
}

# Usage: replace_ours
# Creates our interfaces, instead of all interfaces.
replace_ours() {
  local link
  delete_links
  FOREIGN=''
  # shellcheck disable=SC2086 # a name and a kind
  for link in "${OURS[@]}"; do add_ours $link; done
}

# Usage: leaves_ours_alone UNIT [RELOAD...]
# Takes a manager through its events. RELOAD is the command that reloads its configuration.
leaves_ours_alone() {
  local unit=$1 reload=("${@:2}")

  echo 'start'
  replace_ours
  lab systemctl start "$unit"
  check_links

  echo 'restart'
  lab systemctl restart "$unit"
  check_links

  if ((${#reload[@]})); then
    echo 'reload'
    lab "${reload[@]}"
    check_links
  fi

  echo 'new links while the manager runs'
  replace_ours
  check_links

  echo 'boot: udev starts without its data, and after the links'
  lab systemctl stop "$unit" 'ifup@*' systemd-udevd-{control,kernel}.socket systemd-udevd
  lab rm -rf /run/udev/data /run/network
  replace_ours
  lab systemctl start systemd-udevd-{control,kernel}.socket systemd-udevd
  lab systemctl start "$unit"
  lab udevadm trigger --type=devices --action=add --subsystem-match=net
  check_links
}

# --- systemd-networkd

networkd_view() { lab networkctl --json=short status "$1" | jq --raw-output .AdministrativeState; }

@test "systemd-networkd, with its own file for ve-*: our interfaces are unmanaged, and those of systemd-nspawn are configured" {
  # This file gives an address from a pool of private ones.
  CONFIGURED='^(192\.168|172|10)\.'
  VIEW=networkd_view UNMANAGED=unmanaged OURS=('ve-shop0 veth') CONTROL=ve-container
  leaves_ours_alone systemd-networkd networkctl reload
}

@test "systemd-networkd, with a file for every interface: our interfaces are unmanaged" {
  printf '[Match]\nType=ether\n[Network]\nAddress=198.51.100.1/24\n' >"$ETC/systemd/network/00-all.network"
  VIEW=networkd_view UNMANAGED=unmanaged OURS=('ve-shop0 veth' 'lan7 veth') CONTROL=lan
  leaves_ours_alone systemd-networkd networkctl reload
}

@test "netplan, for systemd-networkd and every interface: our interfaces are unmanaged" {
  cat >"$ETC/netplan/all.yaml" <<<'{network: {ethernets: {all: {match: {name: "*"}, addresses: [198.51.100.1/24]}}}}'
  lab /lib/netplan/generate
  VIEW=networkd_view UNMANAGED=unmanaged OURS=('ve-shop0 veth' 'lan7 veth') CONTROL=lan
  replace_ours
  lab systemctl start systemd-networkd
  check_links
}

@test "the outside end of an instance is one of our interfaces, also after a restart of the instance" {
  pair shop
  CONFIGURED='^(192\.168|172|10)\.'
  VIEW=networkd_view UNMANAGED=unmanaged OURS=('ve-shop0 veth') CONTROL=ve-container
  lab systemctl start systemd-networkd
  lab netnsctl up veth@shop
  check_links
  lab netnsctl restart veth@shop
  check_links
  lab netnsctl down veth@shop
}

# Usage: check_finds MANAGER INSTANCE
# Removes the mark of the outside end, and waits until check finds that MANAGER configures it.
check_finds() {
  finds() { lab netnsctl check "$2" | grep -qxF "error: $2: $1 configures interface 've-shop0'; docs/managers.md shows how $1 leaves it alone"; }
  ! lab netnsctl check "$2" | grep -F "$1 configures"
  lab ip link set dev ve-shop0 group default
  lab udevadm trigger --settle --action=add /sys/class/net/ve-shop0
  lab systemctl restart "$1"
  eventually finds "$1" "$2"
}

@test "check reports a manager that configures an interface of an instance" {
  pair shop
  printf '[Match]\nName=ve-shop0\n[Network]\nAddress=198.51.100.1/24\n' >"$ETC/systemd/network/00-shop.network"
  lab systemctl start systemd-networkd
  lab netnsctl up veth@shop
  check_finds systemd-networkd veth@shop
  lab systemctl stop systemd-networkd
  lab netnsctl down veth@shop
  (
    umask 077
    printf '%s\n' '[connection]' id=shop type=ethernet interface-name=ve-shop0 '[ipv4]' method=manual address1=198.51.100.1/24 \
      >"$ETC/NetworkManager/system-connections/shop.nmconnection"
  )
  # By default, NetworkManager leaves every veth interface alone.
  cat >"$ETC/udev/rules.d/99-veth.rules" <<<'SUBSYSTEM=="net", KERNEL=="ve-shop0", ATTR{netdev_group}=="0", ENV{NM_UNMANAGED}="0"'
  lab udevadm control --reload
  lab systemctl start NetworkManager
  lab netnsctl up veth@shop
  check_finds NetworkManager veth@shop
  lab systemctl stop NetworkManager
  lab netnsctl down veth@shop
}

# --- NetworkManager

nm_view() { lab nmcli --get-values GENERAL.STATE device show "$1"; }

@test "NetworkManager, with a profile for every interface: our interfaces are unmanaged" {
  (
    umask 077
    cat >"$ETC/NetworkManager/system-connections/all.nmconnection" <<'END'
[connection]
id=all
type=ethernet
multi-connect=3
[ipv4]
method=manual
address1=198.51.100.1/24
END
  )
  # By default, NetworkManager leaves every veth interface alone, except eth*.
  echo 'SUBSYSTEM=="net", KERNEL=="ve-shop0", ENV{NM_UNMANAGED}="0"' >"$ETC/udev/rules.d/86-veth.rules"
  lab udevadm control --reload
  VIEW=nm_view UNMANAGED='10 (unmanaged)' OURS=('ve-shop0 veth' 'eth7 veth') CONTROL=eth
  leaves_ours_alone NetworkManager nmcli general reload
}

# netplan sets NM_UNMANAGED=0 for its interfaces, which also overrides the rule of NetworkManager for veth.
@test "netplan, for NetworkManager and ve-*: our interfaces are unmanaged" {
  cat >"$ETC/netplan/all.yaml" <<<'{network: {renderer: NetworkManager, ethernets: {all: {match: {name: "ve-*"}, addresses: [198.51.100.1/24]}}}}'
  lab /lib/netplan/generate
  lab udevadm control --reload
  VIEW=nm_view UNMANAGED='10 (unmanaged)' OURS=('ve-shop0 veth') CONTROL=ve-other
  replace_ours
  lab systemctl start NetworkManager
  check_links
}

# --- ifupdown

# Usage: interfaces LINE
# Writes the configuration of ifupdown, with the LINE.
interfaces() {
  local name
  echo "$1"
  for name in ve-shop0 lan{7..15}; do printf '%s\n' "iface $name inet static" '  address 198.51.100.1/24'; done
} >"$ETC/network/interfaces"

# A skipped unit is inactive.
ifupdown_view() { lab ifquery --state "$1" || lab systemctl show --property=ActiveState --value "ifup@$(systemd-escape "$1").service"; }

@test "ifupdown, with allow-hotplug for every interface: our interfaces are not brought up" {
  interfaces 'allow-hotplug /*'
  VIEW=ifupdown_view UNMANAGED=inactive OURS=('ve-shop0 veth' 'lan7 veth') CONTROL=lan
  leaves_ours_alone systemd-udevd udevadm control --reload
}

# --- managers that only their own file configures: the lines of docs/managers.md

@test "ifupdown, with auto for every interface, leaves the interfaces alone that EXCLUDE_INTERFACES lists" {
  interfaces 'auto /ve-* /lan*'
  cp "$ETC/default/networking" "$BATS_TEST_TMPDIR"
  echo 'EXCLUDE_INTERFACES="ve-* lan7"' >>"$ETC/default/networking"
  VIEW=ifupdown_view UNMANAGED=inactive OURS=('ve-shop0 veth' 'lan7 veth')
  replace_ours
  add_link lan8 veth
  lab systemctl restart networking
  is_configured lan8
  check_ours
  cp "$BATS_TEST_TMPDIR/networking" "$ETC/default"
}

# Prints the messages about an interface.
dhcpcd_view() { lab journalctl --quiet --output=cat --boot --unit=dhcpcd | grep "^$1: " || true; }

@test "dhcpcd leaves the interfaces alone that its denyinterfaces lists" {
  cp "$ETC/dhcpcd.conf" "$BATS_TEST_TMPDIR"
  printf '%s\n' noarp 'static ip_address=198.51.100.1/24' 'denyinterfaces ve-* lan7' >>"$ETC/dhcpcd.conf"
  VIEW=dhcpcd_view UNMANAGED='' OURS=('ve-shop0 veth' 'lan7 veth') CONTROL=lan
  leaves_ours_alone dhcpcd dhcpcd --rebind
  cp "$BATS_TEST_TMPDIR/dhcpcd.conf" "$ETC"
}

# Prints the number of services of an interface, whose names contain its MAC address.
connman_view() { lab connmanctl services | grep --count "ethernet_$(lab cat "/sys/class/net/$1/address" | tr -d :)_" || true; }

@test "ConnMan leaves ve-* alone, and the interfaces that its NetworkInterfaceBlacklist lists" {
  mkdir -p "$ETC/connman" "$LAB/root/var/lib/connman"
  printf '[General]\nNetworkInterfaceBlacklist = vmnet,vboxnet,virbr,ifb,ve-,vb-,lan7\n' >"$ETC/connman/main.conf"
  printf '[service_all]\nType=ethernet\nIPv4=198.51.100.1/24/198.51.100.2\n' >"$LAB/root/var/lib/connman/all.config"
  VIEW=connman_view UNMANAGED=0 OURS=('ve-shop0 veth' 'lan7 veth') CONTROL=lan
  leaves_ours_alone connman
}
