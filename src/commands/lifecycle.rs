//! `netnsctl up`, `down` and `restart`.

use anyhow::{Result, ensure};
use clap::Args;
use clap_complete::ArgValueCandidates;
use serde::Serialize;

use super::arguments::OutputArgs;
use super::{candidates, output};
use crate::check;
use crate::engine::{EngineKind, Outcome};
use crate::exit::Status;
use crate::lifecycle::{self, Operation};
use crate::name::{NsName, NsType, Target};
use crate::paths::Paths;
use crate::print::say;

/// The arguments of `up`, `down` and `restart`.
#[derive(Debug, Args)]
pub struct LifecycleArgs {
    /// Instances; NAME means its configured types (up) or active types (down, restart)
    #[arg(value_name = "TYPE@NAME | NAME", required = true, add = ArgValueCandidates::new(candidates::targets))]
    pub targets: Vec<Target>,
    /// Engine; by default systemd if that is PID 1
    #[arg(long)]
    pub engine: Option<EngineKind>,
    /// Use a foreign namespace; `down` does not delete it
    #[arg(long)]
    pub adopt: bool,
    /// Options of the output.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The arguments of `down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// The instances.
    #[command(flatten)]
    pub lifecycle: LifecycleArgs,
    /// Also take down the instances and services that require them
    #[arg(long)]
    pub recursive: bool,
}

pub(super) fn up(paths: &Paths, options: &LifecycleArgs) -> Result<Status> {
    run(paths, options, Operation::Up, ["is up", "was already up"])
}

pub(super) fn down(paths: &Paths, options: &DownArgs) -> Result<Status> {
    let operation = Operation::Down { recursive: options.recursive };
    run(paths, &options.lifecycle, operation, ["is down", "was already down"])
}

/// An error in the files or settings would end the instance: the hook fails, and systemd or the direct engine takes it down. So nothing is
/// restarted then.
pub(super) fn restart(paths: &Paths, options: &LifecycleArgs) -> Result<Status> {
    let instances = Operation::Restart.instances(paths, &options.targets)?;
    let problems = check::restart_problems(paths, &instances)?;
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    ensure!(problems.is_empty(), "cannot restart: {}; nothing was restarted", problems.join("\n  "));
    run(paths, options, Operation::Restart, ["was restarted", "was already up"])
}

/// Runs an operation, and prints the results. `results`: the text for a changed instance, then the text for an unchanged one.
fn run(paths: &Paths, options: &LifecycleArgs, operation: Operation, results: [&str; 2]) -> Result<Status> {
    let LifecycleArgs { targets, engine, adopt, output } = options;
    let report = lifecycle::run(paths, operation, targets, *engine, *adopt)?;
    if output.json {
        output::json("lifecycle", &report.outcomes.iter().map(OutcomeItem::of).collect::<Vec<_>>())?;
    } else {
        for Outcome { instance, changed, .. } in &report.outcomes {
            if let Ok(changed) = changed {
                say(&format!("{instance} {}", if *changed { results[0] } else { results[1] }));
            }
        }
    }
    report.into_result().map(|()| Status::Done)
}

/// One outcome as JSON.
#[derive(Serialize)]
struct OutcomeItem<'a> {
    instance: String,
    engine: EngineKind,
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(rename = "type")]
    nstype: &'a NsType,
    namespace: &'a NsName,
}

impl<'a> OutcomeItem<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        Self {
            instance: outcome.instance.to_string(),
            engine: outcome.engine,
            changed: outcome.changed.as_ref().is_ok_and(|&changed| changed),
            error: outcome.changed.as_ref().err().map(|error| format!("{error:#}")),
            nstype: &outcome.instance.nstype,
            namespace: &outcome.instance.name,
        }
    }
}
