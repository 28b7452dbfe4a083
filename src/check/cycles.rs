//! Ordering cycles that instances and attached units are in.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{Examined, Finding};
use crate::attach::{self, ServiceUnit};
use crate::name::{Instance, unit};
use crate::paths::Paths;
use crate::systemd::cycles;

/// All cycles with one of these units, or `all` with any unit of ours.
pub(super) fn check(
    paths: &Paths,
    examined: &[Examined],
    all: bool,
    meant: &dyn Fn(&Instance) -> bool,
) -> Result<Vec<Finding>> {
    let instances = examined.iter().map(|one| &one.instance).filter(|instance| meant(instance));
    let mut units: BTreeSet<String> = instances.map(Instance::unit).collect();
    let attached = attach::attached(paths)?;
    for one in attached.iter().filter(|one| all || one.instances.iter().any(meant)) {
        units.insert(one.unit.parse::<ServiceUnit>()?.sample());
    }
    if units.is_empty() {
        return Ok(Vec::new());
    }
    let is_meant = |unit: &str| units.contains(unit) || all && unit::is_ours(unit);
    let found = cycles::find(&units, None)?.into_iter().filter(|cycle| cycle.has(is_meant));
    let finding = |cycle: cycles::Cycle| Finding::error(cycle.to_string()).advice(attach::CYCLE_ADVICE);
    Ok(found.map(finding).collect())
}
