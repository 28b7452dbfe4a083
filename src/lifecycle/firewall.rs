//! The firewalls of what is brought up: their namespaces are closed before anything is read, and what is left of a failure is told.

use std::collections::BTreeSet;

use crate::config::declaration::Declaration;
use crate::engine::state::{self, Known};
use crate::engine::{self, Active, Condition, EngineKind};
use crate::firewall::{close, configured, is_closed};
use crate::name::{Instance, NsName};
use crate::netns::ownership::{self, Ownership};
use crate::paths::Paths;
use crate::print;

/// Closes the namespaces of the firewalls among `requested` that something is up in. This comes before any file is read: what
/// an instance requires is found out by bash, which may take long or be killed.
pub fn close_requested(paths: &Paths, requested: &[Instance]) {
    let firewalls = requested.iter().filter(|one| Declaration::of(paths, &one.nstype).firewall);
    let names: BTreeSet<&NsName> = firewalls.map(|instance| &instance.name).collect();
    if names.is_empty() {
        return;
    }
    // A namespace that nothing of ours is up in may belong to somebody else.
    let active = engine::active(paths).unwrap_or_default();
    for name in names {
        let up = active.iter().find(|one| one.instance.name == *name && one.condition == Condition::Up);
        if up.is_some_and(|one| is_ours(paths, one))
            && let Err(error) = close(paths, name)
        {
            print::warn(&format!("{error:#}"));
        }
    }
}

/// Whether the name of the namespace that an instance is up in still stands for the namespace that its engine has created.
fn is_ours(paths: &Paths, active: &Active) -> bool {
    let name = &active.instance.name;
    match active.engine {
        EngineKind::Systemd => {
            !matches!(ownership::look(paths, name), Ok(Ownership::Other | Ownership::Gone) | Err(_))
        }
        EngineKind::Direct => match state::read(paths, name) {
            Ok(Some(Known::State(state))) => {
                state.namespace.is_some_and(|ours| ours.has_name(paths, name).unwrap_or(false))
            }
            _ => false,
        },
    }
}

/// What the failure of instances means for the firewalls of their namespaces, a line for each namespace that has something up.
#[must_use]
pub fn after_failure(paths: &Paths, failed: &[Instance]) -> Vec<String> {
    let names: BTreeSet<&NsName> = failed.iter().map(|instance| &instance.name).collect();
    names.into_iter().filter_map(|name| state_after_failure(paths, name, failed)).collect()
}

fn state_after_failure(paths: &Paths, name: &NsName, failed: &[Instance]) -> Option<String> {
    let mut firewalls = configured(paths, name).ok()?;
    let is_firewall = |instance: &&Instance| Declaration::of(paths, &instance.nstype).firewall;
    firewalls.extend(failed.iter().filter(|one| one.name == *name).filter(is_firewall).cloned());
    let up: Vec<Instance> = engine::active(paths)
        .ok()?
        .into_iter()
        .filter(|active| active.instance.name == *name && active.condition == Condition::Up)
        .map(|active| active.instance)
        .collect();
    let firewall = firewalls.into_iter().find(|firewall| !up.contains(firewall))?;
    if up.is_empty() {
        return None;
    }
    let state = match is_closed(paths, name) {
        Ok(true) => format!("namespace `{name}` stays closed: only loopback traffic passes"),
        Ok(false) => format!("namespace `{name}` keeps the rules that were in force"),
        Err(error) => {
            format!("namespace `{name}` HAS NO FIREWALL ({error:#}); fix: `netnsctl down {name}` closes it")
        }
    };
    Some(format!("`{firewall}` is not up: {state}"))
}
