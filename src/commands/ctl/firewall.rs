//! Whether a namespace was left without its firewall: rules that were to come last did not come, and interfaces are up.

use std::collections::BTreeSet;

use duct::cmd;

use crate::engine::{self, Condition, Outcome};
use crate::name::{Instance, NsName, NsType};
use crate::netns;
use crate::paths::Paths;

/// The type that loads rules.
const FIREWALL: &str = "nft";

/// What is to be said of the namespaces on which something failed. Where the rules themselves do not load, `nft` drops
/// everything; where its hook was never run, nothing does.
pub(super) fn missing(paths: &Paths, outcomes: &[Outcome]) -> Vec<String> {
    let failed = outcomes.iter().filter(|outcome| outcome.changed.is_err());
    let names: BTreeSet<&NsName> = failed.map(|outcome| &outcome.instance.name).collect();
    names.into_iter().filter_map(|name| missing_on(paths, outcomes, name)).collect()
}

fn missing_on(paths: &Paths, outcomes: &[Outcome], name: &NsName) -> Option<String> {
    let firewall = Instance { nstype: NsType::new(FIREWALL.as_ref()).ok()?, name: name.clone() };
    if !paths.conf_of(&firewall).is_file() && !outcomes.iter().any(|outcome| outcome.instance == firewall) {
        return None;
    }
    let up: Vec<Instance> = engine::active(paths)
        .ok()?
        .into_iter()
        .filter(|active| active.instance.name == *name && active.condition == Condition::Up)
        .map(|active| active.instance)
        .collect();
    if up.is_empty() || up.contains(&firewall) || has_rules(paths, name) {
        return None;
    }
    let all: Vec<String> = up.iter().map(|instance| format!("`{instance}`")).collect();
    let is = if all.len() == 1 { "is" } else { "are" };
    Some(format!(
        "`{firewall}` did not come up: namespace `{name}` has no firewall, and {} {is} up; \
         `netnsctl down {name}` closes it",
        all.join(" and ")
    ))
}

/// Whether any rules are in force, of whomever.
fn has_rules(paths: &Paths, name: &NsName) -> bool {
    let Ok(_inside) = netns::enter(paths, name) else { return false };
    let tables = cmd!("nft", "list", "tables").stdin_null().stderr_null().unchecked().read();
    tables.is_ok_and(|tables| !tables.trim().is_empty())
}
