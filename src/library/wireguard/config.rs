//! What an administrator wants a WireGuard tunnel to be: a file of wg-quick(8), or settings with the same meaning.
//!
//! No error contains a private or preshared key.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::super::link::settings::Settings;
use crate::name::address;
use crate::sys::file;

/// A tunnel.
#[derive(Debug, Default)]
pub struct Config {
    private_key: String,
    /// The local UDP port.
    pub listen_port: Option<u16>,
    fwmark: Option<String>,
    /// Each `ADDRESS/PREFIX`.
    pub addresses: Vec<String>,
    /// The MTU in bytes.
    pub mtu: Option<u32>,
    /// The addresses of the name servers.
    pub dns: Vec<String>,
    /// The search domains.
    pub search: Vec<String>,
    table: TunnelTable,
    /// Each key (`PreUp`, …) with its command.
    pub commands: Vec<(&'static str, String)>,
    /// Whether wg-quick(8) would overwrite the file.
    pub saves: bool,
    /// The peers.
    pub peers: Vec<Peer>,
}

/// A peer of a tunnel.
#[derive(Debug, Default)]
pub struct Peer {
    /// Its name in the tunnel, in base64.
    pub public_key: String,
    preshared_key: Option<String>,
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

/// The part of a file that a line belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Section {
    None,
    Interface,
    Peer,
}

/// The result of reading a value: an error is the end of a message.
type Parsed<Value> = Result<Value, String>;

impl Config {
    /// Reads the settings, and the file, if there are no peers or keys in the settings. A setting replaces the value of the file.
    /// Errors: a line for each invalid value, `PLACE: MESSAGE`.
    pub fn read(root: &Path, settings: &Settings) -> Result<Self, Vec<String>> {
        let by_settings = settings.one("PRIVATE_KEY_FILE").is_some() || settings.one("PEERS").is_some();
        let (mut config, mut faults) = match settings.one("CONFIG") {
            _ if by_settings => Self::of_settings(root, settings),
            path => {
                let path = path.unwrap_or_default();
                let text = file::read(&below(root, path)).map_err(|error| {
                    vec![format!("{}: cannot read '{path}': {error}", settings.name("CONFIG"))]
                })?;
                let runs = settings.one("RUN_COMMANDS") == Some("yes");
                Self::parse(&String::from_utf8_lossy(&text), path, runs, &settings.name("RUN_COMMANDS"))
            }
        };
        for (key, set) in [
            ("LISTEN_PORT", Self::set_listen_port as fn(&mut Self, &str) -> Parsed<()>),
            ("FWMARK", Self::set_fwmark),
            ("TABLE", Self::set_table),
        ] {
            if let Some(Err(error)) = settings.one(key).map(|value| set(&mut config, value)) {
                faults.push(format!("{}: {error}", settings.name(key)));
            }
        }
        if faults.is_empty() { Ok(config) } else { Err(faults) }
    }

    /// Reads a tunnel from settings alone.
    fn of_settings(root: &Path, settings: &Settings) -> (Self, Vec<String>) {
        let mut config = Self::default();
        let mut faults = Vec::new();
        let path = settings.one("PRIVATE_KEY_FILE").ok_or_else(|| "is not set".to_owned());
        match path.and_then(|path| key_of_file(root, path)) {
            Ok(key) => config.private_key = key,
            Err(error) => faults.push(format!("{}: {error}", settings.name("PRIVATE_KEY_FILE"))),
        }
        for words in settings.all("PEERS") {
            match Peer::of_words(root, words) {
                Ok(peer) => config.peers.push(peer),
                Err(error) => faults.push(format!("{}: {error}", settings.name("PEERS"))),
            }
        }
        (config, faults)
    }

    /// Parses a file. Returns a line for each fault, too. `runs`: commands are allowed, by the setting `allowed_by`.
    fn parse(text: &str, path: &str, runs: bool, allowed_by: &str) -> (Self, Vec<String>) {
        let mut config = Self::default();
        let mut faults = Vec::new();
        let mut section = Section::None;
        let mut starts = Vec::new(); // the lines of [Peer]
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let number = index + 1;
            let line = line.split('#').next().unwrap_or_default().trim();
            let result = match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                _ if line.is_empty() => Ok(()),
                Some(name) if name.eq_ignore_ascii_case("interface") => {
                    section = Section::Interface;
                    Ok(())
                }
                Some(name) if name.eq_ignore_ascii_case("peer") => {
                    section = Section::Peer;
                    config.peers.push(Peer::default());
                    starts.push(number);
                    Ok(())
                }
                Some(name) => Err(format!("unknown section '[{name}]': expected [Interface] or [Peer]")),
                None => match line.split_once('=') {
                    // The line may be a key.
                    None => {
                        Err("invalid line: expected KEY = VALUE, [Interface], [Peer] or a comment".into())
                    }
                    Some((key, value)) => {
                        config.set(section, key.trim(), value.trim()).and_then(|command| match command {
                            Some(key) if !runs => Err(format!(
                                "{key} is not run: remove the line, or allow commands with {allowed_by}=yes"
                            )),
                            _ => Ok(()),
                        })
                    }
                },
            };
            faults.extend(result.err().map(|error| format!("{path}:{number}: {error}")));
        }
        if config.private_key.is_empty() && faults.is_empty() {
            faults.push(format!("{path}: PrivateKey is missing: expected a section [Interface] with it"));
        }
        if faults.is_empty() {
            let mut known = BTreeSet::new();
            for (peer, start) in config.peers.iter().zip(starts) {
                if peer.public_key.is_empty() {
                    faults.push(format!("{path}:{start}: the peer has no PublicKey"));
                } else if !known.insert(&peer.public_key) {
                    faults.push(format!("{path}:{start}: the peer '{}' is defined twice", peer.public_key));
                }
            }
        }
        (config, faults)
    }

    /// Sets one value. Returns the key of a command.
    fn set(&mut self, section: Section, key: &str, value: &str) -> Parsed<Option<&'static str>> {
        let lower = key.to_ascii_lowercase();
        if section == Section::Peer {
            let peer = self.peers.last_mut().expect("the section has begun with a peer");
            return peer.set(key, &lower, value).map(|()| None);
        }
        if section == Section::None {
            return Err(format!(
                "the key{} is in no section: expected [Interface] or [Peer] before it",
                shown(key)
            ));
        }
        let prefixed = |error| format!("{key}: {error}");
        let done = match lower.as_str() {
            "privatekey" => secret(value).map(|key| self.private_key = key),
            "listenport" => self.set_listen_port(value),
            "fwmark" => self.set_fwmark(value),
            "address" => items(value).try_for_each(|item| {
                address::network(item).map(|network| self.addresses.push(network.to_string()))
            }),
            "mtu" => number(value, 68, 65535).map(|mtu| self.mtu = Some(mtu)),
            "dns" => items(value).try_for_each(|item| self.add_dns(item)),
            "table" => self.set_table(value),
            "saveconfig" => match value {
                "true" | "false" => {
                    self.saves = value == "true";
                    Ok(())
                }
                _ => Err(format!("'{value}': expected true or false")),
            },
            _ => match COMMANDS.iter().find(|known| known.eq_ignore_ascii_case(key)) {
                Some(known) => {
                    self.commands.push((known, value.to_owned()));
                    return Ok(Some(known));
                }
                None => {
                    return Err(format!(
                        "unknown key{} in [Interface]: expected PrivateKey, Address, DNS, MTU, Table, ListenPort, FwMark, \
                         SaveConfig, PreUp, PostUp, PreDown or PostDown",
                        shown(key)
                    ));
                }
            },
        };
        done.map(|()| None).map_err(prefixed)
    }

    fn set_listen_port(&mut self, value: &str) -> Parsed<()> {
        self.listen_port = Some(u16::try_from(number(value, 0, 65535)?).map_err(|error| error.to_string())?);
        Ok(())
    }

    fn set_fwmark(&mut self, value: &str) -> Parsed<()> {
        let digits = value.strip_prefix("0x");
        let is_number =
            digits.map_or_else(|| value.parse::<u32>().is_ok(), |hex| u32::from_str_radix(hex, 16).is_ok());
        if !is_number && value != "off" {
            return Err(format!("'{value}': expected a number, such as 51820 or 0xca6c, or off"));
        }
        self.fwmark = Some(value.to_owned());
        Ok(())
    }

    fn set_table(&mut self, value: &str) -> Parsed<()> {
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

    fn add_dns(&mut self, item: &str) -> Parsed<()> {
        if item.parse::<IpAddr>().is_ok() {
            self.dns.push(item.to_owned());
        } else if is_host(item) && item.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            self.search.push(item.to_owned());
        } else {
            return Err(format!("'{item}': expected the IP address of a server, or a search domain"));
        }
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
        if let Some(mark) = &self.fwmark {
            line("FwMark", mark);
        }
        for (peer, endpoint) in self.peers.iter().zip(endpoints) {
            text += &peer.text(*endpoint);
        }
        text
    }
}

impl Peer {
    fn set(&mut self, key: &str, lower: &str, value: &str) -> Parsed<()> {
        let done = match lower {
            "publickey" => public_key(value).map(|key| self.public_key = key),
            "presharedkey" => secret(value).map(|key| self.preshared_key = Some(key)),
            "allowedips" => items(value)
                .try_for_each(|item| address::network(item).map(|network| self.allowed.push(network))),
            "endpoint" => endpoint(value).map(|endpoint| self.endpoint = Some(endpoint)),
            "persistentkeepalive" => keepalive(value).map(|seconds| self.keepalive = seconds),
            _ => {
                return Err(format!(
                    "unknown key{} in [Peer]: expected PublicKey, PresharedKey, AllowedIPs, Endpoint or PersistentKeepalive",
                    shown(key)
                ));
            }
        };
        done.map_err(|error| format!("{key}: {error}"))
    }

    /// Reads a peer in the words of `wg set … peer`.
    fn of_words(root: &Path, words: &str) -> Parsed<Self> {
        let mut peer = Self::default();
        let mut words = words.split_whitespace();
        peer.public_key = public_key(words.next().unwrap_or_default())?;
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("'{word}' has no value"))?;
            match word {
                "preshared-key" => peer.preshared_key = Some(key_of_file(root, value)?),
                "endpoint" => peer.endpoint = Some(endpoint(value)?),
                "persistent-keepalive" => peer.keepalive = keepalive(value)?,
                "allowed-ips" => {
                    for item in items(value) {
                        peer.allowed.push(address::network(item)?);
                    }
                }
                _ => {
                    return Err(format!(
                        "unknown word '{word}': expected preshared-key FILE, endpoint HOST:PORT, persistent-keepalive SECONDS or \
                         allowed-ips NETWORK,…"
                    ));
                }
            }
        }
        Ok(peer)
    }

    /// The networks behind the peer, as wg(8) shows them.
    pub fn allowed_networks(&self) -> BTreeSet<String> {
        self.allowed.iter().map(|network| network.trunc().to_string()).collect()
    }

    fn text(&self, endpoint: Option<SocketAddr>) -> String {
        let allowed: Vec<String> = self.allowed_networks().into_iter().collect();
        let mut lines = vec!["[Peer]".to_owned(), format!("PublicKey = {}", self.public_key)];
        lines.extend(self.preshared_key.iter().map(|key| format!("PresharedKey = {key}")));
        if !allowed.is_empty() {
            lines.push(format!("AllowedIPs = {}", allowed.join(", ")));
        }
        lines.extend(endpoint.map(|endpoint| format!("Endpoint = {endpoint}")));
        lines.push(format!("PersistentKeepalive = {}", self.keepalive));
        lines.join("\n") + "\n"
    }
}

/// The name of an unknown key for a message. A long one may be a private key.
fn shown(key: &str) -> String {
    if key.len() <= 24 { format!(" '{key}'") } else { String::new() }
}

/// A path of a setting, below the root of the machine.
pub fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The items of a list, which are separated by commas or white space.
fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split([',', ' ', '\t']).filter(|item| !item.is_empty())
}

fn number(value: &str, min: u32, max: u32) -> Parsed<u32> {
    let found = value.parse().ok().filter(|number| (min..=max).contains(number));
    found.ok_or_else(|| format!("'{value}': expected a number from {min} to {max}"))
}

fn keepalive(value: &str) -> Parsed<u16> {
    if value == "off" {
        return Ok(0);
    }
    let seconds = number(value, 0, 65535).map_err(|error| format!("{error} seconds, or off"))?;
    u16::try_from(seconds).map_err(|error| error.to_string())
}

/// Whether a text is a key: 32 bytes in base64. The last character before `=` has four bits of the key and two zero bits.
fn is_key(text: &str) -> bool {
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    text.len() == 44
        && text.ends_with('=')
        && text.bytes().take(43).all(is_base64)
        && b"AEIMQUYcgkosw048".contains(&text.as_bytes()[42])
}

fn public_key(value: &str) -> Parsed<String> {
    let expected =
        || format!("'{value}' is not a key: expected 44 characters of base64, as `wg pubkey` prints them");
    is_key(value).then(|| value.to_owned()).ok_or_else(expected)
}

/// A key that no message may contain.
fn secret(value: &str) -> Parsed<String> {
    let expected = || {
        format!(
            "the value is not a key ({} characters): expected 44 characters of base64, as `wg genkey` prints them",
            value.chars().count()
        )
    };
    is_key(value).then(|| value.to_owned()).ok_or_else(expected)
}

fn key_of_file(root: &Path, path: &str) -> Parsed<String> {
    let text = file::read(&below(root, path)).map_err(|error| format!("cannot read '{path}': {error}"))?;
    secret(String::from_utf8_lossy(&text).trim()).map_err(|error| format!("'{path}': {error}"))
}

fn endpoint(value: &str) -> Parsed<Endpoint> {
    let expected = || {
        format!(
            "'{value}': expected HOST:PORT, such as vpn.example.org:51820, 192.0.2.1:51820 or [2001:db8::1]:51820"
        )
    };
    if let Ok(address) = value.parse::<SocketAddr>() {
        return if address.port() == 0 { Err(expected()) } else { Ok(Endpoint::Address(address)) };
    }
    let (host, port) = value.rsplit_once(':').ok_or_else(expected)?;
    let port = port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(expected)?;
    // The last label of a name is not a number: `192.0.2.300` is an invalid address.
    let is_name = is_host(host) && host.rsplit('.').next().is_none_or(|label| label.parse::<u64>().is_err());
    if is_name { Ok(Endpoint::Name(host.to_owned(), port)) } else { Err(expected()) }
}

/// Whether a text can be the name of a host.
fn is_host(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

    fn parse(text: &str) -> (Config, Vec<String>) {
        Config::parse(text, "f", false, "X_RUN_COMMANDS")
    }

    fn file(interface: &str, peer: &str) -> String {
        format!("[Interface]\nPrivateKey={KEY}\n{interface}\n[Peer]\nPublicKey={KEY}\n{peer}\n")
    }

    #[test]
    fn a_file_of_a_provider_is_read_with_comments_lists_and_any_case() {
        let text = file(
            "address = 10.2.0.2/32, 2001:db8::2/128 # mine\r\nDNS=10.2.0.1,example.org\nMTU = 1400",
            "ALLOWEDIPS = 0.0.0.0/0,::/0\nEndpoint = vpn.example.org:51820\nPersistentKeepalive = 25",
        );
        let (config, faults) = parse(&text);
        assert_eq!(faults, [""; 0]);
        assert_eq!(config.addresses, ["10.2.0.2/32", "2001:db8::2/128"]);
        assert_eq!(
            (config.dns, config.search),
            (vec!["10.2.0.1".to_owned()], vec!["example.org".to_owned()])
        );
        assert_eq!(config.peers[0].endpoint, Some(Endpoint::Name("vpn.example.org".into(), 51820)));
        assert_eq!((config.mtu, config.peers[0].keepalive), (Some(1400), 25));
    }

    #[test]
    fn each_invalid_line_is_reported_with_its_number_and_what_is_expected() {
        for (interface, peer, expected) in [
            ("Address = 10.2.0.2/33", "", "f:3: Address: invalid address `10.2.0.2/33`"),
            ("MTU = 60", "", "f:3: MTU: '60': expected a number from 68 to 65535"),
            ("DNS = 10.2.0", "", "f:3: DNS: '10.2.0': expected"),
            ("ListenPort = 65536", "", "f:3: ListenPort: '65536'"),
            ("FwMark = x", "", "f:3: FwMark: 'x'"),
            ("Table = a b", "", "f:3: Table: 'a b'"),
            ("Nonsense = 1", "", "f:3: unknown key 'Nonsense' in [Interface]"),
            ("[Nonsense]", "", "f:3: unknown section '[Nonsense]'"),
            ("SaveConfig = x", "", "f:3: SaveConfig: 'x'"),
            (
                "PostUp = iptables",
                "",
                "f:3: PostUp is not run: remove the line, or allow commands with X_RUN_COMMANDS=yes",
            ),
            ("", "Endpoint = vpn.example.org", "f:6: Endpoint: 'vpn.example.org': expected HOST:PORT"),
            ("", "Endpoint = 192.0.2.300:1", "f:6: Endpoint: '192.0.2.300:1'"),
            ("", "Endpoint = 192.0.2.1:0", "f:6: Endpoint"),
            ("", "AllowedIPs = 0.0.0.0/33", "f:6: AllowedIPs: invalid address"),
            ("", "PersistentKeepalive = -1", "f:6: PersistentKeepalive: '-1'"),
            ("", "PublicKey = abc=", "f:6: PublicKey: 'abc=' is not a key: expected 44"),
            ("", "[Peer]", "f:6: the peer has no PublicKey"),
        ] {
            let faults = parse(&file(interface, peer)).1;
            assert!(faults[0].starts_with(expected), "{interface}{peer}: {faults:?}");
        }
        assert!(parse("").1[0].contains("PrivateKey is missing"));
        assert!(parse("MTU = 1400").1[0].contains("the key 'MTU' is in no section"));
        assert!(parse(&(file("", "") + &file("", ""))).1[0].contains("is defined twice"));
    }

    #[test]
    fn no_error_contains_a_private_or_preshared_key() {
        let short = &KEY[1..];
        for text in [
            format!("[Interface]\nPrivateKey = {short}"),
            format!("[Interface]\n{KEY}"),
            format!("[Peer]\n{KEY}"),
            KEY.to_owned(),
            format!("[Interface]\nPrivateKey {short}"),
            file("", &format!("PresharedKey = {short}")),
        ] {
            let faults = parse(&text).1.join("\n");
            assert!(!faults.is_empty() && !faults.contains(&short[1..20]), "{faults}");
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
                "[Interface]\nPrivateKey = {KEY}\nListenPort = 7\n[Peer]\nPublicKey = {KEY}\nAllowedIPs = 10.0.0.0/8\n\
                 Endpoint = 192.0.2.1:1\nPersistentKeepalive = 0\n"
            )
        );
    }
}
