//! Removes the leftovers of an inactive instance on the host, with the hook `down outside`. Works for both engines.

use std::fs;

use anyhow::Result;

use super::runner::Runner;
use super::state::LockedState;
use crate::name::{Instance, Phase, Side};
use crate::paths::Paths;

/// Runs `down outside` of an inactive instance on a locked namespace.
/// Errors: the program path is unknown, a signal handler cannot be set, `NETNS_HOOK_TIMEOUT` is invalid, or the hook fails.
pub fn remove(paths: &Paths, _locked: &LockedState, instance: &Instance) -> Result<()> {
    run_down_outside(paths, &Runner::new(paths)?, instance)
}

pub(super) fn run_down_outside(paths: &Paths, runner: &Runner, instance: &Instance) -> Result<()> {
    runner.run(instance, (Phase::Down, Side::Outside), true, None, |_| Ok(()))?;
    _ = fs::remove_file(paths.log(instance));
    Ok(())
}
