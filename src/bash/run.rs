//! The process of a bash that answers a question.

use std::os::fd::AsRawFd;
use std::time::Duration;

use anyhow::{Context, Result};

use super::UNWANTED_VARIABLES;
use crate::paths::BASH;
use crate::sys::file;
use crate::sys::program::{Output, Program};

/// How long reading the files of an instance may take.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// Runs bash text with these words, in the namespace of this thread; what it prints is kept, and what it has started and left is
/// ended.
/// Errors: bash cannot be run, or does not come to an end.
pub(super) fn run(text: &str, words: &[&str]) -> Result<Output> {
    let script = file::in_memory(text.as_bytes()).context("cannot create a file in memory")?;
    let place = format!("/proc/{}/fd/{}", std::process::id(), script.as_raw_fd());
    let bash = Program::new(BASH).env_remove(&UNWANTED_VARIABLES).args([place.as_str()]).args(words);
    let answer = bash.output_on_disk().kill_group_at_end().run_within(TIME_LIMIT)?;
    answer.with_context(|| format!("no end was reached in {} seconds", TIME_LIMIT.as_secs()))
}
