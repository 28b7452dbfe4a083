//! Runs bash for a query.

use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result};

use super::UNWANTED_VARIABLES;
use crate::paths::BASH;
use crate::sys::file;
use crate::sys::program::{Output, Program};

/// The timeout for reading the files of an instance.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs bash text with arguments, in the network namespace of this thread. Background processes are killed. Returns the output.
/// Errors: bash cannot be run, or times out.
pub(super) fn run(text: &str, args: &[&str]) -> Result<Output> {
    let script = file::in_memory(text.as_bytes()).context("cannot create a file in memory")?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), script.as_raw_fd());
    let bash = Program::new(BASH).env_remove(&UNWANTED_VARIABLES).args([path.as_str()]).args(args);
    let output = bash.output_on_disk().kill_group_at_end().run_within(TIMEOUT)?;
    output.with_context(|| format!("timed out after {} seconds", TIMEOUT.as_secs()))
}
