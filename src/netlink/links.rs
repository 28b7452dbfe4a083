//! Interfaces, with their addresses and where their peers are.

use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::Result;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use serde::Serialize;

use super::rtnetlink::{decode, dump, request};

/// An interface.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// `veth`, `macvlan`, …; empty for a physical one and for lo.
    pub kind: String,
    /// Whether it is administratively up.
    pub up: bool,
    /// Whether it can carry traffic, in the words of ip(8): `UP`, `DOWN`, `UNKNOWN`, ….
    pub state: &'static str,
    /// Its hardware address.
    pub mac: String,
    /// The number of its peer or parent, in that one's namespace.
    pub peer: Option<u32>,
    /// Whether that one is in another namespace.
    pub peer_elsewhere: bool,
    /// The number of that namespace, in this one.
    #[serde(skip)]
    pub peer_namespace: Option<i32>,
    /// The number of the bridge, or the like, that this is a port of.
    #[serde(skip)]
    pub controller: Option<u32>,
    /// Its addresses, as `ADDRESS/PREFIX`.
    pub addresses: Vec<String>,
}

/// All interfaces with their addresses.
/// Errors: the kernel does not answer.
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
        }
    }
    Ok(links)
}

/// The interface that an answer of the kernel is about.
#[must_use]
pub fn parse_link(answer: &[u8]) -> Option<Link> {
    match decode(answer)? {
        RouteNetlinkMessage::NewLink(message) => Some(link(&message)),
        _ => None,
    }
}

/// Takes an interface down.
/// Errors: there is none of that number, or the kernel refuses.
pub fn set_down(index: u32) -> Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.change_mask = LinkFlags::Up;
    request(RouteNetlinkMessage::SetLink(message)).map(drop)
}

/// The number that the namespace of this thread has for another one, if it has met it (ip-netns(8), "set").
/// Errors: the kernel does not answer.
pub fn namespace_number(of: BorrowedFd) -> Result<Option<i32>> {
    let mut question = NsidMessage::default();
    question.attributes.push(NsidAttribute::Fd(u32::try_from(of.as_raw_fd())?));
    let answers = request(RouteNetlinkMessage::GetNsId(question))?;
    Ok(answers.into_iter().find_map(|answer| {
        let RouteNetlinkMessage::NewNsId(message) = answer else { return None };
        message.attributes.into_iter().find_map(|attribute| match attribute {
            NsidAttribute::Id(number) if number >= 0 => Some(number),
            _ => None,
        })
    }))
}

fn link(message: &LinkMessage) -> Link {
    let up = message.header.flags.contains(LinkFlags::Up);
    let mut link = Link { index: message.header.index, up, state: "UNKNOWN", ..Link::default() };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => link.mac = mac(bytes),
            LinkAttribute::Link(index) => link.peer = Some(*index),
            LinkAttribute::LinkNetNsId(number) => {
                link.peer_elsewhere = true;
                link.peer_namespace = Some(*number);
            }
            LinkAttribute::Controller(index) => link.controller = Some(*index),
            LinkAttribute::OperState(state) => link.state = word(*state),
            LinkAttribute::LinkInfo(infos) => link.kind = kind(infos),
            _ => {}
        }
    }
    link
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// The word of ip(8) for a state.
fn word(state: State) -> &'static str {
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

/// The address of this end, as `ADDRESS/PREFIX`. Where there is a peer, `IFA_ADDRESS` is the peer's
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
    fn lo_is_there_with_its_addresses() {
        let links = links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!((lo.index, lo.mac.as_str(), lo.peer), (1, "00:00:00:00:00:00", None));
        assert!(!lo.up || lo.addresses.contains(&"127.0.0.1/8".to_owned()), "{lo:?}");
    }
}
