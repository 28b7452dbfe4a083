//! Looks at the machine for the map. What may not be looked at is named in the map, and the rest is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Dependency, End, Joint, Map, MapInterface, MapService, Place, PlacedInstance};
use crate::attach;
use crate::config::plugin;
use crate::engine::{self, Condition};
use crate::name::{Instance, NsName};
use crate::netlink;
use crate::netns::{self, Id, Named};
use crate::paths::{OWN_NETNS, Paths};
use crate::requires::{self, Requirement};
use crate::sys::file;

/// Looks at the machine. Nothing is changed.
#[must_use]
pub fn gather(paths: &Paths) -> Map {
    let mut map = Map::default();
    let mut states: BTreeMap<Instance, Condition> = BTreeMap::new();
    for instance in note(&mut map, plugin::configured(paths)) {
        states.insert(instance, Condition::Down);
    }
    for active in note(&mut map, engine::active(paths)) {
        states.insert(active.instance, active.condition);
    }
    wishes(paths, &mut map, &states);
    let needed = map.requires.iter().filter_map(|dependency| match &dependency.needs {
        Requirement::Instance(instance) => Some(instance),
        _ => None,
    });
    for instance in needed.chain(map.attached.iter().flat_map(|service| &service.instances)) {
        states.entry(instance.clone()).or_insert(Condition::Down);
    }

    let mut names: BTreeSet<NsName> = named(paths, &mut map).into_iter().collect();
    names.extend(states.keys().map(|instance| instance.name.clone()));
    names
        .extend(map.requires.iter().filter_map(|dependency| super::namespace_of(&dependency.needs).cloned()));
    names.extend(map.attached.iter().map(|service| service.namespace.clone()));

    let everywhere = everywhere(paths, &names, &mut map);
    for namespace in [None].into_iter().chain(names.into_iter().map(Some)) {
        if namespace.as_ref().is_some_and(|name| map.host_names.contains(name)) {
            continue; // the first one, by another name
        }
        let instances = states.iter().filter(|(instance, _)| Some(&instance.name) == namespace.as_ref());
        map.places.push(Place {
            exists: namespace
                .as_ref()
                .is_none_or(|name| matches!(netns::look(paths, name), Ok(Named::Namespace(_)))),
            instances: instances
                .map(|(instance, state)| PlacedInstance { nstype: instance.nstype.clone(), state: *state })
                .collect(),
            interfaces: everywhere.get(&namespace).map(Inside::interfaces).unwrap_or_default(),
            namespace,
        });
    }
    map.links = links(&everywhere, &mut map.missing);
    map.drop_loose_host_interfaces();
    map
}

/// The names of namespaces, those of the host's own noted apart; what this program can have nothing to do with is named.
fn named(paths: &Paths, map: &mut Map) -> Vec<NsName> {
    let own = Id::of(OWN_NETNS.as_ref()).ok();
    let mut names = Vec::new();
    let entries = if paths.netns.exists() { note(map, file::entries(&paths.netns)) } else { Vec::new() };
    for entry in entries {
        match NsName::new(entry.file_name()) {
            Ok(name) => {
                if own.is_some_and(
                    |own| matches!(netns::look(paths, &name), Ok(Named::Namespace(id)) if id == own),
                ) {
                    map.host_names.push(name.clone());
                }
                names.push(name);
            }
            Err(error) => {
                let place = paths.netns.display();
                map.missing.push(format!("a namespace in {place} is not shown: {error:#}"));
            }
        }
    }
    names
}

/// What instances require, and which services were put into namespaces.
fn wishes(paths: &Paths, map: &mut Map, states: &BTreeMap<Instance, Condition>) {
    let reader = requires::RequirementReader::new(paths);
    let ask = |instance: &Instance| reader.of(instance);
    // One whose files are gone may be up all the same.
    let is_up = |instance: &Instance| states.get(instance).is_some_and(|state| *state != Condition::Down);
    let found = requires::Graph::of(paths, states.keys().cloned(), ask, is_up);
    map.missing.extend(
        found.problems.into_iter().map(|problem| format!("{}: {}", problem.instance, problem.message)),
    );
    for attached in note(map, attach::attached(paths)) {
        let attach::Attached { unit, instances, namespace } = attached;
        map.attached.push(MapService { unit, state: None, namespace, instances });
    }
    if paths.is_live() && paths.systemd.is_dir() {
        if let Err(error) = super::services::tell(&mut map.attached) {
            map.missing.push(format!("{error:#}"));
        }
    }
    for (instance, requirements) in found.requires {
        map.requires
            .extend(requirements.into_iter().map(|needs| Dependency { instance: instance.clone(), needs }));
    }
}

/// What was found; why not is noted.
fn note<Item>(map: &mut Map, found: Result<Vec<Item>>) -> Vec<Item> {
    found.unwrap_or_else(|error| {
        map.missing.push(format!("{error:#}"));
        Vec::new()
    })
}

/// The host, or a namespace, from inside.
struct Inside {
    /// It itself.
    itself: File,
    links: Vec<netlink::Link>,
}

type Everywhere = BTreeMap<Option<NsName>, Inside>;

fn everywhere(paths: &Paths, names: &BTreeSet<NsName>, map: &mut Map) -> Everywhere {
    let Map { missing, host_names, .. } = map;
    let mut all = Everywhere::new();
    match Inside::look() {
        Ok(host) => _ = all.insert(None, host),
        Err(error) => missing.push(format!("the interfaces of the host are not shown: {error:#}")),
    }
    let mut closed: Vec<String> = Vec::new();
    let mut why = None;
    for name in names {
        if host_names.contains(name) || !matches!(netns::look(paths, name), Ok(Named::Namespace(_))) {
            continue;
        }
        let looked = netns::enter(paths, name).and_then(|_inside| Inside::look());
        match looked {
            Ok(inside) => _ = all.insert(Some(name.clone()), inside),
            Err(error) => {
                closed.push(name.to_string());
                why.get_or_insert(error);
            }
        }
    }
    if let Some(error) = why {
        missing.push(format!("the interfaces of {} are not shown: {error:#}", closed.join(", ")));
    }
    all
}

impl Inside {
    /// The one that this thread is in.
    fn look() -> Result<Self> {
        let itself = File::open(Path::new(OWN_NETNS)).context("cannot tell the current namespace")?;
        Ok(Self { itself, links: netlink::links()? })
    }

    fn interfaces(&self) -> Vec<MapInterface> {
        let mut interfaces: Vec<MapInterface> = self
            .links
            .iter()
            .map(|link| MapInterface {
                name: link.name.clone(),
                kind: link.kind.clone(),
                up: link.up,
                addresses: link.addresses.iter().filter(|address| is_telling(address)).cloned().collect(),
            })
            .filter(|interface| interface.name != "lo" || !interface.addresses.is_empty())
            .collect();
        interfaces.sort_by(|one, other| one.name.cmp(&other.name));
        interfaces
    }
}

/// Whether an address says anything: each interface has one of its link, and lo has its own.
fn is_telling(address: &str) -> bool {
    !address.starts_with("fe80:") && address != "127.0.0.1/8" && address != "::1/128"
}

/// All that joins two interfaces, each once.
fn links(everywhere: &Everywhere, missing: &mut Vec<String>) -> Vec<Joint> {
    let mut found = BTreeSet::new();
    for (place, inside) in everywhere {
        for link in &inside.links {
            let end = |namespace: Option<&NsName>, interface: &str| End {
                namespace: namespace.cloned(),
                interface: interface.to_owned(),
            };
            let here = end(place.as_ref(), &link.name);
            let bridge = inside.links.iter().find(|other| Some(other.index) == link.controller);
            if let Some(bridge) = bridge {
                let to = end(place.as_ref(), &bridge.name);
                found.insert(Joint { kind: "port".to_owned(), from: here.clone(), to });
            }
            let other = match other(everywhere, place.as_ref(), link) {
                Ok(other) => other,
                Err(error) => {
                    missing.push(format!("the other end of {} is not shown: {error:#}", link.name));
                    None
                }
            };
            let Some((namespace, other)) = other else { continue };
            let there = end(namespace, &other.name);
            // Of a pair, the namespace's end comes first, and each pair once.
            let swap = link.kind == "veth"
                && (here.namespace.is_none(), &here) > (there.namespace.is_none(), &there);
            let (from, to) = if swap { (there, here) } else { (here, there) };
            found.insert(Joint { kind: link.kind.clone(), from, to });
        }
    }
    found.into_iter().collect()
}

/// The other end of a pair, or what an interface is made on. The kernel gives its number, and the number of its namespace as
/// seen from this one; numbers of interfaces repeat, so both count.
fn other<'a>(
    everywhere: &'a Everywhere,
    place: Option<&NsName>,
    link: &netlink::Link,
) -> Result<Option<(Option<&'a NsName>, &'a netlink::Link)>> {
    let Some(index) = link.peer else { return Ok(None) };
    for (candidate, inside) in everywhere {
        if (candidate.as_ref() == place) == link.peer_elsewhere {
            continue;
        }
        let fits = |other: &&netlink::Link| {
            other.index == index && (link.kind != "veth" || other.peer == Some(link.index))
        };
        let Some(found) = inside.links.iter().find(fits) else { continue };
        if !link.peer_elsewhere || link.peer_namespace == number(everywhere, place, inside)? {
            return Ok(Some((candidate.as_ref(), found)));
        }
    }
    Ok(None)
}

/// The number that one namespace has for another one.
fn number(everywhere: &Everywhere, place: Option<&NsName>, of: &Inside) -> Result<Option<i32>> {
    let Some(from) = everywhere.get(&place.cloned()) else { return Ok(None) };
    let _there = netns::enter_file(&from.itself)?;
    netlink::namespace_id(of.itself.as_fd())
}
