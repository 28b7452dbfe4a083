//! Starts attached units again when their namespace returns.
//!
//! Each attached unit has a unit `netns_follow@UNIT.service`. It is up as long as all instances of the attached unit are up. When
//! it starts, it starts the attached unit. When it stops, it records whether the attached unit was stopped before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::preconditions::running_systemd;
use super::running::loaded_units;
use super::{Attached, DropIn, DropInFile, ServiceUnit, attached, bus::Bus, drop_in_path, read};
use crate::name::{Instance, UNIT_NAME_MAX, UnitName};
use crate::paths::Paths;
use crate::sys::file::{self, Draft};
use crate::systemd::show::Properties;
use crate::systemd::systemctl::Systemctl;
use crate::systemd::unit_files::dropins::FOLLOW;

/// The comment in a drop-in that records `--no-follow`.
const NO_FOLLOW: &str = "# --no-follow: does not start again when the namespace returns.";

/// Whether an attached unit starts again when its namespace returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Follow {
    /// The default. systemd starts the unit only if it is enabled.
    #[default]
    Yes,
    /// `--no-follow`
    No,
}

impl Follow {
    /// Reads the setting from the text of a drop-in; `None` if an older version has written the drop-in.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        text.lines().find_map(|line| match line {
            NO_FOLLOW => Some(Self::No),
            _ => match UnitName::parse(line.strip_prefix("Before=")?) {
                Some(UnitName::Follow(_)) => Some(Self::Yes),
                _ => None,
            },
        })
    }

    /// The option of `netnsctl attach` with a leading space, or an empty string.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Self::Yes => "",
            Self::No => " --no-follow",
        }
    }

    /// The lines of the drop-in.
    pub(super) fn lines(self, unit: &ServiceUnit) -> String {
        match self {
            Self::Yes => format!(
                "# If this unit is enabled, that one starts it again when the namespace returns.\nBefore={}\n",
                follower(unit.as_ref())
            ),
            Self::No => format!("{NO_FOLLOW}\n"),
        }
    }
}

/// The unit that starts an attached unit again.
fn follower(unit: &str) -> UnitName {
    UnitName::Follow(unit.to_owned())
}

/// Whether systemd allows the name of the unit that starts an attached unit again.
#[must_use]
pub fn has_valid_name(unit: &ServiceUnit) -> bool {
    follower(unit.as_ref()).to_string().len() <= UNIT_NAME_MAX
}

/// The drop-ins of the attached units that follow: one for the unit that starts each, and one for each of their instances.
#[must_use]
pub fn drop_ins(attached: &[Attached]) -> BTreeMap<UnitName, String> {
    let mut texts = BTreeMap::new();
    let mut wanted: BTreeMap<UnitName, BTreeSet<String>> = BTreeMap::new();
    for one in attached.iter().filter(|one| one.follow == Some(Follow::Yes)) {
        let units: Vec<String> = one.instances.iter().map(ToString::to_string).collect();
        let (head, follower) = (FOLLOW.header, follower(&one.unit));
        let instances = one.instances.iter().map(Instance::unit);
        let bound = instances.collect::<Vec<_>>().join(" ");
        let text = format!(
            "{head}{} is attached to {}.\n\n[Unit]\nRequisite={bound}\nPartOf={bound}\nAfter={bound}\n",
            one.unit,
            units.join(" ")
        );
        for instance in &one.instances {
            wanted.entry(UnitName::Inside(instance.clone())).or_default().insert(follower.to_string());
        }
        texts.insert(follower, text);
    }
    texts.extend(wanted.into_iter().map(|(instance, followers)| {
        let followers: Vec<String> = followers.into_iter().collect();
        let text = format!(
            "{}these units start again with this instance.\n\n[Unit]\nWants={}\n",
            FOLLOW.header,
            followers.join(" ")
        );
        (instance, text)
    }));
    texts
}

/// Lets the units follow that an older version has attached. Returns the paths and the new texts of their drop-ins.
/// Errors: a drop-in cannot be read.
pub fn upgrade(paths: &Paths, attached: &mut [Attached]) -> Result<Vec<(PathBuf, String)>> {
    let mut changed = Vec::new();
    for one in attached.iter_mut().filter(|one| one.follow.is_none()) {
        let unit: ServiceUnit = one.unit.parse()?;
        if let (DropInFile::Ours(text), true) = (read(paths, &unit)?, has_valid_name(&unit)) {
            let drop_in = DropIn::of(paths, &unit, &one.instances, &one.namespace).with_bus(Bus::of(&text));
            one.follow = Some(Follow::Yes);
            changed.push((drop_in_path(paths, &unit), drop_in.to_string()));
        }
    }
    Ok(changed)
}

/// Starts an attached unit, or the instances of an attached template. Only enabled units are started, and not those that were
/// stopped while the namespace was up. Also starts their failed sockets. Returns the messages of systemctl.
/// Errors: systemd is not running, a directory cannot be read, or systemctl fails.
pub fn start(paths: &Paths, unit: &ServiceUnit) -> Result<String> {
    let systemd = running_systemd(paths)?;
    let attached = attached(paths)?;
    let Some(one) = attached.iter().find(|one| follows(one, unit)) else { return Ok(String::new()) };
    let instances =
        Properties::of("ActiveEnterTimestampMonotonic", one.instances.iter().map(Instance::unit))?;
    let up = instances.iter().map(|instance| instance.time("ActiveEnterTimestampMonotonic")).max();
    // A unit that has stopped since then was stopped by an administrator, or has ended by itself. A `Type=oneshot` unit ends without
    // having been active.
    let is_left = |unit: &Properties| Some(unit.time("InactiveEnterTimestampMonotonic")) > up;
    let units = loaded_units(unit, &attached)?;
    let mut returning: Vec<String> = units
        .iter()
        .filter(|one| is_enabled(one) && !one.runs() && !is_left(one) && !paths.stopped(one.id()).exists())
        .map(|one| one.id().to_owned())
        .collect();
    returning.extend(failed_sockets(&units)?);
    if returning.is_empty() {
        return Ok(String::new());
    }
    // This also clears the counter of StartLimitBurst=: a namespace that returns often must not fail the unit. An error is ignored:
    // the start reports it.
    _ = systemd.reset_failed(&returning);
    Ok(systemd.queue("start", &returning))
}

/// The failed sockets of these units. While a namespace is down, each connection starts the service, which fails at once. systemd
/// repeats this until the limit of the socket is reached (TriggerLimitBurst=), and fails the socket.
/// Errors: systemctl fails.
fn failed_sockets(units: &[Properties]) -> Result<Vec<String>> {
    let triggers = units.iter().flat_map(|unit| unit.values("TriggeredBy"));
    let sockets = Properties::of("ActiveState", triggers.filter(|name| name.ends_with(".socket")))?;
    let failed = sockets.iter().filter(|socket| socket.get("ActiveState") == "failed");
    Ok(failed.map(|socket| socket.id().to_owned()).collect())
}

/// Records whether an attached unit was stopped while its namespace was up.
/// Errors: a directory cannot be read, systemctl fails, or a record cannot be written.
pub fn record(paths: &Paths, unit: &ServiceUnit) -> Result<()> {
    let attached = attached(paths)?;
    if !attached.iter().any(|one| follows(one, unit)) {
        return Ok(());
    }
    for one in loaded_units(unit, &attached)?.into_iter().filter(is_enabled) {
        let path = paths.stopped(one.id());
        if !["inactive", "deactivating"].contains(&one.get("ActiveState")) && !failed_to_stop(&one) {
            file::remove(&path)?;
        } else if !path.exists() && !stopped_with_mount(&one)? {
            let directory = path.parent().unwrap_or(&path);
            fs::create_dir_all(directory)
                .with_context(|| format!("cannot create {}", directory.display()))?;
            Draft::of(&path, b"")?.commit()?;
        }
    }
    Ok(())
}

/// Whether a unit has failed because it was stopped: its main process ended after the unit was no longer active, with an error, such
/// as the status 143 of Java after SIGTERM. Any other failed unit was not stopped by an administrator, and may have failed for want of
/// its network.
fn failed_to_stop(unit: &Properties) -> bool {
    let [stop, end] =
        ["ActiveExitTimestampMonotonic", "ExecMainExitTimestampMonotonic"].map(|key| unit.time(key));
    unit.get("ActiveState") == "failed"
        && ["exit-code", "signal", "core-dump"].contains(&unit.get("Result"))
        && stop != 0
        && stop < end
}

/// Whether a unit has stopped while the mount of its namespace was missing: somebody has deleted the namespace manually.
/// Errors: systemctl fails.
fn stopped_with_mount(unit: &Properties) -> Result<bool> {
    let stopped = unit.time("InactiveEnterTimestampMonotonic").max(unit.time("ActiveExitTimestampMonotonic"));
    let mounts: Vec<&str> =
        unit.values("StopPropagatedFrom").filter(|source| UnitName::parse(source).is_none()).collect();
    Ok(Properties::of("InactiveEnterTimestampMonotonic,ActiveEnterTimestampMonotonic", mounts)?.iter().any(
        |mount| {
            let [gone, back] = ["InactiveEnterTimestampMonotonic", "ActiveEnterTimestampMonotonic"]
                .map(|key| mount.time(key));
            gone != 0 && gone <= stopped && (back < gone || stopped <= back)
        },
    ))
}

fn follows(attached: &Attached, unit: &ServiceUnit) -> bool {
    attached.unit == unit.as_ref() && attached.follow == Some(Follow::Yes)
}

fn is_enabled(unit: &Properties) -> bool {
    unit.get("UnitFileState").starts_with("enabled")
}

/// Starts the units that watch these attached units, if the instances are up. Before, it records which units are stopped: they
/// stay stopped.
/// Errors: a directory cannot be read, systemctl fails, or a record cannot be written.
pub fn watch<'a>(
    paths: &Paths,
    systemd: &Systemctl,
    attached: impl IntoIterator<Item = &'a Attached>,
) -> Result<()> {
    for one in attached.into_iter().filter(|one| one.follow == Some(Follow::Yes)) {
        let follower = follower(&one.unit).to_string();
        let units = one.instances.iter().map(Instance::unit);
        let states = Properties::of("ActiveState", units.chain([follower.clone()]))?;
        let is_up = |unit: &Properties| unit.get("ActiveState") == "active";
        let Some((last, instances)) = states.split_last() else { continue };
        if instances.iter().all(is_up) && !is_up(last) {
            record(paths, &one.unit.parse()?)?;
            systemd.queue("start", &[follower]);
        }
    }
    Ok(())
}

/// Stops the unit that watches an attached unit, before the drop-ins change.
pub(super) fn unwatch(paths: &Paths, systemd: &Systemctl, unit: &ServiceUnit) {
    if drop_in_follows(paths, unit) {
        systemd.change("stop", &[follower(unit.as_ref()).to_string()]);
    }
}

fn drop_in_follows(paths: &Paths, unit: &ServiceUnit) -> bool {
    matches!(read(paths, unit), Ok(DropInFile::Ours(text)) if Follow::of(&text) == Some(Follow::Yes))
}

/// Removes the records of a unit that is no longer attached.
/// Errors: a directory cannot be read, or a record cannot be removed.
pub(super) fn forget(paths: &Paths, unit: &ServiceUnit) -> Result<()> {
    for properties in loaded_units(unit, &[])? {
        file::remove(&paths.stopped(properties.id()))?;
    }
    Ok(())
}
