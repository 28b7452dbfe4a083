//! Runs a hook in this process.

use std::io::Write;

use anyhow::{Context, Result};

use super::plan::{Planned, plan, skip};
use super::wrapper::NO_CONFIGURATION;
use super::{Caller, CallerKind, Hook};
use crate::config::remembered;
use crate::name::{Phase, Side};
use crate::netns::ownership;
use crate::paths::Paths;

/// Runs a hook: this process becomes bash. The function returns only if nothing is run.
/// Errors: [`plan`] fails, bash cannot be started, or stdout cannot be written.
pub fn run(paths: &Paths, hook: &Hook, trace: bool) -> Result<()> {
    let caller = Caller::of(trace, CallerKind::Netnsinit)?;
    let planned = ownership::recorded(paths, &hook.instance.name)
        .and_then(|ours| plan(paths, hook, &caller, ours.as_ref()));
    if planned.is_err() && (hook.phase, hook.side) == (Phase::Down, Side::Outside) {
        remembered::mark_unfinished(paths, &hook.instance)?;
    }
    match planned? {
        Planned::Bash(bash) => match bash.exec()? {},
        Planned::Nothing => {
            skip(paths, hook)?;
            #[allow(clippy::disallowed_methods)] // names are checked
            let mut stdout = std::io::stdout();
            writeln!(stdout, "{}\n{NO_CONFIGURATION}", hook.starting()).context("cannot write to stdout")
        }
    }
}
