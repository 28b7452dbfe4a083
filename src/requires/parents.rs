//! The parent interfaces of instances: an instance creates its own interface on an interface of the host, such as a macvlan. If
//! the parent is removed, the kernel removes the interface of the instance too.

use std::collections::{BTreeMap, BTreeSet};

use crate::bash::explain::{Explained, Variable, explain};
use crate::bash::query::{TIMEOUT, Validation};
use crate::config::layers::{Layer, LayerReader, Layers};
use crate::name::{Instance, NsType, ifname};
use crate::netlink;
use crate::paths::Paths;
use crate::sys::parallel::parallel_waiting;

/// The end of the name of a setting whose value is the name of a parent interface, as in `MACVLAN_PARENT_IFNAME`.
const SUFFIX: &str = "_PARENT_IFNAME";

/// The end of the name of the setting with the namespace of a parent that is not on the host.
const NAMESPACE_SUFFIX: &str = "_PARENT_NSNAME";

/// The settings of a type that name a parent interface of the host.
pub fn settings<'a>(explained: &'a Explained, nstype: &NsType) -> impl Iterator<Item = &'a Variable> {
    let prefix = format!("{}_", nstype.as_ref().to_uppercase());
    let names_parent = move |setting: &&Variable| {
        setting.name.starts_with(&prefix) && setting.name.ends_with(SUFFIX) && !setting.value.is_empty()
    };
    let is_set = |name: &str| explained.variables.iter().any(|one| one.name == name && !one.value.is_empty());
    let is_on_host = move |setting: &&Variable| !is_set(&setting.name.replace(SUFFIX, NAMESPACE_SUFFIX));
    explained.variables.iter().filter(names_parent).filter(is_on_host)
}

/// The parent interfaces of a machine whose device units have a drop-in, with the instances on each, by the name of the interface.
#[derive(Debug, Default)]
pub struct Parents {
    /// The instances on each interface.
    pub instances: BTreeMap<String, BTreeSet<Instance>>,
    /// The instances whose files cannot be read, with the messages.
    pub unknown: BTreeMap<Instance, String>,
}

impl Parents {
    /// Collects the parents of instances. Without udev, there are no device units, so the result is empty.
    pub fn of<'a>(paths: &Paths, explained: impl Iterator<Item = (&'a Instance, &'a Explained)>) -> Self {
        let mut parents = Self::default();
        if has_devices(paths) {
            for (instance, explained) in explained {
                let valid = |setting: &&Variable| ifname::problem(&setting.value).is_none();
                for setting in settings(explained, &instance.nstype).filter(valid) {
                    parents.instances.entry(setting.value.clone()).or_default().insert(instance.clone());
                }
            }
        }
        parents
    }

    /// Reads the parents of instances whose files may name one.
    #[must_use]
    pub fn read(paths: &Paths, instances: &BTreeSet<Instance>) -> Self {
        if !has_devices(paths) {
            return Self::default();
        }
        let reader = LayerReader::new(paths);
        let results = parallel_waiting(instances.iter().cloned().collect(), |instance| {
            let layers = reader.read(&instance);
            let explained =
                layers.and_then(|layers| explain(paths, &instance, &layers, Validation::None, TIMEOUT));
            (instance, explained)
        });
        let read =
            results.iter().filter_map(|(instance, explained)| Some((instance, explained.as_ref().ok()?)));
        let mut parents = Self::of(paths, read);
        for (instance, explained) in results {
            if let Err(error) = explained {
                let message = format!("cannot read the parent interface of `{instance}`: {error:#}");
                parents.unknown.insert(instance, message);
            }
        }
        parents
    }

    /// The instances with a parent that does not exist on the host.
    #[must_use]
    pub fn waiting(&self) -> BTreeSet<Instance> {
        let links = if self.instances.is_empty() { Vec::new() } else { netlink::links().unwrap_or_default() };
        let exists = |ifname: &str| links.iter().any(|link| link.name == ifname);
        let missing = self.instances.iter().filter(|(ifname, _)| !exists(ifname));
        missing.flat_map(|(_, instances)| instances.iter().cloned()).collect()
    }
}

/// Whether systemd has device units. An image can have them when it is booted.
fn has_devices(paths: &Paths) -> bool {
    !paths.is_live() || paths.udev.exists()
}

/// Whether the files of an instance may name a parent: without this text, no setting can.
pub(super) fn mentioned(layers: &Layers) -> bool {
    layers.all().filter_map(Layer::text).any(|text| text.contains(SUFFIX))
}
