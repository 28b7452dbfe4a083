//! Brings instances up, takes them down and restarts them. [`targets`] resolves the arguments to instances.
//! [`firewall`] keeps a namespace closed until its firewall is loaded.

mod firewall;
pub mod loopback;
mod progress;
mod targets;
mod users;
pub mod wake;

use std::fs;

use anyhow::{Result, anyhow, bail};

pub use targets::{closest_type, configured, configured_or_active, ensure_known, resolve};

use crate::engine::{self, Engine, EngineKind, Outcome};
use crate::name::{Instance, NsName, Target};
use crate::paths::Paths;
use progress::with_progress;
use users::Users;

/// An operation on instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Brings instances up.
    Up,
    /// Takes instances down.
    Down {
        /// Whether the dependants also go down, before the instances. If not, an instance with an active dependant stays up.
        recursive: bool,
    },
    /// Runs the inside hooks of instances again.
    Restart,
}

/// The result of an operation.
#[derive(Debug)]
pub struct Report {
    /// The outcome of each instance, in the order of the arguments. Dependants that are not in the arguments come first.
    pub outcomes: Vec<Outcome>,
    /// The effects of failures on firewalls, one line a namespace.
    pub firewalls: Vec<String>,
}

impl Report {
    /// Combines all failures in one error, with the effects on firewalls.
    /// Errors: an instance has failed.
    pub fn into_result(self) -> Result<()> {
        let all = self.outcomes.len();
        let mut errors: Vec<_> = self.outcomes.into_iter().filter_map(|one| one.changed.err()).collect();
        if let Some(last) = errors.pop() {
            let lines: Vec<String> = [format!("{last:#}")].into_iter().chain(self.firewalls).collect();
            errors.push(anyhow!("{}", lines.join("\n")));
        }
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            failed => {
                let errors: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
                bail!("{failed} of {all} failed\n{}", errors.join("\n"))
            }
        }
    }
}

impl Operation {
    fn brings_up(self) -> bool {
        !matches!(self, Self::Down { .. })
    }

    /// The operation in a progress message.
    fn participle(self) -> &'static str {
        match self {
            Self::Up => "bringing up",
            Self::Down { .. } => "taking down",
            Self::Restart => "restarting",
        }
    }

    /// The instances of a NAME argument.
    fn expand(self, paths: &Paths, name: &NsName) -> Result<Vec<Instance>> {
        match self {
            Self::Up => configured(paths, name),
            Self::Down { .. } => targets::active_or_none(paths, name),
            Self::Restart => targets::active_instances(paths, name),
        }
    }

    /// The instances of the arguments.
    /// Errors: a target is unknown, or the active instances cannot be read.
    pub fn instances(self, paths: &Paths, targets: &[Target]) -> Result<Vec<Instance>> {
        resolve(paths, targets, |paths, name| self.expand(paths, name))
    }

    fn act(self, engine: &dyn Engine, instances: &[Instance]) -> Vec<Outcome> {
        match self {
            Self::Up => engine.up(instances),
            Self::Down { recursive } => engine.down(instances, recursive),
            Self::Restart => engine.restart(instances),
        }
    }
}

/// Runs an operation with the requested engine, or with the engine of each instance. With `adopt`, foreign namespaces are
/// taken over.
///
/// Errors: a target is unknown, the active instances cannot be read, or the engine is not available. Failures of instances
/// are in the outcomes.
pub fn run(
    paths: &Paths,
    operation: Operation,
    targets: &[Target],
    requested: Option<EngineKind>,
    adopt: bool,
) -> Result<Report> {
    let instances = operation.instances(paths, targets)?;
    let mut users = None;
    if operation.brings_up() {
        firewall::close_requested(paths, &instances);
    } else {
        targets::ensure_something_known(paths, &instances)?;
        users = Some(Users::of(paths, &instances));
    }
    let mut outcomes = Vec::new();
    for (kind, group) in engine::group_by_engine(paths, requested, adopt, &instances)? {
        let engine = engine::choose(paths, Some(kind), adopt)?;
        outcomes
            .extend(with_progress(operation.participle(), &group, || operation.act(engine.as_ref(), &group)));
        if matches!(operation, Operation::Down { .. }) && kind == EngineKind::Systemd && requested.is_none() {
            // A log of the direct engine would list the instance as failed.
            for instance in &group {
                _ = fs::remove_file(paths.log(instance));
            }
        }
    }
    outcomes.sort_by_key(|outcome| instances.iter().position(|instance| *instance == outcome.instance));
    if let Some(users) = users {
        users.warn(paths);
    }
    let firewalls = if operation.brings_up() { after_failure(paths, &outcomes) } else { Vec::new() };
    Ok(Report { outcomes, firewalls })
}

/// Brings up all configured instances of a namespace with the default engine.
/// Errors: nothing is configured, the engine is not available, or an instance does not come up.
pub fn up(paths: &Paths, name: &NsName) -> Result<()> {
    let instances = configured(paths, name)?;
    firewall::close_requested(paths, &instances);
    let engine = engine::choose(paths, None, false)?;
    let outcomes = with_progress(Operation::Up.participle(), &instances, || engine.up(&instances));
    Report { firewalls: after_failure(paths, &outcomes), outcomes }.into_result()
}

/// Brings instances up under systemd.
/// Errors: systemd is not running, or an instance does not come up.
pub fn up_under_systemd(paths: &Paths, instances: &[Instance]) -> Result<()> {
    let targets: Vec<Target> = instances.iter().cloned().map(Target::Instance).collect();
    let report = run(paths, Operation::Up, &targets, Some(EngineKind::Systemd), false)?;
    report.into_result()
}

fn after_failure(paths: &Paths, outcomes: &[Outcome]) -> Vec<String> {
    let failed = outcomes.iter().filter(|one| one.changed.is_err());
    let failed: Vec<Instance> = failed.map(|one| one.instance.clone()).collect();
    // A masked or missing unit has not closed the namespace.
    firewall::close_requested(paths, &failed);
    firewall::after_failure(paths, &failed)
}
