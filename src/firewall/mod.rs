//! The promise of a type that provides a firewall: nothing but loopback passes before its rules are loaded.
//!
//! A plugin declares `# Provides: firewall` ([`crate::plugin::Declared`]). Its namespace is closed before any of its files is
//! run, so the promise does not depend on what these files do. The hook replaces the closing rules by its own in one
//! transaction (`flush ruleset`).

mod close;

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

pub use close::{TABLE, close, is_closed, open, require_open};

use crate::engine::state::{self, Known};
use crate::engine::{self, Active, Condition, Kind};
use crate::made::{self, Made};
use crate::name::{Instance, NsName, Phase, Side};
use crate::netns::{self, Identity, Named};
use crate::paths::Paths;
use crate::plugin::{self, Declared};
use crate::wrapper::Hook;

/// Closes the namespace of an `up` hook if that belongs to a firewall, which may not be loaded. Other types come up only if
/// closing was possible. `ours` is the namespace that was created under the name, if that is known; another one is left alone.
///
/// # Errors
/// The namespace cannot be closed by rules; its interfaces are down then, and have to stay so.
pub fn before_hook(paths: &Paths, hook: &Hook, ours: Option<&Identity>) -> Result<()> {
    let Instance { nstype, name } = &hook.instance;
    if hook.phase != Phase::Up {
        return Ok(());
    }
    if !Declared::of(paths, nstype).firewall {
        return require_open(paths, name);
    }
    // In all other cases the hook itself is refused.
    let is_meant = match netns::look(paths, name)? {
        Named::Namespace(id) => hook.side == Side::Outside || netns::own()? == id,
        Named::Nothing | Named::Debris => false,
    };
    if is_meant && ours.map_or(Ok(true), |ours| ours.has_name(paths, name))? {
        close(paths, name)
    } else {
        Ok(())
    }
}

/// Closes the namespaces of the firewalls among `requested` that something is up in. This comes before any file is read: what
/// an instance requires is found out by bash, which may take long or be killed.
pub fn close_requested(paths: &Paths, requested: &[Instance]) {
    let firewalls = requested.iter().filter(|one| Declared::of(paths, &one.nstype).firewall);
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
            crate::warn(&format!("{error:#}"));
        }
    }
}

/// Whether the name of the namespace that an instance is up in still stands for the namespace that its engine has created.
fn is_ours(paths: &Paths, active: &Active) -> bool {
    let name = &active.instance.name;
    match active.engine {
        Kind::Systemd => !matches!(made::look(paths, name), Ok(Made::Other | Made::Gone) | Err(_)),
        Kind::Direct => match state::read(paths, name) {
            Ok(Some(Known::State(state))) => {
                state.namespace.is_some_and(|ours| ours.has_name(paths, name).unwrap_or(false))
            }
            _ => false,
        },
    }
}

/// Refuses the other instances of the namespaces of firewalls that are `refused` before any unit or hook is started.
///
/// Returns the instances that may be begun.
pub fn hold_back(
    paths: &Paths,
    begun: Vec<Instance>,
    refused: &mut Vec<(Instance, anyhow::Error)>,
) -> Vec<Instance> {
    let is_firewall = |instance: &Instance| Declared::of(paths, &instance.nstype).firewall;
    let firewalls: Vec<Instance> =
        refused.iter().map(|(instance, _)| instance).filter(|one| is_firewall(one)).cloned().collect();
    let mut kept = Vec::new();
    for instance in begun {
        match firewalls.iter().find(|firewall| firewall.name == instance.name) {
            Some(firewall) => {
                let error = anyhow!("`{instance}` was not begun: its firewall `{firewall}` cannot come up");
                refused.push((instance, error));
            }
            None => kept.push(instance),
        }
    }
    kept
}

/// The firewalls that are configured for a namespace.
///
/// # Errors
/// The directory of the plugins cannot be read.
pub fn configured(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let types = plugin::firewalls(paths, &plugin::list(paths)?.types);
    let instances = types.into_iter().map(|nstype| Instance { nstype, name: name.clone() });
    Ok(instances.filter(|instance| plugin::is_configured(paths, instance)).collect())
}

/// What the failure of instances means for the firewalls of their namespaces, a line for each namespace that has something up.
#[must_use]
pub fn after_failure(paths: &Paths, failed: &[Instance]) -> Vec<String> {
    let names: BTreeSet<&NsName> = failed.iter().map(|instance| &instance.name).collect();
    names.into_iter().filter_map(|name| state_after_failure(paths, name, failed)).collect()
}

fn state_after_failure(paths: &Paths, name: &NsName, failed: &[Instance]) -> Option<String> {
    let mut firewalls = configured(paths, name).ok()?;
    let is_firewall = |instance: &&Instance| Declared::of(paths, &instance.nstype).firewall;
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
