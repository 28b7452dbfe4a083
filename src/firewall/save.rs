//! Saves the nftables rules in force in a namespace to the file that the plugin of its firewall loads.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::close::TABLE;
use super::nft;
use crate::config::declaration::RulesFiles;
use crate::config::plugin;
use crate::name::{Instance, NsName, NsType};
use crate::netlink;
use crate::netns;
use crate::paths::Paths;
use crate::sys::file::{Draft, lock_directory, remove_drafts, sync_directory};

/// The time to wait for the lock while another run holds it. A unit that saves its rules must stop within 30 seconds.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// A save that can start: the file is known.
#[derive(Debug)]
pub struct Save<'a> {
    paths: &'a Paths,
    name: &'a NsName,
    rules: RulesFiles,
}

impl<'a> Save<'a> {
    /// Finds the file. `requested` is the type, which is required if several types save rules.
    /// Errors: no plugin or several plugins declare a file of rules, or the path is a directory.
    pub fn of(paths: &'a Paths, name: &'a NsName, requested: Option<&NsType>) -> Result<Self> {
        let save = Self { paths, name, rules: choose(paths, name, requested)? };
        let target = save.target();
        ensure!(
            !target.is_dir(),
            "cannot write {}: it is a directory; remove or rename it",
            target.display()
        );
        Ok(save)
    }

    /// The path of the file.
    #[must_use]
    pub fn target(&self) -> &Path {
        // The list is never empty.
        self.rules.files.first().map_or(Path::new(""), PathBuf::as_path)
    }

    /// Saves the rules. With `force`, an empty ruleset may replace a file that has rules.
    /// Errors: an empty ruleset would replace rules, the firewall is not loaded, the rules cannot be read or loaded again, or the
    /// file cannot be written. The old file stays.
    pub fn run(&self, force: bool) -> Result<()> {
        let rules = self.read(force)?;
        // From here on signals have no effect: within a few milliseconds the file is complete, and the program ends.
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))
                .context("cannot set the disposition of a signal")?;
        }
        self.write(&rules)
    }

    /// Reads the rules in force, as input of `nft --file`.
    fn read(&self, force: bool) -> Result<Vec<u8>> {
        let _inside = netns::enter(self.paths, self.name)?;
        self.require_rules(force)?;
        let rules = [b"flush ruleset\n".as_slice(), &nft::run(&["list", "ruleset"], b"")?].concat();
        // Otherwise rules that cannot be loaded could replace valid rules (nft may list rules of iptables-nft as comments).
        nft::run(&["--check", "--file", "-"], &rules)
            .context("the rules cannot be loaded again, so they are not saved")?;
        Ok(rules)
    }

    /// Checks that an empty ruleset does not replace rules. Otherwise a program that flushes the rules, such as a service in the
    /// namespace, would switch the firewall off permanently.
    fn require_rules(&self, force: bool) -> Result<()> {
        let (name, nstype) = (self.name, &self.rules.nstype);
        let tables = netlink::tables().context("cannot read the nftables rules in force")?;
        ensure!(
            !tables.iter().any(|table| table.name == TABLE),
            "refusing to save the rules of namespace `{name}`: its firewall is not loaded\n  fix: `netnsctl restart {nstype}@{name}`, \
             then save again"
        );
        ensure!(
            force || netlink::filters_anything()? || !self.file_has_rules(),
            "refusing to save the rules of namespace `{name}`: no rules are in force, and the file has rules\n  fix: `netnsctl \
             restart {nstype}@{name}` loads them; `--force` saves the empty ruleset"
        );
        Ok(())
    }

    /// Whether the file that the next start of the firewall loads has rules that filter traffic. To check this, the file is
    /// loaded in a temporary namespace. If the file cannot be loaded, it is assumed to have rules.
    fn file_has_rules(&self) -> bool {
        let Some(file) = self.rules.files.iter().find(|file| file.symlink_metadata().is_ok()) else {
            return false;
        };
        if !file.is_file() {
            return true;
        }
        let file = file.to_string_lossy().into_owned();
        let load = move || -> Result<bool> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            nft::run(&["--file", &file], b"")?;
            netlink::filters_anything()
        };
        thread::spawn(load).join().is_ok_and(|filters| filters.unwrap_or(true))
    }

    fn write(&self, rules: &[u8]) -> Result<()> {
        let (conf, target) = (&self.paths.conf, self.target());
        fs::create_dir_all(conf).with_context(|| format!("cannot create {}", conf.display()))?;
        let _lock = lock_directory(conf, LOCK_TIMEOUT)?;
        let files = [target, &backup(target)].map(|path| path.file_name().map(ToOwned::to_owned));
        remove_drafts(conf, |file| files.iter().flatten().any(|name| name == file))?;
        let draft = Draft::synced(target, rules)?;
        keep_previous(target, rules)?;
        draft.commit()?;
        sync_directory(conf)
    }
}

/// The files of the requested type. If no type is requested and only one type has files of rules, the files of this type. If
/// several types have such files, the files of the only type among them that is configured.
fn choose(paths: &Paths, name: &NsName, requested: Option<&NsType>) -> Result<RulesFiles> {
    let mut found = RulesFiles::of(paths, name);
    if let Some(requested) = requested {
        found.retain(|one| one.nstype == *requested);
    } else if found.len() > 1 {
        let is_configured = |nstype: &NsType| {
            plugin::is_configured(paths, &Instance { nstype: nstype.clone(), name: name.clone() })
        };
        let configured: Vec<RulesFiles> =
            found.iter().filter(|one| is_configured(&one.nstype)).cloned().collect();
        if configured.len() == 1 {
            found = configured;
        }
    }
    // A copy of a plugin under another name has the same file.
    found.dedup_by(|one, other| one.files.first() == other.files.first());
    let types: Vec<String> = found.iter().map(|one| format!("--type {}", one.nstype)).collect();
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => {
            bail!(
                "several types save the rules of namespace `{name}`: choose one with {}",
                types.join(" or ")
            )
        }
        (None, _) => bail!(
            "cannot save the rules of namespace `{name}`: no plugin{} declares `# Rules: FILE`; hint: check that the plugin is installed",
            requested.map(|nstype| format!(" of the type `{nstype}`")).unwrap_or_default()
        ),
    }
}

/// Keeps a copy of the file, with `~` after its name, before the file is replaced. Without a change of contents, no copy is kept.
fn keep_previous(target: &Path, rules: &[u8]) -> Result<()> {
    // Reading a pipe would block.
    if !fs::metadata(target).is_ok_and(|found| found.is_file()) {
        return Ok(());
    }
    let previous = fs::read(target).with_context(|| format!("cannot read {}", target.display()))?;
    if previous == rules { Ok(()) } else { Draft::synced(&backup(target), &previous)?.commit() }
}

/// The path of the copy.
fn backup(target: &Path) -> PathBuf {
    let mut path = target.as_os_str().to_owned();
    path.push("~");
    path.into()
}
