//! Runs nft(8) in the network namespace that this thread is in.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::sys::program::Program;

/// The time that a short command has: without it, a program in the place of `nft` could keep a namespace open.
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// Runs `nft`, and returns what it prints.
/// Errors: it is not installed, or fails; then its own message is in the error.
pub fn run(words: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let called = format!("nft {}", words.join(" "));
    Ok(nft().label(called).args(words).input(input).run()?.success()?.stdout)
}

/// Runs one command of `nft`, which has 15 seconds.
/// Errors: it is not installed, fails or does not end.
pub fn command(command: &str) -> Result<()> {
    let answer = nft().args([command]).run_within(TIME_LIMIT)?;
    let late = || format!("`nft` did not end within {} seconds", TIME_LIMIT.as_secs());
    answer.with_context(late)?.success().map(drop)
}

fn nft() -> Program {
    Program::new("nft").package("nftables")
}
