//! Reports instances that should be up and are not. `systemctl reset-failed` clears the failed state of a unit, so the check uses
//! the enabled units and the configured firewalls.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::Finding;
use crate::engine::{Active, Condition};
use crate::firewall;
use crate::name::{Instance, NsName, UnitName};
use crate::paths::Paths;
use crate::sys::file;

pub(super) fn check(
    paths: &Paths,
    active: &[Active],
    is_wanted: &dyn Fn(&Instance) -> bool,
) -> Result<Vec<Finding>> {
    // There is another finding for an instance that has failed.
    let known: BTreeSet<&Instance> =
        active.iter().filter(|one| one.condition != Condition::Down).map(|one| &one.instance).collect();
    let mut findings = Vec::new();
    let enabled = enabled(paths)?;
    for instance in enabled.iter().filter(|one| is_wanted(one) && !known.contains(one)) {
        findings.push(
            Finding::error("the instance is enabled, but not up")
                .of(instance)
                .advice(format!("`netnsctl up {instance}`, or `systemctl disable {}`", instance.unit())),
        );
    }
    let names: BTreeSet<&NsName> =
        active.iter().filter(|one| one.condition == Condition::Up).map(|one| &one.instance.name).collect();
    for name in names {
        for instance in firewall::configured(paths, name)? {
            if !known.contains(&instance) && !enabled.contains(&instance) && is_wanted(&instance) {
                findings.push(
                    Finding::error(format!(
                        "the firewall is configured for the active namespace `{name}`, but not up"
                    ))
                    .of(&instance)
                    .advice(format!("`netnsctl up {instance}`")),
                );
            }
        }
    }
    Ok(findings)
}

/// The instances that systemd starts at boot: those with a link created by `systemctl enable`.
fn enabled(paths: &Paths) -> Result<BTreeSet<Instance>> {
    let mut found = BTreeSet::new();
    for directory in [&paths.units, &paths.systemd].into_iter().filter(|directory| directory.exists()) {
        for entry in file::entries(directory)? {
            let is_list = entry.path().extension().is_some_and(|end| end == "wants" || end == "requires");
            if is_list && entry.path().is_dir() {
                found.extend(instances_in(entry.path())?);
            }
        }
    }
    Ok(found)
}

fn instances_in(directory: &Path) -> Result<Vec<Instance>> {
    let instance = |name: &str| match UnitName::parse(name) {
        Some(UnitName::Inside(instance)) => Some(instance),
        _ => None,
    };
    let entries = file::entries(directory)?;
    Ok(entries.iter().filter_map(|entry| instance(entry.file_name().to_str()?)).collect())
}
