//! `netns-nft-save`: the firewall of a namespace, as a file.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use duct::cmd;
use nix::unistd::geteuid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::{Status, say};
use crate::cli::NftSave;
use crate::file::{Draft, lock_directory, remove_drafts, sync_directory};
use crate::name::NsName;
use crate::netns;
use crate::paths::Paths;

/// How long another run may take; a unit that saves on its way down has 30 seconds for all of it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(options: &NftSave) -> Result<Status> {
    let name = NsName::new(&options.name)?;
    ensure!(geteuid().is_root(), "only root may read the rules of a namespace: run it by sudo");
    let paths = Paths::under("/".as_ref());
    let target = paths.rules(&name);
    ensure!(!target.is_dir(), "cannot write {}: it is a directory; move it out of the way", target.display());

    say(&format!("Attempting to save the nftables rules of netns '{name}'..."));
    let rules = {
        let _inside = netns::enter(&paths, &name)?;
        let rules = [b"flush ruleset\n".as_slice(), &nft(&["list", "ruleset"], b"")?].concat();
        // What cannot be loaded must not take the place of what can (rules of iptables-nft may list as comments).
        nft(&["--check", "--file", "-"], &rules)
            .context("the rules cannot be loaded again, so they are not saved")?;
        rules
    };

    // From here on a signal waits: the few milliseconds until the file is in its place are no time to leave.
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))
            .context("cannot set the disposition of a signal")?;
    }
    fs::create_dir_all(&paths.conf).with_context(|| format!("cannot create {}", paths.conf.display()))?;
    let _lock = lock_directory(&paths.conf, PATIENCE)?;
    remove_drafts(&paths.conf, |file| target.file_name().is_some_and(|name| name == file))?;
    Draft::on_disk(&target, &rules)?.put()?;
    sync_directory(&paths.conf)?;
    say(&format!("Successfully saved them to '{}'.", target.display()));
    Ok(Status::Done)
}

/// Runs nft in the current namespace; returns what it prints.
fn nft(words: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let output =
        cmd("nft", words).stdin_bytes(input).stdout_capture().stderr_capture().unchecked().run().map_err(
            |error| match error.kind() {
                std::io::ErrorKind::NotFound => {
                    anyhow!("`nft` is not installed: on Debian `apt install nftables`")
                }
                _ => anyhow!("cannot run `nft`: {error}"),
            },
        )?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`nft {}` failed ({}): {}", words.join(" "), output.status, said.trim());
    Ok(output.stdout)
}
