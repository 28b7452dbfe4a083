//! Preconditions of attach and detach.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::findings::missing_unit;
use super::members::{list_processes, members_in};
use super::running::loaded_units;
use super::{Attached, ServiceUnit};
use crate::engine::{self, Active, EngineKind};
use crate::name::{Instance, UnitName};
use crate::netns::Id;
use crate::paths::{GLOBAL_NETNS, Paths};
use crate::systemd::show::Properties;
use crate::systemd::systemctl::Systemctl;

/// Returns systemctl.
/// Errors: systemd is not running.
pub(super) fn running_systemd(paths: &Paths) -> Result<Systemctl> {
    Systemctl::of(paths)
        .context("systemd is not running here, and only its units can be attached; use `netnsctl run`")
}

/// Loads a unit by its name or an alias. Returns the real name and the properties.
/// Errors: the unit is masked, missing, broken or of another type; systemctl fails.
pub(super) fn load(unit: &ServiceUnit) -> Result<(ServiceUnit, Properties)> {
    let sample = unit.sample();
    let mut properties = Properties::of_service(&sample)?.pop().unwrap_or_default();
    properties.add_counterpart(unit)?;
    match properties.get("LoadState") {
        "loaded" => {}
        "masked" => bail!("{}", engine::masked_unit(unit.as_ref())),
        "not-found" => {
            bail!("{}; `systemctl list-unit-files` lists the units", missing_unit(unit.as_ref()))
        }
        state => bail!("systemd cannot load `{unit}` ({state}); see `systemctl status {sample}`"),
    }
    let id = properties.get("Id");
    let own = if id == sample { unit.clone() } else { unit.with_real_name(id)? };
    Ok((own, properties))
}

/// Checks that the units of all types exist.
/// Errors: a unit file is missing.
pub(super) fn ensure_unit_files(paths: &Paths, instances: &[Instance]) -> Result<()> {
    for instance in instances {
        let unit = paths.units.join(UnitName::InsideTemplate(instance.nstype.clone()).to_string());
        ensure!(unit.exists(), "cannot find {} {}", unit.display(), engine::systemd::UNITS_HINT);
    }
    Ok(())
}

/// Checks that no instance is up under the direct engine: the units would fail to create the namespace.
/// Errors: an instance is up under the direct engine, or the active instances cannot be read.
pub(super) fn ensure_not_direct(paths: &Paths, instances: &[Instance]) -> Result<()> {
    let active = engine::active(paths)?;
    let direct = |one: &&Active| one.engine == EngineKind::Direct && instances.contains(&one.instance);
    let Some(one) = active.iter().find(direct) else { return Ok(()) };
    let instance = &one.instance;
    bail!(
        "`{instance}` is up under the direct engine, not under systemd; run `netnsctl down {instance}`, then \
         `netnsctl up --engine systemd {instance}`, then run this again"
    )
}

/// Checks that the instances are up. After the reload, systemd stops a running unit if BindsTo= names an inactive unit. With the other
/// instances, a unit would run without the network that it is attached to.
/// Errors: an instance is down, or systemctl fails.
pub(super) fn ensure_instances_up(unit: &ServiceUnit, instances: &[Instance]) -> Result<()> {
    for instance in instances {
        let id = instance.unit();
        let is_up = Properties::of_service(&id)?.iter().any(|one| one.get("ActiveState") == "active");
        ensure!(
            is_up,
            "cannot attach the running unit `{unit}`: `{instance}` is not up, so the unit cannot continue to run; \
             run `netnsctl up {instance}` first, or use --now to restart the unit"
        );
    }
    Ok(())
}

/// Checks that the unit has no process in the namespace: after detach, the process would not stop with the namespace.
/// Errors: a process is there, or systemctl fails.
pub(super) fn ensure_no_process_inside(
    paths: &Paths,
    unit: &ServiceUnit,
    attached: &[Attached],
) -> Result<()> {
    let Some(one) = attached.iter().find(|one| one.unit == unit.as_ref()) else { return Ok(()) };
    let namespace = Id::of(&paths.namespace(&one.namespace)).ok();
    let host = Id::of(GLOBAL_NETNS.as_ref()).ok();
    let is_in = |pid: u32| Id::of(format!("/proc/{pid}/ns/net").as_ref()).ok() == namespace;
    for properties in loaded_units(unit, attached)? {
        let id = properties.id();
        ensure!(
            !properties.runs() || !properties.main_pid().is_none_or(is_in),
            "cannot detach `{unit}`: {id} runs in `{}`, and would no longer stop with the namespace; run `systemctl stop {id}` \
             first, or use --now to restart it in the host's network",
            one.namespace
        );
        // If the name was deleted, every namespace other than the host's can be the attached one.
        let is_inside = |found: Id| namespace.map_or(Some(found) != host, |namespace| found == namespace);
        let remaining = members_in(&properties, Duration::ZERO, &is_inside);
        ensure!(
            remaining.is_empty(),
            "cannot detach `{unit}`: {} of {id} would stay in `{}`, and no longer stop with the namespace; `systemctl kill {id}` \
             ends all processes of the unit",
            list_processes(&remaining),
            one.namespace
        );
    }
    Ok(())
}
