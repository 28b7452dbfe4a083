//! A map of the machine: the namespaces, their contents, connections and requirements. [`gather`] reads the running system once.
//! Each format is a file that writes the map as text.

mod dot;
mod gather;
mod mermaid;
mod services;
mod svg;
mod text;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

pub(crate) use dot::dot;
pub use gather::gather;
pub(crate) use mermaid::mermaid;
pub(crate) use svg::svg;
pub(crate) use text::text;

use crate::engine::Condition;
use crate::name::{Instance, NsName, NsType};
use crate::requires::Requirement;

/// The map.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Map {
    /// The host, then the namespaces by name.
    pub places: Vec<Place>,
    /// The connections between interfaces.
    pub links: Vec<Connection>,
    /// The requirements of instances.
    pub requires: Vec<Dependency>,
    /// The attached services.
    pub attached: Vec<MapService>,
    /// Messages about parts that could not be read.
    pub missing: Vec<String>,
    /// The names in `/run/netns` that refer to the namespace of the host.
    #[serde(skip)]
    pub host_names: Vec<NsName>,
}

/// The host, or a namespace.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    /// `None` for the host.
    pub namespace: Option<NsName>,
    /// Whether the namespace exists.
    pub exists: bool,
    /// The instances that are configured or up.
    pub instances: Vec<PlacedInstance>,
    /// The interfaces. For the host, only the connected ones.
    pub interfaces: Vec<MapInterface>,
}

/// An instance on a namespace.
#[derive(Clone, Debug, Serialize)]
pub struct PlacedInstance {
    /// The type.
    #[serde(rename = "type")]
    pub nstype: NsType,
    /// The state.
    pub state: Condition,
    /// The ports of the host that lead to the namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub published: Vec<String>,
    /// The addresses of the namespace that the host replaces with its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub masqueraded: Vec<String>,
}

impl PlacedInstance {
    /// What the host does for the namespace: published ports, and addresses that it replaces with its own.
    fn ways(&self) -> impl Iterator<Item = String> {
        let masqueraded = self.masqueraded.iter().map(|network| format!("masquerades {network}"));
        self.published.iter().cloned().chain(masqueraded)
    }
}

/// An interface.
#[derive(Clone, Debug, Serialize)]
pub struct MapInterface {
    /// The name.
    pub name: String,
    /// `veth`, `macvlan`, …; empty for a physical interface.
    pub kind: String,
    /// Whether the interface is up.
    pub up: bool,
    /// The addresses, except IPv6 link-local addresses and the default addresses of `lo`.
    pub addresses: Vec<String>,
}

/// A connection between two interfaces: the ends of a veth pair, an interface and its parent, or a port and its bridge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Connection {
    /// `veth`, `macvlan`, … or `port` for the port of a bridge.
    pub kind: String,
    /// The inside end of a veth pair, the child interface, or the port.
    pub from: End,
    /// The other end, the parent interface, or the bridge.
    pub to: End,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct End {
    /// The namespace; `None` for the host.
    pub namespace: Option<NsName>,
    /// The interface.
    pub interface: String,
}

/// A requirement of an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Dependency {
    /// The instance.
    #[serde(serialize_with = "as_text")]
    pub instance: Instance,
    /// The requirement.
    pub needs: Requirement,
}

/// An attached service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapService {
    /// The unit.
    pub unit: String,
    /// The state; `None` if unknown. A template has the worst state of its instances.
    pub state: Option<Condition>,
    /// The namespace.
    pub namespace: NsName,
    /// The instances to which the service is attached.
    #[serde(serialize_with = "all_as_text")]
    pub instances: Vec<Instance>,
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn all_as_text<S: Serializer>(values: &[Instance], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

impl Place {
    /// Returns the name of the namespace, or "the host".
    #[must_use]
    pub fn title(&self) -> &str {
        self.namespace.as_ref().map_or("the host", AsRef::as_ref)
    }

    /// Returns the title, with a note if the namespace does not exist.
    fn label(&self) -> String {
        let note = if self.exists { "" } else { " (does not exist)" };
        format!("{}{note}", self.title())
    }
}

impl MapInterface {
    /// Returns the state of the interface in the type that instances use for their state.
    #[must_use]
    pub fn state(&self) -> Condition {
        if self.up { Condition::Up } else { Condition::Down }
    }
}

impl Map {
    /// Returns the part of the map around some namespaces: these namespaces, their connections, requirements and dependants.
    #[must_use]
    pub fn around(mut self, names: &[NsName]) -> Self {
        let requested: BTreeSet<&NsName> = names.iter().collect();
        let is_requested = |name: &NsName| requested.contains(name);
        let host_is_requested = self.host_names.iter().any(is_requested);
        let ends = |link: &Connection| [link.from.namespace.clone(), link.to.namespace.clone()];
        self.links.retain(|link| {
            let ends = ends(link);
            ends == [None, None]
                || host_is_requested && ends.contains(&None)
                || ends.iter().flatten().any(is_requested)
        });
        self.requires.retain(|dependency| {
            is_requested(&dependency.instance.name)
                || namespace_of(&dependency.needs).is_some_and(is_requested)
        });
        self.attached.retain(|service| is_requested(&service.namespace));
        let mut kept: BTreeSet<NsName> = names.iter().cloned().collect();
        kept.extend(self.links.iter().flat_map(ends).flatten());
        kept.extend(self.requires.iter().map(|dependency| dependency.instance.name.clone()));
        kept.extend(self.requires.iter().filter_map(|dependency| namespace_of(&dependency.needs).cloned()));
        self.places.retain(|place| place.namespace.as_ref().is_none_or(|name| kept.contains(name)));
        self.drop_unconnected_host_interfaces();
        self
    }

    /// Removes the host interfaces without a connection to any namespace.
    fn drop_unconnected_host_interfaces(&mut self) {
        let Self { places, links, .. } = self;
        let on_host = |link: &Connection| link.from.namespace.is_none() && link.to.namespace.is_none();
        let connected: BTreeSet<End> = links
            .iter()
            .filter(|link| !on_host(link))
            .flat_map(|link| [&link.from, &link.to])
            .cloned()
            .collect();
        // A connection within the host is kept if it leads from a connected interface to the parent or bridge.
        links.retain(|link| !on_host(link) || link.kind != "veth" && connected.contains(&link.from));
        let shown: BTreeSet<&End> = links.iter().flat_map(|link| [&link.from, &link.to]).collect();
        for place in places.iter_mut().filter(|place| place.namespace.is_none()) {
            place.interfaces.retain(|interface| {
                shown.contains(&End { namespace: None, interface: interface.name.clone() })
            });
        }
    }
}

/// Returns the namespace of a requirement; `None` for a unit.
fn namespace_of(requirement: &Requirement) -> Option<&NsName> {
    match requirement {
        Requirement::Namespace(name) => Some(name),
        Requirement::Instance(instance) => Some(&instance.name),
        Requirement::Unit(_) => None,
    }
}

#[cfg(test)]
mod example;
