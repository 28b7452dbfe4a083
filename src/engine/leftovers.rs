//! What an instance that is not up has left on the host, whichever engine it was: its last hook removes that.

use std::fs;

use anyhow::Result;

use super::runner::Runner;
use super::state::LockedState;
use crate::name::{Instance, Phase, Side};
use crate::paths::Paths;

/// Runs `down outside` of an instance that is not up, on a namespace that nobody else works on.
/// Errors: the hook cannot be run, or fails.
pub fn clear(paths: &Paths, _held: &LockedState, instance: &Instance) -> Result<()> {
    run(paths, &Runner::new(paths)?, instance)
}

pub(super) fn run(paths: &Paths, runner: &Runner, instance: &Instance) -> Result<()> {
    runner.run(instance, (Phase::Down, Side::Outside), true, None, |_| Ok(()))?;
    _ = fs::remove_file(paths.log(instance));
    Ok(())
}
