# shellcheck shell=bash
# vxlan: a tunnel that joins namespaces of several machines to one layer 2 network, over UDP packets of the host.
#
# Contains: only definitions
# Kind: vxlan
# Links: VXLAN_IFNAME
# Requires: VXLAN_PARENT_NSNAME
#
# Settings (in vxlan-NAME.conf; those for all vxlan instances in vxlan.conf):
#   VXLAN_ID              number of the network, from 1 to 16777215
#   VXLAN_REMOTES         array of the addresses of the other machines, or one multicast group; all IPv4 or all IPv6
#   VXLAN_PARENT_IFNAME   interface of the host for the packets of the tunnel; required for a group; default: by the routes
#   VXLAN_PARENT_NSNAME   namespace that this interface is in; default: the host
#   VXLAN_PARENT_TIMEOUT  seconds to wait for this interface, less than the start timeout of 90; default: 30
#   VXLAN_PORT            UDP port; default: 4789
#   VXLAN_IFNAME          name of the interface in the namespace; default: vxlan0
#   VXLAN_MAC             hardware address; default: chosen by the kernel
#   VXLAN_MTU             MTU in bytes, with a parent by default 50 less than its MTU (IPv6: 70); default: 1500
#   VXLAN_ALIAS           text about the interface, which `ip link` shows; default: none
#   VXLAN_GROUP           link group of the interface, a number, for `ip` and nftables; default: 0
#   VXLAN_IFADDR          address, as arguments for `ip address add`: "192.0.2.7/24"; an array may have several; default: none
#   VXLAN_GATEWAY         address of the default route's gateway; an array may have several; default: no default route
#   VXLAN_ROUTES          array of routes, each as arguments for `ip route replace`
#   VXLAN_SYSCTLS         array of sysctls of the interface: "ipv4.rp_filter=2" is net.ipv4.conf.IFNAME.rp_filter

# Sets the default name, also for `netnsctl show`.
configure_vxlan_defaults() { default_ifname VXLAN_IFNAME vxlan0; }

# Prints a line for each missing or invalid setting.
configure_vxlan_validate() {
  local remote first=${VXLAN_REMOTES[0]-}
  [[ ${VXLAN_ID-} ]] || echo 'VXLAN_ID: is not set'
  valid_setting VXLAN_ID is_number 1 16777215
  valid_setting VXLAN_PORT is_port
  valid_setting VXLAN_PARENT_TIMEOUT is_number 0
  [[ $first ]] || echo 'VXLAN_REMOTES: is not set'
  valid_setting VXLAN_REMOTES is_address || return
  for remote in "${VXLAN_REMOTES[@]}"; do
    if [[ $remote == *:* && $first != *:* || $remote != *:* && $first == *:* ]]; then
      echo "VXLAN_REMOTES: '$first' and '$remote' are IPv4 and IPv6 addresses: use one of both"
    fi
    if vxlan_is_group "$remote"; then
      ((${#VXLAN_REMOTES[@]} == 1)) || echo "VXLAN_REMOTES: '$remote' is a multicast group: it must be the only address"
      [[ ${VXLAN_PARENT_IFNAME-} ]] || echo "VXLAN_PARENT_IFNAME: is not set, but VXLAN_REMOTES is the multicast group '$remote'"
    fi
  done
}

# The UDP socket stays where the interface is created: on the host.
configure_vxlan_up_outside() { vxlan_add; }

# A restart runs only this, with the present settings.
configure_vxlan_up_inside() {
  vxlan_add
  link_configure VXLAN
}

vxlan_add() {
  local any=0.0.0.0 words=(id "$VXLAN_ID" dstport "${VXLAN_PORT:-4789}")
  configure_vxlan_defaults
  load_module vxlan linux-image
  [[ ${VXLAN_REMOTES[0]} != *:* ]] || any=::
  # The family of the tunnel is the one of its local address.
  if vxlan_is_group "${VXLAN_REMOTES[0]}"; then words+=(group "${VXLAN_REMOTES[0]}"); else words+=(local "$any"); fi
  [[ -z ${VXLAN_PARENT_IFNAME-} ]] || words+=(dev "$VXLAN_PARENT_IFNAME")
  link_add VXLAN type vxlan "${words[@]}"
}

# Usage: vxlan_is_group ADDRESS
vxlan_is_group() { [[ $1 =~ ^(22[4-9]|23[0-9])[.] || ${1,,} == ff??:* ]]; }
