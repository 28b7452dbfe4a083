//! Warnings about a unit that is about to be attached.

use std::fs;

use anyhow::{Context, Result};

use super::bus::{self, Bus};
use super::circular::circular_dependency;
use super::compatibility::{conflicts, misplaced_counterparts};
use super::findings::{CYCLE_ADVICE, exposing_mounts};
use super::{Attached, DropIn, FILE, ServiceUnit, attached, bus_setting};
use crate::firewall;
use crate::name::{Instance, NsName};
use crate::netns::resolver::ResolvConf;
use crate::paths::Paths;
use crate::systemd::cycles::{self, Cycle};
use crate::systemd::show::Properties;

/// Collects all warnings, one line each.
/// Errors: a directory cannot be read, a temporary file cannot be written, or systemctl or systemd-analyze fails.
pub(super) fn collect(
    paths: &Paths,
    unit: &ServiceUnit,
    properties: &Properties,
    (instances, namespace): (&[Instance], &NsName),
    drop_in: &DropIn,
) -> Result<Vec<String>> {
    let attached = attached(paths)?;
    let mut lines = conflicts(unit, properties, namespace);
    remove_own_conflicts(&mut lines, unit, namespace, &attached);
    lines.extend(misplaced_counterparts(unit, properties, namespace, &attached));
    lines.extend(exposing_mounts(
        unit.as_ref(),
        properties,
        drop_in.resolver_directories(),
        "a resolver of the host",
    ));
    lines.extend(drop_in.skipped_files());
    for firewall in firewall::configured(paths, namespace)? {
        if !instances.contains(&firewall) {
            lines.push(format!(
                "the firewall `{firewall}` is configured, but `{unit}` starts without it; add `{firewall}` to the command, or \
                 use the name `{namespace}` alone to attach to all its configured instances"
            ));
        }
    }
    lines.extend(removed_instances(unit, instances, &attached));
    if drop_in.has_own_resolver() {
        lines.extend(ResolvConf::of(paths).warning(&format!("`{unit}`")));
    }
    lines.extend(circular_dependency(paths, unit, instances)?);
    lines.extend(cycle_warnings(unit, drop_in)?);
    lines.extend(bus_warnings(paths, unit, properties, namespace, drop_in.bus())?);
    Ok(lines)
}

/// Removes the lines about conflicts with a drop-in of an earlier attach. The new drop-in replaces or overrides that drop-in.
fn remove_own_conflicts(
    lines: &mut Vec<String>,
    unit: &ServiceUnit,
    namespace: &NsName,
    attached: &[Attached],
) {
    let template = unit.template();
    let is_own = |one: &&Attached| one.unit == unit.as_ref() || Some(&one.unit) == template.as_ref();
    for one in attached.iter().filter(is_own).filter(|one| one.namespace != *namespace) {
        let files = format!("=/etc/netns/{}/", one.namespace);
        let path = format!("NetworkNamespacePath=/run/netns/{}", one.namespace);
        lines.retain(|line| !line.ends_with(&path) && !line.contains(&files));
    }
}

/// Reports instances of an earlier attach that the unit no longer requires.
fn removed_instances(unit: &ServiceUnit, instances: &[Instance], attached: &[Attached]) -> Option<String> {
    let before = attached.iter().filter(|one| one.unit == unit.as_ref()).flat_map(|one| &one.instances);
    let removed = before.filter(|instance| !instances.contains(instance));
    let removed: Vec<String> = removed.map(|instance| format!("`{instance}`")).collect();
    (!removed.is_empty()).then(|| {
        format!(
            "`{unit}` is attached to {}, and does not require this any more after the command",
            removed.join(", ")
        )
    })
}

/// Reports the risks of the system bus of the host.
/// Errors: systemctl fails.
fn bus_warnings(
    paths: &Paths,
    unit: &ServiceUnit,
    properties: &Properties,
    namespace: &NsName,
    bus: Bus,
) -> Result<Vec<String>> {
    let template: Option<ServiceUnit> = unit.template().map(|template| template.parse()).transpose()?;
    let before = [Some(unit), template.as_ref()]
        .into_iter()
        .flatten()
        .map(|one| bus_setting(paths, one))
        .find(|before| *before != Bus::Undecided)
        .unwrap_or_default();
    let mut lines = Vec::new();
    if before == Bus::Hidden && bus != Bus::Hidden {
        lines.push(format!(
            "`{unit}` was attached with --hide-bus before, and can use the bus again; add --hide-bus to hide it"
        ));
    }
    match bus {
        Bus::Kept => {}
        Bus::Hidden => {
            let directory = [bus::DIRECTORY.into()];
            lines.extend(exposing_mounts(
                unit.as_ref(),
                properties,
                &directory,
                "the system bus of the host",
            ));
        }
        Bus::Undecided => {
            if let Some(risk) = bus::risk(unit.as_ref(), properties, namespace, &bus::managers()?, before) {
                lines.push(format!(
                    "{risk}; add --hide-bus to hide the bus, or --keep-bus to accept the risk"
                ));
            }
        }
    }
    Ok(lines)
}

/// Reports the ordering cycles of the unit with the new drop-in.
/// Errors: the temporary copy of the drop-in cannot be written, or systemd-analyze fails.
fn cycle_warnings(unit: &ServiceUnit, drop_in: &DropIn) -> Result<Vec<String>> {
    let overlay = tempfile::tempdir().context("cannot create a temporary directory")?;
    let sample = unit.sample();
    let directory = overlay.path().join(format!("{unit}.d"));
    fs::create_dir(&directory)
        .and_then(|()| fs::write(directory.join(FILE), drop_in.to_string()))
        .with_context(|| format!("cannot write a copy of the drop-in to {}", directory.display()))?;
    let found = cycles::find([&sample], Some(overlay.path()))?;
    let own = found.iter().filter(|cycle| cycle.has(|one| one == sample));
    let line = |cycle: &Cycle| format!("{cycle}; {CYCLE_ADVICE}");
    Ok(own.map(line).collect())
}
