//! The promise of a firewall type: only loopback traffic passes before its rules are loaded.
//!
//! A plugin declares `# Provides: firewall` ([`crate::config::declaration::Declaration`]). The namespace is closed before any of its
//! files is run, so the promise does not depend on the contents of these files. The hook replaces the closing rules by its own rules
//! in one transaction (`flush ruleset`).

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

/// Closes the namespace before an `up` hook of a firewall. Other types come up only if the namespace can be closed. `ours` is the
/// namespace that was created under the name, if that is known; a foreign one is not changed.
/// Errors: the namespace cannot be closed by rules; then its interfaces are down, and must stay down.
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

/// Refuses the other instances on the namespaces of `refused` firewalls, before any unit or hook is started.
///
/// Returns the instances that may be started.
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
                let error = anyhow!("`{instance}` was not started: its firewall `{firewall}` cannot come up");
                refused.push((instance, error));
            }
            None => kept.push(instance),
        }
    }
    kept
}

/// The configured firewalls of a namespace.
/// Errors: the directory of the plugins cannot be read.
pub fn configured(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let types = plugin::firewalls(paths, &plugin::list(paths)?.types);
    let instances = types.into_iter().map(|nstype| Instance { nstype, name: name.clone() });
    Ok(instances.filter(|instance| plugin::is_configured(paths, instance)).collect())
}
