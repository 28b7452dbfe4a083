//! Questions to the kernel that have one answer: which number a namespace has, and which way a packet would take.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::Result;
use netlink_packet_core::{NLM_F_ACK, NLM_F_REQUEST};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::{ip, route_with};

/// The number that the namespace of this thread has for another one, if it has met it (ip-netns(8), "set").
///
/// # Errors
/// The kernel does not answer.
pub fn namespace_number(of: BorrowedFd) -> Result<Option<i32>> {
    let mut question = NsidMessage::default();
    question.attributes.push(NsidAttribute::Fd(u32::try_from(of.as_raw_fd())?));
    let answers = route_with(RouteNetlinkMessage::GetNsId(question), NLM_F_REQUEST | NLM_F_ACK)?;
    Ok(answers.into_iter().find_map(|answer| {
        let RouteNetlinkMessage::NewNsId(message) = answer else { return None };
        message.attributes.into_iter().find_map(|attribute| match attribute {
            NsidAttribute::Id(number) if number >= 0 => Some(number),
            _ => None,
        })
    }))
}

/// The way that a packet would take.
#[derive(Clone, Debug)]
pub struct Way {
    /// The route that fits best: `default`, `ADDRESS/PREFIX`, with `unreachable` or the like before it.
    pub route: String,
    /// The next router.
    pub gateway: Option<IpAddr>,
    /// The number of the interface.
    pub link: Option<u32>,
}

/// The way that the kernel would choose to an address.
///
/// # Errors
/// There is none: `ENETUNREACH`, as the source of the error.
pub fn way(to: IpAddr) -> Result<Option<Way>> {
    let mut question = RouteMessage::default();
    let (family, bits, address) = match to {
        IpAddr::V4(address) => (AddressFamily::Inet, 32, RouteAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(address)),
    };
    question.header.address_family = family;
    question.header.destination_prefix_length = bits;
    // Which route it was, not only where that leads.
    question.header.flags = RouteFlags::FibMatch;
    question.header.table = RouteHeader::RT_TABLE_UNSPEC;
    question.attributes.push(RouteAttribute::Destination(address));
    let answers = route_with(RouteNetlinkMessage::GetRoute(question), NLM_F_REQUEST | NLM_F_ACK)?;
    Ok(answers.into_iter().find_map(|answer| match answer {
        RouteNetlinkMessage::NewRoute(message) => Some(read(&message)),
        _ => None,
    }))
}

fn read(message: &RouteMessage) -> Way {
    let mut way = Way { route: "default".to_owned(), gateway: None, link: None };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => {
                if let Some(address) = ip(address) {
                    way.route = format!("{address}/{}", message.header.destination_prefix_length);
                }
            }
            RouteAttribute::Gateway(address) => way.gateway = ip(address),
            RouteAttribute::Oif(index) => way.link = Some(*index),
            _ => {}
        }
    }
    let kind = match message.header.kind {
        RouteType::Unreachable => "unreachable ",
        RouteType::BlackHole => "blackhole ",
        RouteType::Prohibit => "prohibit ",
        RouteType::Local => "local ",
        _ => "",
    };
    way.route.insert_str(0, kind);
    way
}
