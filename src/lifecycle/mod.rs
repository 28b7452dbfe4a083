//! Brings instances up, takes them down and restarts them: [`targets`] tells which instances are meant, each goes to its engine, and
//! [`firewall`] keeps what is brought up closed until its rules are loaded.

mod firewall;
mod progress;
mod targets;

use std::fs;

use anyhow::Result;

pub use targets::{configured, resolve};

use crate::engine::{self, Engine, EngineKind, Outcome};
use crate::name::{Instance, NsName, Target};
use crate::paths::Paths;
use progress::while_telling;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Instances are brought up.
    Up,
    /// Instances are taken down; if `recursive`, after what requires them.
    Down {
        /// Else what something requires stays.
        recursive: bool,
    },
    /// The inside hooks of instances are run again.
    Restart,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// How it went with each instance, in the order in which they were named.
    pub outcomes: Vec<Outcome>,
    /// What the failures mean for the firewalls of their namespaces, a line each.
    pub firewalls: Vec<String>,
}

impl Work {
    fn brings_up(self) -> bool {
        !matches!(self, Self::Down { .. })
    }

    /// What it is called while it lasts.
    fn present(self) -> &'static str {
        match self {
            Self::Up => "bringing up",
            Self::Down { .. } => "taking down",
            Self::Restart => "restarting",
        }
    }

    /// The instances that a bare name stands for.
    fn all_of(self, paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
        match self {
            Self::Up => configured(paths, name),
            Self::Down { .. } => targets::any_active(paths, name),
            Self::Restart => targets::some_active(paths, name),
        }
    }

    fn act(self, engine: &dyn Engine, instances: &[Instance]) -> Vec<Outcome> {
        match self {
            Self::Up => engine.up(instances),
            Self::Down { recursive } => engine.down(instances, recursive),
            Self::Restart => engine.restart(instances),
        }
    }
}

/// Does the work on what is named, by the engine that is asked for; else by the one that an instance is up under, or this machine's.
/// `adopt`: a namespace that somebody else has made is taken over.
/// Errors: there is no such type, namespace or engine. What goes wrong with an instance is in its outcome.
pub fn run(
    paths: &Paths,
    work: Work,
    targets: &[Target],
    asked: Option<EngineKind>,
    adopt: bool,
) -> Result<Report> {
    let instances = resolve(paths, targets, |paths, name| work.all_of(paths, name))?;
    if work.brings_up() {
        firewall::close_requested(paths, &instances);
    }
    let mut outcomes = Vec::new();
    for (kind, group) in engine::by_instance(paths, asked, adopt, &instances)? {
        let engine = engine::choose(paths, Some(kind), adopt)?;
        outcomes.extend(while_telling(work.present(), &group, || work.act(engine.as_ref(), &group)));
        if matches!(work, Work::Down { .. }) && kind == EngineKind::Systemd && asked.is_none() {
            // It is not up under the direct engine; where it has failed under that, the log is left.
            for instance in &group {
                _ = fs::remove_file(paths.log(instance));
            }
        }
    }
    outcomes.sort_by_key(|outcome| instances.iter().position(|instance| *instance == outcome.instance));
    let firewalls = if work.brings_up() { after_failure(paths, &outcomes) } else { Vec::new() };
    Ok(Report { outcomes, firewalls })
}

/// Brings up what is configured for a namespace, by the engine of this machine.
/// Errors: nothing is configured, or something does not come up.
pub fn up(paths: &Paths, name: &NsName) -> Result<()> {
    let instances = configured(paths, name)?;
    firewall::close_requested(paths, &instances);
    let engine = engine::choose(paths, None, false)?;
    let outcomes = while_telling(Work::Up.present(), &instances, || engine.up(&instances));
    outcomes.into_iter().try_for_each(|outcome| outcome.changed.map(drop))
}

fn after_failure(paths: &Paths, outcomes: &[Outcome]) -> Vec<String> {
    let failed = outcomes.iter().filter(|one| one.changed.is_err());
    let failed: Vec<Instance> = failed.map(|one| one.instance.clone()).collect();
    // A unit that is masked, or that systemd does not find, has closed nothing.
    firewall::close_requested(paths, &failed);
    firewall::after_failure(paths, &failed)
}
