//! Attaches and detaches a unit: checks, warnings, and the change.

use std::fs::File;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::fcntl::Flock;

use super::bus::Bus;
use super::findings::{joined_namespaces, overridden_namespace};
use super::follow::{self, Follow};
use super::preconditions::{
    ensure_instances_up, ensure_no_process_inside, ensure_not_direct, ensure_unit_files, load,
    running_systemd,
};
use super::running::{PreviousNetwork, restart, running_units};
use super::{
    Attached, DropIn, DropInFile, ServiceUnit, apply, attached, common_namespace, drop_in_path, read,
    warnings,
};
use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::systemd::systemctl::Systemctl;
use crate::systemd::unit_files;

/// A planned attach of a unit.
#[derive(Debug)]
pub struct Attachment<'a> {
    paths: &'a Paths,
    systemd: Systemctl,
    /// The unit, by its real name.
    pub unit: ServiceUnit,
    /// The instances that the unit is bound to, all on the namespace.
    instances: Vec<Instance>,
    /// The namespace.
    pub namespace: NsName,
    /// The drop-in to write.
    pub drop_in: DropIn,
    /// The warnings, one line each.
    pub warnings: Vec<String>,
}

/// A unit after its drop-in was written or removed, with the units to restart: for a template, its running instances.
#[derive(Debug)]
pub struct ChangedUnit<'a> {
    paths: &'a Paths,
    systemd: Systemctl,
    unit: ServiceUnit,
    /// The names of the units that were running before the change.
    pub names: Vec<String>,
    /// The network before the change, which all processes of the unit must leave: after attach the host's, after detach the
    /// namespace.
    previous: Option<PreviousNetwork>,
    /// Keeps other commands from changing units at the same time.
    _lock: Flock<File>,
}

impl<'a> Attachment<'a> {
    /// Checks that the unit can be bound to the instances, and plans the drop-in. Nothing is changed.
    ///
    /// Errors:
    /// - the instances are on several namespaces, have no plugin or no unit files, or are up under the direct engine;
    /// - the name of the namespace is too long for a mount unit;
    /// - systemd is not running, or the unit cannot be loaded, is transient, or shares the namespaces of another unit;
    /// - the unit does not allow the setting in `bus`;
    /// - a file cannot be read, or systemctl fails.
    pub fn plan(
        paths: &'a Paths,
        called: &ServiceUnit,
        instances: Vec<Instance>,
        bus: Bus,
        follow: Follow,
    ) -> Result<Self> {
        let namespace = common_namespace(paths, &instances)?;
        namespace.check_mount_unit_length()?;
        ensure_unit_files(paths, &instances)?;
        let systemd = running_systemd(paths)?;
        systemd.check_version()?;
        ensure_not_direct(paths, &instances)?;
        let (unit, properties) = load(called)?;
        ensure!(
            properties.get("Transient") != "yes",
            "cannot attach `{unit}`: systemd-run created it for one run; \
             use `systemd-run --property=NetworkNamespacePath=/run/netns/{namespace}`"
        );
        if let Some(reason) = joined_namespaces(unit.as_ref(), &properties) {
            bail!("cannot attach `{unit}`: {reason}");
        }
        bus.ensure_allowed(&unit, &properties)?;
        ensure!(
            follow == Follow::No || follow::has_valid_name(&unit),
            "cannot attach `{unit}`: its name is too long for a unit netns_follow@{unit}.service; use --no-follow"
        );
        let drop_in = DropIn::of(paths, &unit, &instances, &namespace).with_bus(bus).with_follow(follow);
        let warnings = warnings::collect(paths, &unit, &properties, (&instances, &namespace), &drop_in)?;
        Ok(Self { paths, systemd, unit, instances, namespace, drop_in, warnings })
    }

    /// Whether the unit is running; for a template, any of its instances.
    /// Errors: systemctl fails.
    pub fn is_running(&self) -> Result<bool> {
        Ok(!running_units(&self.unit)?.is_empty())
    }

    /// Writes the drop-in, and reloads systemd. Returns whether the drop-in has changed, and the changed unit. `now`: the
    /// caller restarts the running units.
    /// Errors: the reload would stop a running unit; the units are locked; the drop-in cannot be written, or another file
    /// overrides it; systemctl fails.
    pub fn write(self, now: bool) -> Result<(bool, ChangedUnit<'a>)> {
        let Self { paths, systemd, unit, instances, namespace, drop_in, .. } = self;
        let names = running_units(&unit)?;
        if !names.is_empty() && !now {
            ensure_instances_up(&unit, &instances)?;
        }
        let lock = unit_files::lock(paths)?;
        follow::unwatch(paths, &systemd, &unit);
        let changed =
            apply::write(paths, &unit, &drop_in).with_context(|| format!("cannot attach `{unit}`"))?;
        apply::update_followers(paths).with_context(|| format!("cannot attach `{unit}`"))?;
        systemd.daemon_reload()?;
        follow::forget(paths, &unit)?;
        let attached = attached(paths)?;
        follow::watch(paths, &systemd, attached.iter().filter(|one| one.unit == unit.as_ref()))?;
        // A drop-in with a later name, such as one of `systemctl edit`, overrides this drop-in.
        let (_, properties) = load(&unit)?;
        if let Some(problem) = overridden_namespace(unit.as_ref(), &namespace, &properties) {
            bail!("{problem}; remove the line (`systemctl cat {unit}` shows the files), then run this again");
        }
        Ok((
            changed,
            ChangedUnit { paths, systemd, unit, names, previous: PreviousNetwork::host(), _lock: lock },
        ))
    }
}

impl ChangedUnit<'_> {
    /// Restarts the running units.
    /// Errors: a unit does not come up again, or systemctl fails.
    pub fn restart(&self) -> Result<()> {
        if self.names.is_empty() { Ok(()) } else { restart(&self.systemd, &self.names) }
    }

    /// Reports the processes that are still in the previous network, one line for each unit.
    /// Errors: the drop-ins cannot be read, or systemctl fails.
    pub fn remaining_processes(&self) -> Result<Vec<String>> {
        let attached = attached(self.paths)?;
        self.previous.as_ref().map_or(Ok(Vec::new()), |previous| previous.remaining(&self.unit, &attached))
    }
}

/// A planned detach of a unit.
#[derive(Debug)]
pub struct Detachment<'a> {
    paths: &'a Paths,
    systemd: Systemctl,
    /// The unit, by its real name.
    pub unit: ServiceUnit,
}

impl<'a> Detachment<'a> {
    /// Finds the unit. A unit without a unit file can still have a drop-in.
    /// Errors: systemd is not running.
    pub fn plan(paths: &'a Paths, called: &ServiceUnit) -> Result<Self> {
        let systemd = running_systemd(paths)?;
        let unit = load(called).map_or_else(|_| called.clone(), |(unit, _)| unit);
        Ok(Self { paths, systemd, unit })
    }

    /// The path of the drop-in.
    /// Errors: the drop-in is missing or foreign, or cannot be read.
    pub fn path(&self) -> Result<String> {
        match read(self.paths, &self.unit)? {
            DropInFile::Ours(_) => Ok(drop_in_path(self.paths, &self.unit).display().to_string()),
            _ => Err(self.not_attached()),
        }
    }

    fn not_attached(&self) -> anyhow::Error {
        anyhow!("`{}` is not attached; `netnsctl status` lists the attached services", self.unit)
    }

    /// Removes the drop-in, and reloads systemd. `now`: the caller restarts the running units.
    /// Errors: a process would stay in the namespace; the units are locked; the drop-in is missing or foreign, or cannot be
    /// removed; systemctl fails.
    pub fn remove(self, now: bool) -> Result<ChangedUnit<'a>> {
        let names = running_units(&self.unit)?;
        let attached: Vec<Attached> = attached(self.paths)?;
        if !now {
            ensure_no_process_inside(self.paths, &self.unit, &attached)?;
        }
        let previous = PreviousNetwork::namespace(self.paths, &self.unit, &attached);
        let lock = unit_files::lock(self.paths)?;
        follow::unwatch(self.paths, &self.systemd, &self.unit);
        let is_removed = apply::remove(self.paths, &self.unit)
            .with_context(|| format!("cannot detach `{}`", self.unit))?;
        ensure!(is_removed, "{}", self.not_attached());
        apply::update_followers(self.paths).with_context(|| format!("cannot detach `{}`", self.unit))?;
        self.systemd.daemon_reload()?;
        follow::forget(self.paths, &self.unit)?;
        Ok(ChangedUnit {
            paths: self.paths,
            systemd: self.systemd,
            unit: self.unit,
            names,
            previous,
            _lock: lock,
        })
    }
}
