//! A namespace with all that is in it, as the kernel, the engines and systemd tell.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde::Serialize;

use crate::attach::{self, Attached};
use crate::config::plugin;
use crate::engine::{self, Active, Condition, EngineKind};
use crate::name::{NsName, NsType};
use crate::netlink::{self, Link, Route, Rules};
use crate::netns::processes::{self, Resident};
use crate::netns::{self, Id, Named};
use crate::paths::Paths;

/// One namespace as JSON.
#[derive(Debug, Serialize)]
pub struct NamespaceStatus {
    pub namespace: NsName,
    /// Whether it is there.
    pub exists: bool,
    pub instances: Vec<InstanceStatus>,
    pub interfaces: Vec<InterfaceStatus>,
    pub routes: Vec<NamedRoute>,
    /// Its own files below /etc/netns, such as resolv.conf.
    pub files: Vec<String>,
    pub rules: Option<Rules>,
    /// The units that `netnsctl attach` has put there.
    pub attached: Vec<String>,
    pub processes: Vec<Resident>,
}

/// One instance.
#[derive(Debug, Serialize)]
pub struct InstanceStatus {
    #[serde(rename = "type")]
    pub nstype: NsType,
    pub state: Condition,
    pub engine: Option<EngineKind>,
    pub since: Option<Timestamp>,
    /// The last lines of what has failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub said: Vec<String>,
}

impl InstanceStatus {
    fn of(paths: &Paths, active: &Active) -> Self {
        let has_failed = active.condition == Condition::Failed;
        Self {
            nstype: active.instance.nstype.clone(),
            state: active.condition,
            engine: Some(active.engine),
            since: active.since,
            said: if has_failed { engine::last_lines(paths, active) } else { Vec::new() },
        }
    }
}

/// An interface, and where the other end of it is.
#[derive(Debug, Serialize)]
pub struct InterfaceStatus {
    #[serde(flatten)]
    pub link: Link,
    /// Its peer or parent.
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

/// Looks at the namespaces that are asked for; where none is, at all that anything is up on.
/// Errors: there is none of that name, or something cannot be looked at.
pub fn look(paths: &Paths, asked: &[NsName]) -> Result<Vec<NamespaceStatus>> {
    let active = engine::active(paths)?;
    let names = names(paths, asked, &active)?;
    let processes = processes::by_namespace();
    let everywhere = everywhere(paths)?;
    let attached = attach::attached(paths)?;
    let item = |name: &NsName| {
        let members = active.iter().filter(|active| active.instance.name == *name);
        item(paths, name, members, &attached, &everywhere, &processes)
    };
    names.iter().map(item).collect()
}

/// The namespaces that are asked for: all that anything is configured or up for, where none is named.
fn names(paths: &Paths, asked: &[NsName], active: &[Active]) -> Result<BTreeSet<NsName>> {
    let mut known: BTreeSet<NsName> = active.iter().map(|active| active.instance.name.clone()).collect();
    if asked.is_empty() {
        return Ok(known);
    }
    known.extend(plugin::configured(paths)?.into_iter().map(|instance| instance.name));
    for name in asked {
        if !known.contains(name) && netns::look(paths, name)? == Named::Nothing {
            bail!(
                "there is no namespace `{name}`, and nothing is configured for it; `netnsctl list` and `ip netns` list what there is"
            );
        }
    }
    Ok(asked.iter().cloned().collect())
}

/// The interfaces of the host and of every namespace.
type LinksByPlace = BTreeMap<Option<NsName>, Vec<Link>>;

fn everywhere(paths: &Paths) -> Result<LinksByPlace> {
    let mut all = BTreeMap::from([(None, netlink::links()?)]);
    for name in netns::names(paths)? {
        // One that goes just now, or may not be entered, is none to be found in.
        let Ok(_inside) = netns::enter(paths, &name) else { continue };
        all.insert(Some(name.clone()), netlink::links()?);
    }
    Ok(all)
}

fn item<'a>(
    paths: &Paths,
    name: &NsName,
    members: impl Iterator<Item = &'a Active>,
    attached: &[Attached],
    everywhere: &LinksByPlace,
    processes: &BTreeMap<Id, Vec<Resident>>,
) -> Result<NamespaceStatus> {
    let links = everywhere.get(&Some(name.clone()));
    let named = netns::look(paths, name)?;
    let (routes, rules) = match netns::enter(paths, name) {
        Ok(_inside) => (netlink::routes()?, netlink::rules().ok()),
        Err(_) => (Vec::new(), None),
    };
    let interface_name =
        |index: u32| links?.iter().find(|link| link.index == index).map(|link| link.name.clone());
    Ok(NamespaceStatus {
        exists: matches!(named, Named::Namespace(_)),
        instances: members.map(|active| InstanceStatus::of(paths, active)).collect(),
        interfaces: links
            .into_iter()
            .flatten()
            .map(|link| InterfaceStatus { link: link.clone(), other: other(name, link, everywhere) })
            .collect(),
        routes: routes
            .into_iter()
            .map(|route| NamedRoute { interface: route.link.and_then(interface_name), route })
            .collect(),
        files: netns::files(paths, name).into_iter().map(|file| file.display().to_string()).collect(),
        rules,
        attached: attached.iter().filter(|one| one.namespace == *name).map(|one| one.unit.clone()).collect(),
        processes: match named {
            Named::Namespace(id) => processes.get(&id).cloned().unwrap_or_default(),
            _ => Vec::new(),
        },
        namespace: name.clone(),
    })
}

/// The other end of a veth pair, or the parent of a macvlan: the kernel tells its number alone.
fn other(name: &NsName, link: &Link, everywhere: &LinksByPlace) -> Option<OtherEnd> {
    let index = link.peer?;
    let is_other = |other: &&Link| {
        other.index == index
            && if link.kind == "veth" { other.kind == "veth" && other.peer == Some(link.index) } else { true }
    };
    let places: Vec<_> = everywhere
        .iter()
        .filter(|(place, _)| (place.as_ref() == Some(name)) != link.peer_elsewhere)
        // A parent is sought on the host alone: numbers repeat from one namespace to the next.
        .filter(|(place, _)| link.kind == "veth" || !link.peer_elsewhere || place.is_none())
        .filter_map(|(place, links)| links.iter().find(is_other).map(|found| (place, found)))
        .collect();
    match places.as_slice() {
        [(place, found)] => Some(OtherEnd { name: found.name.clone(), namespace: (*place).clone() }),
        // Several fit by their numbers: better none than the wrong one.
        _ => None,
    }
}
