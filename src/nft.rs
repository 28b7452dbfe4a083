//! Runs nft(8).

use std::io::ErrorKind;

use anyhow::{Result, anyhow, ensure};
use duct::cmd;

/// Runs `nft` in the network namespace that this thread is in, and returns what it prints.
///
/// # Errors
/// It is not installed, or fails; then its own message is in the error.
pub fn run(words: &[&str], input: Option<&[u8]>) -> Result<Vec<u8>> {
    let nft = cmd("nft", words);
    let nft = match input {
        Some(input) => nft.stdin_bytes(input),
        None => nft.stdin_null(),
    };
    let output =
        nft.stdout_capture().stderr_capture().unchecked().run().map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                anyhow!("`nft` is not installed, or not in PATH: on Debian `apt install nftables`")
            }
            _ => anyhow!("cannot run `nft`: {error}"),
        })?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`nft {}` failed ({}): {}",
        words.join(" "),
        output.status,
        message.trim()
    );
    Ok(output.stdout)
}
