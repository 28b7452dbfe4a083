//! Who brings instances up: systemd by its units, or this program itself where systemd is not PID 1. Both run the same
//! hooks, in the same order, and undo the same when one fails.

mod dependants;
mod direct;
pub mod leftovers;
mod log;
mod preflight;
mod runner;
mod schedule;
pub mod state;
pub mod systemd;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Result;
use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;

pub use direct::Direct;
pub use systemd::Systemd;

use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::systemd::journal;

/// The engines, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// systemd's units
    Systemd,
    /// This program itself
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

/// How it went with one instance: whether anything had to be done, or why it could not.
#[derive(Debug)]
pub struct Outcome {
    /// The instance.
    pub instance: Instance,
    /// Whose work it was.
    pub engine: EngineKind,
    /// `false`: it was so already.
    pub changed: Result<bool>,
}

/// How far an instance is, in words that both engines share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// All of it is there.
    Up,
    /// It is on its way, one way or the other.
    Changing,
    /// It should be there, and is not, or not all of it.
    Failed,
    /// Nothing of it is there.
    Down,
}

impl Condition {
    /// That of a unit, by its `ActiveState` (org.freedesktop.systemd1(5)).
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

/// An instance that an engine knows of.
#[derive(Clone, Debug)]
pub struct Active {
    /// The instance.
    pub instance: Instance,
    /// Whose it is.
    pub engine: EngineKind,
    /// How far it is.
    pub condition: Condition,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// Brings instances up and down. Set-up stops at the first error of a namespace and undoes what it did for that instance;
/// tear-down goes on. Each instance has its outcome.
pub trait Engine {
    /// Brings instances up, in this order on each namespace.
    fn up(&self, instances: &[Instance]) -> Vec<Outcome>;

    /// Takes instances down; returns when they are gone, and the namespace with the last one. What is up and requires one of them
    /// goes first if `recursive`; else that one stays.
    fn down(&self, instances: &[Instance], recursive: bool) -> Vec<Outcome>;

    /// Runs the inside hooks again, `down` and `up`; brings up what is not up. What requires one of them is down meanwhile.
    fn restart(&self, instances: &[Instance]) -> Vec<Outcome>;
}

/// The engine of this machine, or the one that was asked for.
/// Errors: the handlers of signals cannot be set, or systemd was asked for and is not PID 1.
pub fn choose(paths: &Paths, asked: Option<EngineKind>, adopt: bool) -> Result<Box<dyn Engine>> {
    match asked.unwrap_or_else(|| default(paths)) {
        EngineKind::Systemd => {
            anyhow::ensure!(
                !adopt,
                "systemd's units make their namespaces themselves: --adopt is for `--engine direct`"
            );
            Ok(Box::new(Systemd::of(paths)?))
        }
        EngineKind::Direct => Ok(Box::new(Direct::of(paths, adopt)?)),
    }
}

/// The instances by the engine that works on them: the one that is asked for; else the one that an instance is up under, or this
/// machine's. `adopt`: none is looked for.
/// Errors: what is up cannot be told.
pub fn by_instance(
    paths: &Paths,
    asked: Option<EngineKind>,
    adopt: bool,
    instances: &[Instance],
) -> Result<BTreeMap<EngineKind, Vec<Instance>>> {
    let mut groups: BTreeMap<EngineKind, Vec<Instance>> = BTreeMap::new();
    let active = if asked.is_none() && !adopt { active(paths)? } else { Vec::new() };
    let is_there = |one: &&Active| matches!(one.condition, Condition::Up | Condition::Changing);
    for instance in instances {
        let has_it = active.iter().filter(is_there).find(|one| one.instance == *instance);
        let kind = asked.or(has_it.map(|one| one.engine)).unwrap_or_else(|| default(paths));
        groups.entry(kind).or_default().push(instance.clone());
    }
    Ok(groups)
}

/// The engine of this machine.
#[must_use]
pub fn default(paths: &Paths) -> EngineKind {
    if paths.systemd.is_dir() { EngineKind::Systemd } else { EngineKind::Direct }
}

/// All that any engine has up, in the order of the names.
/// Errors: one of them cannot be asked.
pub fn active(paths: &Paths) -> Result<Vec<Active>> {
    let mut active = direct::active(paths)?;
    active.extend(systemd::active(paths)?);
    active.sort_by(|one, other| by_namespace(&one.instance).cmp(&by_namespace(&other.instance)));
    Ok(active)
}

/// The namespaces that something requires which the direct engine has up.
/// Errors: what it knows cannot be read.
pub fn required(paths: &Paths) -> Result<BTreeSet<NsName>> {
    Ok(schedule::needed(&state::entries(paths)?).into_iter().cloned().collect())
}

/// The last lines that the hooks of an instance have printed.
#[must_use]
pub fn last_words(paths: &Paths, active: &Active) -> Vec<String> {
    match active.engine {
        EngineKind::Systemd => journal::last_words(&active.instance),
        EngineKind::Direct => log::last_words(&paths.log(&active.instance), 0),
    }
}

fn by_namespace(instance: &Instance) -> (&NsName, &crate::name::NsType) {
    (&instance.name, &instance.nstype)
}
