//! The two engines bring instances up and down. [`Systemd`] starts units; [`Direct`] runs the hooks itself, without
//! systemd. The hooks, their order and the rollback are the same.

mod dependants;
mod direct;
pub mod leftovers;
mod log;
pub mod preflight;
mod runner;
mod schedule;
pub mod state;
pub mod systemd;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Result, anyhow};
use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;

pub use direct::Direct;
pub use preflight::masked_unit;
pub use systemd::Systemd;

use crate::name::{Instance, NsName};
use crate::netns::{self, Identity, NameState, ownership};
use crate::paths::Paths;
use crate::print;
use crate::systemd::journal;

/// The names of the engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// Start and stop systemd units
    Systemd,
    /// Run the hooks directly, without systemd
    Direct,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Systemd => "systemd",
            Self::Direct => "direct",
        })
    }
}

/// The outcome of a command for one instance.
#[derive(Debug)]
pub struct Outcome {
    /// The instance.
    pub instance: Instance,
    /// The engine that did the work.
    pub engine: EngineKind,
    /// Whether the command changed the instance, or why it failed.
    pub changed: Result<bool>,
}

/// The condition of an instance, the same for both engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The instance is up.
    Up,
    /// The instance is coming up or going down, or it is partially up.
    Changing,
    /// The instance has failed.
    Failed,
    /// The instance is down.
    Down,
}

impl Condition {
    /// Returns the condition for an `ActiveState` of a unit (org.freedesktop.systemd1(5)).
    #[must_use]
    pub fn of_unit(state: &str) -> Self {
        match state {
            "active" | "reloading" | "refreshing" => Self::Up,
            "failed" => Self::Failed,
            "inactive" | "" => Self::Down,
            _ => Self::Changing,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Changing => "changing",
            Self::Failed => "failed",
            Self::Down => "down",
        })
    }
}

/// An instance known to an engine: up, changing or failed.
#[derive(Clone, Debug)]
pub struct Active {
    /// The instance.
    pub instance: Instance,
    /// The engine of the instance.
    pub engine: EngineKind,
    /// The condition.
    pub condition: Condition,
    /// The time of the last change, if known.
    pub since: Option<Timestamp>,
    /// The namespace that the direct engine has recorded.
    pub namespace: Option<Identity>,
}

/// Brings instances up and down, with one outcome for each. `up` stops at the first error of a namespace, and undoes the failed
/// instance. `down` continues after an error. `up` and `restart` print the warnings of the hooks of instances that are up then.
pub trait Engine {
    /// Brings instances up, in the given order on each namespace.
    fn up(&self, instances: &[Instance]) -> Vec<Outcome>;

    /// Takes instances down, and deletes a namespace after its last instance. An instance with an active dependant fails; with
    /// `recursive`, its dependants go down first. Under systemd, also attached services and other units are dependants.
    fn down(&self, instances: &[Instance], recursive: bool) -> Vec<Outcome>;

    /// Runs the inside hooks `down` and `up` again, or brings an inactive instance up. Active dependants are down during the
    /// restart.
    fn restart(&self, instances: &[Instance]) -> Vec<Outcome>;
}

/// Returns the requested engine, or the default engine of this machine.
///
/// Errors:
/// - systemd engine: systemd is not PID 1, or `adopt` is set;
/// - direct engine: a capability is missing, `NETNS_HOOK_TIMEOUT` is invalid, or the path of this program is unknown;
/// - both: a signal handler cannot be set.
pub fn choose(paths: &Paths, requested: Option<EngineKind>, adopt: bool) -> Result<Box<dyn Engine>> {
    match requested.unwrap_or_else(|| default_engine(paths)) {
        EngineKind::Systemd => {
            anyhow::ensure!(
                !adopt,
                "--adopt requires `--engine direct`: the systemd units create their own namespaces"
            );
            Ok(Box::new(Systemd::of(paths)?))
        }
        EngineKind::Direct => Ok(Box::new(Direct::of(paths, adopt)?)),
    }
}

/// Groups instances by engine: the requested engine; otherwise the engine under which the instance is active; otherwise the
/// default engine. With `adopt`, it does not matter whether an instance is active.
/// Errors: the active instances cannot be read.
pub fn group_by_engine(
    paths: &Paths,
    requested: Option<EngineKind>,
    adopt: bool,
    instances: &[Instance],
) -> Result<BTreeMap<EngineKind, Vec<Instance>>> {
    let mut groups: BTreeMap<EngineKind, Vec<Instance>> = BTreeMap::new();
    let active = if requested.is_none() && !adopt { active(paths)? } else { Vec::new() };
    let is_active = |one: &&Active| matches!(one.condition, Condition::Up | Condition::Changing);
    for instance in instances {
        let found = active.iter().filter(is_active).find(|one| one.instance == *instance);
        let kind = requested.or(found.map(|one| one.engine)).unwrap_or_else(|| default_engine(paths));
        groups.entry(kind).or_default().push(instance.clone());
    }
    Ok(groups)
}

/// The default engine of this machine: systemd if systemd is PID 1.
#[must_use]
pub fn default_engine(paths: &Paths) -> EngineKind {
    if paths.systemd.is_dir() { EngineKind::Systemd } else { EngineKind::Direct }
}

/// Lists the active and failed instances of both engines, sorted by namespace.
/// Errors: a state file cannot be read, or systemctl fails.
pub fn active(paths: &Paths) -> Result<Vec<Active>> {
    let mut active = direct::active(paths)?;
    active.extend(systemd::active(paths)?);
    active.sort_by(|one, other| namespace_order(&one.instance).cmp(&namespace_order(&other.instance)));
    Ok(active)
}

/// The finding about an active instance whose namespace was deleted or replaced.
/// Errors: the namespace, or a record of it, cannot be read.
pub fn namespace_problem(paths: &Paths, active: &Active) -> Result<Option<String>> {
    let name = &active.instance.name;
    if active.engine == EngineKind::Systemd {
        return ownership::problem(paths, name);
    }
    let Some(ours) = active.namespace else { return Ok(None) };
    Ok(match netns::inspect(paths, name)? {
        NameState::Namespace(_) if ours.has_name(paths, name)? => None,
        NameState::Namespace(_) => Some(ownership::replaced(name)),
        NameState::Missing | NameState::Leftover => Some(ownership::deleted(name)),
    })
}

/// Whether an instance is partially up, and no command of the direct engine works on it: a command was killed.
#[must_use]
pub fn is_interrupted(paths: &Paths, active: &Active) -> bool {
    let name = &active.instance.name;
    if active.engine != EngineKind::Direct || state::is_locked(paths, name).unwrap_or(true) {
        return false;
    }
    // A command may have ended, or begun, since the instances were listed.
    let Ok(Some(state::StateFile::Valid(state))) = state::read(paths, name) else { return false };
    let is_same = |entry: &state::Entry| {
        entry.nstype == active.instance.nstype
            && entry.stage != state::Stage::Up
            && Some(entry.since) == active.since
    };
    state.instances.iter().any(is_same)
}

/// The namespaces that instances of the direct engine require.
/// Errors: a state file cannot be read.
pub fn required_namespaces(paths: &Paths) -> Result<BTreeSet<NsName>> {
    Ok(schedule::required_namespaces(&state::entries(paths)?).into_iter().cloned().collect())
}

/// The last lines of output of the hooks of an instance.
#[must_use]
pub fn last_lines(paths: &Paths, active: &Active) -> Vec<String> {
    match active.engine {
        EngineKind::Systemd => journal::last_lines(&active.instance),
        EngineKind::Direct => log::last_lines(&paths.log(&active.instance), 0),
    }
}

/// Prints the warnings among the lines that the hooks of an instance have printed, each once.
fn print_warnings(instance: &Instance, lines: &[String]) {
    // `print::warn` of a function of the library adds the name of the program.
    let without_program = lines.iter().map(|line| line.strip_prefix("netnsinit: ").unwrap_or(line));
    let mut seen = BTreeSet::new();
    for warning in without_program.filter_map(|line| line.strip_prefix("warning: ")) {
        if seen.insert(warning) {
            print::warn(&format!("{instance}: {warning}"));
        }
    }
}

/// The error of an instance that is down after a teardown with errors.
fn down_with_errors(instance: &Instance, errors: &str) -> anyhow::Error {
    anyhow!("`{instance}` is down, but with errors: {errors}")
}

fn namespace_order(instance: &Instance) -> (&NsName, &crate::name::NsType) {
    (&instance.name, &instance.nstype)
}
