//! Runs nft(8) in the network namespace of this thread.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::sys::program::Program;

/// The timeout of a short command. Without it, a hanging `nft` could keep a namespace open.
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// Runs `nft`, and returns its output.
/// Errors: nft is not installed, or fails; the error contains its message.
pub fn run(words: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let called = format!("nft {}", words.join(" "));
    Ok(nft().label(called).args(words).input(input).run()?.success()?.stdout)
}

/// Runs one command of `nft`, with a timeout of 15 seconds.
/// Errors: nft is not installed, fails or times out.
pub fn command(command: &str) -> Result<()> {
    let answer = nft().args([command]).run_within(TIME_LIMIT)?;
    let late = || format!("`nft` did not end within {} seconds", TIME_LIMIT.as_secs());
    answer.with_context(late)?.success().map(drop)
}

fn nft() -> Program {
    Program::new("nft").package("nftables")
}
