# shellcheck shell=bash
# bond: an interface in the namespace that joins several interfaces, for more bandwidth or as a fallback.
#
# Contains: only definitions
# Kind: bond
# Links: BOND_IFNAME
#
# Settings (in bond-NAME.conf; those for all bond instances in bond.conf):
#   BOND_PORTS            array of interfaces of the namespace that become ports; they may appear later
#   BOND_MODE             balance-rr, active-backup, balance-xor, broadcast, 802.3ad, balance-tlb or balance-alb; default: active-backup
#   BOND_MIIMON           milliseconds between two checks of the carrier of each port; default: 100
#   BOND_IFNAME           name of the bond; default: bond0
#   BOND_MAC              hardware address; default: by the first port
#   BOND_MTU              MTU in bytes; default: 1500
#   BOND_ALIAS            text about the interface, which `ip link` shows; default: none
#   BOND_GROUP            link group of the interface, a number, for `ip` and nftables; default: 0
#   BOND_IFADDR           address, as arguments for `ip address add`: "192.0.2.7/24"; an array may have several; default: none
#   BOND_GATEWAY          address of the default route's gateway; an array may have several; default: no default route
#   BOND_ROUTES           array of routes, each as arguments for `ip route replace`
#   BOND_SYSCTLS          array of sysctls of the bond: "ipv4.rp_filter=2" is net.ipv4.conf.IFNAME.rp_filter
#   BOND_CARRIER_TIMEOUT  seconds to wait for a carrier if there are ports; default: 5

# Sets the default name, also for `netnsctl show`.
configure_bond_defaults() { default_ifname BOND_IFNAME bond0; }

# Prints a line for each invalid setting.
configure_bond_validate() {
  valid_setting BOND_MODE is_one_of balance-rr active-backup balance-xor broadcast 802.3ad balance-tlb balance-alb
  # 0 switches the check off: then a port without a carrier would be used.
  valid_setting BOND_MIIMON is_number 1 2147483647
}

# A restart runs this again, with the present settings.
configure_bond_up_inside() {
  configure_bond_defaults
  # By default, the module creates a bond on the host.
  load_module bonding linux-image max_bonds=0
  link_add BOND type bond mode "${BOND_MODE:-active-backup}" miimon "${BOND_MIIMON:-100}"
  link_configure BOND
}
