//! What is tried: what was asked for, or what lies behind each interface.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use anyhow::{Result, bail, ensure};
use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::netlink::{Link, Route};

/// By what is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// A connection.
    Tcp,
    /// A datagram.
    Udp,
    /// A ping.
    Icmp,
    /// A name, by the C library.
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

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "icmp" => Ok(Self::Icmp),
            "dns" => Ok(Self::Dns),
            _ => bail!("{word:?} is no protocol: use tcp, udp, icmp or dns"),
        }
    }
}

/// What is to be reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// A port of a machine.
    Port(SocketAddr),
    /// A machine.
    Address(IpAddr),
    /// A name that is to be resolved.
    Name(String),
}

impl Destination {
    /// The address, if it is known.
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

/// One thing that is tried.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Attempt {
    /// By what.
    pub protocol: Protocol,
    /// What is to be reached.
    pub target: Destination,
}

impl Attempt {
    /// Takes a protocol and a word for what it can reach.
    /// Errors: says what is allowed.
    pub fn new(protocol: Protocol, word: &str) -> Result<Self> {
        let target = match protocol {
            Protocol::Tcp | Protocol::Udp => match word.parse() {
                Ok(socket) => Destination::Port(socket),
                Err(_) => bail!(
                    "{word:?} is no target of {protocol}: write ADDRESS:PORT, or [ADDRESS]:PORT for IPv6"
                ),
            },
            Protocol::Icmp => match word.parse() {
                Ok(address) => Destination::Address(address),
                Err(_) => bail!("{word:?} is no target of {protocol}: write an address"),
            },
            Protocol::Dns => Destination::Name(name(word)?),
        };
        target.address().map_or(Ok(()), may_be_reached)?;
        Ok(Self { protocol, target })
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.target)
    }
}

fn may_be_reached(address: IpAddr) -> Result<()> {
    let is_local = matches!(address, IpAddr::V6(six) if six.is_unicast_link_local());
    ensure!(!is_local, "{address} is an address of one link alone, which cannot be a target");
    ensure!(
        !address.is_unspecified() && !address.is_multicast() && address != IpAddr::V4(Ipv4Addr::BROADCAST),
        "{address} is no address of one machine"
    );
    Ok(())
}

/// Takes a name that can be asked for (RFC 1123, with `_`).
fn name(word: &str) -> Result<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    ensure!(
        !word.is_empty() && word.len() <= 253 && !word.starts_with(['-', '.']) && word.bytes().all(allowed),
        "{word:?} is no name of a machine"
    );
    Ok(word.to_owned())
}

/// The port for a machine that was named without one: discard (RFC 863), where nothing is to be disturbed.
const DISCARD: u16 = 9;
/// A name that nobody has (RFC 6761).
const NOBODY: &str = "leaktest.invalid";
/// Addresses for documentation, which are nobody's (RFC 5737, RFC 3849).
const BEYOND: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0xffff, 0, 0, 0, 1)),
];

/// What people name: `ADDRESS`, `ADDRESS:PORT` or `[ADDRESS]:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked(Vec<Attempt>);

impl FromStr for Asked {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        if let Ok(address) = word.parse() {
            may_be_reached(address)?;
            return Ok(Self(of_machine(address).to_vec()));
        }
        let Ok(socket) = word.parse::<SocketAddr>() else {
            bail!("{word:?} is no target: write ADDRESS, ADDRESS:PORT, or [ADDRESS]:PORT for IPv6")
        };
        may_be_reached(socket.ip())?;
        let attempt = |protocol| Attempt { protocol, target: Destination::Port(socket) };
        Ok(Self([Protocol::Tcp, Protocol::Udp].map(attempt).to_vec()))
    }
}

/// All that was asked for, each once, in that order.
#[must_use]
pub fn asked(machines: &[Asked], names: &[Attempt]) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for attempt in machines.iter().flat_map(|asked| &asked.0).chain(names) {
        if !attempts.contains(attempt) {
            attempts.push(attempt.clone());
        }
    }
    attempts
}

/// The question for a name that nobody has.
#[must_use]
pub fn nobody() -> Attempt {
    Attempt { protocol: Protocol::Dns, target: Destination::Name(NOBODY.to_owned()) }
}

fn of_machine(address: IpAddr) -> [Attempt; 3] {
    let port = |protocol| Attempt { protocol, target: Destination::Port(SocketAddr::new(address, DISCARD)) };
    [
        port(Protocol::Tcp),
        port(Protocol::Udp),
        Attempt { protocol: Protocol::Icmp, target: Destination::Address(address) },
    ]
}

/// What lies behind each interface: the routers, the first machine of each network that is not this one, and of IPv4 and IPv6
/// an address that is nobody's, behind the default route if there is one.
#[must_use]
pub fn behind_each(links: &[Link], routes: &[Route]) -> Vec<Attempt> {
    let networks: Vec<IpNet> = links
        .iter()
        .filter(|link| link.up && link.name != "lo")
        .flat_map(|link| &link.addresses)
        .filter_map(|address| address.parse().ok())
        // Those of one link lead nowhere else.
        .filter(|network: &IpNet| may_be_reached(network.addr()).is_ok())
        .collect();
    let mut machines: Vec<IpAddr> = Vec::new();
    machines.extend(routes.iter().filter_map(|route| route.gateway));
    machines.extend(networks.iter().filter_map(|network| first_other(network, &networks)));
    for family in [true, false] {
        let is_free = |address: &&IpAddr| {
            address.is_ipv4() == family && !networks.iter().any(|network| network.contains(*address))
        };
        machines.extend(BEYOND.iter().find(is_free));
    }
    let mut seen = BTreeSet::new();
    machines.retain(|address| may_be_reached(*address).is_ok() && seen.insert(*address));
    machines.into_iter().flat_map(of_machine).collect()
}

/// The first address in a network that a machine can have and none of these has.
fn first_other(network: &IpNet, own: &[IpNet]) -> Option<IpAddr> {
    // In a network of two both are machines (RFC 3021, RFC 6164); else the first is no machine's (RFC 4291, 2.6.1).
    let is_of_two = network.prefix_len() + 1 >= network.max_prefix_len();
    let is_machine = |address: &IpAddr| is_of_two || *address != network.network();
    let is_own = |address: &IpAddr| own.iter().any(|network| network.addr() == *address);
    network.hosts().find(|address| is_machine(address) && !is_own(address))
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
        let all = behind_each(links, routes);
        all.iter()
            .filter(|attempt| icmp(attempt))
            .map(|attempt| attempt.target.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn by_default_the_other_end_of_each_link_and_an_address_of_nobody_are_tried() {
        let eth = link("eth0", &["198.51.100.130/30", "2001:db8:5::2/64", "fe80::1/64"]);
        let lo = link("lo", &["127.0.0.1/8", "::1/128"]);
        assert_eq!(targets(&[lo, eth], &[]), "198.51.100.129 2001:db8:5::1 192.0.2.1 2001:db8::1");
    }

    #[test]
    fn own_addresses_are_no_targets_and_neither_are_networks_of_one() {
        assert_eq!(targets(&[link("a", &["10.0.0.1/24"])], &[]), "10.0.0.2 192.0.2.1 2001:db8::1");
        assert_eq!(targets(&[link("a", &["10.0.0.0/31"])], &[]), "10.0.0.1 192.0.2.1 2001:db8::1");
        assert_eq!(
            targets(&[link("a", &["10.0.0.7/32", "2001:db8:1::1/128"])], &[]),
            "192.0.2.1 2001:db8::1"
        );
        assert_eq!(targets(&[link("a", &["0.0.0.1/0", "::2/0"])], &[]), "0.0.0.2 ::1");
    }

    #[test]
    fn routers_are_tried_and_what_is_beyond_lies_in_no_network_of_its_own() {
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
    fn a_machine_is_tried_three_ways_and_a_port_two() {
        let words = |word: &str| {
            let Asked(attempts) = word.parse().unwrap();
            attempts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(words("192.0.2.1"), "tcp 192.0.2.1:9, udp 192.0.2.1:9, icmp 192.0.2.1");
        assert_eq!(words("[2001:db8::1]:53"), "tcp [2001:db8::1]:53, udp [2001:db8::1]:53");
        for bad in [
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
            assert!(bad.parse::<Asked>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_has_no_character_that_means_anything_else() {
        assert!(Attempt::new(Protocol::Dns, "a-b.example_1.test.").is_ok());
        for bad in ["", "-a", "a/b", "a b", "a$(b)", "a\nb", ".a", "é", &"a".repeat(254)] {
            assert!(Attempt::new(Protocol::Dns, bad).is_err(), "{bad}");
        }
    }
}
