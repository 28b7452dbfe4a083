//! Ports of the host that belong to an instance: `valid_ports` checks them, `claim_ports` records them.
//!
//! A claim prevents two instances from using one port. It makes nothing itself: the plugin makes the rules or the sockets.

mod listeners;
mod port;
mod proxy;
mod sockets;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use listeners::{Listener, listeners};
pub use port::{PortProtocol, PublishedPort};
pub use proxy::{run as proxy, start as start_proxy};
pub use sockets::{Sockets, serve};

use super::link::settings::{Invalid, invalid};
use super::record::{Object, Record};
use super::{Call, daemon};
use crate::config::remembered;
use crate::name::Instance;
use crate::netlink;
use crate::paths::Paths;
use crate::print;
use crate::sys::file;

/// Time to wait for the lock. Its holders only read some small files.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20);

/// The ports that an instance has claimed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimedPorts {
    ports: Vec<PublishedPort>,
    /// The hook that has claimed them. Another hook does not release them after a failure.
    claimed_by: String,
}

impl ClaimedPorts {
    /// Whether a hook has claimed the ports.
    pub(super) fn is_of(&self, hook: &str) -> bool {
        self.claimed_by == hook
    }
}

/// `valid_ports`: prints a line for each invalid entry of a setting. With VALIDATION, `settings` or `network`, it also prints a line for
/// what [`claim`] and [`start_proxy`] would refuse, if the instance is up. Arguments: SETTING VALIDATION --proxy|'' UNITS-SETTING COUNT
/// UNIT... ENTRY...
/// Errors: an argument is missing, or the record cannot be read.
pub fn check(call: &Call, arguments: &[&str]) -> Result<()> {
    let expected = "expected SETTING VALIDATION KIND UNITS-SETTING COUNT UNIT... ENTRY...";
    let [setting, validation, kind, units_setting, count, rest @ ..] = arguments else { bail!(expected) };
    let (units, entries) = rest.split_at_checked(count.parse()?).context(expected)?;
    let entries = match parse(entries) {
        Ok(entries) => entries,
        Err(lines) => {
            for line in lines {
                print::say(&format!("{setting}: {line}"));
            }
            return Ok(());
        }
    };
    // `up` finds out the rest itself.
    if validation.is_empty() {
        return Ok(());
    }
    let is_proxy = *kind == "--proxy";
    let mut results = Vec::new();
    let record = call.record()?;
    if let Some(claim) = claim_in(&record) {
        let refuse = |entry: &PortEntry, cause: String| refusal(setting, entry, &cause);
        results.push(refuse_claims_of_others(call, &entries, refuse));
        let _host = call.enter_host()?;
        if *validation == "network" {
            results.push(refuse_missing_addresses(&entries, refuse));
        }
        // No process of the instance listens for rules.
        let owned = if is_proxy && !has_proxy(&record) { &[] } else { claim.ports.as_slice() };
        results.push(refuse_listeners(&entries, owned, refuse));
        if is_proxy {
            let ports: Vec<PublishedPort> = entries.into_iter().map(|entry| entry.port).collect();
            results.push(proxy::require_engine(call, (setting, &ports), (units_setting, units)));
        }
    }
    if is_proxy {
        results.push(proxy::require_units(call, units_setting, units));
    }
    // Any other error is one of this process, such as a missing program.
    for invalid in results.into_iter().filter_map(|result| result.err()?.downcast::<Invalid>().ok()) {
        print::say(&invalid.to_string());
    }
    Ok(())
}

/// `claim_ports`: claims the ports of a setting for the instance, in place of the ones that it has claimed before, and prints them: a
/// line `PROTOCOL ADDRESS FIRST LAST INSIDE` for each entry, with `*` for all addresses. Arguments: SETTING ENTRY...
/// Errors: an entry is invalid, the host does not have its address, another instance has claimed the port, or a process listens on it.
/// Then nothing is changed.
pub fn claim(call: &Call, arguments: &[&str]) -> Result<()> {
    let (setting, entries) = arguments.split_first().context("expected SETTING ENTRY...")?;
    let entries = parse(entries).map_err(|lines| invalid(*setting, lines.join("; ")))?;
    let _lock = file::lock_private(&call.paths.remembered, LOCK_TIMEOUT)?;
    let mut record = call.record()?;
    let earlier = claim_in(&record).cloned();
    let owned: &[PublishedPort] = earlier.as_ref().map_or(&[], |claim| &claim.ports);
    let refuse = |entry: &PortEntry, cause: String| refusal(setting, entry, &cause);
    refuse_claims_of_others(call, &entries, refuse)?;
    {
        let _host = call.enter_host()?;
        refuse_missing_addresses(&entries, refuse)?;
        refuse_listeners(&entries, owned, refuse)?;
    }
    let ports: Vec<PublishedPort> = entries.into_iter().map(|entry| entry.port).collect();
    let claimed_by = earlier.map_or_else(|| call.hook.clone(), |claim| claim.claimed_by);
    record.put_ports(ClaimedPorts { ports: ports.clone(), claimed_by });
    record.save(call.paths)?;
    for PublishedPort { protocol, host, first, last, inside } in ports {
        let host = host.map_or("*".to_owned(), |host| host.to_string());
        print::say(&format!("{protocol} {host} {first} {last} {inside}"));
    }
    Ok(())
}

/// An entry of a setting.
struct PortEntry<'a> {
    /// As the administrator wrote it.
    text: &'a str,
    port: PublishedPort,
}

/// Parses entries. They must not overlap.
/// Errors: a line for each invalid entry.
fn parse<'a>(texts: &[&'a str]) -> Result<Vec<PortEntry<'a>>, Vec<String>> {
    let mut entries: Vec<PortEntry> = Vec::new();
    let mut lines = Vec::new();
    for &text in texts {
        match text.parse::<PublishedPort>() {
            Err(error) => lines.push(format!("'{text}': {error:#}")),
            Ok(port) => match entries.iter().find(|other| other.port.overlaps(&port)) {
                Some(other) => lines.push(format!("'{text}': the port is already in '{}'", other.text)),
                None => entries.push(PortEntry { text, port }),
            },
        }
    }
    if lines.is_empty() { Ok(entries) } else { Err(lines) }
}

/// The error about an entry.
fn refusal(setting: &str, entry: &PortEntry, cause: &str) -> anyhow::Error {
    invalid(setting, format!("'{}': {cause}", entry.text))
}

/// Errors: another instance has claimed a port.
fn refuse_claims_of_others(
    call: &Call,
    entries: &[PortEntry],
    refuse: impl Fn(&PortEntry, String) -> anyhow::Error,
) -> Result<()> {
    for other in remembered::all(call.paths)?.iter().filter(|other| **other != call.instance) {
        for theirs in claimed(call.paths, other) {
            if let Some(entry) = entries.iter().find(|entry| entry.port.overlaps(&theirs)) {
                let cause = format!("`{other}` already publishes '{theirs}'; fix: choose another port");
                return Err(refuse(entry, cause));
            }
        }
    }
    Ok(())
}

/// Errors: the host does not have an address.
fn refuse_missing_addresses(
    entries: &[PortEntry],
    refuse: impl Fn(&PortEntry, String) -> anyhow::Error,
) -> Result<()> {
    let networks = host_networks()?;
    for entry in entries {
        if let Some(host) = entry.port.host.filter(|host| !has_address(&networks, *host)) {
            let cause =
                format!("the host does not have the address {host}; `ip address` lists its addresses");
            return Err(refuse(entry, cause));
        }
    }
    Ok(())
}

/// Errors: a process listens on a port. Of `owned` ports, it can be a process of the instance.
fn refuse_listeners(
    entries: &[PortEntry],
    owned: &[PublishedPort],
    refuse: impl Fn(&PortEntry, String) -> anyhow::Error,
) -> Result<()> {
    let uses =
        |port: &PublishedPort, one: &Listener| port.uses(one.protocol, one.address, one.port..=one.port);
    let mut listeners = listeners()?;
    listeners.retain(|one| !owned.iter().any(|port| uses(port, one)));
    for entry in entries {
        let found = listeners.iter().find(|one| uses(&entry.port, one));
        if let Some(used) = found {
            let process = used.process.as_deref().unwrap_or("another process");
            let address = used.address.map_or("all addresses".to_owned(), |address| address.to_string());
            let cause = format!(
                "{process} listens on port {} of the host ({address}); fix: stop it, or choose another port",
                used.port
            );
            return Err(refuse(entry, cause));
        }
    }
    Ok(())
}

/// The networks of the host, each with the own address.
fn host_networks() -> Result<Vec<IpNet>> {
    let links = netlink::links()?;
    Ok(links.iter().flat_map(|link| &link.addresses).filter_map(|text| text.parse().ok()).collect())
}

/// Whether the host has an address. It has all of 127.0.0.0/8.
fn has_address(networks: &[IpNet], address: IpAddr) -> bool {
    address.is_unspecified()
        || networks.iter().any(|network| network.addr() == address)
        || address.is_ipv4() && address.is_loopback()
}

/// Whether a proxy listens for the instance.
fn has_proxy(record: &Record) -> bool {
    record.objects().iter().any(|object| matches!(object, Object::Sockets(_)))
        || daemon::is_started(record, proxy::DAEMON)
}

fn claim_in(record: &Record) -> Option<&ClaimedPorts> {
    record.objects().iter().find_map(|object| match object {
        Object::Ports(claim) => Some(claim),
        _ => None,
    })
}

/// The ports that an instance has claimed. They are empty if the record cannot be read: another function reports this.
#[must_use]
pub fn claimed(paths: &Paths, instance: &Instance) -> Vec<PublishedPort> {
    let record = Record::read(paths, instance).ok();
    record.as_ref().and_then(claim_in).map(|claim| claim.ports.clone()).unwrap_or_default()
}

/// The units of systemd that come up with the namespace of an instance, at the first connection to its ports. They are empty if the record
/// cannot be read: another function reports this.
#[must_use]
pub fn units_to_wake(paths: &Paths, instance: &Instance) -> Vec<String> {
    sockets_of(paths, instance).map(|sockets| sockets.units_to_wake().to_vec()).unwrap_or_default()
}

/// Whether a namespace stays up after the last connection to the ports of an instance: systemd has its sockets, without an idle time.
#[must_use]
pub fn stays_awake(paths: &Paths, instance: &Instance) -> bool {
    sockets_of(paths, instance).is_some_and(|sockets| sockets.stays_awake())
}

fn sockets_of(paths: &Paths, instance: &Instance) -> Option<Sockets> {
    let record = Record::read(paths, instance).ok()?;
    record.objects().iter().find_map(|object| match object {
        Object::Sockets(sockets) => Some(sockets.clone()),
        _ => None,
    })
}
