//! Parses a file of wg-quick(8).
//!
//! No error contains a private or preshared key.

use std::collections::BTreeSet;

use super::config::{COMMANDS, Config, FileLine, Peer};
use super::value::{Parsed, endpoint, items, keepalive, number, public_key, secret};
use crate::name::address;

/// The keys of values that may be refused later.
const TRACED: [&str; 5] = ["Address", "MTU", "Table", "ListenPort", "AllowedIPs"];

/// The part of a file that a line belongs to.
#[derive(Clone, Copy, PartialEq)]
enum Section {
    None,
    /// Its lines have no further faults.
    Unknown,
    Interface,
    Peer,
}

impl Config {
    /// Parses a file. Returns a line for each fault, too. `runs`: commands are allowed, by the setting `allowed_by`.
    pub fn parse(text: &str, path: &str, runs: bool, allowed_by: &str) -> (Self, Vec<String>) {
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
                Some(name) => {
                    section = Section::Unknown;
                    Err(format!("unknown section '[{name}]': expected [Interface] or [Peer]"))
                }
                None if section == Section::Unknown => Ok(()),
                None => match line.split_once('=') {
                    // The line may be a key.
                    None => {
                        Err("invalid line: expected KEY = VALUE, [Interface], [Peer] or a comment".into())
                    }
                    Some((key, value)) => {
                        let (key, value) = (key.trim(), value.trim());
                        let place = format!("{path}:{number}");
                        let known =
                            TRACED.iter().chain(&COMMANDS).find(|known| known.eq_ignore_ascii_case(key));
                        config.lines.extend(known.map(|key| FileLine {
                            place,
                            key,
                            value: value.to_owned(),
                        }));
                        config.set(section, key, value).and_then(|command| match command {
                            Some(key) if !runs => Err(format!(
                                "{key} is not run: remove the line, or allow commands with {allowed_by}=yes"
                            )),
                            _ => Ok(()),
                        })
                    }
                },
            };
            if result.is_err() && section == Section::None {
                section = Section::Unknown;
            }
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
        if faults.is_empty()
            && let Some(message) = config.shared_network()
            && let Some(line) = config.line_of(&["AllowedIPs"], &message)
        {
            faults.push(format!("{}: {}: {message}", line.place, line.key));
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
        if section != Section::Interface {
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
            "address" => items(value).try_for_each(|item| self.add_address(item)),
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
                Some(known) => return Ok(Some(known)),
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
}

/// The name of an unknown key for a message. A long one may be a private key.
fn shown(key: &str) -> String {
    if key.len() <= 24 { format!(" '{key}'") } else { String::new() }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::config::Endpoint;
    use super::*;

    pub const KEY: &str = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";

    pub fn parse(text: &str) -> (Config, Vec<String>) {
        Config::parse(text, "f", false, "X_RUN_COMMANDS")
    }

    pub fn file(interface: &str, peer: &str) -> String {
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
}
