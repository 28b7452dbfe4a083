//! The loopback interface. A new namespace has it, but down. A type that declares `# Provides: loopback` sets it up.

use crate::config::declaration::Declaration;
use crate::config::plugin;
use crate::name::{Instance, NsName};
use crate::netlink;
use crate::netns;
use crate::paths::Paths;
use crate::requires::{Graph, RequirementReader};

/// Reports that the loopback interface of a namespace is down, although another interface is up, with the next step. `None` if the
/// namespace cannot be entered.
#[must_use]
pub fn down(paths: &Paths, name: &NsName) -> Option<String> {
    let _inside = netns::enter(paths, name).ok()?;
    let links = netlink::links().ok()?;
    let is_down = links.iter().any(|link| link.loopback && !link.up)
        && links.iter().any(|link| !link.loopback && link.up);
    is_down.then(|| format!("lo is down, so 127.0.0.1 and ::1 do not work{}", hint(paths, name)))
}

/// Reports the same for a service that is attached to `instances`, also if the namespace does not exist yet.
#[must_use]
pub fn missing(paths: &Paths, name: &NsName, instances: &[Instance]) -> Option<String> {
    if paths.namespace(name).exists() {
        return down(paths, name);
    }
    let mut all = plugin::configured_for(paths, name).unwrap_or_default();
    let reader = RequirementReader::new(paths);
    let graph = Graph::of(paths, instances.iter().cloned(), |instance| reader.of(instance), |_| true);
    all.extend(graph.requires.into_keys().filter(|instance| instance.name == *name));
    let declared: Vec<Declaration> = all.iter().map(|one| Declaration::of(paths, &one.nstype)).collect();
    let is_missing =
        declared.iter().any(|one| !one.links.is_empty()) && !declared.iter().any(|one| one.loopback);
    is_missing.then(|| format!("lo stays down, so 127.0.0.1 and ::1 do not work{}", hint(paths, name)))
}

/// Whether an instance sets the loopback interface up.
#[must_use]
pub fn is_provided_by(paths: &Paths, instance: &Instance) -> bool {
    Declaration::of(paths, &instance.nstype).loopback
}

/// The command that sets it up: with a type that is not a firewall.
fn hint(paths: &Paths, name: &NsName) -> String {
    let provides = |one: &Declaration| one.loopback && !one.firewall;
    let types = plugin::known(paths).unwrap_or_default();
    let found = types.into_iter().find(|nstype| provides(&Declaration::of(paths, nstype)));
    found.map(|nstype| format!("; hint: `netnsctl up {nstype}@{name}`")).unwrap_or_default()
}
