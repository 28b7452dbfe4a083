//! Finds stale files: locks, logs, files of closed namespaces, counts of sysctls, and unfinished files of killed writers.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use walkdir::DirEntry;

use super::{Orphan, OrphanKind};
use crate::config::declaration::Declaration;
use crate::config::{plugin, remembered};
use crate::engine::state::{self, State};
use crate::library::sysctl;
use crate::name::{Instance, NsName, NsType, unit};
use crate::netns::{self, NameState};
use crate::paths::Paths;
use crate::sys::file;

/// The age after which an unfinished file counts as abandoned. Every process that writes such a file finishes it in less time.
const STALE_AGE: Duration = Duration::from_secs(60);

/// The suffix of a temporary file of remembered values (`remember` in src/bash/library/remembered.sh).
pub const TEMPORARY_SUFFIX: char = '~';

/// Returns the entries of a directory, or nothing if it does not exist.
pub fn entries(directory: &Path) -> Result<Vec<DirEntry>> {
    if directory.exists() { file::entries(directory) } else { Ok(Vec::new()) }
}

/// Returns the paths and names of the possible records in a directory: all entries that are not hidden.
pub fn records(directory: &Path) -> Result<Vec<(PathBuf, String)>> {
    let entries = entries(directory)?.into_iter();
    let named =
        entries.map(|entry| (entry.path().to_owned(), entry.file_name().to_string_lossy().into_owned()));
    Ok(named.filter(|(_, name)| !name.starts_with('.')).collect())
}

/// Opens a record and parses its subject from the file name. An invalid record is added to `found`.
pub fn open_record<Subject>(path: &Path, text: &str, found: &mut Vec<Orphan>) -> Option<(Subject, File)>
where
    Subject: FromStr<Err: Display>,
{
    let subject = text.parse().map_err(|error| found.push(Orphan::unusable(path, error))).ok()?;
    match file::open(path, OpenOptions::new().read(true)) {
        Ok(file) => Some((subject, file)),
        // Another process has removed the record.
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            found.push(Orphan::unusable(path, error));
            None
        }
    }
}

/// Finds stale files.
/// Errors: a directory or a namespace cannot be read.
pub fn find(paths: &Paths, states: &BTreeMap<NsName, State>) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    for (path, file) in records(&paths.direct)? {
        if let Some(name) = file.strip_suffix(".lock") {
            found.extend(check_lock(paths, path, name, states));
        } else if let Some(instance) = file.strip_suffix(".log") {
            let Some((instance, _)) = open_record(&path, instance, &mut found) else { continue };
            found.extend(check_log(paths, path, &instance, states));
        }
    }
    for (path, name) in records(&paths.closed)? {
        let Some((name, _)) = open_record::<NsName>(&path, &name, &mut found) else { continue };
        if netns::inspect(paths, &name)? == NameState::Missing {
            let reason = "the namespace of this file does not exist".to_owned();
            found.push(Orphan { kind: OrphanKind::File, path, reason });
        }
    }
    found.extend(sysctls(paths)?);
    found.extend(unfinished(paths)?);
    Ok(found)
}

/// Finds the instances that a sysctl of the host is counted for, and that have no remembered values.
fn sysctls(paths: &Paths) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    for (path, _) in records(&paths.sysctls)? {
        let count = match sysctl::read_count(&path) {
            Ok(Some(count)) => count,
            Ok(None) => continue,
            Err(error) => {
                found.push(Orphan::unusable(&path, format!("{error:#}")));
                continue;
            }
        };
        for owner in count.owners.into_iter().filter(|owner| !remembered::exists(paths, owner)) {
            let reason =
                "the instance has no remembered values, so its down does not restore the sysctl".to_owned();
            let kind = OrphanKind::Sysctl(count.variable.clone(), owner);
            found.push(Orphan { kind, path: path.clone(), reason });
        }
    }
    Ok(found)
}

/// Finds unfinished files of killed writers.
fn unfinished(paths: &Paths) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    let types = plugin::known(paths).unwrap_or_default();
    let declared: Vec<Declaration> = types.iter().map(|nstype| Declaration::of(paths, nstype)).collect();
    let directories = [
        &paths.conf,
        &paths.units,
        &paths.ownership,
        &paths.closed,
        &paths.sysctls,
        &paths.daemons,
        &paths.direct,
        &paths.remembered,
    ];
    for directory in directories {
        let is_own = directory.starts_with(paths.ownership.parent().unwrap_or(&paths.ownership));
        for entry in entries(directory)? {
            let name = entry.file_name().to_string_lossy();
            let is_temporary = is_draft(&name, is_own, &declared)
                || directory == &paths.remembered && name.ends_with(TEMPORARY_SUFFIX);
            if is_temporary && entry.file_type().is_file() && is_stale(&entry) {
                let reason = "this file is unfinished: its writer was killed".to_owned();
                found.push(Orphan { kind: OrphanKind::File, path: entry.path().to_owned(), reason });
            }
        }
    }
    Ok(found)
}

/// Returns the reason for the removal of a file of a deleted type.
pub fn type_is_gone(nstype: &NsType) -> String {
    format!("type `{nstype}` does not exist any more")
}

/// Checks a log. The log of a failed instance stays until the instance is taken down. If the type has no plugin any more, the
/// instance cannot be taken down, so the log is stale.
fn check_log(
    paths: &Paths,
    path: PathBuf,
    instance: &Instance,
    states: &BTreeMap<NsName, State>,
) -> Option<Orphan> {
    let is_known = states.get(&instance.name).is_some_and(|state| {
        state.instances.is_empty() || state.instances.iter().any(|entry| entry.nstype == instance.nstype)
    });
    (!is_known && plugin::find(paths, &instance.nstype).is_err()).then(|| Orphan {
        kind: OrphanKind::File,
        path,
        reason: type_is_gone(&instance.nstype),
    })
}

fn check_lock(paths: &Paths, path: PathBuf, name: &str, states: &BTreeMap<NsName, State>) -> Option<Orphan> {
    let name: NsName = match name.parse() {
        Ok(name) => name,
        Err(error) => return Some(Orphan::unusable(&path, error)),
    };
    let is_needed = || !states.contains_key(&name) && paths.state(&name).symlink_metadata().is_ok();
    match state::is_locked(paths, &name) {
        Ok(held) if held || is_needed() => None,
        Ok(_) => {
            let reason = "no process holds this lock".to_owned();
            Some(Orphan { kind: OrphanKind::Lock(name), path, reason })
        }
        Err(error) => Some(Orphan::unusable(&path, format!("{error:#}"))),
    }
}

/// Whether a file is an unfinished file (a draft) of this program. In a directory that is also used by other programs, the
/// name of the draft must contain the name of one of our files.
fn is_draft(file: &str, is_own_directory: bool, types: &[Declaration]) -> bool {
    file::draft_target(file).is_some_and(|name| is_own_directory || is_rules(name, types) || is_unit(name))
}

/// Whether this is the name of a file of saved rules, or of its backup.
fn is_rules(name: &str, types: &[Declaration]) -> bool {
    let name = name.strip_suffix('~').unwrap_or(name);
    types.iter().any(|declared| declared.has_rules(name))
}

/// Whether this is the name of the template unit of a type.
fn is_unit(name: &str) -> bool {
    name.ends_with("@.service") && unit::type_part(name).is_some()
}

fn is_stale(entry: &DirEntry) -> bool {
    let modified = entry.metadata().ok().and_then(|metadata| metadata.modified().ok());
    modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > STALE_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_shared_directory_only_drafts_of_our_files_are_ours() {
        let rules = [Declaration::read("# Rules: nft-NAME.rules nft.rules\n")];
        for ours in [".nft-a.rules.netns-draft-aB3xYz", ".netns-veth@.service.netns-draft-aB3xYz"] {
            assert!(is_draft(ours, false, &rules), "{ours}");
        }
        let other = ".a.json.netns-draft-aB3xYz";
        assert!(!is_draft(other, false, &rules) && is_draft(other, true, &rules));
    }
}
