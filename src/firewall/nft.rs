//! Runs nft(8) in the network namespace of this thread.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::sys::program::{Output, Program};

/// The timeout of a short command. Without a timeout, another program with the name `nft` could run without end. Then the
/// namespace would never be closed.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Runs `nft`, and returns its output.
/// Errors: nft is not installed, or fails. The error contains the message of nft.
pub fn run(arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let label = format!("nft {}", arguments.join(" "));
    Ok(nft().label(label).args(arguments).input(input).run()?.success()?.stdout)
}

/// Runs one command of `nft`, with a timeout of 15 seconds.
/// Errors: nft is not installed, fails or times out.
pub fn command(command: &str) -> Result<()> {
    within_timeout(nft().args([command]))?.success().map(drop)
}

/// Loads rules in one transaction, with a timeout of 15 seconds. Errors do not count the first `skipped` lines.
/// Errors: nft is not installed, times out, or refuses the rules. The error has the line, and the message of nft.
pub fn load(rules: &str, skipped: usize) -> Result<()> {
    let answer = within_timeout(nft().args(["--file", "-"]).input(rules))?;
    let message = answer.message();
    let lines: Vec<String> = message.lines().map(|line| renumbered(line, skipped)).collect();
    ensure!(answer.status.success(), "{}", lines.join("\n"));
    Ok(())
}

/// Changes the line number in the first line of a message of nft, `/dev/stdin:LINE:COLUMNS: TEXT`.
fn renumbered(line: &str, skipped: usize) -> String {
    let number = || {
        let (number, rest) = line.strip_prefix("/dev/stdin:")?.split_once(':')?;
        Some(format!("line {}:{rest}", number.parse::<usize>().ok()?.checked_sub(skipped)?))
    };
    number().unwrap_or_else(|| line.to_owned())
}

/// Checks a file of rules without loading it. Returns the errors that `nft` prints, or an empty string.
/// Errors: nft is not installed, or times out.
pub fn check(file: &Path) -> Result<String> {
    let answer = within_timeout(nft().args(["--check", "--file"]).args([file]))?;
    Ok(if answer.status.success() {
        String::new()
    } else {
        String::from_utf8_lossy(&answer.stderr).into_owned()
    })
}

fn within_timeout(program: Program) -> Result<Output> {
    let timed_out = || format!("`nft` did not end within {} seconds", TIMEOUT.as_secs());
    program.run_within(TIMEOUT)?.with_context(timed_out)
}

fn nft() -> Program {
    Program::new("nft").package("nftables")
}
