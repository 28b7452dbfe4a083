//! What has to be so before a unit can be attached or detached.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::members::{listed, members_in};
use super::running::of_name;
use super::{Attached, ServiceUnit};
use crate::engine::{self, Active, EngineKind};
use crate::name::{Instance, UnitName};
use crate::netns::Id;
use crate::paths::{GLOBAL_NETNS, Paths};
use crate::systemd::show::Properties;
use crate::systemd::systemctl::Systemctl;

/// systemd, which has to run.
pub(super) fn systemd(paths: &Paths) -> Result<Systemctl> {
    Systemctl::of(paths)
        .context("systemd does not run here: only its units can be attached; use `netnsctl run`")
}

/// A unit by its own name, which may be another than the one it was called by, and what systemd says of it.
pub(super) fn loaded(unit: &ServiceUnit) -> Result<(ServiceUnit, Properties)> {
    let sample = unit.sample();
    let mut properties = Properties::of_service(&sample)?.pop().unwrap_or_default();
    properties.ask_half(unit)?;
    match properties.get("LoadState") {
        "loaded" => {}
        "masked" => bail!("`{unit}` is masked: `systemctl unmask {unit}` first"),
        "not-found" => {
            bail!("there is no unit `{unit}`: `systemctl list-unit-files` lists those that there are")
        }
        state => bail!("systemd cannot load `{unit}` ({state}): see `systemctl status {sample}`"),
    }
    let id = properties.get("Id");
    let own = if id == sample { unit.clone() } else { unit.known_as(id)? };
    Ok((own, properties))
}

/// The units of all types are there.
pub(super) fn ensure_unit_files(paths: &Paths, instances: &[Instance]) -> Result<()> {
    for instance in instances {
        let unit = paths.units.join(UnitName::InsideTemplate(instance.nstype.clone()).to_string());
        ensure!(
            unit.exists(),
            "there is no {}: run `netns-update`, which writes the units of all types",
            unit.display()
        );
    }
    Ok(())
}

/// Units do not know of what the direct engine has up, and would fail to make the namespace.
pub(super) fn ensure_no_direct(paths: &Paths, instances: &[Instance]) -> Result<()> {
    let active = engine::active(paths)?;
    let direct = |one: &&Active| one.engine == EngineKind::Direct && instances.contains(&one.instance);
    let Some(one) = active.iter().find(direct) else { return Ok(()) };
    let instance = &one.instance;
    bail!(
        "`{instance}` is up by the direct engine, of which systemd knows nothing: `netnsctl down {instance}`, then \
         `netnsctl up --engine systemd {instance}`, and run this again"
    )
}

/// What runs is stopped by systemd as soon as it reads that it is bound to something that is down.
pub(super) fn ensure_bound_is_up(unit: &ServiceUnit, instances: &[Instance]) -> Result<()> {
    for instance in instances {
        let id = instance.unit();
        let is_up = Properties::of_service(&id)?.iter().any(|one| one.get("ActiveState") == "active");
        ensure!(
            is_up,
            "cannot attach `{unit}`: it runs, and systemd would stop it at once, since `{instance}` is not up; \
             run `netnsctl up {instance}` first, or have it restarted by --now"
        );
    }
    Ok(())
}

/// What runs in the namespace would stay there, and not stop with it any more.
pub(super) fn ensure_outside(paths: &Paths, unit: &ServiceUnit, attached: &[Attached]) -> Result<()> {
    let Some(one) = attached.iter().find(|one| one.unit == unit.as_ref()) else { return Ok(()) };
    let namespace = Id::of(&paths.namespace(&one.namespace)).ok();
    let host = Id::of(GLOBAL_NETNS.as_ref()).ok();
    let is_in = |pid: u32| Id::of(format!("/proc/{pid}/ns/net").as_ref()).ok() == namespace;
    for properties in of_name(unit, attached)? {
        let id = properties.id();
        ensure!(
            !properties.runs() || !properties.main_pid().is_none_or(is_in),
            "cannot detach `{unit}`: {id} runs in `{}`, and would go on there without stopping with it; `systemctl stop {id}` \
             first, or have it restarted outside by --now",
            one.namespace
        );
        // If the name is gone, any namespace but the host's may be it.
        let is_meant = |found: Id| namespace.map_or(Some(found) != host, |namespace| found == namespace);
        let left = members_in(&properties, Duration::ZERO, &is_meant);
        ensure!(
            left.is_empty(),
            "cannot detach `{unit}`: {} of {id} would stay in `{}`, without stopping with it; `systemctl kill {id}` ends all \
             processes of the unit",
            listed(&left),
            one.namespace
        );
    }
    Ok(())
}
