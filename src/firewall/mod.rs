//! Types whose plugin declares `# Provides: firewall` ([`crate::config::declaration::Declaration`]). Their namespace is closed until
//! the rules are loaded.

mod close;
pub mod nft;
pub mod save;

use anyhow::{Result, anyhow};

pub use close::{close, is_closed, open, require_open};

use crate::config::declaration::Declaration;
use crate::config::plugin;
use crate::name::{Instance, NsName, Phase, Side};
use crate::netns::{self, Identity, NameState};
use crate::paths::Paths;

/// Closes the namespace before an `up` hook of a firewall. `ours` is the recorded namespace, if a record exists.
/// Errors: [`close()`] has failed, now or for an earlier hook.
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
    // The files of the instance are not read yet, so errors in them cannot open the namespace. Later, the hook replaces the closing
    // rules in one transaction (`flush ruleset`). Without the namespace, or in the wrong one, the check of the hook fails later.
    let is_right = match netns::inspect(paths, name)? {
        NameState::Namespace(id) => side == Side::Outside || netns::current()? == id,
        NameState::Missing | NameState::Leftover => false,
    };
    // A foreign namespace is not changed.
    if is_right && ours.map_or(Ok(true), |ours| ours.has_name(paths, name))? {
        close(paths, name)
    } else {
        Ok(())
    }
}

/// If `refused` contains a firewall, also refuses the other instances on its namespace, before any unit or hook is started.
/// Returns the instances that may be started.
pub fn hold_back(
    paths: &Paths,
    accepted: Vec<Instance>,
    refused: &mut Vec<(Instance, anyhow::Error)>,
) -> Vec<Instance> {
    let is_firewall = |instance: &Instance| Declaration::of(paths, &instance.nstype).firewall;
    let firewalls: Vec<Instance> =
        refused.iter().map(|(instance, _)| instance).filter(|one| is_firewall(one)).cloned().collect();
    let mut allowed = Vec::new();
    for instance in accepted {
        match firewalls.iter().find(|firewall| firewall.name == instance.name) {
            Some(firewall) => {
                let error = anyhow!("`{instance}` was not started: its firewall `{firewall}` cannot come up");
                refused.push((instance, error));
            }
            None => allowed.push(instance),
        }
    }
    allowed
}

/// The firewalls that are configured for a namespace.
/// Errors: the directory of the plugins cannot be read.
pub fn configured(paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
    let types =
        plugin::declaring(&plugin::declarations(paths, &plugin::list(paths)?.types), |one| one.firewall);
    let instances = types.into_iter().map(|nstype| Instance { nstype, name: name.clone() });
    Ok(instances.filter(|instance| plugin::is_configured(paths, instance)).collect())
}
