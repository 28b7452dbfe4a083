//! What has to be done.

use std::cell::LazyCell;
use std::collections::BTreeSet;

use anyhow::Result;

use crate::attach::{self, Attached};
use crate::config::plugin;
use crate::name::NsType;
use crate::paths::Paths;
use crate::requires::Graph;
use crate::systemd::systemctl::Loaded;
use crate::systemd::unit_files::{self, Plan, Template};

/// Plans that each type has its units, each instance that requires something its drop-in, and each firewall its own. Units with
/// instances among `loaded` that are active or failed, or that a service is attached to, are not removed. What instances require is left
/// alone where that cannot be.
/// Errors: the directory of the units cannot be read.
pub fn plan<'a>(
    paths: &Paths,
    types: &BTreeSet<NsType>,
    templates: &'a [Template],
    graph: &Graph,
    loaded: &[Loaded],
) -> Result<Plan<'a>> {
    let present = unit_files::present(paths)?;
    // Few runs have a type to remove.
    let attached = LazyCell::new(|| attach::attached(paths));
    let needs = |word: &str| -> Vec<String> {
        let holder = loaded.iter().find(|unit| unit.holds() && unit.nstype() == Some(word));
        let attached: Vec<String> = match &*attached {
            Ok(all) => all.iter().filter(|one| one.needs(word)).map(Attached::advice).collect(),
            Err(error) => vec![format!("what is attached cannot be told: {error:#}")],
        };
        holder.map(Loaded::advice).into_iter().chain(attached).collect()
    };
    let mut plan = unit_files::plan(paths, &present, types, templates, needs);
    if graph.problems.is_empty() {
        plan.add_requirements(paths, &present, &graph.units());
    }
    plan.add_firewalls(paths, &present, &plugin::firewalls(paths, types));
    Ok(plan)
}
