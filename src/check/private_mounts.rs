//! Reports units of instances whose mounts are hidden from the host, by a setting in a drop-in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirEntry};
use std::io;

use anyhow::Result;

use super::{Examined, Finding};
use crate::name::{Instance, UnitName};
use crate::systemd::UNIT_PATH;
use crate::systemd::private_mounts::PrivateMounts;
use crate::systemd::unit_files::dropins;

/// Checks the units of the wanted instances. Units with the same settings are reported together.
pub(super) fn check(examined: &[Examined], is_wanted: &dyn Fn(&Instance) -> bool) -> Result<Vec<Finding>> {
    let instances = examined.iter().map(|one| &one.instance).filter(|instance| is_wanted(instance));
    let sizes = with_same_files(instances.flat_map(|one| [one.name.unit(), one.outside_unit(), one.unit()]));
    let mut groups: BTreeMap<(bool, Vec<String>), Vec<PrivateMounts>> = BTreeMap::new();
    for one in PrivateMounts::of(sizes.keys())? {
        let is_namespace = matches!(UnitName::parse(&one.unit), Some(UnitName::Name(_)));
        groups.entry((is_namespace, one.settings.clone())).or_default().push(one);
    }
    let size = |unit: &PrivateMounts| sizes.get(&unit.unit).copied().unwrap_or(1);
    let findings = groups.into_iter().map(|((is_namespace, settings), units)| {
        finding(is_namespace, &settings, &units[0], units.iter().map(size).sum())
    });
    Ok(findings.collect())
}

/// Returns one unit of each group of units with the same files, and the size of the group: a query of each of hundreds of units
/// would take long. The units of a template have the same files, except those with an administrator's own drop-in.
fn with_same_files(units: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for unit in units {
        let template = unit.split('@').next().unwrap_or_default();
        let group = if has_own_drop_in(&unit) { &unit } else { template };
        groups.entry(group.to_owned()).or_default().insert(unit);
    }
    groups.into_values().filter_map(|units| Some((units.first()?.clone(), units.len()))).collect()
}

/// Whether a unit has a drop-in that systemd-netns has not written.
fn has_own_drop_in(unit: &str) -> bool {
    let ours = [dropins::REQUIRES.file, dropins::FOLLOW.file];
    let is_ours = |entry: io::Result<DirEntry>| {
        entry.is_ok_and(|entry| ours.iter().any(|file| entry.file_name() == *file))
    };
    UNIT_PATH
        .iter()
        .filter_map(|directory| fs::read_dir(format!("{directory}/{unit}.d")).ok())
        .any(|mut entries| !entries.all(is_ours))
}

fn finding(is_namespace: bool, settings: &[String], first: &PrivateMounts, units: usize) -> Finding {
    let more = if units == 1 { String::new() } else { format!(" and {} more units", units - 1) };
    let subject = format!("{} in the files of {}{more}", settings.join(" "), first.unit);
    let finding = if is_namespace {
        Finding::error(format!(
            "{subject}: a namespace that it creates is hidden from the host, so it does not start"
        ))
    } else {
        Finding::warning(format!("{subject}: its hooks do not work on the mounts or the network of the host"))
    };
    finding.advice(first.advice())
}
