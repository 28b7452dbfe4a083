//! `netns-nft-save`: the firewall of a namespace, as a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::geteuid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::exit::Status;
use crate::firewall;
use crate::firewall::nft;
use crate::name::NsName;
use crate::netlink;
use crate::netns;
use crate::paths::Paths;
use crate::print::say;
use crate::sys::file::{Draft, lock_directory, remove_drafts, sync_directory};
use clap::Parser;
use std::ffi::OsString;

/// Saves the nftables rules of a namespace, where the type nft finds them.
///
/// Writes the rules in force in the namespace NAME to /etc/conf.d/netns/nft-NAME.rules. The new file replaces the old one in one
/// step, and the old one is kept as nft-NAME.rules~. The file begins with `flush ruleset`, so it can be loaded any number of
/// times. An empty ruleset does not replace a file that has rules.
#[derive(Debug, Parser)]
#[command(name = "netns-nft-save", version)]
pub struct NftSaveArgs {
    /// The namespace
    #[arg(value_name = "NAME")]
    pub name: OsString,
    /// Replace rules by an empty ruleset, too
    #[arg(long)]
    pub force: bool,
}

/// How long another run may take; a unit that saves on its way down has 30 seconds for all of it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(options: &NftSaveArgs) -> Result<Status> {
    let name = NsName::new(&options.name)?;
    ensure!(geteuid().is_root(), "only root may read the rules of a namespace: run it by sudo");
    let paths = Paths::under("/".as_ref());
    let target = paths.rules(&name);
    ensure!(!target.is_dir(), "cannot write {}: it is a directory; move it out of the way", target.display());

    say(&format!("Attempting to save the nftables rules of netns '{name}'..."));
    let rules = {
        let _inside = netns::enter(&paths, &name)?;
        require_rules(&paths, &name, options.force)?;
        let rules = [b"flush ruleset\n".as_slice(), &nft::run(&["list", "ruleset"], b"")?].concat();
        // What cannot be loaded must not take the place of what can (rules of iptables-nft may list as comments).
        nft::run(&["--check", "--file", "-"], &rules)
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
    let files = [&target, &backup(&target)].map(|path| path.file_name().map(ToOwned::to_owned));
    remove_drafts(&paths.conf, |file| files.iter().flatten().any(|name| name == file))?;
    let draft = Draft::on_disk(&target, &rules)?;
    keep_previous(&target, &rules)?;
    draft.put()?;
    sync_directory(&paths.conf)?;
    say(&format!("Successfully saved them to '{}'.", target.display()));
    Ok(Status::Done)
}

/// An empty ruleset must not replace rules: whoever flushes the rules, be it a service in the namespace, would switch the
/// firewall off for good.
fn require_rules(paths: &Paths, name: &NsName, force: bool) -> Result<()> {
    let tables = netlink::tables().context("cannot read the nftables rules in force")?;
    ensure!(
        !tables.iter().any(|table| table == firewall::TABLE),
        "refusing to save the rules of namespace `{name}`: its firewall is not loaded\n  fix: `netnsctl restart nft@{name}`, \
         then save again"
    );
    ensure!(
        force || netlink::filters_anything()? || !has_rules(paths, name),
        "refusing to save the rules of namespace `{name}`: no rules are in force, and the file has rules\n  fix: `netnsctl \
         restart nft@{name}` loads them; `--force` saves the empty ruleset"
    );
    Ok(())
}

/// Whether the file that the next start loads filters anything. It is loaded in a namespace of its own; a file that cannot be loaded
/// there is assumed to have rules.
fn has_rules(paths: &Paths, name: &NsName) -> bool {
    let files = [paths.rules(name), paths.shared_rules()];
    let Some(file) = files.into_iter().find(|file| file.symlink_metadata().is_ok()) else { return false };
    if !file.is_file() {
        return true;
    }
    let load = move || -> Result<bool> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        nft::run(&["--file", &file.to_string_lossy()], b"")?;
        netlink::filters_anything()
    };
    thread::spawn(load).join().is_ok_and(|filters| filters.unwrap_or(true))
}

/// Keeps the file that is about to be replaced as `nft-NAME.rules~`, unless its contents are the same.
fn keep_previous(target: &Path, rules: &[u8]) -> Result<()> {
    // A pipe would block.
    if !fs::metadata(target).is_ok_and(|found| found.is_file()) {
        return Ok(());
    }
    let previous = fs::read(target).with_context(|| format!("cannot read {}", target.display()))?;
    if previous == rules { Ok(()) } else { Draft::on_disk(&backup(target), &previous)?.put() }
}

/// Where the replaced file is kept.
fn backup(target: &Path) -> PathBuf {
    let mut path = target.as_os_str().to_owned();
    path.push("~");
    path.into()
}
