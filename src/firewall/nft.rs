//! Runs nft(8) in the network namespace that this thread is in.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use duct::cmd;
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::print::escape;

/// The time that a short command has: without it, a program in the place of `nft` could keep a namespace open.
const TIME_LIMIT: Duration = Duration::from_secs(15);

/// Runs `nft`, and returns what it prints.
///
/// # Errors
/// It is not installed, or fails; then its own message is in the error.
pub fn run(words: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let output = cmd("nft", words)
        .stdin_bytes(input)
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .map_err(|error| not_run(&error))?;
    require_success(&format!("nft {}", words.join(" ")), output.status, &output.stderr)?;
    Ok(output.stdout)
}

/// Runs one command of `nft`, which has 15 seconds. It is passed as an argument: netnsinit would be ended by SIGPIPE if `nft` did
/// not read its input.
///
/// # Errors
/// It is not installed, fails or does not end.
pub fn command(command: &str) -> Result<()> {
    // Not a pipe: a process that `nft` has started could keep it open.
    let mut messages: File =
        memfd_create(c"nft", MFdFlags::MFD_CLOEXEC).context("cannot create a file in memory")?.into();
    let handle = cmd!("nft", command)
        .stdin_null()
        .stdout_null()
        .stderr_file(messages.try_clone().context("cannot pass on a descriptor")?)
        .unchecked()
        .start()
        .map_err(|error| not_run(&error))?;
    let Some(output) = handle.wait_timeout(TIME_LIMIT).context("cannot wait for `nft`")? else {
        handle.kill().context("cannot end `nft`")?;
        bail!("`nft` did not end within {} seconds", TIME_LIMIT.as_secs());
    };
    let mut message = Vec::new();
    messages
        .rewind()
        .and_then(|()| messages.read_to_end(&mut message))
        .context("cannot read the messages of `nft`")?;
    require_success("nft", output.status, &message)
}

fn not_run(error: &io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound => {
            anyhow!("`nft` is not installed, or not in PATH: on Debian `apt install nftables`")
        }
        _ => anyhow!("cannot run `nft`: {error}"),
    }
}

fn require_success(what: &str, status: std::process::ExitStatus, message: &[u8]) -> Result<()> {
    ensure!(status.success(), "`{what}` failed ({status}): {}", escape::text(message).trim());
    Ok(())
}
