//! What will not be as one might expect, once a unit is attached.

use std::fs;

use anyhow::{Context, Result};

use super::bus::{self, Bus};
use super::compatibility::{conflicts, reopened, stranded};
use super::{Attached, DropIn, FILE, ServiceUnit, attached, bus_of};
use crate::firewall;
use crate::name::{Instance, NsName};
use crate::netns::resolver::Mutable;
use crate::paths::Paths;
use crate::systemd::cycles::{self, Cycle};
use crate::systemd::show::Properties;

/// All warnings, a line each. The instances are on that namespace.
/// Errors: something cannot be looked at.
pub(super) fn of(
    paths: &Paths,
    unit: &ServiceUnit,
    properties: &Properties,
    (instances, namespace): (&[Instance], &NsName),
    drop_in: &DropIn,
) -> Result<Vec<String>> {
    let attached = attached(paths)?;
    let mut lines = conflicts(unit, properties, namespace);
    retain_foreign(&mut lines, unit, namespace, &attached);
    lines.extend(stranded(unit, properties, namespace, &attached));
    lines.extend(reopened(
        unit.as_ref(),
        properties,
        drop_in.resolver_directories(),
        "a resolver of the host",
    ));
    lines.extend(drop_in.gaps());
    for firewall in firewall::configured(paths, namespace)? {
        if !instances.contains(&firewall) {
            lines.push(format!(
                "the firewall `{firewall}` is configured, but `{unit}` starts without it: name it, too, or name `{namespace}`"
            ));
        }
    }
    lines.extend(dropped(unit, instances, &attached));
    if drop_in.has_resolver() {
        lines.extend(Mutable::of(paths).warning(&format!("`{unit}`")));
    }
    lines.extend(of_cycles(unit, drop_in)?);
    lines.extend(of_bus(paths, unit, properties, namespace, drop_in.bus())?);
    Ok(lines)
}

/// Leaves out what an earlier attach of ours has written, which this one replaces, or one of its template, which this one wins over.
fn retain_foreign(lines: &mut Vec<String>, unit: &ServiceUnit, namespace: &NsName, attached: &[Attached]) {
    let template = unit.template();
    let is_own = |one: &&Attached| one.unit == unit.as_ref() || Some(&one.unit) == template.as_ref();
    for one in attached.iter().filter(is_own).filter(|one| one.namespace != *namespace) {
        let files = format!("=/etc/netns/{}/", one.namespace);
        let place = format!("NetworkNamespacePath=/run/netns/{}", one.namespace);
        lines.retain(|line| !line.ends_with(&place) && !line.contains(&files));
    }
}

/// The instances that the unit was attached to before, and is not any more.
fn dropped(unit: &ServiceUnit, instances: &[Instance], attached: &[Attached]) -> Option<String> {
    let before = attached.iter().filter(|one| one.unit == unit.as_ref()).flat_map(|one| &one.instances);
    let dropped = before.filter(|instance| !instances.contains(instance));
    let dropped: Vec<String> = dropped.map(|instance| format!("`{instance}`")).collect();
    (!dropped.is_empty()).then(|| {
        format!("`{unit}` was attached to {} before, and does not need that any more", dropped.join(", "))
    })
}

/// A service that has the system bus of the host.
fn of_bus(
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
        .map(|one| bus_of(paths, one))
        .find(|before| *before != Bus::Undecided)
        .unwrap_or_default();
    let mut lines = Vec::new();
    if before == Bus::Hidden && bus != Bus::Hidden {
        lines.push(format!(
            "`{unit}` was attached with --hide-bus before, and has the bus again: add --hide-bus to hide it"
        ));
    }
    match bus {
        Bus::Kept => {}
        Bus::Hidden => {
            let directory = [bus::DIRECTORY.into()];
            lines.extend(reopened(unit.as_ref(), properties, &directory, "the system bus of the host"));
        }
        Bus::Undecided => {
            if let Some(risk) = bus::risk(unit.as_ref(), properties, namespace, &bus::managers()?, before) {
                lines.push(format!(
                    "{risk}; add --hide-bus if it does not need the bus, or --keep-bus to accept that"
                ));
            }
        }
    }
    Ok(lines)
}

/// The ordering cycles that the unit is in once it has the drop-in.
fn of_cycles(unit: &ServiceUnit, drop_in: &DropIn) -> Result<Vec<String>> {
    let overlay = tempfile::tempdir().context("cannot create a temporary directory")?;
    let sample = unit.sample();
    let directory = overlay.path().join(format!("{unit}.d"));
    fs::create_dir(&directory)
        .and_then(|()| fs::write(directory.join(FILE), drop_in.to_string()))
        .with_context(|| format!("cannot write a copy of the drop-in to {}", directory.display()))?;
    let found = cycles::find([&sample], Some(overlay.path()))?;
    let meant = found.iter().filter(|cycle| cycle.has(|one| one == sample));
    let line = |cycle: &Cycle| {
        format!("{cycle}; `systemctl cat {unit}` shows its files: remove an After= or Before= that causes it")
    };
    Ok(meant.map(line).collect())
}
