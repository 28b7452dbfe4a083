//! Finds the setting, route or rule of the host that explains why an attempt is unanswered. The host is the namespace that this
//! program was started in. Nothing is changed there: its rules are only listed, before and after the attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::firewall::nft;
use crate::library;
use crate::name::address::network;
use crate::netlink::{self, Link};
use crate::print::escape;

/// The counters of the host at one moment.
pub(super) struct Host {
    links: Vec<Link>,
    chains: Vec<Chain>,
    /// The packets that the reverse path filter has dropped.
    filtered: u64,
}

/// The way of an attempt into the host.
pub(super) struct Way {
    /// The source address of the packets.
    pub(super) source: IpAddr,
    /// The target.
    pub(super) target: IpAddr,
    /// The interface of the namespace.
    pub(super) link: Link,
}

impl Host {
    /// Reads the counters of the namespace of this thread; `None` if they cannot be read.
    pub(super) fn observe() -> Option<Self> {
        let rules = nft::run(&["--terse", "list", "ruleset"], b"").unwrap_or_default();
        Some(Self {
            links: netlink::links().ok()?,
            chains: Chain::parse(&escape::text(&rules)),
            filtered: reverse_path_drops().unwrap_or_default(),
        })
    }

    /// Returns the reason why the host may have dropped the packets of an attempt since `before`, or has not returned the answer.
    /// `None` if no reason is found, or the attempt does not pass the host.
    pub(super) fn reason(&self, before: &Self, way: &Way) -> Option<String> {
        let Way { source, target, link } = way;
        let entry = self.entry(link)?;
        let onward = netlink::route_to(*target).ok().flatten();
        let is_local = onward.as_ref().is_some_and(|onward| onward.route.starts_with("local "));
        if !is_local && let Some(setting) = not_forwarding(entry, *target) {
            return Some(format!("the host does not forward it: {setting} is 0"));
        }
        let back = netlink::route_to(*source).ok().flatten();
        let name = |index| self.links.iter().find(|link| link.index == index).map(|link| link.name.as_str());
        let back = back.and_then(|back| back.link).and_then(name);
        if back != Some(&entry.name) {
            let back = back.map_or("does not exist".to_owned(), |back| format!("uses {back}"));
            return Some(match reverse_path_filter(entry, *source) {
                Some(setting) if self.filtered > before.filtered => {
                    format!("the host drops it: {setting}, and the host's route to {source} {back}")
                }
                _ => format!("no way back: the host's route to {source} {back}, not {}", entry.name),
            });
        }
        let rule = self.counted(before, way, is_local, "").or_else(|| self.can_drop(way, is_local));
        if is_local || rule.is_some() {
            return rule;
        }
        let onward = onward?.link?;
        let settings = self.strict_filters(onward, *target)?;
        Some(format!(
            "the host may drop the answer: {settings}, and the host's route to {target} uses {}",
            name(onward)?
        ))
    }

    /// Returns the rule that may have rejected the packets of an attempt since `before`. `None` if none has rejected any, or the attempt
    /// does not pass the host.
    pub(super) fn rejection(&self, before: &Self, way: &Way) -> Option<String> {
        self.entry(&way.link)?;
        let onward = netlink::route_to(way.target).ok().flatten();
        self.counted(before, way, onward.is_some_and(|onward| onward.route.starts_with("local ")), "reject")
    }

    /// The settings that drop answers of the target on another interface with a default route than `onward`; `None` if there are none. The
    /// counter of the kernel does not include all of these drops.
    fn strict_filters(&self, onward: u32, target: IpAddr) -> Option<String> {
        let defaults = netlink::default_links().ok().filter(|_| target.is_ipv4())?;
        let others = self.links.iter().filter(|link| link.index != onward && defaults.contains(&link.index));
        let settings: BTreeSet<String> = others
            .filter_map(|link| library::strict_filter(&link.name))
            .map(|key| format!("{key} is 1"))
            .collect();
        let settings: Vec<String> = settings.into_iter().collect();
        (!settings.is_empty()).then(|| settings.join(" or "))
    }

    /// The interface of the host at which the packets of a veth arrive: the other end, or its bridge.
    fn entry(&self, link: &Link) -> Option<&Link> {
        let is_peer = |other: &&Link| {
            link.kind == "veth"
                && other.kind == "veth"
                && link.peer == Some(other.index)
                && other.peer == Some(link.index)
        };
        let peer = self.links.iter().find(is_peer)?;
        let bridge = self.links.iter().find(|other| Some(other.index) == peer.controller);
        Some(bridge.unwrap_or(peer))
    }

    /// The chains that the packets can pass.
    fn chains(&self, way: &Way, is_local: bool) -> impl Iterator<Item = &Chain> {
        let families = ["inet", if way.source.is_ipv4() { "ip" } else { "ip6" }];
        let hook = if is_local { "input" } else { "forward" };
        self.chains.iter().filter(move |chain| {
            families.contains(&chain.family()) && chain.hook.as_deref().is_none_or(|other| other == hook)
        })
    }

    /// The rule for these addresses that has counted drops since `before`, and contains `word`.
    fn counted(&self, before: &Self, way: &Way, is_local: bool, word: &str) -> Option<String> {
        for chain in self.chains(way, is_local) {
            let old = before.chains.iter().find(|other| other.name == chain.name);
            for (rule, packets) in &chain.counted {
                let added = packets - old.and_then(|old| old.counted.get(rule)).unwrap_or(&0).min(packets);
                if added > 0 && rule.contains(word) && has_addresses(rule, way) {
                    return Some(format!(
                        "a rule of the host has dropped {added} packets: {}: {rule}",
                        chain.name
                    ));
                }
            }
        }
        None
    }

    /// The chains whose policy or rules can drop the packets. Chains of other programs come first: ours drop only what they should.
    fn can_drop(&self, way: &Way, is_local: bool) -> Option<String> {
        let mut chains: Vec<&Chain> = self
            .chains(way, is_local)
            .filter(|chain| chain.hook.is_some() && (chain.policy_drops || chain.has_drop))
            .collect();
        chains.sort_by_key(|chain| chain.is_ours());
        let text = |chain: &&Chain| {
            if chain.policy_drops { format!("{} (policy drop)", chain.name) } else { chain.name.clone() }
        };
        let texts: Vec<String> = chains.iter().map(text).collect();
        (!texts.is_empty()).then(|| format!("a chain of the host may drop it: {}", texts.join(", ")))
    }
}

/// Whether a rule can be about the addresses of these packets.
fn has_addresses(rule: &str, way: &Way) -> bool {
    let words: Vec<&str> = rule.split(' ').collect();
    words.windows(2).all(|pair| {
        let address = match pair[0] {
            "saddr" => way.source,
            "daddr" => way.target,
            _ => return true,
        };
        // A set is not examined.
        network(pair[1]).map_or(true, |network| network.contains(&address))
    })
}

/// The source address that the kernel chooses: the first one of the interface in the network of the router, or else any other.
pub(super) fn source(link: &Link, next: IpAddr) -> Option<IpAddr> {
    let networks = || link.addresses.iter().filter_map(|address| address.parse::<IpNet>().ok());
    let of_family = || networks().filter(|network| network.addr().is_ipv4() == next.is_ipv4());
    of_family()
        .find(|network| network.contains(&next))
        .or_else(|| of_family().next())
        .map(|network| network.addr())
}

/// The setting that keeps the host from forwarding packets of an interface.
fn not_forwarding(entry: &Link, target: IpAddr) -> Option<String> {
    if !target.is_ipv4() {
        // `ip6_forward` in net/ipv6/ip6_output.c, since Linux 6.17.
        let is_forced = sysctl(&format!("net/ipv6/conf/{}/force_forwarding", entry.name)) == Some(1);
        return (!is_forced && sysctl("net/ipv6/conf/all/forwarding")? == 0)
            .then(|| "net.ipv6.conf.all.forwarding".to_owned());
    }
    if sysctl(&format!("net/ipv4/conf/{}/forwarding", entry.name))? != 0 {
        return None;
    }
    Some(if sysctl("net/ipv4/ip_forward")? == 0 {
        "net.ipv4.ip_forward".to_owned()
    } else {
        format!("net.ipv4.conf.{}.forwarding", entry.name)
    })
}

/// The setting of the reverse path filter for an interface, if the filter is on. The larger value applies
/// (Documentation/networking/ip-sysctl.rst).
fn reverse_path_filter(entry: &Link, source: IpAddr) -> Option<String> {
    let settings = ["all", &entry.name];
    let values = settings.map(|name| sysctl(&format!("net/ipv4/conf/{name}/rp_filter")).unwrap_or_default());
    let (name, value) = settings.into_iter().zip(values).max_by_key(|(_, value)| *value)?;
    (source.is_ipv4() && value > 0).then(|| format!("net.ipv4.conf.{name}.rp_filter is {value}"))
}

fn sysctl(name: &str) -> Option<u32> {
    fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok()
}

/// The counter `IPReversePathFilter` of the namespace of this thread.
fn reverse_path_drops() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/net/netstat").ok()?;
    let lines = || text.lines().filter_map(|line| line.strip_prefix("TcpExt: "));
    let names = lines().next()?.split_whitespace();
    let mut counters = names.zip(lines().nth(1)?.split_whitespace());
    counters.find(|(name, _)| *name == "IPReversePathFilter")?.1.parse().ok()
}

/// A chain of nftables, as far as it can drop packets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Chain {
    /// Family, table and chain.
    name: String,
    /// The hook of a base chain.
    hook: Option<String>,
    policy_drops: bool,
    /// Whether a rule drops or rejects packets, or a rule goes to another chain.
    has_drop: bool,
    /// The packets that each rule with a counter has dropped.
    counted: BTreeMap<String, u64>,
}

impl Chain {
    /// Parses the output of `nft list ruleset`. A dormant table drops nothing.
    fn parse(listing: &str) -> Vec<Self> {
        let (mut table, mut is_dormant) = ("", false);
        let mut chains: Vec<Self> = Vec::new();
        for line in listing.lines().map(str::trim) {
            let block = |kind: &str| Some(line.strip_prefix(kind)?.strip_suffix('{')?.trim());
            if let Some(name) = block("table ") {
                (table, is_dormant) = (name, false);
            } else if line.starts_with("flags ") && line.contains("dormant") {
                is_dormant = true;
            } else if is_dormant {
                // The rest of the table.
            } else if let Some(name) = block("chain ") {
                chains.push(Self { name: format!("{table} {name}"), ..Self::default() });
            } else if let Some(chain) = chains.last_mut() {
                chain.add(line);
            }
        }
        chains
    }

    fn add(&mut self, line: &str) {
        if let Some((_, hook)) = line.strip_prefix("type ").and_then(|line| line.split_once(" hook ")) {
            self.hook = hook.split_whitespace().next().map(ToOwned::to_owned);
            self.policy_drops = hook.contains("policy drop;");
            return;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let drops = words.iter().any(|word| ["drop", "reject"].contains(word));
        self.has_drop |= drops || words.iter().any(|word| ["jump", "goto"].contains(word));
        if let Some(at) = words.iter().position(|word| *word == "counter").filter(|_| drops)
            && let Some(Ok(packets)) = words.get(at + 2).map(|number| number.parse::<u64>())
        {
            let rule = [&words[..at], &words[(at + 5).min(words.len())..]].concat().join(" ");
            *self.counted.entry(rule).or_default() += packets;
        }
    }

    /// Whether the chain is in a table of an instance.
    fn is_ours(&self) -> bool {
        self.name.split(' ').nth(1).is_some_and(|table| table.starts_with(library::TABLE_PREFIX))
    }

    fn family(&self) -> &str {
        self.name.split(' ').next().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_read_with_their_policy_and_the_counters_of_dropping_rules() {
        let chains = Chain::parse(
            "table inet f {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\
             \t\ttcp dport 22 counter packets 3 bytes 180 drop\n\t\tcounter packets 9 bytes 1 accept\n\t}\n\n\tchain x {\n\t\taccept\n\t}\n}\n",
        );
        assert_eq!(chains.len(), 2);
        let forward = &chains[0];
        assert_eq!((forward.name.as_str(), forward.hook.as_deref()), ("inet f forward", Some("forward")));
        assert!(forward.policy_drops && forward.has_drop && forward.family() == "inet");
        assert_eq!(forward.counted, BTreeMap::from([("tcp dport 22 drop".to_owned(), 3)]));
        assert_eq!((chains[1].hook.as_deref(), chains[1].has_drop), (None, false));
    }

    #[test]
    fn the_source_is_the_address_in_the_network_of_the_router() {
        let addresses = ["2001:db8::1/64", "192.0.2.1/24", "198.51.100.1/24"].map(ToOwned::to_owned).to_vec();
        let link = Link { addresses, ..Link::default() };
        let source = |next: &str| source(&link, next.parse().unwrap()).map(|address| address.to_string());
        assert_eq!(source("198.51.100.9").as_deref(), Some("198.51.100.1"));
        assert_eq!(source("203.0.113.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(source("2001:db8::9").as_deref(), Some("2001:db8::1"));
    }
}
