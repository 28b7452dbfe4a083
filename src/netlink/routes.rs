//! Routes: those of the main table, and the one that a packet would take.

use std::net::IpAddr;

use anyhow::Result;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use serde::Serialize;

use super::rtnetlink::{dump, request};

/// A route of the main table.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    /// `default`, or `ADDRESS/PREFIX`.
    pub destination: String,
    /// The router, unless it is directly connected.
    pub gateway: Option<IpAddr>,
    /// The number of the interface.
    pub link: Option<u32>,
}

/// The way that a packet would take.
#[derive(Clone, Debug)]
pub struct ChosenRoute {
    /// The route that fits best: `default`, `ADDRESS/PREFIX`, with `unreachable` or the like before it.
    pub route: String,
    /// The next router.
    pub gateway: Option<IpAddr>,
    /// The number of the interface.
    pub link: Option<u32>,
}

/// The routes of the main table.
/// Errors: the kernel does not answer.
pub fn routes() -> Result<Vec<Route>> {
    let answers = dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;
    let messages = answers.iter().filter_map(message);
    let is_main = |message: &&RouteMessage| {
        message.header.table == RouteHeader::RT_TABLE_MAIN && message.header.kind == RouteType::Unicast
    };
    Ok(messages.filter(is_main).map(read).collect())
}

/// The way that the kernel would choose to an address.
/// Errors: there is none: `ENETUNREACH`, as the source of the error.
pub fn route_to(to: IpAddr) -> Result<Option<ChosenRoute>> {
    let answers = request(RouteNetlinkMessage::GetRoute(question(to)))?;
    Ok(answers.iter().find_map(message).map(|message| {
        let Route { destination, gateway, link } = read(message);
        ChosenRoute { route: format!("{}{destination}", kind(message.header.kind)), gateway, link }
    }))
}

fn question(to: IpAddr) -> RouteMessage {
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
    question
}

fn message(answer: &RouteNetlinkMessage) -> Option<&RouteMessage> {
    if let RouteNetlinkMessage::NewRoute(message) = answer { Some(message) } else { None }
}

fn read(message: &RouteMessage) -> Route {
    let mut route = Route { destination: "default".to_owned(), gateway: None, link: None };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => {
                if let Some(address) = ip(address) {
                    route.destination = format!("{address}/{}", message.header.destination_prefix_length);
                }
            }
            RouteAttribute::Gateway(address) => route.gateway = ip(address),
            RouteAttribute::Oif(index) => route.link = Some(*index),
            _ => {}
        }
    }
    route
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

/// The word of ip-route(8) for a kind of route, and a blank; nothing for one that leads on.
fn kind(of: RouteType) -> &'static str {
    match of {
        RouteType::Unreachable => "unreachable ",
        RouteType::BlackHole => "blackhole ",
        RouteType::Prohibit => "prohibit ",
        RouteType::Local => "local ",
        _ => "",
    }
}
