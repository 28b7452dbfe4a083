//! Runs bash for a query.

use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result};

use super::UNWANTED_VARIABLES;
use crate::paths::BASH;
use crate::sys::file;
use crate::sys::program::{Output, Program};

/// Runs bash text with arguments, in the network namespace of this thread, and returns the output. Background processes are
/// killed.
/// Returns `None` after a timeout.
/// Errors: bash cannot be run.
pub(super) fn run(text: &str, args: &[&str], timeout: Duration) -> Result<Option<Output>> {
    let script = file::in_memory(text.as_bytes()).context("cannot create a file in memory")?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), script.as_raw_fd());
    let bash = Program::new(BASH).env_remove(&UNWANTED_VARIABLES).args([path.as_str()]).args(args);
    bash.output_on_disk().kill_group_at_end().run_within(timeout)
}
