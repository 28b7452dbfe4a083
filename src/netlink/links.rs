//! Interfaces, with their addresses and peers.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::Result;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use nix::errno::Errno;
use serde::Serialize;

use super::message::KernelError;
use super::rtnetlink::{decode, dump, request};

/// An interface.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(clippy::struct_excessive_bools)] // independent properties
pub struct Link {
    /// The interface index in its namespace.
    pub index: u32,
    /// The name.
    pub name: String,
    /// `veth`, `macvlan`, …; empty for a physical interface and for lo.
    pub kind: String,
    /// Whether this is a loopback interface.
    #[serde(skip)]
    pub loopback: bool,
    /// Whether the interface is administratively up.
    pub up: bool,
    /// The operational state, as ip(8) prints it: `UP`, `DOWN`, `UNKNOWN`, ….
    pub state: &'static str,
    /// The hardware address.
    pub mac: String,
    /// The interface index of the peer or parent, in the namespace of the peer.
    pub peer: Option<u32>,
    /// Whether the peer is in another namespace.
    pub peer_elsewhere: bool,
    /// The id that this namespace has for the namespace of the peer.
    #[serde(skip)]
    pub peer_namespace: Option<i32>,
    /// The interface index of the controller, such as a bridge.
    #[serde(skip)]
    pub controller: Option<u32>,
    /// The maximum size of a packet, in bytes.
    #[serde(skip)]
    pub mtu: u32,
    /// The text that ip(8) shows as alias.
    #[serde(skip)]
    pub alias: Option<String>,
    /// The link group.
    #[serde(skip)]
    pub group: u32,
    /// Whether the interface has a carrier.
    #[serde(skip)]
    pub carrier: bool,
    /// The addresses, as `ADDRESS/PREFIX`.
    pub addresses: Vec<String>,
    /// IPv6 addresses that cannot be used yet, or that another host of the network has.
    #[serde(skip)]
    pub unusable: Vec<Unusable>,
}

/// An IPv6 address that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The address.
    pub address: IpAddr,
    /// Whether duplicate address detection has failed, so another host has this address. Otherwise, it has not finished.
    pub failed: bool,
}

/// Lists all interfaces with their addresses.
/// Errors: the netlink request fails.
pub fn links() -> Result<Vec<Link>> {
    let mut links = Vec::new();
    for answer in dump(RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
        if let RouteNetlinkMessage::NewLink(message) = answer {
            links.push(link(&message));
        }
    }
    for answer in dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        if let RouteNetlinkMessage::NewAddress(message) = answer
            && let Some(link) = links.iter_mut().find(|link| link.index == message.header.index)
        {
            link.addresses.extend(address(&message));
            link.unusable.extend(unusable(&message));
        }
    }
    Ok(links)
}

/// The interface with a name, without its addresses; `None` if there is none.
/// Errors: the netlink request fails.
pub fn link_named(name: &str) -> Result<Option<Link>> {
    let mut query = LinkMessage::default();
    query.attributes.push(LinkAttribute::IfName(name.to_owned()));
    one_link(query)
}

/// The interface with an index, without its addresses; `None` if there is none.
/// Errors: the netlink request fails.
pub fn link_at(index: u32) -> Result<Option<Link>> {
    let mut query = LinkMessage::default();
    query.header.index = index;
    one_link(query)
}

fn one_link(query: LinkMessage) -> Result<Option<Link>> {
    match request(RouteNetlinkMessage::GetLink(query)) {
        Err(error) if KernelError::is(&error, Errno::ENODEV) => Ok(None),
        answers => Ok(answers?.iter().find_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(message) => Some(link(message)),
            _ => None,
        })),
    }
}

/// Reads the addresses of an interface.
/// Errors: the netlink request fails.
pub fn read_addresses(of: &mut Link) -> Result<()> {
    of.addresses.clear();
    of.unusable.clear();
    for answer in dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        if let RouteNetlinkMessage::NewAddress(message) = answer
            && message.header.index == of.index
        {
            of.addresses.extend(address(&message));
            of.unusable.extend(unusable(&message));
        }
    }
    Ok(())
}

/// Parses an answer of the kernel about an interface; `None` for other answers.
#[must_use]
pub fn parse_link(answer: &[u8]) -> Option<Link> {
    match decode(answer)? {
        RouteNetlinkMessage::NewLink(message) => Some(link(&message)),
        _ => None,
    }
}

/// The id that the namespace of this thread has for another namespace; `None` if no id is assigned (ip-netns(8), "set").
/// Errors: the netlink request fails.
pub fn namespace_id(of: BorrowedFd) -> Result<Option<i32>> {
    let mut query = NsidMessage::default();
    query.attributes.push(NsidAttribute::Fd(u32::try_from(of.as_raw_fd())?));
    let answers = request(RouteNetlinkMessage::GetNsId(query))?;
    Ok(answers.into_iter().find_map(|answer| {
        let RouteNetlinkMessage::NewNsId(message) = answer else { return None };
        message.attributes.into_iter().find_map(|attribute| match attribute {
            NsidAttribute::Id(id) if id >= 0 => Some(id),
            _ => None,
        })
    }))
}

fn link(message: &LinkMessage) -> Link {
    let up = message.header.flags.contains(LinkFlags::Up);
    let loopback = message.header.flags.contains(LinkFlags::Loopback);
    let carrier = message.header.flags.contains(LinkFlags::LowerUp);
    let mut link =
        Link { index: message.header.index, loopback, up, carrier, state: "UNKNOWN", ..Link::default() };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = mac(bytes),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Group(group) => link.group = *group,
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias.clone()),
            LinkAttribute::Link(index) => link.peer = Some(*index),
            LinkAttribute::LinkNetNsId(id) => {
                link.peer_elsewhere = true;
                link.peer_namespace = Some(*id);
            }
            LinkAttribute::Controller(index) => link.controller = Some(*index),
            LinkAttribute::OperState(state) => link.state = state_name(*state),
            LinkAttribute::LinkInfo(infos) => link.kind = kind(infos),
            _ => {}
        }
    }
    link
}

fn unusable(message: &AddressMessage) -> Option<Unusable> {
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Flags(all) => flags = *all,
            AddressAttribute::Address(found) => address = Some(*found),
            _ => {}
        }
    }
    let failed = flags.contains(AddressFlags::Dadfailed);
    (failed || flags.contains(AddressFlags::Tentative)).then_some(Unusable { address: address?, failed })
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// The name that ip(8) prints for an operational state.
fn state_name(state: State) -> &'static str {
    match state {
        State::Up => "UP",
        State::Down => "DOWN",
        State::LowerLayerDown => "LOWERLAYERDOWN",
        State::Dormant => "DORMANT",
        _ => "UNKNOWN",
    }
}

fn kind(infos: &[LinkInfo]) -> String {
    let kind = infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    });
    kind.map(InfoKind::to_string).unwrap_or_default()
}

/// The local address, as `ADDRESS/PREFIX`. On a point-to-point link, `IFA_ADDRESS` is the address of the peer
/// (include/uapi/linux/if_addr.h).
fn address(message: &AddressMessage) -> Option<String> {
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(address),
        _ => None,
    });
    let other = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(address) => Some(address),
        _ => None,
    });
    local.or(other).map(|address| format!("{address}/{}", message.header.prefix_len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lo_is_listed_with_its_addresses() {
        let links = links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!((lo.index, lo.mac.as_str(), lo.peer), (1, "00:00:00:00:00:00", None));
        assert!(!lo.up || lo.addresses.contains(&"127.0.0.1/8".to_owned()), "{lo:?}");
    }
}
