//! Gathers the map from the running system. Parts that cannot be read are reported in the map, and the rest is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Connection, Dependency, End, Map, MapInterface, MapService, Place, PlacedInstance};
use crate::attach;
use crate::bash::query::{TIMEOUT, TIMEOUT_OF_OTHERS};
use crate::config::plugin;
use crate::engine::{self, Condition};
use crate::library;
use crate::name::{Instance, NsName};
use crate::netlink;
use crate::netns::{self, Id, NameState};
use crate::paths::{OWN_NETNS, Paths};
use crate::requires::{self, Requirement};
use crate::sys::file;

/// Gathers the map. Nothing is changed. A file that hangs does not delay the map of `names` for long; an empty list
/// means all namespaces.
#[must_use]
pub fn gather(paths: &Paths, names: &[NsName]) -> Map {
    let mut map = Map::default();
    let mut states: BTreeMap<Instance, Condition> = BTreeMap::new();
    for instance in or_report(&mut map, plugin::configured(paths)) {
        states.insert(instance, Condition::Down);
    }
    for active in or_report(&mut map, engine::active(paths)) {
        states.insert(active.instance, active.condition);
    }
    add_requirements_and_services(paths, &mut map, &states, names);
    let required = map.requires.iter().filter_map(|dependency| match &dependency.needs {
        Requirement::Instance(instance) => Some(instance),
        _ => None,
    });
    for instance in required.chain(map.attached.iter().flat_map(|service| &service.instances)) {
        states.entry(instance.clone()).or_insert(Condition::Down);
    }

    let mut names: BTreeSet<NsName> = namespace_names(paths, &mut map).into_iter().collect();
    names.extend(states.keys().map(|instance| instance.name.clone()));
    names
        .extend(map.requires.iter().filter_map(|dependency| super::namespace_of(&dependency.needs).cloned()));
    names.extend(map.attached.iter().map(|service| service.namespace.clone()));

    let inspected = inspect(paths, &names, &mut map);
    for namespace in [None].into_iter().chain(names.into_iter().map(Some)) {
        if namespace.as_ref().is_some_and(|name| map.host_names.contains(name)) {
            continue; // another name of the host, which is already in the map
        }
        let instances = states.iter().filter(|(instance, _)| Some(&instance.name) == namespace.as_ref());
        map.places.push(Place {
            exists: namespace
                .as_ref()
                .is_none_or(|name| matches!(netns::inspect(paths, name), Ok(NameState::Namespace(_)))),
            instances: instances
                .map(|(instance, state)| PlacedInstance {
                    nstype: instance.nstype.clone(),
                    state: *state,
                    published: library::claimed(paths, instance).iter().map(ToString::to_string).collect(),
                    masqueraded: library::masqueraded(paths, instance),
                })
                .collect(),
            interfaces: inspected.get(&namespace).map(Interior::interfaces).unwrap_or_default(),
            namespace,
        });
    }
    map.links = connections(&inspected, &mut map.missing);
    map.drop_unconnected_host_interfaces();
    map
}

/// Returns the names of all namespaces. Names of the host are also added to `host_names`. An invalid name is reported in the map.
fn namespace_names(paths: &Paths, map: &mut Map) -> Vec<NsName> {
    let own = Id::of(OWN_NETNS.as_ref()).ok();
    let mut names = Vec::new();
    let entries = if paths.netns.exists() { or_report(map, file::entries(&paths.netns)) } else { Vec::new() };
    for entry in entries {
        match NsName::new(entry.file_name()) {
            Ok(name) => {
                if own.is_some_and(
                    |own| matches!(netns::inspect(paths, &name), Ok(NameState::Namespace(id)) if id == own),
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

/// Adds the requirements of the instances, and the attached services.
fn add_requirements_and_services(
    paths: &Paths,
    map: &mut Map,
    states: &BTreeMap<Instance, Condition>,
    names: &[NsName],
) {
    let reader = requires::RequirementReader::new(paths);
    let requirements_of = |instance: &Instance| {
        let is_wanted = names.is_empty() || names.contains(&instance.name);
        reader.of_within(instance, if is_wanted { TIMEOUT } else { TIMEOUT_OF_OTHERS })
    };
    // An instance can be up although its files were deleted.
    let is_up = |instance: &Instance| states.get(instance).is_some_and(|state| *state != Condition::Down);
    let found = requires::Graph::of(paths, states.keys().cloned(), requirements_of, is_up);
    map.missing.extend(
        found.problems.into_iter().map(|problem| format!("{}: {}", problem.instance, problem.message)),
    );
    for attached in or_report(map, attach::attached(paths)) {
        let attach::Attached { unit, instances, namespace, .. } = attached;
        map.attached.push(MapService { unit, state: None, namespace, instances });
    }
    if paths.is_live() && paths.systemd.is_dir() {
        if let Err(error) = super::services::read_states(&mut map.attached) {
            map.missing.push(format!("{error:#}"));
        }
    }
    for (instance, requirements) in found.requires {
        map.requires
            .extend(requirements.into_iter().map(|needs| Dependency { instance: instance.clone(), needs }));
    }
}

/// Returns the items, or reports the error in the map.
fn or_report<Item>(map: &mut Map, found: Result<Vec<Item>>) -> Vec<Item> {
    found.unwrap_or_else(|error| {
        map.missing.push(format!("{error:#}"));
        Vec::new()
    })
}

/// The interior of a namespace, or of the host.
struct Interior {
    /// The file of the namespace.
    namespace: File,
    links: Vec<netlink::Link>,
}

type Interiors = BTreeMap<Option<NsName>, Interior>;

fn inspect(paths: &Paths, names: &BTreeSet<NsName>, map: &mut Map) -> Interiors {
    let Map { missing, host_names, .. } = map;
    let mut all = Interiors::new();
    match Interior::current() {
        Ok(host) => _ = all.insert(None, host),
        Err(error) => missing.push(format!("the interfaces of the host are not shown: {error:#}")),
    }
    let mut unreadable: Vec<String> = Vec::new();
    let mut first_error = None;
    for name in names {
        if host_names.contains(name) || !matches!(netns::inspect(paths, name), Ok(NameState::Namespace(_))) {
            continue;
        }
        match netns::enter(paths, name).and_then(|_inside| Interior::current()) {
            Ok(interior) => _ = all.insert(Some(name.clone()), interior),
            Err(error) => {
                unreadable.push(name.to_string());
                first_error.get_or_insert(error);
            }
        }
    }
    if let Some(error) = first_error {
        missing.push(format!("the interfaces of {} are not shown: {error:#}", unreadable.join(", ")));
    }
    all
}

impl Interior {
    /// Reads the namespace of this thread.
    fn current() -> Result<Self> {
        let namespace = File::open(Path::new(OWN_NETNS)).context("cannot open the current namespace")?;
        Ok(Self { namespace, links: netlink::links()? })
    }

    fn interfaces(&self) -> Vec<MapInterface> {
        let mut interfaces: Vec<MapInterface> = self
            .links
            .iter()
            .map(|link| MapInterface {
                name: link.name.clone(),
                kind: link.kind.clone(),
                up: link.up,
                addresses: link.addresses.iter().filter(|address| is_shown(address)).cloned().collect(),
            })
            .filter(|interface| interface.name != "lo" || !interface.addresses.is_empty())
            .collect();
        interfaces.sort_by(|one, other| one.name.cmp(&other.name));
        interfaces
    }
}

/// Whether an address is shown. IPv6 link-local addresses and the default addresses of `lo` are not shown, because every
/// namespace has them.
fn is_shown(address: &str) -> bool {
    !address.starts_with("fe80:") && address != "127.0.0.1/8" && address != "::1/128"
}

/// Returns the connections between interfaces, without duplicates.
fn connections(interiors: &Interiors, missing: &mut Vec<String>) -> Vec<Connection> {
    let mut found = BTreeSet::new();
    for (place, interior) in interiors {
        for link in &interior.links {
            let end = |namespace: Option<&NsName>, interface: &str| End {
                namespace: namespace.cloned(),
                interface: interface.to_owned(),
            };
            let here = end(place.as_ref(), &link.name);
            let bridge = interior.links.iter().find(|other| Some(other.index) == link.controller);
            if let Some(bridge) = bridge {
                let to = end(place.as_ref(), &bridge.name);
                found.insert(Connection { kind: "port".to_owned(), from: here.clone(), to });
            }
            let other = match other_end(interiors, place.as_ref(), link) {
                Ok(other) => other,
                Err(error) => {
                    missing.push(format!("the other end of {} is not shown: {error:#}", link.name));
                    None
                }
            };
            let Some((namespace, other)) = other else { continue };
            let there = end(namespace, &other.name);
            // A veth pair is found from both ends. Both results are equal: the end in a namespace comes first.
            let swap = link.kind == "veth"
                && (here.namespace.is_none(), &here) > (there.namespace.is_none(), &there);
            let (from, to) = if swap { (there, here) } else { (here, there) };
            found.insert(Connection { kind: link.kind.clone(), from, to });
        }
    }
    found.into_iter().collect()
}

/// Returns the other end of a veth pair, or the parent of an interface. For this other interface, the kernel reports its index,
/// and the id that the namespace `place` has for its namespace. Several namespaces can use the same index, so both must match.
fn other_end<'a>(
    interiors: &'a Interiors,
    place: Option<&NsName>,
    link: &netlink::Link,
) -> Result<Option<(Option<&'a NsName>, &'a netlink::Link)>> {
    let Some(index) = link.peer else { return Ok(None) };
    for (candidate, interior) in interiors {
        if (candidate.as_ref() == place) == link.peer_elsewhere {
            continue;
        }
        let matches = |other: &&netlink::Link| {
            other.index == index && (link.kind != "veth" || other.peer == Some(link.index))
        };
        let Some(found) = interior.links.iter().find(matches) else { continue };
        if !link.peer_elsewhere || link.peer_namespace == namespace_id(interiors, place, interior)? {
            return Ok(Some((candidate.as_ref(), found)));
        }
    }
    Ok(None)
}

/// Returns the id that the namespace `from` has for the namespace `of` (ip-netns(8), "set").
fn namespace_id(interiors: &Interiors, from: Option<&NsName>, of: &Interior) -> Result<Option<i32>> {
    let Some(from) = interiors.get(&from.cloned()) else { return Ok(None) };
    let _inside = netns::enter_file(&from.namespace)?;
    netlink::namespace_id(of.namespace.as_fd())
}
