//! Reports ordering cycles of instances and attached units.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{Examined, Finding};
use crate::attach::{self, ServiceUnit};
use crate::name::{Instance, unit};
use crate::paths::Paths;
use crate::systemd::cycles;

/// Reports the cycles with one of these units; with `all`, the cycles with any unit of systemd-netns.
pub(super) fn check(
    paths: &Paths,
    examined: &[Examined],
    all: bool,
    is_wanted: &dyn Fn(&Instance) -> bool,
) -> Result<Vec<Finding>> {
    let instances = examined.iter().map(|one| &one.instance).filter(|instance| is_wanted(instance));
    let mut units: BTreeSet<String> = instances.map(Instance::unit).collect();
    let attached = attach::attached(paths)?;
    for one in attached.iter().filter(|one| all || one.instances.iter().any(is_wanted)) {
        units.insert(one.unit.parse::<ServiceUnit>()?.sample());
    }
    if units.is_empty() {
        return Ok(Vec::new());
    }
    let is_wanted = |unit: &str| units.contains(unit) || all && unit::is_ours(unit);
    let found = cycles::find(&units, None)?.into_iter().filter(|cycle| cycle.has(is_wanted));
    let finding = |cycle: cycles::Cycle| Finding::error(cycle.to_string()).advice(attach::CYCLE_ADVICE);
    Ok(found.map(finding).collect())
}
