//! A map of the machine: namespaces with what is in them, what joins them, and what needs what. [`gather`] looks once;
//! each format is one file that turns the map into text.

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
    /// What joins two interfaces.
    pub links: Vec<Joint>,
    /// What instances need.
    pub requires: Vec<Dependency>,
    /// Services that were put into a namespace.
    pub attached: Vec<MapService>,
    /// What could not be looked at, and why.
    pub missing: Vec<String>,
    /// Names of the host's own namespace in `/run/netns`.
    #[serde(skip)]
    pub host_names: Vec<NsName>,
}

/// The host, or a namespace.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    /// `None` for the host.
    pub namespace: Option<NsName>,
    /// Whether it is there.
    pub exists: bool,
    /// The instances that are configured or up.
    pub instances: Vec<PlacedInstance>,
    /// The interfaces; of the host's, those that are joined to others.
    pub interfaces: Vec<MapInterface>,
}

/// An instance on a namespace.
#[derive(Clone, Debug, Serialize)]
pub struct PlacedInstance {
    /// Its type.
    #[serde(rename = "type")]
    pub nstype: NsType,
    /// How far it is.
    pub state: Condition,
}

/// An interface.
#[derive(Clone, Debug, Serialize)]
pub struct MapInterface {
    /// Its name.
    pub name: String,
    /// `veth`, `macvlan`, …; empty for a physical one.
    pub kind: String,
    /// Whether it is up.
    pub up: bool,
    /// Its addresses but for those of the link alone.
    pub addresses: Vec<String>,
}

/// What joins two interfaces: the ends of a pair, or an interface and what it is made on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Joint {
    /// `veth`, `macvlan`, … or `port` for one of a bridge.
    pub kind: String,
    /// The inside end, or what was made.
    pub from: End,
    /// The other end, or what it was made on.
    pub to: End,
}

/// One end of a link.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct End {
    /// Where it is; `None` for the host.
    pub namespace: Option<NsName>,
    /// The interface.
    pub interface: String,
}

/// That an instance needs something before it starts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Dependency {
    /// The instance.
    #[serde(serialize_with = "as_text")]
    pub instance: Instance,
    /// What it needs.
    pub needs: Requirement,
}

/// A service that was put into a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapService {
    /// Its unit.
    pub unit: String,
    /// How far it is; `None` where that cannot be told. Of a template, how far its instances are.
    pub state: Option<Condition>,
    /// Where it is.
    pub namespace: NsName,
    /// The instances that it is bound to.
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
    /// What it is called.
    #[must_use]
    pub fn title(&self) -> &str {
        self.namespace.as_ref().map_or("the host", AsRef::as_ref)
    }
}

impl MapInterface {
    /// Whether it is up, in the words that instances have.
    #[must_use]
    pub fn state(&self) -> Condition {
        if self.up { Condition::Up } else { Condition::Down }
    }
}

impl Map {
    /// The part around some namespaces: they themselves, and what they are joined to, need or are needed by.
    #[must_use]
    pub fn around(mut self, names: &[NsName]) -> Self {
        let asked: BTreeSet<&NsName> = names.iter().collect();
        let is_asked = |name: &NsName| asked.contains(name);
        let host_is_asked = self.host_names.iter().any(is_asked);
        let ends = |joint: &Joint| [joint.from.namespace.clone(), joint.to.namespace.clone()];
        self.links.retain(|joint| {
            let ends = ends(joint);
            ends == [None, None]
                || host_is_asked && ends.contains(&None)
                || ends.iter().flatten().any(is_asked)
        });
        self.requires.retain(|dependency| {
            is_asked(&dependency.instance.name) || namespace_of(&dependency.needs).is_some_and(is_asked)
        });
        self.attached.retain(|service| is_asked(&service.namespace));
        let mut kept: BTreeSet<NsName> = names.iter().cloned().collect();
        kept.extend(self.links.iter().flat_map(ends).flatten());
        kept.extend(self.requires.iter().map(|dependency| dependency.instance.name.clone()));
        kept.extend(self.requires.iter().filter_map(|dependency| namespace_of(&dependency.needs).cloned()));
        self.places.retain(|place| place.namespace.as_ref().is_none_or(|name| kept.contains(name)));
        self.drop_loose_host_interfaces();
        self
    }

    /// Leaves out of the host what has nothing to do with any namespace.
    fn drop_loose_host_interfaces(&mut self) {
        let Self { places, links, .. } = self;
        let on_host = |joint: &Joint| joint.from.namespace.is_none() && joint.to.namespace.is_none();
        let joined: BTreeSet<End> = links
            .iter()
            .filter(|joint| !on_host(joint))
            .flat_map(|joint| [&joint.from, &joint.to])
            .cloned()
            .collect();
        // Of the links on the host itself, what such an interface is made on, or a port of, is worth knowing.
        links.retain(|joint| !on_host(joint) || joint.kind != "veth" && joined.contains(&joint.from));
        let shown: BTreeSet<&End> = links.iter().flat_map(|joint| [&joint.from, &joint.to]).collect();
        for place in places.iter_mut().filter(|place| place.namespace.is_none()) {
            place.interfaces.retain(|interface| {
                shown.contains(&End { namespace: None, interface: interface.name.clone() })
            });
        }
    }
}

/// The namespace that a requirement is about.
fn namespace_of(requirement: &Requirement) -> Option<&NsName> {
    match requirement {
        Requirement::Namespace(name) => Some(name),
        Requirement::Instance(instance) => Some(&instance.name),
        Requirement::Unit(_) => None,
    }
}

#[cfg(test)]
mod example;
