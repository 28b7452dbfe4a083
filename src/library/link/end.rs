//! The properties of one interface, as the settings have them, checked before anything is made.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::super::sysctl::Key;
use super::settings::{LOOPBACK, Settings, invalid, seconds, valid_ifname};
use crate::name::address;
use crate::netlink::Mac;

/// Time that an interface has to get a carrier, if `X_CARRIER_TIMEOUT` is not set.
const CARRIER_TIMEOUT: Duration = Duration::from_secs(5);

/// The properties of one interface, as the settings have them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinkSettings {
    /// The common prefix of the settings.
    prefix: String,
    /// The common end of the settings of this interface; empty if there is only one.
    suffix: String,
    /// The name.
    pub ifname: String,
    /// The hardware address; chosen by the kernel if there is none.
    pub mac: Option<Mac>,
    /// The MTU.
    pub mtu: Option<u32>,
    /// The text that ip(8) shows as alias.
    pub alias: Option<String>,
    /// The link group.
    pub group: Option<u32>,
    /// The addresses, each as words for `ip address add`.
    pub addresses: Vec<String>,
    /// Whether routers of the network give it IPv6 addresses (RFC 4862).
    #[serde(default)]
    pub automatic: bool,
    /// The routes, each as words for `ip route replace`.
    pub routes: Vec<String>,
    /// The gateways of the default routes.
    pub gateways: Vec<Gateway>,
    /// The sysctls of the interface.
    pub sysctls: Vec<Sysctl>,
    /// The bridge that the interface is a port of.
    pub bridge: Option<String>,
    /// The interfaces that are ports of this one.
    pub ports: Vec<String>,
    /// The other ends of a tunnel, except a multicast group, which is a property of the kind.
    pub remotes: Vec<IpAddr>,
    /// Time that the interface has to get a carrier.
    pub carrier_timeout: Duration,
}

/// The word in a list of addresses for those that routers of the network give.
const AUTOMATIC: &str = "auto";

/// The sysctls of an interface that accepts router advertisements, also if the namespace forwards packets (`accept_ra` in the kernel's
/// ip-sysctl.rst).
const ACCEPT_ROUTERS: [&str; 2] = ["ipv6.accept_ra=2", "ipv6.autoconf=1"];

/// The gateway of a default route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gateway {
    /// An address.
    Address(IpAddr),
    /// The addresses of the outside end.
    Outside,
}

/// A sysctl of an interface: `net.FAMILY.conf.IFNAME.KEY`, or `net.FAMILY.neigh.IFNAME.KEY`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sysctl {
    /// `ipv4` or `ipv6`.
    family: String,
    /// `conf` or `neigh`.
    group: String,
    key: String,
    /// The value.
    pub value: String,
}

impl Sysctl {
    /// The key for an interface. The interface `default` has the value of a new one.
    pub fn key(&self, ifname: &str) -> Key {
        Key::of_interface(&self.family, &self.group, ifname, &self.key)
    }

    /// Whether both set the same sysctl.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key("default") == other.key("default")
    }

    /// Parses `ipv4.rp_filter=2` or `ipv6.neigh.gc_stale_time=60`.
    fn parse(text: &str) -> Result<Self> {
        let expected = || {
            anyhow!(
                "'{text}' is not a sysctl of an interface: expected FAMILY.KEY=VALUE, such as ipv4.rp_filter=2"
            )
        };
        let (name, value) = text.split_once('=').with_context(expected)?;
        let parts: Vec<&str> = name.trim().split('.').collect();
        let (family, group, key) = match parts.as_slice() {
            [family, key] => (*family, "conf", *key),
            [family, group @ ("conf" | "neigh"), key] => (*family, *group, *key),
            _ => return Err(expected()),
        };
        ensure!(["ipv4", "ipv6"].contains(&family) && !key.is_empty() && !key.contains('/'), expected());
        let sysctl =
            Self { family: family.into(), group: group.into(), key: key.into(), value: value.trim().into() };
        let file = sysctl.key("default").file();
        ensure!(file.exists(), "unknown sysctl '{name}': {} does not exist", file.display());
        let present = sysctl.key("default").read().ok().flatten().unwrap_or_default();
        ensure!(
            is_number(&sysctl.value) || !is_number(&present),
            "'{}' is not a value of the sysctl '{name}', which is a number",
            sysctl.value
        );
        Ok(sysctl)
    }
}

impl LinkSettings {
    /// Reads the settings of an interface, and checks what is known before it exists.
    /// Errors: a setting is invalid or missing ([`Invalid`]).
    pub fn read(settings: &Settings, suffix: &str) -> Result<Self> {
        let setting = || settings.name(&format!("IFNAME{suffix}"));
        let ifname = Self::name(settings, suffix)?.ok_or_else(|| invalid(setting(), "is not set"))?;
        Self::read_named(settings, suffix, ifname)
    }

    /// The name of the interface in its setting.
    /// Errors: it is invalid.
    pub fn name(settings: &Settings, suffix: &str) -> Result<Option<String>> {
        let key = format!("IFNAME{suffix}");
        let ifname = settings.parsed(&key, valid_ifname)?;
        if ifname.as_deref() == Some(LOOPBACK) {
            let message = "'lo' is the loopback interface, which every namespace has; fix: use another name";
            return Err(invalid(settings.name(&key), message));
        }
        Ok(ifname)
    }

    /// Like [`read`](Self::read), for an interface whose name is known.
    pub fn read_named(settings: &Settings, suffix: &str, ifname: String) -> Result<Self> {
        let of = |key: &str| format!("{key}{suffix}");
        let is_outside = suffix == super::OUTSIDE;
        let gateways = if is_outside { Vec::new() } else { settings.all("GATEWAY") };
        let addresses = settings.all(&of("IFADDR")).into_iter().map(str::trim);
        let automatic = addresses.clone().any(|words| words == AUTOMATIC);
        if automatic && is_outside {
            let message = "'auto' is only for an interface in the namespace: its routers must not configure another one";
            return Err(invalid(settings.name(&of("IFADDR")), message));
        }
        let end = Self {
            prefix: settings.prefix().to_owned(),
            suffix: suffix.to_owned(),
            mac: settings.parsed(&of("MAC"), |value| address::mac(value).map_err(|error| anyhow!(error)))?,
            mtu: settings.parsed("MTU", mtu)?,
            alias: settings.parsed(&of("ALIAS"), alias)?,
            group: settings.parsed(&of("GROUP"), group)?,
            addresses: addresses.filter(|words| *words != AUTOMATIC).map(ToOwned::to_owned).collect(),
            automatic,
            routes: settings.all(&of("ROUTES")).iter().map(|words| (*words).trim().to_owned()).collect(),
            gateways: gateways
                .iter()
                .map(|value| gateway(value).map_err(|error| invalid(settings.name("GATEWAY"), error)))
                .collect::<Result<_>>()?,
            sysctls: sysctls(settings, &of("SYSCTLS"), automatic)?,
            bridge: if suffix == super::INSIDE { None } else { settings.parsed("BRIDGE", valid_ifname)? },
            ports: if suffix == super::INSIDE { Vec::new() } else { settings.ports(&ifname)? },
            remotes: settings.remotes()?,
            ifname,
            carrier_timeout: settings.parsed("CARRIER_TIMEOUT", seconds)?.unwrap_or(CARRIER_TIMEOUT),
        };
        for (key, is_set) in [("ALIAS", end.alias.is_some()), ("GROUP", end.group.is_some())] {
            if is_outside && is_set {
                let message =
                    "is only for an interface in the namespace: the outside end has those of this program";
                return Err(invalid(end.setting(key), message));
            }
        }
        end.check_addresses()?;
        Ok(end)
    }

    /// These settings, with the `earlier` value of each one that is not set.
    pub fn or(self, earlier: &Self) -> Self {
        fn list<T: Clone>(present: Vec<T>, earlier: &[T]) -> Vec<T> {
            if present.is_empty() { earlier.to_vec() } else { present }
        }
        Self {
            mac: self.mac.or(earlier.mac),
            mtu: self.mtu.or(earlier.mtu),
            addresses: list(self.addresses, &earlier.addresses),
            routes: list(self.routes, &earlier.routes),
            sysctls: list(self.sysctls, &earlier.sysctls),
            bridge: self.bridge.or_else(|| earlier.bridge.clone()),
            ..self
        }
    }

    /// The common end of the names of its settings.
    pub fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The name of a setting of this interface.
    pub fn setting(&self, key: &str) -> String {
        match key {
            "MTU" | "GATEWAY" | "BRIDGE" | "PORTS" | "REMOTES" | "CARRIER_TIMEOUT" => {
                format!("{}_{key}", self.prefix)
            }
            _ => format!("{}_{key}{}", self.prefix, self.suffix),
        }
    }

    /// The first address of each setting of addresses.
    pub fn first_addresses(&self) -> Vec<IpAddr> {
        self.addresses.iter().filter_map(|words| first_address(words)).collect()
    }

    /// The addresses that consist of one word, which ip(8) reads as the kernel gets them.
    pub fn networks(&self) -> impl Iterator<Item = IpNet> {
        self.addresses.iter().filter_map(|words| network(words))
    }

    fn check_addresses(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        for words in &self.addresses {
            let first = words.split_whitespace().next().unwrap_or_default();
            let wrong = |message: String| invalid(self.setting("IFADDR"), message);
            let Some(network) = network(first) else {
                // ip(8) knows more forms, such as `192.0.2.1/255.255.255.0`. The rehearsal tries them.
                if words == first
                    && (first.contains(':') || first.matches('.').count() == 3)
                    && !is_netmask(first)
                {
                    return Err(wrong(format!(
                        "'{words}' is not an address: expected ADDRESS/PREFIX, such as 192.0.2.1/24"
                    )));
                }
                continue;
            };
            if !seen.insert(network.addr()) {
                return Err(wrong(format!("the address '{}' is set twice", network.addr())));
            }
            if network.addr().is_ipv6() && self.mtu.is_some_and(|mtu| mtu < 1280) {
                return Err(invalid(
                    self.setting("MTU"),
                    format!("IPv6 needs at least 1280, but '{words}' is an IPv6 address"),
                ));
            }
        }
        if self.automatic && self.mtu.is_some_and(|mtu| mtu < 1280) {
            return Err(invalid(self.setting("MTU"), "IPv6 needs at least 1280, but an address is 'auto'"));
        }
        Ok(())
    }

    /// The addresses of the gateways. `outside` are the addresses of the outside end.
    /// Errors: the kernel would not reach a gateway.
    pub fn gateway_addresses(&self, outside: &[IpAddr]) -> Result<Vec<IpAddr>> {
        let mut addresses = Vec::new();
        for gateway in &self.gateways {
            match gateway {
                Gateway::Address(address) => addresses.push(*address),
                Gateway::Outside => {
                    let own = self.first_addresses();
                    let before = addresses.len();
                    for is_ipv4 in [true, false] {
                        let has_family =
                            |address: &&IpAddr| address.is_ipv4() == is_ipv4 && !is_link_local(address);
                        let found = outside.iter().find(has_family);
                        addresses.extend(found.filter(|_| own.iter().any(|one| has_family(&one))));
                    }
                    if addresses.len() == before {
                        let message = "'outside' needs an address of the outside end in the family of an inside address";
                        return Err(invalid(self.setting("GATEWAY"), message));
                    }
                }
            }
        }
        for (at, one) in addresses.iter().enumerate() {
            if let Some(other) = addresses[..at].iter().find(|other| other.is_ipv4() == one.is_ipv4()) {
                let message = format!(
                    "'{other}' and '{one}' are gateways of one family, but there is one default route; use routes with a metric"
                );
                return Err(invalid(self.setting("GATEWAY"), message));
            }
        }
        // Routes, and addresses in another form than ADDRESS/PREFIX, may make a gateway reachable. The rehearsal tries them.
        if self.needs_rehearsal() {
            return Ok(addresses);
        }
        for address in &addresses {
            if !is_link_local(address) && !self.networks().any(|network| network.contains(address)) {
                let networks: Vec<&str> = self.addresses.iter().map(String::as_str).collect();
                let message = format!(
                    "the gateway '{address}' is not reachable: it is in no network of {} ({})",
                    self.setting("IFADDR"),
                    if networks.is_empty() { "not set".to_owned() } else { networks.join(", ") }
                );
                return Err(invalid(self.setting("GATEWAY"), message));
            }
        }
        Ok(addresses)
    }

    /// Whether only ip(8) and the kernel can tell what the settings mean.
    pub fn needs_rehearsal(&self) -> bool {
        !self.routes.is_empty() || self.addresses.iter().any(|words| network(words).is_none())
    }
}

/// The sysctls of the setting `key`, after those that an `automatic` interface needs: the last value of a sysctl is set.
fn sysctls(settings: &Settings, key: &str, automatic: bool) -> Result<Vec<Sysctl>> {
    let needed = ACCEPT_ROUTERS.iter().filter(|_| automatic).map(|value| (*value, "IFADDR"));
    let set = settings.all(key).into_iter().map(|value| (value, key));
    let parse = |(value, key)| Sysctl::parse(value).map_err(|error| invalid(settings.name(key), error));
    needed.chain(set).map(parse).collect()
}

/// An address of one word, as ip(8) reads it: without a prefix, it is a single address.
pub(super) fn network(words: &str) -> Option<IpNet> {
    address::network(words).ok()
}

/// The first address in words for `ip address add`.
pub(super) fn first_address(words: &str) -> Option<IpAddr> {
    let first = words.split_whitespace().next()?;
    network(first).map(|network| network.addr()).or_else(|| first.split('/').next()?.parse().ok())
}

/// Whether a word is a number in a form that the kernel reads (strtoul_lenient in kernel/sysctl.c).
fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).is_ok(),
        None => digits.parse::<u64>().is_ok(),
    }
}

fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Whether a word is an IPv4 address with a netmask in place of a prefix length.
fn is_netmask(word: &str) -> bool {
    word.split_once('/').is_some_and(|(_, mask)| mask.contains('.'))
}

fn mtu(value: &str) -> Result<u32> {
    let mtu = value.parse().ok().filter(|mtu| (68..=65535).contains(mtu));
    mtu.with_context(|| format!("'{value}' is not an MTU: expected a number of bytes from 68 to 65535"))
}

/// The kernel keeps up to 255 bytes (`IFALIASZ`).
fn alias(value: &str) -> Result<String> {
    ensure!(value.len() <= 255, "'{value}' has more than 255 bytes");
    Ok(value.to_owned())
}

fn group(value: &str) -> Result<u32> {
    value.parse().ok().with_context(|| format!("'{value}' is not a link group: expected a number"))
}

fn gateway(value: &str) -> Result<Gateway> {
    match value.parse() {
        _ if value == "outside" => Ok(Gateway::Outside),
        Ok(address) => Ok(Gateway::Address(address)),
        Err(_) => Err(anyhow!("'{value}' is not one IP address")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(words: &[&str]) -> Result<LinkSettings> {
        let all: Vec<&str> = ["X_IFNAME=x"].into_iter().chain(words.iter().copied()).collect();
        LinkSettings::read(&Settings::read("X", &all)?, "")
    }

    fn error(words: &[&str]) -> String {
        let read = end(words).and_then(|end| end.gateway_addresses(&[]).map(|_| end));
        format!("{:#}", read.unwrap_err())
    }

    #[test]
    fn an_address_without_a_prefix_is_a_single_address() {
        let read = end(&["X_IFADDR=192.0.2.1", "X_IFADDR=2001:db8::1/64"]).unwrap();
        let networks: Vec<String> = read.networks().map(|network| network.to_string()).collect();
        assert_eq!(networks, ["192.0.2.1/32", "2001:db8::1/64"]);
    }

    #[test]
    fn forms_that_only_ip_knows_are_left_to_the_rehearsal() {
        for words in ["192.0.2.1/255.255.255.0", "10.1/16", "192.0.2.1/24 brd +", "local 192.0.2.1/24"] {
            assert!(end(&[&format!("X_IFADDR={words}")]).unwrap().needs_rehearsal(), "{words}");
        }
    }

    #[test]
    fn an_invalid_setting_is_refused_with_its_name_and_value() {
        for (word, parts) in [
            ("X_IFADDR=192.0.2.300/24", ["X_IFADDR", "'192.0.2.300/24'"]),
            ("X_IFADDR=2001:db8::1/129", ["X_IFADDR", "/129'"]),
            ("X_MAC=02:00:00:00:01", ["X_MAC", "six bytes"]),
            ("X_MAC=03:00:00:00:00:01", ["X_MAC", "multicast"]),
            ("X_MTU=60", ["X_MTU", "from 68"]),
            ("X_GROUP=lan", ["X_GROUP", "'lan' is not a link group"]),
            ("X_GATEWAY=192.0.2.1", ["X_GATEWAY", "not reachable"]),
            ("X_SYSCTLS=ipv4.no_such_key=1", ["X_SYSCTLS", "unknown sysctl"]),
            ("X_SYSCTLS=core.somaxconn=1", ["X_SYSCTLS", "expected FAMILY.KEY=VALUE"]),
            ("X_PORTS=eth0 a/b", ["X_PORTS", "a/b"]),
            ("X_PORTS=x", ["X_PORTS", "the interface itself"]),
            ("X_REMOTES=192.0.2.1 example.org", ["X_REMOTES", "'example.org'"]),
        ] {
            let error = error(&[word]);
            assert!(parts.iter().all(|part| error.contains(part)), "{word}: {error}");
        }
    }

    #[test]
    fn ports_and_remotes_are_words_and_a_group_is_not_a_remote() {
        let read =
            end(&["X_PORTS=a b", "X_PORTS=c a", "X_REMOTES=192.0.2.1 239.1.1.1", "X_REMOTES=192.0.2.1"])
                .unwrap();
        assert_eq!(read.ports, ["a", "b", "c"]);
        assert_eq!(read.remotes, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn auto_is_not_an_address_and_accepts_routers_unless_a_sysctl_is_set() {
        let read = end(&["X_IFADDR=192.0.2.1/24", "X_IFADDR=auto", "X_SYSCTLS=ipv6.accept_ra=1"]).unwrap();
        assert!(read.automatic && !read.needs_rehearsal());
        assert_eq!(read.addresses, ["192.0.2.1/24"]);
        let values: Vec<&str> = read.sysctls.iter().map(|sysctl| sysctl.value.as_str()).collect();
        assert_eq!(values, ["2", "1", "1"]);
        assert!(!end(&["X_IFADDR=192.0.2.1/24"]).unwrap().automatic);
        let outside = Settings::read("X", &["X_IFADDR_OUTSIDE=auto"]).unwrap();
        let error = LinkSettings::read_named(&outside, "_OUTSIDE", "x".to_owned()).unwrap_err();
        assert!(format!("{error:#}").starts_with("X_IFADDR_OUTSIDE: 'auto' is only for"), "{error:#}");
        assert!(super::tests::error(&["X_MTU=1279", "X_IFADDR=auto"]).contains("1280"));
    }

    #[test]
    fn ipv6_needs_an_mtu_of_1280_and_an_address_is_set_once() {
        assert!(error(&["X_MTU=1279", "X_IFADDR=2001:db8::1/64"]).contains("1280"));
        assert!(error(&["X_IFADDR=192.0.2.1/24", "X_IFADDR=192.0.2.1/32"]).contains("twice"));
    }
}
