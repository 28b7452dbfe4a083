//! The way in: which ports lead from the host or another namespace to a namespace, and which should.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::targets::{Attempt, Destination, Protocol};
use super::{Measurement, Verdict, ensure_measurable, try_all};
use crate::config::remembered;
use crate::library::{self, ports};
use crate::name::{Instance, NsName};
use crate::netlink::{self, Link};
use crate::netns;
use crate::paths::Paths;

/// The port of a service, with its result.
#[derive(Debug, Serialize)]
pub struct Inward {
    /// The result.
    #[serde(flatten)]
    pub measurement: Measurement,
    /// The instance that publishes the port; `None` for an address of the namespace itself.
    #[serde(serialize_with = "as_text")]
    pub publisher: Option<Instance>,
}

impl Inward {
    /// Whether a published port is not reachable. A service need not answer a datagram that it does not understand.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        let Measurement { verdict, attempt, .. } = &self.measurement;
        let is_open = *verdict == Verdict::Passes
            || attempt.protocol == Protocol::Udp && *verdict == Verdict::Unanswered;
        self.publisher.is_some() && !is_open
    }

    /// Whether the target is one of these addresses.
    fn is_on(&self, addresses: &BTreeSet<IpAddr>) -> bool {
        self.measurement.attempt.target.address().is_some_and(|address| addresses.contains(&address))
    }
}

#[allow(clippy::ref_option)] // serde calls it
fn as_text<S: serde::Serializer>(instance: &Option<Instance>, serializer: S) -> Result<S::Ok, S::Error> {
    instance.as_ref().map(ToString::to_string).serialize(serializer)
}

/// Tries the published ports of a namespace, and the ports on which its processes listen. `from` is the namespace of the client, or
/// `None` for the host.
/// Errors: a namespace is missing, belongs to the machine itself, or cannot be entered; or ss(8) fails.
pub fn measure(paths: &Paths, from: Option<&NsName>, name: &NsName) -> Result<Vec<Inward>> {
    for name in from.into_iter().chain([name]) {
        ensure_measurable(paths, name)?;
    }
    ensure!(from != Some(name), "`{name}` is the namespace itself: name another one, or `host`");
    let targets = targets(paths, from.is_none(), name)?;
    let inner = from.map(|from| inner_addresses(paths, from)).transpose()?.unwrap_or_default();
    let _there = from.map(|from| netns::enter(paths, from)).transpose()?;
    let links = netlink::links()?;
    let attempts: Vec<Attempt> = targets.keys().cloned().collect();
    let ends = try_all(paths, name, &attempts)?;
    let results = targets.into_iter().zip(ends);
    Ok(results
        .map(|((attempt, publisher), end)| {
            let (measurement, _) = super::measurement(attempt, end, super::Passage::default(), &links, None);
            Inward { measurement, publisher }
        })
        .filter(|one| !(one.is_missing() && one.is_on(&inner)))
        .collect())
}

/// The targets, each with the instance that publishes it.
fn targets(paths: &Paths, is_from_host: bool, name: &NsName) -> Result<BTreeMap<Attempt, Option<Instance>>> {
    let mut targets = BTreeMap::new();
    {
        let _inside = netns::enter(paths, name)?;
        let own = addresses(&netlink::links()?);
        for one in ports::listeners().context("cannot list the services of the namespace")? {
            for address in matching(one.address, &own) {
                targets.insert(attempt(one.protocol, address, one.port), None);
            }
        }
    }
    let host = addresses(&netlink::links()?);
    for instance in remembered::of_namespace(paths, name)? {
        for port in library::claimed(paths, &instance) {
            let of_host = match port.host {
                Some(address) if address.is_loopback() && is_from_host => vec![address],
                address => matching(address, &host),
            };
            for address in of_host {
                for number in [port.first, port.last] {
                    targets.insert(attempt(port.protocol, address, number), Some(instance.clone()));
                }
            }
        }
    }
    Ok(targets)
}

/// The addresses of the host on interfaces that only lead to other namespaces than `from`. Nothing else needs to reach them.
/// Errors: the namespaces or interfaces cannot be listed.
fn inner_addresses(paths: &Paths, from: &NsName) -> Result<BTreeSet<IpAddr>> {
    let mut ids = Vec::new();
    for name in netns::names(paths)?.iter().filter(|name| *name != from) {
        // A namespace that has just disappeared, or a leftover, has no interface.
        let Ok(namespace) = File::open(paths.namespace(name)) else { continue };
        ids.extend(netlink::namespace_id(namespace.as_fd()).ok().flatten());
    }
    let links = netlink::links()?;
    let leads_to_other = |link: &Link| link.peer_namespace.is_some_and(|id| ids.contains(&id));
    let is_inner = |link: &&Link| {
        let mut ports = links.iter().filter(|port| port.controller == Some(link.index)).peekable();
        leads_to_other(link) || ports.peek().is_some() && ports.all(leads_to_other)
    };
    let inner: Vec<Link> = links.iter().filter(is_inner).cloned().collect();
    Ok(addresses(&inner).into_iter().collect())
}

fn attempt(protocol: ports::PortProtocol, address: IpAddr, port: u16) -> Attempt {
    let protocol = match protocol {
        ports::PortProtocol::Tcp => Protocol::Tcp,
        ports::PortProtocol::Udp => Protocol::Udp,
    };
    Attempt { protocol, target: Destination::Port(SocketAddr::new(address, port)) }
}

/// The addresses among `own` that an address includes: itself, or all of its family, or all.
fn matching(address: Option<IpAddr>, own: &[IpAddr]) -> Vec<IpAddr> {
    let is_match = |own: &&IpAddr| match address {
        None => true,
        Some(address) if address.is_unspecified() => address.is_ipv4() == own.is_ipv4(),
        Some(address) => address == **own,
    };
    own.iter().filter(is_match).copied().collect()
}

/// The addresses of interfaces, except those of lo and link-local ones.
fn addresses(links: &[Link]) -> Vec<IpAddr> {
    let texts = links.iter().filter(|link| !link.loopback).flat_map(|link| &link.addresses);
    let all = texts.filter_map(|text| text.split('/').next()?.parse().ok());
    all.filter(|address| !matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())).collect()
}
