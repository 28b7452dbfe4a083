//! Selects the attempts: those for the targets on the command line, or the default attempts for each interface.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::netlink::{Link, Route};

/// The protocol of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// A TCP connection.
    Tcp,
    /// A UDP datagram.
    Udp,
    /// A ping.
    Icmp,
    /// The lookup of a name by the C library.
    Dns,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Dns => "dns",
        })
    }
}

impl FromStr for Protocol {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "icmp" => Ok(Self::Icmp),
            "dns" => Ok(Self::Dns),
            _ => bail!("invalid protocol {text:?}: expected tcp, udp, icmp or dns"),
        }
    }
}

/// The destination of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// A port of a host.
    Port(SocketAddr),
    /// The address of a host.
    Address(IpAddr),
    /// A name to look up.
    Name(String),
}

impl Destination {
    /// Returns the address; `None` for a name.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Port(socket) => Some(socket.ip()),
            Self::Address(address) => Some(*address),
            Self::Name(_) => None,
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(socket) => socket.fmt(f),
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Serialize for Destination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An attempt to reach a destination.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Attempt {
    /// The protocol.
    pub protocol: Protocol,
    /// The destination.
    pub target: Destination,
}

impl Attempt {
    /// Parses the target of a protocol.
    /// Errors: the target has the wrong form for the protocol, or its address does not belong to one host.
    pub fn new(protocol: Protocol, target: &str) -> Result<Self> {
        let target = match protocol {
            Protocol::Tcp | Protocol::Udp => match target.parse() {
                Ok(socket) => Destination::Port(socket),
                Err(_) => bail!(
                    "invalid target {target:?} for {protocol}: expected ADDRESS:PORT, or [ADDRESS]:PORT for IPv6"
                ),
            },
            Protocol::Icmp => match target.parse() {
                Ok(address) => Destination::Address(address),
                Err(_) => bail!("invalid target {target:?} for {protocol}: expected ADDRESS"),
            },
            Protocol::Dns => Destination::Name(host_name(target)?),
        };
        target.address().map_or(Ok(()), check_address)?;
        Ok(Self { protocol, target })
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.target)
    }
}

/// Checks an address of a target.
/// Errors: this is an IPv6 link-local address, or not the address of one host.
fn check_address(address: IpAddr) -> Result<()> {
    let is_local = matches!(address, IpAddr::V6(six) if six.is_unicast_link_local());
    ensure!(!is_local, "invalid target {address}: this is an IPv6 link-local address");
    ensure!(
        !address.is_unspecified() && !address.is_multicast() && address != IpAddr::V4(Ipv4Addr::BROADCAST),
        "invalid target {address}: expected the address of one host"
    );
    Ok(())
}

/// Parses a host name (RFC 1123, with `_`).
fn host_name(text: &str) -> Result<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    ensure!(
        !text.is_empty() && text.len() <= 253 && !text.starts_with(['-', '.']) && text.bytes().all(allowed),
        "invalid host name {text:?}"
    );
    Ok(text.to_owned())
}

/// The port of a target without a port: discard (RFC 863), which disturbs no service.
const DISCARD_PORT: u16 = 9;
/// A name that does not exist (RFC 6761).
const NONEXISTENT_NAME: &str = "leaktest.invalid";
/// Addresses for documentation. No host has them (RFC 5737, RFC 3849).
const DOCUMENTATION_ADDRESSES: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0xffff, 0, 0, 0, 1)),
];

/// A TARGET argument of the command line: `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetArgument(Vec<Attempt>);

impl FromStr for TargetArgument {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Ok(address) = text.parse() {
            check_address(address)?;
            return Ok(Self(attempts_for(address).to_vec()));
        }
        let Ok(socket) = text.parse::<SocketAddr>() else {
            bail!("invalid target {text:?}: expected ADDRESS, ADDRESS:PORT, or [ADDRESS]:PORT for IPv6")
        };
        check_address(socket.ip())?;
        let attempt = |protocol| Attempt { protocol, target: Destination::Port(socket) };
        Ok(Self([Protocol::Tcp, Protocol::Udp].map(attempt).to_vec()))
    }
}

/// Returns the attempts for the arguments, then the other attempts, without duplicates.
#[must_use]
pub fn requested(targets: &[TargetArgument], others: &[Attempt]) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for attempt in targets.iter().flat_map(|target| &target.0).chain(others) {
        if !attempts.contains(attempt) {
            attempts.push(attempt.clone());
        }
    }
    attempts
}

/// Returns the lookup of a name that does not exist.
#[must_use]
pub fn nonexistent_name() -> Attempt {
    Attempt { protocol: Protocol::Dns, target: Destination::Name(NONEXISTENT_NAME.to_owned()) }
}

fn attempts_for(address: IpAddr) -> [Attempt; 3] {
    let port =
        |protocol| Attempt { protocol, target: Destination::Port(SocketAddr::new(address, DISCARD_PORT)) };
    [
        port(Protocol::Tcp),
        port(Protocol::Udp),
        Attempt { protocol: Protocol::Icmp, target: Destination::Address(address) },
    ]
}

/// Returns the default attempts: for the routers, for the first other address of each network, and for an IPv4 and an IPv6
/// documentation address, which only a default route reaches.
#[must_use]
pub fn default_attempts(links: &[Link], routes: &[Route]) -> Vec<Attempt> {
    let networks: Vec<IpNet> = links
        .iter()
        .filter(|link| link.up && link.name != "lo")
        .flat_map(|link| &link.addresses)
        .filter_map(|address| address.parse().ok())
        // Link-local networks are not connected to other networks.
        .filter(|network: &IpNet| check_address(network.addr()).is_ok())
        .collect();
    let mut addresses: Vec<IpAddr> = Vec::new();
    addresses.extend(routes.iter().filter_map(|route| route.gateway));
    addresses.extend(networks.iter().filter_map(|network| first_other(network, &networks)));
    for family in [true, false] {
        let is_free = |address: &&IpAddr| {
            address.is_ipv4() == family && !networks.iter().any(|network| network.contains(*address))
        };
        addresses.extend(DOCUMENTATION_ADDRESSES.iter().find(is_free));
    }
    let mut seen = BTreeSet::new();
    addresses.retain(|address| check_address(*address).is_ok() && seen.insert(*address));
    addresses.into_iter().flat_map(attempts_for).collect()
}

/// Returns the first host address of a network, except the addresses of this namespace itself (`own`).
fn first_other(network: &IpNet, own: &[IpNet]) -> Option<IpAddr> {
    // In a network of two addresses, both belong to hosts (RFC 3021, RFC 6164). In a larger network, the first address does not
    // belong to a host (RFC 4291, 2.6.1).
    let has_two_addresses = network.prefix_len() + 1 >= network.max_prefix_len();
    let is_host = |address: &IpAddr| has_two_addresses || *address != network.network();
    let is_own = |address: &IpAddr| own.iter().any(|network| network.addr() == *address);
    network.hosts().find(|address| is_host(address) && !is_own(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(name: &str, addresses: &[&str]) -> Link {
        Link {
            name: name.to_owned(),
            up: true,
            addresses: addresses.iter().map(|address| (*address).to_owned()).collect(),
            ..Link::default()
        }
    }

    fn targets(links: &[Link], routes: &[Route]) -> String {
        let icmp = |attempt: &Attempt| attempt.protocol == Protocol::Icmp;
        let all = default_attempts(links, routes);
        all.iter()
            .filter(|attempt| icmp(attempt))
            .map(|attempt| attempt.target.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn the_defaults_are_the_other_end_of_each_link_and_documentation_addresses() {
        let eth = link("eth0", &["198.51.100.130/30", "2001:db8:5::2/64", "fe80::1/64"]);
        let lo = link("lo", &["127.0.0.1/8", "::1/128"]);
        assert_eq!(targets(&[lo, eth], &[]), "198.51.100.129 2001:db8:5::1 192.0.2.1 2001:db8::1");
    }

    #[test]
    fn own_addresses_and_networks_of_one_address_are_not_targets() {
        assert_eq!(targets(&[link("a", &["10.0.0.1/24"])], &[]), "10.0.0.2 192.0.2.1 2001:db8::1");
        assert_eq!(targets(&[link("a", &["10.0.0.0/31"])], &[]), "10.0.0.1 192.0.2.1 2001:db8::1");
        assert_eq!(
            targets(&[link("a", &["10.0.0.7/32", "2001:db8:1::1/128"])], &[]),
            "192.0.2.1 2001:db8::1"
        );
        assert_eq!(targets(&[link("a", &["0.0.0.1/0", "::2/0"])], &[]), "0.0.0.2 ::1");
    }

    #[test]
    fn routers_are_targets_and_documentation_addresses_are_outside_of_the_own_networks() {
        let route = |to: &str, via: &str| Route {
            destination: to.to_owned(),
            gateway: Some(via.parse().unwrap()),
            link: Some(2),
        };
        let routes = [route("default", "192.0.2.254"), route("default", "fe80::1")];
        assert_eq!(
            targets(&[link("a", &["192.0.2.7/24"])], &routes),
            "192.0.2.254 192.0.2.1 198.51.100.1 2001:db8::1"
        );
    }

    #[test]
    fn an_address_gives_three_attempts_and_a_port_two() {
        let attempts = |text: &str| {
            let TargetArgument(attempts) = text.parse().unwrap();
            attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(attempts("192.0.2.1"), "tcp 192.0.2.1:9, udp 192.0.2.1:9, icmp 192.0.2.1");
        assert_eq!(attempts("[2001:db8::1]:53"), "tcp [2001:db8::1]:53, udp [2001:db8::1]:53");
        for invalid in [
            "",
            "192.0.2.1:",
            "192.0.2.1:99999",
            "host",
            "host:80",
            "fe80::1",
            "0.0.0.0",
            "224.0.0.1",
            "::",
            "2001:db8::1]:5",
        ] {
            assert!(invalid.parse::<TargetArgument>().is_err(), "{invalid}");
        }
    }

    #[test]
    fn a_host_name_with_a_character_that_has_another_meaning_is_refused() {
        assert!(Attempt::new(Protocol::Dns, "a-b.example_1.test.").is_ok());
        for invalid in ["", "-a", "a/b", "a b", "a$(b)", "a\nb", ".a", "é", &"a".repeat(254)] {
            assert!(Attempt::new(Protocol::Dns, invalid).is_err(), "{invalid}");
        }
    }
}
