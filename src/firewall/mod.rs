//! The promise of a type that provides a firewall: nothing but loopback passes before its rules are loaded.
//!
//! A plugin declares `# Provides: firewall` ([`crate::config::plugin::Declaration`]). Its namespace is closed before any of its files is
//! run, so the promise does not depend on what these files do. The hook replaces the closing rules by its own in one
//! transaction (`flush ruleset`).

mod close;
pub mod nft;
pub mod save;

use anyhow::{Result, anyhow};

pub use close::{close, is_closed, open, require_open};

use crate::config::declaration::Declaration;
use crate::config::plugin;
use crate::name::{Instance, NsName, Phase, Side};
use crate::netns::{self, Identity, Named};
use crate::paths::Paths;

/// Closes the namespace of an `up` hook if that belongs to a firewall, which may not be loaded. Other types come up only if
/// closing was possible. `ours` is the namespace that was created under the name, if that is known; another one is left alone.
/// Errors: the namespace cannot be closed by rules; its interfaces are down then, and have to stay so.
pub fn before_hook(
    paths: &Paths,
    instance: &Instance,
    (phase, side): (Phase, Side),
    ours: Option<&Identity>,
) -> Result<()> {
    let Instance { nstype, name } = instance;
    if phase != Phase::Up {
        return Ok(());
    }
    if !Declaration::of(paths, nstype).firewall {
        return require_open(paths, name);
    }
    // In all other cases the hook itself is refused.
    let is_meant = match netns::look(paths, name)? {
        Named::Namespace(id) => side == Side::Outside || netns::own()? == id,
        Named::Nothing | Named::Debris => false,
    };
    if is_meant && ours.map_or(Ok(true), |ours| ours.has_name(paths, name))? {
        close(paths, name)
    } else {
        Ok(())
    }
}

/// Refuses the other instances of the namespaces of firewalls that are `refused` before any unit or hook is started.
///
/// Returns the instances that may be begun.
pub fn hold_back(
    paths: &Paths,
    accepted: Vec<Instance>,
    refused: &mut Vec<(Instance, anyhow::Error)>,
) -> Vec<Instance> {
    let is_firewall = |instance: &Instance| Declaration::of(paths, &instance.nstype).firewall;
    let firewalls: Vec<Instance> =
        refused.iter().map(|(instance, _)| instance).filter(|one| is_firewall(one)).cloned().collect();
    let mut kept = Vec::new();
    for instance in accepted {
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
/// Errors: the directory of the plugins cannot be read.
pub fn configured(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let types = plugin::firewalls(paths, &plugin::list(paths)?.types);
    let instances = types.into_iter().map(|nstype| Instance { nstype, name: name.clone() });
    Ok(instances.filter(|instance| plugin::is_configured(paths, instance)).collect())
}
