//! Changes interfaces, addresses and routes in the namespace of this thread.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::Result;
use ipnet::IpNet;
use netlink_packet_core::DefaultNla;
use netlink_packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;
use nix::libc;

use super::message::KernelError;
use super::rtnetlink::{create, request};

/// A hardware address.
pub type Mac = [u8; 6];

/// One end of a new veth pair.
#[derive(Debug)]
pub struct VethEnd<'a> {
    /// The name.
    pub name: &'a str,
    /// The hardware address; chosen by the kernel if there is none.
    pub mac: Option<Mac>,
    /// The MTU; 1500 if there is none.
    pub mtu: Option<u32>,
    /// The link group.
    pub group: u32,
}

impl VethEnd<'_> {
    fn message(&self) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(self.name.to_owned()));
        message.attributes.extend(self.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
        message.attributes.extend(self.mtu.map(LinkAttribute::Mtu));
        if self.group != 0 {
            message.attributes.push(LinkAttribute::Group(self.group));
        }
        message
    }
}

/// Creates a veth pair: one end here, the other one in the namespace `peer_netns`. Both are down.
/// Errors: a name exists, or the kernel refuses.
pub fn add_veth(here: &VethEnd, peer: &VethEnd, peer_netns: BorrowedFd) -> Result<()> {
    let mut other = peer.message();
    other.attributes.push(LinkAttribute::NetNsFd(peer_netns.as_raw_fd()));
    let mut message = here.message();
    message.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(other))),
    ]));
    create(RouteNetlinkMessage::NewLink(message), false)
}

/// Properties of an interface to change. The others stay.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct LinkChange<'a> {
    /// Whether the interface is up.
    pub up: Option<bool>,
    /// The hardware address.
    pub mac: Option<Mac>,
    /// The MTU.
    pub mtu: Option<u32>,
    /// The text that ip(8) shows as alias; an empty one removes it.
    pub alias: Option<&'a str>,
    /// The index of the controller, such as a bridge; 0 for none.
    pub controller: Option<u32>,
    /// The link group.
    pub group: Option<u32>,
}

/// Changes an interface.
/// Errors: the kernel refuses.
pub fn change_link(index: u32, change: &LinkChange) -> Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    if let Some(up) = change.up {
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    }
    message.attributes.extend(change.mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
    message.attributes.extend(change.mtu.map(LinkAttribute::Mtu));
    message.attributes.extend(change.alias.map(|alias| match alias {
        // Only an attribute of no bytes removes the alias (dev_set_alias in net/core/dev.c).
        "" => LinkAttribute::Other(DefaultNla::new(libc::IFLA_IFALIAS, Vec::new())),
        alias => LinkAttribute::IfAlias(alias.to_owned()),
    }));
    message.attributes.extend(change.controller.map(LinkAttribute::Controller));
    message.attributes.extend(change.group.map(LinkAttribute::Group));
    request(RouteNetlinkMessage::SetLink(message)).map(drop)
}

/// Moves an interface to another namespace, where it has this name, and is down.
/// Errors: the name exists there, or the kernel does not move the interface.
pub fn move_link(index: u32, netns: BorrowedFd, name: &str) -> Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes =
        vec![LinkAttribute::NetNsFd(netns.as_raw_fd()), LinkAttribute::IfName(name.to_owned())];
    request(RouteNetlinkMessage::SetLink(message)).map(drop)
}

/// Renames an interface. Before Linux 6.2, the kernel renames only one that is down (`dev_change_name` in net/core/dev.c): it is set down, and
/// stays down.
/// Errors: the name exists, or the kernel refuses.
pub fn rename_link(index: u32, name: &str) -> Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    let message = RouteNetlinkMessage::SetLink(message);
    match request(message.clone()) {
        Err(error) if KernelError::is(&error, Errno::EBUSY) => {
            set_up(index, false)?;
            request(message).map(drop)
        }
        renamed => renamed.map(drop),
    }
}

/// Sets an interface up or down.
/// Errors: the kernel refuses.
pub fn set_up(index: u32, up: bool) -> Result<()> {
    change_link(index, &LinkChange { up: Some(up), ..LinkChange::default() })
}

/// Adds an address to an interface, or changes it, as `ip address replace ADDRESS/PREFIX` does.
/// Errors: the kernel refuses.
pub fn replace_address(index: u32, address: IpNet) -> Result<()> {
    create(RouteNetlinkMessage::NewAddress(address_message(index, address)), true)
}

/// Removes an address from an interface.
/// Errors: the interface does not have the address, or the kernel refuses.
pub fn delete_address(index: u32, address: IpNet) -> Result<()> {
    request(RouteNetlinkMessage::DelAddress(address_message(index, address))).map(drop)
}

fn address_message(index: u32, address: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = address.prefix_len();
    message.header.family = family(address.addr());
    if matches!(address.addr(), IpAddr::V4(address) if address.is_loopback()) {
        message.header.scope = AddressScope::Host;
    }
    message.attributes =
        vec![AddressAttribute::Local(address.addr()), AddressAttribute::Address(address.addr())];
    message
}

/// Adds the default route by a gateway, or replaces it.
/// Errors: the gateway is not reachable, or the kernel refuses.
pub fn replace_default_route(index: u32, gateway: IpAddr) -> Result<()> {
    let mut message = RouteMessage::default();
    message.header.address_family = family(gateway);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    let gateway = match gateway {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    };
    message.attributes = vec![RouteAttribute::Gateway(gateway), RouteAttribute::Oif(index)];
    create(RouteNetlinkMessage::NewRoute(message), true)
}

fn family(of: IpAddr) -> AddressFamily {
    if of.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
