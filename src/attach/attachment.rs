//! To attach a unit and to detach it, step by step: whether it can be done, what will be odd about it, and the change itself.

use std::fs::File;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::fcntl::Flock;

use super::bus::Bus;
use super::compatibility::shares;
use super::preconditions::{
    ensure_bound_is_up, ensure_no_direct, ensure_outside, ensure_unit_files, loaded, systemd,
};
use super::running::{Left, restart, running};
use super::{Attached, DropIn, Found, ServiceUnit, apply, attached, look, namespace, place, warnings};
use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::systemd::systemctl::Systemctl;
use crate::systemd::unit_files;

/// A unit that is about to be attached.
#[derive(Debug)]
pub struct Attachment<'a> {
    paths: &'a Paths,
    systemd: Systemctl,
    /// The unit, by its own name.
    pub unit: ServiceUnit,
    /// What it will be bound to, on the namespace.
    instances: Vec<Instance>,
    /// The namespace.
    pub namespace: NsName,
    /// What is about to be written.
    pub drop_in: DropIn,
    /// What will not be as one might expect, a line each.
    pub warnings: Vec<String>,
}

/// A unit whose drop-in was changed, with what runs of it.
#[derive(Debug)]
pub struct ChangedUnit<'a> {
    paths: &'a Paths,
    systemd: Systemctl,
    unit: ServiceUnit,
    /// The units that ran before.
    pub names: Vec<String>,
    /// Where no process of it may be any more.
    left: Option<Left>,
    /// Nobody else changes units meanwhile.
    _lock: Flock<File>,
}

impl<'a> Attachment<'a> {
    /// Looks whether the unit can be bound to the instances. Nothing is changed.
    /// Errors: it cannot; says why, and what to do.
    pub fn plan(paths: &'a Paths, called: &ServiceUnit, instances: Vec<Instance>, bus: Bus) -> Result<Self> {
        let namespace = namespace(paths, &instances)?;
        namespace.check_mount_unit_length()?;
        ensure_unit_files(paths, &instances)?;
        let systemd = systemd(paths)?;
        ensure_no_direct(paths, &instances)?;
        let (unit, properties) = loaded(called)?;
        ensure!(
            properties.get("Transient") != "yes",
            "`{unit}` was made by systemd-run and goes when it ends: give that --property=NetworkNamespacePath=/run/netns/{namespace}"
        );
        if let Some(reason) = shares(&unit, &properties) {
            bail!("cannot attach `{unit}`: {reason}");
        }
        bus.fits(&unit, &properties)?;
        let drop_in = DropIn::of(paths, &unit, &instances, &namespace).with_bus(bus);
        let warnings = warnings::of(paths, &unit, &properties, (&instances, &namespace), &drop_in)?;
        Ok(Self { paths, systemd, unit, instances, namespace, drop_in, warnings })
    }

    /// Writes the drop-in, and has systemd read it. Returns whether that made a difference, and what runs. `now`: that will be
    /// restarted.
    /// Errors: what runs would be stopped by it, the drop-in cannot be written, or does not take effect.
    pub fn write(self, now: bool) -> Result<(bool, ChangedUnit<'a>)> {
        let Self { paths, systemd, unit, instances, namespace, drop_in, .. } = self;
        let names = running(&unit)?;
        if !names.is_empty() && !now {
            ensure_bound_is_up(&unit, &instances)?;
        }
        let lock = unit_files::lock(paths)?;
        let changed =
            apply::write(paths, &unit, &drop_in).with_context(|| format!("cannot attach `{unit}`"))?;
        systemd.daemon_reload()?;
        // Drop-ins whose names sort behind ours, such as those of `systemctl edit`, win.
        let (_, properties) = loaded(&unit)?;
        let (wanted, found) = (format!("/run/netns/{namespace}"), properties.get("NetworkNamespacePath"));
        ensure!(
            found == wanted,
            "`{unit}` is not in `{namespace}`: a file that is read later sets NetworkNamespacePath={found}; \
             `systemctl cat {unit}` shows which: take that line out, and run this again"
        );
        Ok((changed, ChangedUnit { paths, systemd, unit, names, left: Left::host(), _lock: lock }))
    }
}

impl ChangedUnit<'_> {
    /// Restarts it.
    /// Errors: a unit does not come up again.
    pub fn restart(&self) -> Result<()> {
        if self.names.is_empty() { Ok(()) } else { restart(&self.systemd, &self.names) }
    }

    /// The processes that are still where they were, a line for each unit.
    /// Errors: systemd cannot be asked.
    pub fn behind(&self) -> Result<Vec<String>> {
        let attached = attached(self.paths)?;
        self.left.as_ref().map_or(Ok(Vec::new()), |left| left.behind(&self.unit, &attached))
    }
}

/// A unit that is about to be detached.
#[derive(Debug)]
pub struct Detachment<'a> {
    paths: &'a Paths,
    systemd: Systemctl,
    /// The unit, by its own name.
    pub unit: ServiceUnit,
}

impl<'a> Detachment<'a> {
    /// Finds the unit. One whose own file is gone may still have our drop-in.
    /// Errors: systemd does not run here.
    pub fn plan(paths: &'a Paths, called: &ServiceUnit) -> Result<Self> {
        let systemd = systemd(paths)?;
        let unit = loaded(called).map_or_else(|_| called.clone(), |(unit, _)| unit);
        Ok(Self { paths, systemd, unit })
    }

    /// Where the drop-in is.
    /// Errors: there is none of ours.
    pub fn place(&self) -> Result<String> {
        match look(self.paths, &self.unit)? {
            Found::Ours(_) => Ok(place(self.paths, &self.unit).display().to_string()),
            _ => Err(self.nothing()),
        }
    }

    fn nothing(&self) -> anyhow::Error {
        anyhow!("`{}` is not attached: `netnsctl status` shows what is", self.unit)
    }

    /// Removes the drop-in, and has systemd read that. `now`: what runs will be restarted.
    /// Errors: what runs would stay in the namespace, there is no drop-in of ours, or it cannot be removed.
    pub fn remove(self, now: bool) -> Result<ChangedUnit<'a>> {
        let names = running(&self.unit)?;
        let attached: Vec<Attached> = attached(self.paths)?;
        if !now {
            ensure_outside(self.paths, &self.unit, &attached)?;
        }
        let left = Left::namespace(self.paths, &self.unit, &attached);
        let lock = unit_files::lock(self.paths)?;
        let is_removed = apply::remove(self.paths, &self.unit)
            .with_context(|| format!("cannot detach `{}`", self.unit))?;
        ensure!(is_removed, "{}", self.nothing());
        self.systemd.daemon_reload()?;
        Ok(ChangedUnit {
            paths: self.paths,
            systemd: self.systemd,
            unit: self.unit,
            names,
            left,
            _lock: lock,
        })
    }
}
