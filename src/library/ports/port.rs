//! One published port, as an administrator writes it: `[HOSTADDR:]PORT[:PORT][/PROTOCOL]`. This is the syntax of podman-run(1),
//! `--publish`, without ports that are chosen at random.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

/// The form of a published port, for messages.
const FORM: &str = "[HOSTADDR:]PORT[:PORT][/PROTOCOL]";

/// A protocol with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortProtocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
}

impl fmt::Display for PortProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A port of the host, or a range, that leads to a port of the namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// The protocol.
    pub protocol: PortProtocol,
    /// The address of the host: `None` for all, `0.0.0.0` or `::` for all of one family.
    pub host: Option<IpAddr>,
    /// The first port of the host.
    pub first: u16,
    /// The last port of the host.
    pub last: u16,
    /// The first port of the namespace.
    pub inside: u16,
}

impl PublishedPort {
    /// Whether both use a port of the same address of the host.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.uses(other.protocol, other.host, other.first..=other.last)
    }

    /// Whether it uses one of these ports of an address of the host.
    pub fn uses(&self, protocol: PortProtocol, host: Option<IpAddr>, ports: RangeInclusive<u16>) -> bool {
        let is_same_address = match (self.host, host) {
            (None, _) | (_, None) => true,
            (Some(one), Some(other)) if one.is_ipv4() == other.is_ipv4() => {
                one == other || one.is_unspecified() || other.is_unspecified()
            }
            _ => false,
        };
        is_same_address
            && self.protocol == protocol
            && self.first <= *ports.end()
            && *ports.start() <= self.last
    }

    /// The number of ports.
    pub(super) fn count(&self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    /// The last port of the namespace.
    fn last_inside(&self) -> u16 {
        self.inside + (self.last - self.first)
    }
}

/// Formats ports as an administrator can write them, with all parts except an address that is not set.
impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            Some(IpAddr::V6(host)) => write!(f, "[{host}]:")?,
            Some(host) => write!(f, "{host}:")?,
            None => {}
        }
        let range = |first, last| if first == last { format!("{first}") } else { format!("{first}-{last}") };
        let (outside, inside) = (range(self.first, self.last), range(self.inside, self.last_inside()));
        write!(f, "{outside}:{inside}/{}", self.protocol)
    }
}

impl FromStr for PublishedPort {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (rest, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.split('/').next().unwrap_or_default(), PortProtocol::Tcp),
            Some((rest, "udp")) => (rest, PortProtocol::Udp),
            Some((_, other)) => bail!("'{other}' is not a protocol: expected tcp or udp"),
        };
        let (host, ports) = split_host(rest)?;
        let (outside, inside) = match ports.split(':').collect::<Vec<_>>().as_slice() {
            [one] => (*one, *one),
            [outside, inside] => (*outside, *inside),
            _ => bail!("expected {FORM}"),
        };
        let (outside, inside) = (range(outside)?, range(inside)?);
        let (count, count_inside) = (outside.end() - outside.start(), inside.end() - inside.start());
        ensure!(
            count == count_inside,
            "the ranges have different lengths, {} and {} ports: expected ranges of equal length",
            u32::from(count) + 1,
            u32::from(count_inside) + 1
        );
        let (first, last) = outside.into_inner();
        Ok(Self { protocol, host, first, last, inside: *inside.start() })
    }
}

/// Splits the address of the host from the ports.
fn split_host(text: &str) -> Result<(Option<IpAddr>, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, ports) =
            rest.split_once("]:").with_context(|| format!("expected {FORM}, with IPv6 as [ADDRESS]"))?;
        let address: Ipv6Addr = host.parse().ok().with_context(|| not_an_address(host))?;
        return Ok((Some(address.into()), ports));
    }
    match text.split_once(':') {
        Some((host, ports)) if ports.contains(':') || host.contains('.') => {
            ensure!(text.matches(':').count() <= 2, "expected {FORM}, with an IPv6 address in brackets");
            let address: IpAddr = host.parse().ok().with_context(|| not_an_address(host))?;
            Ok((Some(address), ports))
        }
        _ => Ok((None, text)),
    }
}

fn not_an_address(host: &str) -> String {
    format!("'{host}' is not an IP address of the host: expected {FORM}")
}

/// Parses a port, or a range `FIRST-LAST`.
fn range(text: &str) -> Result<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    ensure!(first <= last, "the range '{text}' is reversed: expected FIRST-LAST");
    Ok(first..=last)
}

/// Parses a port. A leading zero or sign is refused.
fn port(text: &str) -> Result<u16> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let port = text.parse().ok().filter(|_| is_number);
    port.with_context(|| format!("'{text}' is not a port: expected a number from 1 to 65535 in {FORM}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> PublishedPort {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error:#}"))
    }

    #[test]
    fn each_part_except_the_port_is_optional() {
        for (text, whole) in [
            ("80", "80:80/tcp"),
            ("8080:80", "8080:80/tcp"),
            ("192.0.2.1:5353:53/udp", "192.0.2.1:5353:53/udp"),
            ("192.0.2.1:53", "192.0.2.1:53:53/tcp"),
            ("[2001:db8::1]:443:443/tcp", "[2001:db8::1]:443:443/tcp"),
            ("[::]:1", "[::]:1:1/tcp"),
            ("9000-9010:9000-9010", "9000-9010:9000-9010/tcp"),
            ("1-65535/udp", "1-65535:1-65535/udp"),
        ] {
            let port = parse(text);
            assert_eq!(port.to_string(), whole);
            assert_eq!(parse(whole), port);
        }
    }

    #[test]
    fn an_invalid_port_is_refused_with_what_is_expected() {
        for (text, message) in [
            ("", "'' is not a port: expected a number from 1 to 65535"),
            ("0", "'0' is not a port"),
            ("65536", "'65536' is not a port"),
            ("080", "'080' is not a port"),
            ("+80", "'+80' is not a port"),
            ("http", "'http' is not a port"),
            ("80:", "'' is not a port"),
            (":80", "'' is not a port"),
            ("80 ", "'80 ' is not a port"),
            ("127.0.0.1::80", "'' is not a port"),
            ("20-10", "the range '20-10' is reversed: expected FIRST-LAST"),
            ("10-20:10-15", "the ranges have different lengths, 11 and 6 ports"),
            ("10-20:80", "the ranges have different lengths, 11 and 1 ports"),
            ("80/sctp", "'sctp' is not a protocol: expected tcp or udp"),
            ("80/", "'' is not a protocol"),
            ("80/tcp/udp", "'tcp/udp' is not a protocol"),
            ("192.0.2.256:80:80", "'192.0.2.256' is not an IP address of the host"),
            ("host:80:80", "'host' is not an IP address of the host"),
            ("2001:db8::1:80:80", "with an IPv6 address in brackets"),
            ("[2001:db8::1]", "with IPv6 as [ADDRESS]"),
            ("[192.0.2.1]:80:80", "'192.0.2.1' is not an IP address of the host"),
            ("[fe80::1%eth0]:80:80", "'fe80::1%eth0' is not an IP address of the host"),
            ("1:2:3", "'1' is not an IP address of the host"),
        ] {
            let error = text.parse::<PublishedPort>().expect_err(text).to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn ports_overlap_if_protocol_address_and_range_do() {
        for (one, other) in [
            ("80", "80:8080"),
            ("80", "192.0.2.1:80:1"),
            ("80", "[::1]:80"),
            ("0.0.0.0:80", "192.0.2.1:80"),
            ("[::]:80", "[2001:db8::1]:80"),
            ("10-20", "20-30"),
            ("1-9", "5"),
        ] {
            assert!(
                parse(one).overlaps(&parse(other)) && parse(other).overlaps(&parse(one)),
                "{one} {other}"
            );
        }
        for (one, other) in [
            ("80", "80/udp"),
            ("80", "81:80"),
            ("192.0.2.1:80", "192.0.2.2:80"),
            ("0.0.0.0:80", "[::]:80"),
            ("10-20", "21-30"),
        ] {
            assert!(!parse(one).overlaps(&parse(other)), "{one} {other}");
        }
    }
}
