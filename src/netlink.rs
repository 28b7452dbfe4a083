//! What the kernel says of the network that this thread is in, by netlink: no process is started for it (rtnetlink(7),
//! include/uapi/linux/netfilter/nf_tables.h).

mod lookup;
mod trace;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use anyhow::{Context, Result};
use netlink_packet_core::{
    NLA_TYPE_MASK, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, State};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteType};
use netlink_sys::protocols::{NETLINK_NETFILTER, NETLINK_ROUTE};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use serde::Serialize;

use crate::print::escape;

pub use lookup::{Way, namespace_number, way};
pub use trace::{Decision, Header, Step, Traces, tables};

/// An interface.
#[derive(Clone, Debug, Serialize)]
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

/// What is known of the nftables rules.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rules {
    /// How many there are.
    pub count: usize,
    /// The policy of each chain that has one, in the order of the kernel.
    pub policies: Vec<Policy>,
}

/// What becomes of what no rule of a chain decides.
#[derive(Clone, Debug, Serialize)]
pub struct Policy {
    /// The chain.
    pub chain: String,
    /// `accept` or `drop`.
    pub policy: &'static str,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.chain, self.policy)
    }
}

/// Takes an interface down.
///
/// # Errors
/// There is none of that number, or the kernel refuses.
pub fn set_down(index: u32) -> Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.change_mask = LinkFlags::Up;
    route_with(RouteNetlinkMessage::SetLink(message), NLM_F_REQUEST | NLM_F_ACK).map(drop)
}

/// All interfaces with their addresses.
///
/// # Errors
/// The kernel does not answer.
pub fn links() -> Result<Vec<Link>> {
    let mut links = Vec::new();
    for message in route(RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
        if let RouteNetlinkMessage::NewLink(message) = message {
            links.push(link(&message));
        }
    }
    for message in route(RouteNetlinkMessage::GetAddress(AddressMessage::default()))? {
        let RouteNetlinkMessage::NewAddress(message) = message else { continue };
        let Some(link) = links.iter_mut().find(|link| link.index == message.header.index) else { continue };
        let local = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(address) => Some(address),
            _ => None,
        });
        let address = message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(address),
            _ => None,
        });
        // Where there is a peer, ADDRESS is the peer's.
        link.addresses
            .extend(local.or(address).map(|address| format!("{address}/{}", message.header.prefix_len)));
    }
    Ok(links)
}

fn link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        name: String::new(),
        kind: String::new(),
        up: message.header.flags.contains(LinkFlags::Up),
        state: "UNKNOWN",
        mac: String::new(),
        peer: None,
        peer_elsewhere: false,
        peer_namespace: None,
        controller: None,
        addresses: Vec::new(),
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            LinkAttribute::Address(bytes) => {
                link.mac = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":");
            }
            LinkAttribute::Link(index) => link.peer = Some(*index),
            LinkAttribute::LinkNetNsId(number) => {
                link.peer_elsewhere = true;
                link.peer_namespace = Some(*number);
            }
            LinkAttribute::Controller(index) => link.controller = Some(*index),
            LinkAttribute::OperState(state) => {
                link.state = match state {
                    State::Up => "UP",
                    State::Down => "DOWN",
                    State::LowerLayerDown => "LOWERLAYERDOWN",
                    State::Dormant => "DORMANT",
                    _ => "UNKNOWN",
                };
            }
            LinkAttribute::LinkInfo(infos) => {
                let kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind),
                    _ => None,
                });
                link.kind = kind.map(InfoKind::to_string).unwrap_or_default();
            }
            _ => {}
        }
    }
    link
}

/// The routes of the main table.
///
/// # Errors
/// The kernel does not answer.
pub fn routes() -> Result<Vec<Route>> {
    let mut routes = Vec::new();
    for message in route(RouteNetlinkMessage::GetRoute(RouteMessage::default()))? {
        let RouteNetlinkMessage::NewRoute(message) = message else { continue };
        if message.header.table != RouteHeader::RT_TABLE_MAIN || message.header.kind != RouteType::Unicast {
            continue;
        }
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
        routes.push(route);
    }
    Ok(routes)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

/// Asks for all that there is of something.
fn route(question: RouteNetlinkMessage) -> Result<Vec<RouteNetlinkMessage>> {
    route_with(question, NLM_F_REQUEST | NLM_F_DUMP)
}

fn route_with(question: RouteNetlinkMessage, flags: u16) -> Result<Vec<RouteNetlinkMessage>> {
    let mut message = NetlinkMessage::from(question);
    message.header.flags = flags;
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let mut answers = Vec::new();
    ask(NETLINK_ROUTE, &bytes, |answer| {
        // What this program does not know the shape of, it does not show.
        answers.extend(inner(answer));
    })?;
    Ok(answers)
}

fn inner(answer: &[u8]) -> Option<RouteNetlinkMessage> {
    let decode =
        |answer: &[u8]| match NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer).ok()?.payload {
            NetlinkPayload::InnerMessage(inner) => Some(inner),
            _ => None,
        };
    decode(answer).or_else(|| {
        let (answer, name) = without_names(answer)?;
        let mut decoded = decode(&answer)?;
        if let (RouteNetlinkMessage::NewLink(message), Some(name)) = (&mut decoded, name) {
            message.attributes.push(LinkAttribute::IfName(name));
        }
        Some(decoded)
    })
}

/// An answer about an interface or an address, without names, and the name of the interface. The kernel takes any bytes for a name,
/// but the decoder only UTF-8: so that nobody hides an interface or an address, it is decoded without.
fn without_names(answer: &[u8]) -> Option<(Vec<u8>, Option<String>)> {
    let about = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let (length, names): (usize, &[u16]) = match about {
        NEW_LINK => (LINK, &[LINK_NAME, LINK_ALIAS, LINK_OTHER_NAMES]),
        NEW_ADDRESS => (ADDRESS, &[ADDRESS_LABEL]),
        _ => return None,
    };
    let (mut answer, mut name) = (answer.to_vec(), None);
    let mut at = HEADER + length;
    while let Some(attribute) = answer.get_mut(at..).filter(|rest| rest.len() >= 4) {
        let length = usize::from(u16::from_ne_bytes([attribute[0], attribute[1]]));
        let kind = u16::from_ne_bytes([attribute[2], attribute[3]]);
        let value = attribute.get(4..length)?;
        if about == NEW_LINK && kind == LINK_NAME {
            name = Some(escape::text(value.strip_suffix(b"\0").unwrap_or(value)));
        }
        if names.contains(&(kind & NLA_TYPE_MASK)) {
            attribute[2..4].copy_from_slice(&NLA_TYPE_MASK.to_ne_bytes());
        }
        at += length.next_multiple_of(4);
    }
    Some((answer, name))
}

/// The interface that an answer of the kernel is about.
#[must_use]
pub fn link_in(answer: &[u8]) -> Option<Link> {
    match inner(answer)? {
        RouteNetlinkMessage::NewLink(message) => Some(link(&message)),
        _ => None,
    }
}

/// `NFNL_SUBSYS_NFTABLES` and the messages of it that are used.
const NFTABLES: u16 = 10 << 8;
const GET_CHAIN: u16 = NFTABLES | 4;
const GET_RULE: u16 = NFTABLES | 7;
/// `RTM_NEWLINK`, and its attributes `IFLA_IFNAME`, `IFLA_IFALIAS` and `IFLA_PROP_LIST` (include/uapi/linux/if_link.h).
const NEW_LINK: u16 = 16;
const LINK_NAME: u16 = 3;
const LINK_ALIAS: u16 = 20;
const LINK_OTHER_NAMES: u16 = 52;
/// The length of `struct ifinfomsg`.
const LINK: usize = 16;
/// `RTM_NEWADDR`, its attribute `IFA_LABEL`, and the length of `struct ifaddrmsg` (include/uapi/linux/if_addr.h).
const NEW_ADDRESS: u16 = 20;
const ADDRESS_LABEL: u16 = 3;
const ADDRESS: usize = 8;
const GET_TABLE: u16 = NFTABLES | 1;
/// `NFTA_TABLE_NAME`, `NFTA_TABLE_FLAGS` and `NFT_TABLE_F_DORMANT`.
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const DORMANT: u32 = 1;
/// `NFTA_RULE_TABLE` and `NFTA_RULE_CHAIN`.
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
/// `NFTA_CHAIN_TABLE` to `NFTA_CHAIN_TYPE`, and in a hook `NFTA_HOOK_HOOKNUM`.
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
/// `NF_INET_LOCAL_IN` and `NF_INET_LOCAL_OUT`.
const LOCAL: [u32; 2] = [1, 3];
/// `NFPROTO_INET`, `NFPROTO_IPV4` and `NFPROTO_IPV6`.
const IP_FAMILIES: [u8; 3] = [1, 2, 10];
/// The length of `struct nlmsghdr` and of `struct nfgenmsg`.
const HEADER: usize = 16;
const GENERIC: usize = 4;

/// The nftables rules, counted, and the policies of their chains.
///
/// # Errors
/// The kernel does not answer.
pub fn rules() -> Result<Rules> {
    let mut rules = Rules::default();
    ask(NETLINK_NETFILTER, &nftables(GET_RULE), |_| rules.count += 1)?;
    ask(NETLINK_NETFILTER, &nftables(GET_CHAIN), |answer| rules.policies.extend(policy_in(answer)))?;
    Ok(rules)
}

/// The policy of the chain that an answer of the kernel is about.
#[must_use]
pub fn policy_in(answer: &[u8]) -> Option<Policy> {
    let (mut chain, mut policy) = (None, None);
    for attribute in NlasIterator::new(answer.get(HEADER + GENERIC..).unwrap_or_default()).flatten() {
        match attribute.kind() {
            CHAIN_NAME => {
                chain = Some(escape::text(attribute.value()).trim_end_matches('\0').to_owned());
            }
            CHAIN_POLICY => policy = attribute.value().try_into().ok().map(u32::from_be_bytes),
            _ => {}
        }
    }
    // NF_DROP is 0.
    Some(Policy { chain: chain?, policy: if policy? == 0 { "drop" } else { "accept" } })
}

/// A base chain of type filter, for IP, in a table that is not dormant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filter {
    family: u8,
    /// Its table.
    pub table: String,
    chain: String,
    /// Whether it filters what arrives for, or leaves from, the processes of this namespace.
    pub local: bool,
    drops: bool,
}

/// The base chains that filter IP packets in this namespace.
///
/// # Errors
/// The kernel does not answer, or has no nf_tables.
pub fn filters() -> Result<Vec<Filter>> {
    let mut dormant = BTreeSet::new();
    ask(NETLINK_NETFILTER, &nftables(GET_TABLE), |answer| dormant.extend(dormant_table_in(answer)))?;
    let mut filters = Vec::new();
    ask(NETLINK_NETFILTER, &nftables(GET_CHAIN), |answer| filters.extend(filter_in(answer)))?;
    filters.retain(|filter: &Filter| !dormant.contains(&(filter.family, filter.table.clone())));
    Ok(filters)
}

/// Whether any packet could be dropped: a filter has a rule, or drops by its policy.
///
/// # Errors
/// The kernel does not answer.
pub fn filters_anything() -> Result<bool> {
    let filters = filters()?;
    let mut anything = filters.iter().any(|filter| filter.drops);
    ask(NETLINK_NETFILTER, &nftables(GET_RULE), |answer| {
        let family = family_in(answer);
        let (table, chain) = (name_in(answer, RULE_TABLE), name_in(answer, RULE_CHAIN));
        anything |= filters.iter().any(|filter| {
            filter.family == family
                && table.as_ref() == Some(&filter.table)
                && chain.as_ref() == Some(&filter.chain)
        });
    })?;
    Ok(anything)
}

fn filter_in(answer: &[u8]) -> Option<Filter> {
    let (mut filters, mut local, mut drops) = (false, false, false);
    for attribute in NlasIterator::new(answer.get(HEADER + GENERIC..)?).flatten() {
        match attribute.kind() & NLA_TYPE_MASK {
            CHAIN_TYPE => filters = attribute.value() == b"filter\0",
            CHAIN_POLICY => drops = attribute.value() == [0; 4], // NF_DROP
            CHAIN_HOOK => {
                local = NlasIterator::new(attribute.value())
                    .flatten()
                    .filter(|nested| nested.kind() & NLA_TYPE_MASK == HOOK_NUMBER)
                    .filter_map(|nested| nested.value().try_into().ok().map(u32::from_be_bytes))
                    .any(|number| LOCAL.contains(&number));
            }
            _ => {}
        }
    }
    let (family, table) = (family_in(answer), name_in(answer, CHAIN_TABLE)?);
    let chain = name_in(answer, CHAIN_NAME)?;
    (filters && IP_FAMILIES.contains(&family)).then_some(Filter { family, table, chain, local, drops })
}

/// The family and name of the table that an answer of the kernel is about, if it is dormant.
fn dormant_table_in(answer: &[u8]) -> Option<(u8, String)> {
    let attributes = NlasIterator::new(answer.get(HEADER + GENERIC..)?);
    let dormant = attributes.flatten().any(|attribute| {
        attribute.kind() & NLA_TYPE_MASK == TABLE_FLAGS
            && attribute.value().try_into().is_ok_and(|flags| u32::from_be_bytes(flags) & DORMANT != 0)
    });
    Some((family_in(answer), name_in(answer, TABLE_NAME)?)).filter(|_| dormant)
}

/// `nfgen_family`
fn family_in(answer: &[u8]) -> u8 {
    answer.get(HEADER).copied().unwrap_or_default()
}

/// The attribute of that kind, a name.
fn name_in(answer: &[u8], kind: u16) -> Option<String> {
    NlasIterator::new(answer.get(HEADER + GENERIC..)?)
        .flatten()
        .find(|attribute| attribute.kind() & NLA_TYPE_MASK == kind)
        .map(|attribute| String::from_utf8_lossy(attribute.value()).trim_end_matches('\0').to_owned())
}

/// A question about all families (`AF_UNSPEC`).
fn nftables(kind: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(20_u32.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    bytes.extend([0; 8 + GENERIC]);
    bytes
}

/// Sends a question and hands on each answer, whole.
fn ask(protocol: isize, question: &[u8], mut answered: impl FnMut(&[u8])) -> Result<()> {
    let mut socket = Socket::new(protocol).context("cannot open a netlink socket")?;
    socket.bind_auto().context("cannot bind a netlink socket")?;
    socket.send_to(question, &SocketAddr::new(0, 0), 0).context("cannot ask the kernel by netlink")?;
    loop {
        let (bytes, _) = socket.recv_from_full().context("the kernel does not answer by netlink")?;
        if walk(&bytes, &mut answered)? {
            return Ok(());
        }
    }
}

/// Hands on each answer in what the kernel has sent; whether that was all.
///
/// # Errors
/// The kernel refuses.
pub fn walk(bytes: &[u8], mut answered: impl FnMut(&[u8])) -> Result<bool> {
    let mut rest = bytes;
    while let Some(header) = rest.get(..HEADER) {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let Some(message) = rest.get(..length).filter(|_| length >= HEADER) else { break };
        match kind {
            3 => return Ok(true), // NLMSG_DONE
            2 => {
                // NLMSG_ERROR, with a negative errno
                let code = message.get(HEADER..HEADER + 4).and_then(|code| code.try_into().ok());
                match code.map_or(0, i32::from_ne_bytes) {
                    0 => return Ok(true),
                    code => {
                        return Err(Errno::from_raw(code.wrapping_neg()))
                            .context("the kernel refuses by netlink");
                    }
                }
            }
            _ => answered(message),
        }
        // NLMSG_ALIGN
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
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
