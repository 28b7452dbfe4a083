//! Reports units of instances whose mounts are hidden from the host, by a setting in a drop-in.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::{Examined, Finding};
use crate::name::{Instance, UnitName};
use crate::systemd::private_mounts::PrivateMounts;

/// Checks the units of the wanted instances. Units with the same settings are reported together.
pub(super) fn check(examined: &[Examined], is_wanted: &dyn Fn(&Instance) -> bool) -> Result<Vec<Finding>> {
    let instances = examined.iter().map(|one| &one.instance).filter(|instance| is_wanted(instance));
    let units: BTreeSet<String> =
        instances.flat_map(|one| [one.name.unit(), one.outside_unit(), one.unit()]).collect();
    let mut groups: BTreeMap<(bool, Vec<String>), Vec<PrivateMounts>> = BTreeMap::new();
    for one in PrivateMounts::of(&units)? {
        let is_namespace = matches!(UnitName::parse(&one.unit), Some(UnitName::Name(_)));
        groups.entry((is_namespace, one.settings.clone())).or_default().push(one);
    }
    Ok(groups
        .into_iter()
        .map(|((is_namespace, settings), units)| finding(is_namespace, &settings, &units))
        .collect())
}

fn finding(is_namespace: bool, settings: &[String], units: &[PrivateMounts]) -> Finding {
    let more = units.len() - 1;
    let more = if more == 0 { String::new() } else { format!(" and {more} more units") };
    let subject = format!("{} in the files of {}{more}", settings.join(" "), units[0].unit);
    let finding = if is_namespace {
        Finding::error(format!(
            "{subject}: a namespace that it creates is hidden from the host, so it does not start"
        ))
    } else {
        Finding::warning(format!("{subject}: the mounts of its hooks are hidden from the host"))
    };
    finding.advice(units[0].advice())
}
