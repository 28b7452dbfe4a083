//! `host_forward`: lets the host forward packets of an instance, and no other packets.

mod plan;

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::link::MARK_GROUP;
use super::sysctl::{self, Key};
use super::{Call, HostSetting};
use crate::name::Side;
use crate::netlink::{self, Link, Route};
use crate::paths::Paths;
use crate::print;
use plan::ForwardPlan;

/// The sysctls of br_netfilter, which lets rules of nftables see the frames within a bridge.
const BR_NETFILTER: &str = "/proc/sys/net/bridge";

/// The interfaces of the host whose packets an instance lets it forward.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Forwarding {
    wanted: Wanted,
    /// Those that existed. A record of an older version has none, so `check` demands a restart.
    #[serde(default)]
    links: Vec<FoundLink>,
    /// The sysctls: `KEY=VALUE`.
    sysctls: Vec<String>,
    /// The sysctls that were off, so that the rules drop the packets of others.
    #[serde(default)]
    off: Vec<Key>,
    /// The bridges whose frames pass; `None` if the rules cannot drop those of a bridge that appears later.
    #[serde(default)]
    bridges: Option<Vec<String>>,
    /// The hook that was the first to call the function.
    made_by: String,
    /// The last hook that has called it.
    needed_by: String,
    /// Whether that was an inside hook, so that a restart calls it again.
    inside: bool,
}

/// The interfaces as the plugin has described them.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Wanted {
    /// Some may appear later.
    names: Vec<String>,
    /// The others that are wanted, too.
    others: Option<Others>,
}

/// An interface of the host that existed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FoundLink {
    name: String,
    /// The index, which stays if the interface is renamed.
    index: u32,
}

impl FoundLink {
    /// The interface among those of the host now, perhaps with another name.
    fn among<'a>(&self, links: &'a [Link]) -> Option<&'a Link> {
        links.iter().find(|link| link.index == self.index)
    }
}

/// Interfaces of the host with a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Others {
    /// Those that belong to no instance.
    Uplinks,
    /// All.
    All,
}

/// `host_forward`: prints chains for the table of the instance. `host_table_load` sets the sysctls, when the chains are in force.
/// Arguments: [--uplinks|--all] IFNAME...
/// Errors: there is no argument, or the kernel cannot be queried.
pub fn set(call: &Call, arguments: &[&str]) -> Result<()> {
    let (others, names) = match arguments {
        ["--uplinks", names @ ..] => (Some(Others::Uplinks), names),
        ["--all", names @ ..] => (Some(Others::All), names),
        names => (None, names),
    };
    ensure!(!names.is_empty(), "expected the names of interfaces of the host");
    let wanted = Wanted { names: names.iter().map(|&name| name.to_owned()).collect(), others };
    let (found, bridges, plan) = {
        let _host = call.enter_host()?;
        let (links, routes) = (netlink::links()?, netlink::routes()?);
        let found = wanted.among(&links, &routes);
        let plan = ForwardPlan::of(&found, &uplinks(&links, &routes), |key| {
            sysctl::value_before(call.paths, &key.parse()?)
        })?;
        (found, bridges(&links), plan)
    };
    // The output belongs to the table.
    for name in wanted.names.iter().filter(|name| found.iter().all(|link| link.name != **name)) {
        print::warn(&format!("{}; if the name is wrong, correct it", awaited(name, false)));
    }
    let mut record = call.record()?;
    let earlier = record.forwarding().map(|earlier| earlier.made_by.clone());
    let forwarding = Forwarding {
        wanted,
        links: found,
        sysctls: plan.sysctls.clone(),
        off: plan.off.iter().map(|key| key.parse()).collect::<Result<_>>()?,
        bridges: plan.everywhere.then(|| bridges.clone()),
        made_by: earlier.unwrap_or_else(|| call.hook.clone()),
        needed_by: call.hook.clone(),
        inside: call.side == Side::Inside,
    };
    record.put_forwarding(forwarding);
    record.save(call.paths)?;
    print::say(plan.chains(&bridges).trim_end());
    Ok(())
}

/// Sets the sysctls of this hook.
/// Errors: a sysctl cannot be set.
pub(super) fn switch_on(call: &Call) -> Result<()> {
    let record = call.record()?;
    let Some(forwarding) = record.forwarding().filter(|forwarding| forwarding.needed_by == call.hook) else {
        return Ok(());
    };
    let words: Vec<&str> =
        ["--host"].into_iter().chain(forwarding.sysctls.iter().map(String::as_str)).collect();
    sysctl::set(call, &words)
}

/// The line about a named interface that does not exist. `has_existed`: it existed at the last start.
fn awaited(name: &str, has_existed: bool) -> String {
    let when = if has_existed { "any more" } else { "yet" };
    format!(
        "interface '{name}' does not exist on the host {when}: no packet passes over it before it appears"
    )
}

/// The interfaces with a default route.
fn uplinks(links: &[Link], routes: &[Route]) -> Vec<String> {
    let routes = routes.iter().filter(|route| route.destination == "default");
    let indices: BTreeSet<u32> = routes.filter_map(|route| route.link).collect();
    links.iter().filter(|link| indices.contains(&link.index)).map(|link| link.name.clone()).collect()
}

/// The bridges among these interfaces.
fn bridges(links: &[Link]) -> Vec<String> {
    links.iter().filter(|link| link.kind == "bridge").map(|link| link.name.clone()).collect()
}

impl Wanted {
    /// The wanted interfaces among those of the host, the named ones first.
    fn among(&self, links: &[Link], routes: &[Route]) -> Vec<FoundLink> {
        let named = self.names.iter().filter_map(|name| links.iter().find(|link| link.name == *name));
        // Each interface has a route to link-local addresses.
        let routes = routes.iter().filter(|route| !route.destination.starts_with("fe80:"));
        let indices: BTreeSet<u32> = routes.filter_map(|route| route.link).collect();
        let is_wanted = |link: &&Link| {
            let is_of_instance = link.group == MARK_GROUP;
            self.others.is_some_and(|others| others == Others::All || !is_of_instance)
                && indices.contains(&link.index)
                && !link.loopback
                && !self.names.contains(&link.name)
        };
        let found = named.chain(links.iter().filter(is_wanted));
        found.map(|link| FoundLink { name: link.name.clone(), index: link.index }).collect()
    }
}

impl Forwarding {
    /// Whether this hook was the first to call the function.
    pub(super) fn is_of(&self, hook: &str) -> bool {
        self.made_by == hook
    }

    /// Whether an earlier inside hook has called the function, and `hook` has not.
    pub(super) fn is_stale(&self, hook: &str) -> bool {
        self.inside && self.needed_by != hook
    }

    /// Returns a line for each named interface that does not exist. `drift` reports one that was renamed.
    /// Errors: the kernel cannot be queried.
    pub(super) fn awaited_links(&self) -> Result<Vec<String>> {
        let links = netlink::links()?;
        let is_missing = |name: &&String| !links.iter().any(|link| link.name == **name);
        let missing = self.wanted.names.iter().filter(is_missing).filter_map(|name| {
            let earlier = self.links.iter().find(|one| one.name == *name);
            let is_renamed = earlier.is_some_and(|one| one.among(&links).is_some());
            (!is_renamed).then(|| awaited(name, earlier.is_some()))
        });
        Ok(missing.collect())
    }

    /// Whether a restart calls the function again.
    pub(super) fn is_made_by_restart(&self) -> bool {
        self.inside
    }

    /// Returns a line for each interface that has appeared or was renamed, and for each family that the host routes now. Interfaces of other instances
    /// come and go: they count only for a new call.
    /// Errors: the kernel cannot be queried.
    pub(super) fn drift(&self, paths: &Paths) -> Result<Vec<String>> {
        let others = self.wanted.others.map(|_| Others::Uplinks);
        let wanted = Wanted { others, ..self.wanted.clone() };
        let links = netlink::links()?;
        let now = wanted.among(&links, &netlink::routes()?);
        let mut differences = self.renamed(&links);
        differences.extend(now.iter().filter(|link| !self.knows(link, &links)).map(|link| {
            let name = &link.name;
            format!("interface '{name}' has appeared on the host, which does not forward packets from it")
        }));
        for key in &self.off {
            if sysctl::value_before(paths, key)?.as_deref() == Some("1") {
                differences.push(format!(
                    "sysctl '{key}' on the host is '1' now, and rules of this instance drop what the host forwards"
                ));
            }
        }
        if let Some(known) = self.bridges.as_ref().filter(|_| Path::new(BR_NETFILTER).exists()) {
            let new = bridges(&links).into_iter().filter(|name| !known.contains(name));
            differences.extend(new.map(|name| {
                format!(
                    "bridge '{name}' has appeared on the host, and rules of this instance drop its frames"
                )
            }));
        }
        Ok(differences)
    }

    /// Returns a line for each of the interfaces that has another name now.
    fn renamed(&self, links: &[Link]) -> Vec<String> {
        let present = self
            .links
            .iter()
            .filter_map(|one| Some((one, one.among(links).filter(|link| link.name != one.name)?)));
        present
            .map(|(FoundLink { name, .. }, link)| {
                format!(
                    "interface '{name}' on the host was renamed to '{}', and rules of this instance still name '{name}'",
                    link.name
                )
            })
            .collect()
    }

    /// Whether an interface is one of those that existed, or one of them that was created again: its sysctls report this.
    fn knows(&self, found: &FoundLink, links: &[Link]) -> bool {
        let is_same = |one: &FoundLink| one.index == found.index;
        self.links.iter().any(|one| is_same(one) || one.name == found.name && one.among(links).is_none())
    }
}

/// An address to which only a default route leads (the dummy address of RFC 7600).
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

impl Forwarding {
    /// The settings that drop packets on one of the interfaces: a strict reverse path filter on an interface with a default route, if the
    /// host uses another one (`rp_filter` in ip-sysctl.rst).
    /// Errors: the kernel cannot be queried.
    pub(super) fn strict_filters(&self) -> Result<Vec<HostSetting>> {
        let (links, defaults) = (netlink::links()?, netlink::default_links()?);
        let Some(used) = netlink::route_to(FAR.into()).ok().flatten().and_then(|route| route.link) else {
            return Ok(Vec::new()); // without a route
        };
        let Some(used) = links.iter().find(|link| link.index == used) else { return Ok(Vec::new()) };
        let others = links.iter().filter(|link| {
            link.index != used.index
                && defaults.contains(&link.index)
                && self.links.iter().any(|one| one.index == link.index)
        });
        let strict = others.filter_map(|link| Some((&link.name, strict_filter(&link.name)?)));
        Ok(strict
            .map(|(name, key)| HostSetting {
                line: format!(
                    "{key} is 1, and the host's default route uses {}: packets from the Internet that arrive on {name} \
                     are dropped",
                    used.name
                ),
                fix: format!("sysctl -w {}=2", key.replace(".all.", &format!(".{name}."))),
            })
            .collect())
    }
}

/// The setting of this namespace that makes the reverse path filter of an interface strict, if it is strict. The larger value applies, and 2 is loose.
#[must_use]
pub fn strict_filter(ifname: &str) -> Option<String> {
    let value = |name: &str| -> u32 {
        let text = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"));
        text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    };
    match (value(ifname), value("all")) {
        (1, 0 | 1) => Some(format!("net.ipv4.conf.{}.rp_filter", ifname.replace('.', "/"))),
        (0, 1) => Some("net.ipv4.conf.all.rp_filter".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, group: u32) -> Link {
        Link { index, name: name.to_owned(), group, loopback: name == "lo", ..Link::default() }
    }

    fn among(names: &[&str], others: Option<Others>) -> Vec<String> {
        let links = [
            link(1, "lo", 0),
            link(2, "eth0", 0),
            link(3, "eth1", 0),
            link(4, "ve-a0", MARK_GROUP),
            link(5, "ve-b0", MARK_GROUP),
        ];
        let routes =
            [("127.0.0.0/8", 1), ("default", 2), ("192.0.2.0/24", 2), ("fe80::/64", 3), ("192.0.2.4/30", 5)];
        let routes = routes.map(|(destination, link)| Route {
            destination: destination.to_owned(),
            gateway: None,
            link: Some(link),
        });
        Wanted { names: names.iter().map(|&name| name.to_owned()).collect(), others }
            .among(&links, &routes)
            .into_iter()
            .map(|link| link.name)
            .collect()
    }

    #[test]
    fn named_interfaces_are_wanted_if_they_exist_and_others_if_they_have_a_route() {
        assert_eq!(among(&["ve-a0", "wg0", "eth1"], None), ["ve-a0", "eth1"]);
        assert_eq!(among(&["ve-a0"], Some(Others::Uplinks)), ["ve-a0", "eth0"]);
        assert_eq!(among(&["ve-a0"], Some(Others::All)), ["ve-a0", "eth0", "ve-b0"]);
        assert_eq!(among(&["eth0"], Some(Others::Uplinks)), ["eth0"]);
    }
}
