//! Closes the namespaces of requested firewalls before any file is read, and reports the effects of failures.

use std::collections::BTreeSet;

use crate::config::declaration::Declaration;
use crate::engine::state::{self, StateFile};
use crate::engine::{self, Active, Condition, EngineKind};
use crate::firewall::{close, configured, is_closed};
use crate::name::{Instance, NsName};
use crate::netns::ownership::{self, Ownership};
use crate::paths::Paths;
use crate::print;

/// Closes the namespaces of the firewalls among the `requested` instances, if any instance is active there. This happens
/// before any file of an instance is read: bash reads the requirements from these files, and can hang or be killed.
pub fn close_requested(paths: &Paths, requested: &[Instance]) {
    let firewalls = requested.iter().filter(|one| Declaration::of(paths, &one.nstype).firewall);
    let names: BTreeSet<&NsName> = firewalls.map(|instance| &instance.name).collect();
    if names.is_empty() {
        return;
    }
    // A namespace without an active instance may be foreign.
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

/// Whether the namespace of an active instance is still the one that the engine has created.
fn is_ours(paths: &Paths, active: &Active) -> bool {
    let name = &active.instance.name;
    match active.engine {
        EngineKind::Systemd => {
            !matches!(ownership::inspect(paths, name), Ok(Ownership::Foreign | Ownership::Missing) | Err(_))
        }
        EngineKind::Direct => match state::read(paths, name) {
            Ok(Some(StateFile::Valid(state))) => {
                state.namespace.is_some_and(|ours| ours.has_name(paths, name).unwrap_or(false))
            }
            _ => false,
        },
    }
}

/// Describes the effects of failed instances on firewalls: one line for each namespace with an active instance and an inactive
/// firewall.
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
            format!(
                "namespace `{name}` HAS NO FIREWALL ({error:#}); fix: `netnsctl down {name}` removes the open namespace"
            )
        }
    };
    Some(format!("`{firewall}` is not up: {state}"))
}
