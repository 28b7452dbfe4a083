//! The routes of the main table, and the route that the kernel chooses for an address.

use std::net::IpAddr;

use anyhow::Result;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use serde::Serialize;

use super::rtnetlink::{create, dump, request};

/// The metric of each IPv6 route without one.
const IPV6_METRIC: u32 = 1024;

/// A route of the main table.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    /// `default`, or `ADDRESS/PREFIX`.
    pub destination: String,
    /// The next router; `None` if the destination is directly connected.
    pub gateway: Option<IpAddr>,
    /// The interface index.
    pub link: Option<u32>,
}

/// The route that the kernel chooses for an address.
#[derive(Clone, Debug)]
pub struct ChosenRoute {
    /// The destination of the best match: `default` or `ADDRESS/PREFIX`. A type such as `unreachable` can precede it.
    pub route: String,
    /// The next router.
    pub gateway: Option<IpAddr>,
    /// The interface index.
    pub link: Option<u32>,
}

/// Lists the unicast routes of the main table.
/// Errors: the netlink request fails.
pub fn routes() -> Result<Vec<Route>> {
    let answers = dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;
    let messages = answers.iter().filter_map(message);
    let is_main = |message: &&RouteMessage| {
        message.header.table == RouteHeader::RT_TABLE_MAIN && message.header.kind == RouteType::Unicast
    };
    Ok(messages.filter(is_main).map(read).collect())
}

/// The interfaces with a default route of IPv4, in any table.
/// Errors: the netlink request fails.
pub fn default_links() -> Result<Vec<u32>> {
    let answers = dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;
    let is_default = |message: &&RouteMessage| {
        let header = &message.header;
        header.address_family == AddressFamily::Inet
            && header.kind == RouteType::Unicast
            && header.destination_prefix_length == 0
    };
    Ok(answers
        .iter()
        .filter_map(message)
        .filter(is_default)
        .filter_map(|message| read(message).link)
        .collect())
}

/// The route that the kernel chooses for an address.
/// Errors: the netlink request fails. If there is no route, the kernel refuses with `ENETUNREACH`.
pub fn route_to(to: IpAddr) -> Result<Option<ChosenRoute>> {
    let answers = request(RouteNetlinkMessage::GetRoute(query(to)))?;
    Ok(answers.iter().find_map(message).map(|message| {
        let Route { destination, gateway, link } = read(message);
        ChosenRoute { route: format!("{}{destination}", kind(message.header.kind)), gateway, link }
    }))
}

/// A route over an interface that was not made by the kernel or by a router advertisement.
#[derive(Clone, Debug)]
pub struct OwnRoute {
    /// The route, nearly as ip-route(8) prints it. Two routes with the same text are the same.
    pub text: String,
    message: RouteMessage,
}

/// Lists the routes over an interface, in all tables, that a user or a program has made.
/// Errors: the netlink request fails.
pub fn own_routes(link: u32) -> Result<Vec<OwnRoute>> {
    const LOCAL_TABLE: u8 = 255;
    let answers = dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;
    let own = |message: &&RouteMessage| {
        let header = &message.header;
        let by_kernel = [RouteProtocol::Kernel, RouteProtocol::Ra, RouteProtocol::IcmpRedirect];
        header.table != LOCAL_TABLE
            && !by_kernel.contains(&header.protocol)
            && read(message).link == Some(link)
    };
    let messages = answers.iter().filter_map(message).filter(own);
    Ok(messages.map(|message| OwnRoute { text: text(message), message: message.clone() }).collect())
}

/// Deletes a route.
/// Errors: the kernel refuses.
pub fn delete_route(route: &OwnRoute) -> Result<()> {
    request(RouteNetlinkMessage::DelRoute(route.to_request())).map(drop)
}

/// Adds a route that was deleted.
/// Errors: the kernel refuses.
pub fn add_route(route: &OwnRoute) -> Result<()> {
    create(RouteNetlinkMessage::NewRoute(route.to_request()), true)
}

/// What identifies a route for the kernel: a new route replaces one with the same key, also over another interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteKey {
    family: AddressFamily,
    /// `default`, or `ADDRESS/PREFIX`.
    pub destination: String,
    table: u32,
    metric: u32,
    tos: u8,
}

impl RouteKey {
    /// The key of a default route in the main table.
    #[must_use]
    pub fn of_default(gateway: IpAddr) -> Self {
        let (family, metric) =
            if gateway.is_ipv4() { (AddressFamily::Inet, 0) } else { (AddressFamily::Inet6, IPV6_METRIC) };
        let table = u32::from(RouteHeader::RT_TABLE_MAIN);
        Self { family, destination: "default".to_owned(), table, metric, tos: 0 }
    }

    fn of(message: &RouteMessage) -> Self {
        let mut key = Self {
            family: message.header.address_family,
            destination: read(message).destination,
            table: u32::from(message.header.table),
            metric: 0,
            tos: message.header.tos,
        };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Priority(metric) => key.metric = *metric,
                RouteAttribute::Table(table) => key.table = *table,
                _ => {}
            }
        }
        key
    }
}

/// Finds a route with one of the keys over another interface than `link`. Returns its key, and the index of its interface.
/// Errors: the netlink request fails.
pub fn conflicting_route(link: u32, keys: &[RouteKey]) -> Result<Option<(RouteKey, u32)>> {
    let answers = dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()))?;
    let conflicting = |message: &RouteMessage| {
        let other = read(message).link.filter(|other| *other != link)?;
        let key = RouteKey::of(message);
        keys.contains(&key).then_some((key, other))
    };
    Ok(answers.iter().filter_map(message).find_map(conflicting))
}

impl OwnRoute {
    /// What identifies the route.
    #[must_use]
    pub fn key(&self) -> RouteKey {
        RouteKey::of(&self.message)
    }

    /// The message of the kernel about the route, without the attribute that a request cannot have.
    fn to_request(&self) -> RouteMessage {
        let mut message = self.message.clone();
        message.attributes.retain(|attribute| !matches!(attribute, RouteAttribute::CacheInfo(_)));
        message
    }
}

fn text(message: &RouteMessage) -> String {
    let is_ipv6 = message.header.address_family == AddressFamily::Inet6;
    let Route { destination, gateway, .. } = read(message);
    let mut text = match destination.as_str() {
        "default" if is_ipv6 && gateway.is_none() => "default (IPv6)".to_owned(),
        _ => destination,
    };
    text.insert_str(0, kind(message.header.kind));
    let mut table = u32::from(message.header.table);
    if let Some(gateway) = gateway {
        text += &format!(" via {gateway}");
    }
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::PrefSource(source) => {
                text.extend(ip(source).map(|source| format!(" src {source}")));
            }
            RouteAttribute::Priority(IPV6_METRIC) if is_ipv6 => {}
            RouteAttribute::Priority(metric) => text += &format!(" metric {metric}"),
            RouteAttribute::Table(found) => table = *found,
            _ => {}
        }
    }
    if table != u32::from(RouteHeader::RT_TABLE_MAIN) {
        text += &format!(" table {table}");
    }
    text
}

fn query(to: IpAddr) -> RouteMessage {
    let mut query = RouteMessage::default();
    let (family, bits, address) = match to {
        IpAddr::V4(address) => (AddressFamily::Inet, 32, RouteAddress::Inet(address)),
        IpAddr::V6(address) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(address)),
    };
    query.header.address_family = family;
    query.header.destination_prefix_length = bits;
    // The answer is the matching route, not only its gateway and interface.
    query.header.flags = RouteFlags::FibMatch;
    query.header.table = RouteHeader::RT_TABLE_UNSPEC;
    query.attributes.push(RouteAttribute::Destination(address));
    query
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

/// The type of a route as ip-route(8) prints it, and a blank; empty for a unicast route.
fn kind(of: RouteType) -> &'static str {
    match of {
        RouteType::Unreachable => "unreachable ",
        RouteType::BlackHole => "blackhole ",
        RouteType::Prohibit => "prohibit ",
        RouteType::Local => "local ",
        _ => "",
    }
}
