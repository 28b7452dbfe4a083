//! The state of a namespace and of its contents, as the kernel, the engines and systemd report it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Error, Result, anyhow};
use jiff::Timestamp;
use serde::Serialize;

use crate::attach::{self, Attached};
use crate::config::plugin;
use crate::engine::{self, Active, Condition, EngineKind};
use crate::library;
use crate::lifecycle::loopback;
use crate::name::{NsName, NsType};
use crate::netlink::{self, Link, Route, Rules};
use crate::netns::processes::{self, NamespaceProcess};
use crate::netns::{self, Id, NameState};
use crate::paths::Paths;

/// The status of a namespace. The names of the fields are the keys of the JSON output.
#[derive(Debug, Serialize)]
pub struct NamespaceStatus {
    pub namespace: NsName,
    /// Whether the namespace exists.
    pub exists: bool,
    pub instances: Vec<InstanceStatus>,
    pub interfaces: Vec<InterfaceStatus>,
    pub routes: Vec<NamedRoute>,
    /// The files of the namespace in /etc/netns, such as resolv.conf.
    pub files: Vec<String>,
    /// The nftables rules; `None` if they cannot be read.
    pub rules: Option<Rules>,
    /// The units that are attached with `netnsctl attach`.
    pub attached: Vec<String>,
    pub processes: Vec<NamespaceProcess>,
    /// The effect of a loopback interface that is down, with the next step.
    #[serde(skip)]
    pub loopback: Option<String>,
}

/// An instance on the namespace.
#[derive(Debug, Serialize)]
pub struct InstanceStatus {
    #[serde(rename = "type")]
    pub nstype: NsType,
    pub state: Condition,
    pub engine: Option<EngineKind>,
    pub since: Option<Timestamp>,
    /// The ports of the host that lead to the namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<String>,
    /// The addresses of the namespace that the host replaces with its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masqueraded: Vec<String>,
    /// The last log lines of a failed instance.
    #[serde(rename = "said", skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

impl InstanceStatus {
    fn of(paths: &Paths, active: &Active) -> Self {
        let has_failed = active.condition == Condition::Failed;
        Self {
            nstype: active.instance.nstype.clone(),
            state: active.condition,
            engine: Some(active.engine),
            since: active.since,
            published: library::claimed(paths, &active.instance).iter().map(ToString::to_string).collect(),
            masqueraded: library::masqueraded(paths, &active.instance),
            log: if has_failed { engine::last_lines(paths, active) } else { Vec::new() },
        }
    }
}

/// An interface with its other end.
#[derive(Debug, Serialize)]
pub struct InterfaceStatus {
    #[serde(flatten)]
    pub link: Link,
    /// The peer or parent.
    pub other: Option<OtherEnd>,
}

/// The other end of an interface.
#[derive(Debug, Serialize)]
pub struct OtherEnd {
    pub name: String,
    /// `null` for the host.
    pub namespace: Option<NsName>,
}

/// A route, with the name of its interface.
#[derive(Debug, Serialize)]
pub struct NamedRoute {
    #[serde(flatten)]
    pub route: Route,
    pub interface: Option<String>,
}

/// Reads the status of the requested namespaces; by default, of all with an active instance.
/// Errors: a namespace neither exists nor is configured, or its status cannot be read.
pub fn read(paths: &Paths, requested: &[NsName]) -> Result<Vec<NamespaceStatus>> {
    let active = engine::active(paths)?;
    let names = names(paths, requested, &active)?;
    let processes = processes::by_namespace();
    let all_links = all_links(paths)?;
    let attached = attach::attached(paths)?;
    let status = |name: &NsName| {
        let members = active.iter().filter(|active| active.instance.name == *name);
        namespace_status(paths, name, members, &attached, &all_links, &processes)
    };
    names.iter().map(status).collect()
}

/// Returns the requested namespaces; by default, all with an active instance.
/// Errors: a namespace neither exists nor is configured.
fn names(paths: &Paths, requested: &[NsName], active: &[Active]) -> Result<BTreeSet<NsName>> {
    let mut known: BTreeSet<NsName> = active.iter().map(|active| active.instance.name.clone()).collect();
    if requested.is_empty() {
        return Ok(known);
    }
    known.extend(plugin::configured(paths)?.into_iter().map(|instance| instance.name));
    for name in requested {
        if !known.contains(name) && netns::inspect(paths, name)? == NameState::Missing {
            return Err(unknown_namespace(name));
        }
    }
    Ok(requested.iter().cloned().collect())
}

/// Returns the error about a name that neither exists nor is configured.
#[must_use]
pub fn unknown_namespace(name: &NsName) -> Error {
    anyhow!(
        "namespace `{name}` does not exist and is not configured; `netnsctl list` and `ip netns` list the namespaces"
    )
}

/// The interfaces of the host and of every namespace.
type LinksByPlace = BTreeMap<Option<NsName>, Vec<Link>>;

fn all_links(paths: &Paths) -> Result<LinksByPlace> {
    let mut all = BTreeMap::from([(None, netlink::links()?)]);
    for name in netns::names(paths)? {
        // Skip a namespace that was just deleted or that this user cannot enter.
        let Ok(_inside) = netns::enter(paths, &name) else { continue };
        all.insert(Some(name.clone()), netlink::links()?);
    }
    Ok(all)
}

fn namespace_status<'a>(
    paths: &Paths,
    name: &NsName,
    members: impl Iterator<Item = &'a Active>,
    attached: &[Attached],
    all_links: &LinksByPlace,
    processes: &BTreeMap<Id, Vec<NamespaceProcess>>,
) -> Result<NamespaceStatus> {
    let links = all_links.get(&Some(name.clone()));
    let named = netns::inspect(paths, name)?;
    let mut users = match named {
        NameState::Namespace(id) => processes.get(&id).cloned().unwrap_or_default(),
        _ => Vec::new(),
    };
    let (routes, rules) = match netns::enter(paths, name) {
        Ok(_inside) => {
            let outside = processes::outside_holders(&users);
            users.extend(outside);
            (netlink::routes()?, netlink::rules().ok())
        }
        Err(_) => (Vec::new(), None),
    };
    let interface_name =
        |index: u32| links?.iter().find(|link| link.index == index).map(|link| link.name.clone());
    Ok(NamespaceStatus {
        exists: matches!(named, NameState::Namespace(_)),
        instances: members.map(|active| InstanceStatus::of(paths, active)).collect(),
        interfaces: links
            .into_iter()
            .flatten()
            .map(|link| InterfaceStatus { link: link.clone(), other: other_end(name, link, all_links) })
            .collect(),
        routes: routes
            .into_iter()
            .map(|route| NamedRoute { interface: route.link.and_then(interface_name), route })
            .collect(),
        files: netns::etc_files(paths, name).into_iter().map(|file| file.display().to_string()).collect(),
        rules,
        attached: attached
            .iter()
            .filter(|service| service.namespace == *name)
            .map(|service| service.unit.clone())
            .collect(),
        processes: users,
        loopback: loopback::down(paths, name),
        namespace: name.clone(),
    })
}

/// Returns the other end of a veth pair, or the parent of an interface. The kernel reports only the index of that interface.
fn other_end(name: &NsName, link: &Link, all_links: &LinksByPlace) -> Option<OtherEnd> {
    let index = link.peer?;
    let is_other = |other: &&Link| {
        other.index == index
            && if link.kind == "veth" { other.kind == "veth" && other.peer == Some(link.index) } else { true }
    };
    let places: Vec<_> = all_links
        .iter()
        .filter(|(place, _)| (place.as_ref() == Some(name)) != link.peer_elsewhere)
        // A parent in another namespace is searched only on the host, because indexes repeat in other namespaces.
        .filter(|(place, _)| link.kind == "veth" || !link.peer_elsewhere || place.is_none())
        .filter_map(|(place, links)| links.iter().find(is_other).map(|found| (place, found)))
        .collect();
    match places.as_slice() {
        [(place, found)] => Some(OtherEnd { name: found.name.clone(), namespace: (*place).clone() }),
        // Several interfaces match: show nothing rather than the wrong interface.
        _ => None,
    }
}
