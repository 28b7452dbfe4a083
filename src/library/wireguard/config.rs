//! What an administrator wants a WireGuard tunnel to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::value::{Parsed, is_host, items, number};
use crate::name::address;

/// A tunnel.
#[derive(Debug, Default)]
pub struct Config {
    pub(super) private_key: String,
    /// The local UDP port.
    pub listen_port: Option<u16>,
    /// The mark of its packets; 0 for none.
    pub fwmark: u32,
    /// Each `ADDRESS/PREFIX`.
    pub addresses: Vec<String>,
    /// The MTU in bytes.
    pub mtu: Option<u32>,
    /// The addresses of the name servers.
    pub dns: Vec<String>,
    /// The search domains.
    pub search: Vec<String>,
    table: TunnelTable,
    /// Whether wg-quick(8) would overwrite the file.
    pub saves: bool,
    /// The peers.
    pub peers: Vec<Peer>,
    /// The lines of the file with commands, or with values that may be refused later.
    pub(super) lines: Vec<FileLine>,
}

/// A line of a file of wg-quick(8).
#[derive(Debug)]
pub(super) struct FileLine {
    /// `FILE:LINE`.
    pub place: String,
    /// As the manual spells it.
    pub key: &'static str,
    pub value: String,
}

/// A peer of a tunnel.
#[derive(Debug, Default)]
pub struct Peer {
    /// Its name in the tunnel, in base64.
    pub public_key: String,
    pub(super) preshared_key: Option<String>,
    /// Its address on the network below.
    pub endpoint: Option<Endpoint>,
    /// The addresses behind it.
    pub allowed: Vec<IpNet>,
    /// Seconds between two packets that keep the tunnel open; 0 for none.
    pub keepalive: u16,
}

/// The UDP address of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An address.
    Address(SocketAddr),
    /// A name that must be resolved, and a port.
    Name(String, u16),
}

/// The routing table that gets the routes to the peers.
#[derive(Debug, Default)]
enum TunnelTable {
    #[default]
    Main,
    /// No routes are made.
    Off,
    Other(String),
}

/// The keys of commands, in the order in which wg-quick(8) runs them.
pub const COMMANDS: [&str; 4] = ["PreUp", "PostUp", "PreDown", "PostDown"];

/// The preshared key of a peer without one, in base64. Without a line for it, `wg syncconf` would keep the present one.
const NO_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

impl Config {
    pub(super) fn set_listen_port(&mut self, value: &str) -> Parsed<()> {
        let port = u16::try_from(number(value, 0, 65535)?).map_err(|error| error.to_string())?;
        self.listen_port = Some(port).filter(|port| *port > 0);
        Ok(())
    }

    pub(super) fn set_fwmark(&mut self, value: &str) -> Parsed<()> {
        let mark = match value.strip_prefix("0x") {
            _ if value == "off" => Some(0),
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => value.parse().ok(),
        };
        let expected = || format!("'{value}': expected a number, such as 51820 or 0xca6c, or off");
        self.fwmark = mark.ok_or_else(expected)?;
        Ok(())
    }

    pub(super) fn set_table(&mut self, value: &str) -> Parsed<()> {
        self.table = match value {
            "off" => TunnelTable::Off,
            "auto" | "main" => TunnelTable::Main,
            _ if !value.is_empty()
                && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) =>
            {
                TunnelTable::Other(value.to_owned())
            }
            _ => return Err(format!("'{value}': expected auto, off, or the number or name of a table")),
        };
        Ok(())
    }

    pub(super) fn add_address(&mut self, item: &str) -> Parsed<()> {
        let network = address::network(item)?;
        let is_same = |one: &String| one.parse::<IpNet>().is_ok_and(|one| one.addr() == network.addr());
        if self.addresses.iter().any(is_same) {
            return Err(format!("the address '{}' is set twice", network.addr()));
        }
        let address = network.addr();
        // The kernel gives an interface none of them (`ipv6_add_addr` in net/ipv6/addrconf.c).
        if address.is_multicast() || address.is_unspecified() || address.is_ipv6() && address.is_loopback() {
            return Err(format!("'{item}': expected the address of a host"));
        }
        self.addresses.push(network.to_string());
        Ok(())
    }

    /// The network that two peers have: the kernel would take it from the first one.
    pub(super) fn shared_network(&self) -> Option<String> {
        let mut owners = BTreeMap::new();
        self.peers.iter().find_map(|peer| {
            let networks = peer.allowed_networks().into_iter();
            let mut earlier = networks.filter_map(|network| {
                let other = owners.insert(network.clone(), &peer.public_key)?;
                Some(format!("the network '{network}' is in two peers, '{other}' and '{}'", peer.public_key))
            });
            earlier.next()
        })
    }

    /// The line of the file that a message is about: it has one of these keys, and its value is in the message.
    pub(super) fn line_of(&self, keys: &[&str], message: &str) -> Option<&FileLine> {
        let lines = || self.lines.iter().rev().filter(|line| keys.contains(&line.key));
        lines().find(|line| items(&line.value).any(|item| message.contains(item))).or_else(|| lines().next())
    }

    pub(super) fn add_dns(&mut self, item: &str) -> Parsed<()> {
        if item.parse::<IpAddr>().is_ok() {
            self.dns.push(item.to_owned());
        } else if is_host(item) && item.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            self.search.push(item.to_owned());
        } else {
            return Err(format!("'{item}': expected the IP address of a server, or a search domain"));
        }
        Ok(())
    }

    pub(super) fn set_servers(&mut self, value: &str) -> Parsed<()> {
        let servers = value.split_whitespace();
        if let Some(wrong) = servers.clone().find(|server| server.parse::<IpAddr>().is_err()) {
            return Err(format!("'{wrong}': expected the IP address of a server"));
        }
        self.dns = servers.map(str::to_owned).collect();
        Ok(())
    }

    /// The routes to the peers, each as words for `ip route replace`. The kernel itself makes the routes to the networks of the
    /// addresses.
    pub fn routes(&self) -> Vec<String> {
        let own: Vec<IpNet> =
            self.addresses.iter().filter_map(|text| Some(text.parse::<IpNet>().ok()?.trunc())).collect();
        let allowed: BTreeSet<IpNet> =
            self.peers.iter().flat_map(|peer| &peer.allowed).map(IpNet::trunc).collect();
        match &self.table {
            TunnelTable::Off => Vec::new(),
            TunnelTable::Main => {
                allowed.iter().filter(|network| !own.contains(network)).map(ToString::to_string).collect()
            }
            TunnelTable::Other(table) => {
                allowed.iter().map(|network| format!("{network} table {table}")).collect()
            }
        }
    }

    /// The text for `wg syncconf`, with the private key. `port` is used if the tunnel has no port of its own. `endpoints` has an address for
    /// each peer; a peer without one keeps its present endpoint.
    pub fn text(&self, port: Option<u16>, endpoints: &[Option<SocketAddr>]) -> String {
        let mut text = format!("[Interface]\nPrivateKey = {}\n", self.private_key);
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{key} = {value}").expect("writing to a String cannot fail");
        };
        if let Some(port) = self.listen_port.or(port) {
            line("ListenPort", &port);
        }
        if self.fwmark > 0 {
            line("FwMark", &self.fwmark);
        }
        for (peer, endpoint) in self.peers.iter().zip(endpoints) {
            text += &peer.text(*endpoint);
        }
        text
    }
}

impl Peer {
    /// The networks behind the peer, as wg(8) shows them.
    pub fn allowed_networks(&self) -> BTreeSet<String> {
        self.allowed.iter().map(|network| network.trunc().to_string()).collect()
    }

    fn text(&self, endpoint: Option<SocketAddr>) -> String {
        let allowed: Vec<String> = self.allowed_networks().into_iter().collect();
        let mut lines = vec!["[Peer]".to_owned(), format!("PublicKey = {}", self.public_key)];
        lines.push(format!("PresharedKey = {}", self.preshared_key.as_deref().unwrap_or(NO_KEY)));
        if !allowed.is_empty() {
            lines.push(format!("AllowedIPs = {}", allowed.join(", ")));
        }
        lines.extend(endpoint.map(|endpoint| format!("Endpoint = {endpoint}")));
        lines.push(format!("PersistentKeepalive = {}", self.keepalive));
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::super::wg_quick::tests::{KEY, file, parse};
    use super::NO_KEY;

    #[test]
    fn a_listen_port_of_0_is_the_default_and_a_mark_is_a_number() {
        for (mark, expected) in [("0xCA6C", 51820), ("7", 7), ("off", 0)] {
            let (config, faults) = parse(&file(&format!("ListenPort = 0\nFwMark = {mark}"), ""));
            assert_eq!((config.listen_port, config.fwmark, faults), (None, expected, Vec::new()));
        }
    }

    #[test]
    fn allowed_networks_become_routes_except_those_of_the_addresses() {
        let (config, _) = parse(&file("Address = 10.0.0.2/24", "AllowedIPs = 10.0.0.0/24, 10.9.9.9/8, ::/0"));
        assert_eq!(config.routes(), ["10.0.0.0/8", "::/0"]);
        let (config, _) = parse(&file("Address = 10.0.0.2/24\nTable = 7", "AllowedIPs = 10.0.0.0/24"));
        assert_eq!(config.routes(), ["10.0.0.0/24 table 7"]);
        assert!(parse(&file("Table = off", "AllowedIPs = 10.0.0.0/24")).0.routes().is_empty());
    }

    #[test]
    fn the_text_for_wg_has_only_addresses_as_endpoints() {
        let (config, _) = parse(&file("ListenPort = 7", "Endpoint = a.example:1\nAllowedIPs = 10.0.0.1/8"));
        assert_eq!(
            config.text(None, &["192.0.2.1:1".parse().ok()]),
            format!(
                "[Interface]\nPrivateKey = {KEY}\nListenPort = 7\n[Peer]\nPublicKey = {KEY}\nPresharedKey = {NO_KEY}\n\
                 AllowedIPs = 10.0.0.0/8\nEndpoint = 192.0.2.1:1\nPersistentKeepalive = 0\n"
            )
        );
    }
}
