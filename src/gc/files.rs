//! Files that nobody reads any more: locks, logs, and what was being written when the writer was killed.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use walkdir::DirEntry;

use super::{Orphan, What};
use crate::config::declaration::Declaration;
use crate::config::plugin;
use crate::engine::state::{self, State};
use crate::name::{Instance, NsName, unit};
use crate::netns::{self, Named};
use crate::paths::Paths;
use crate::sys::file;

/// Nobody writes a file for that long.
const OLD: Duration = Duration::from_secs(60);

/// The end of what a hook writes before it takes the place of what was remembered (`remember` in src/bash/runtime.sh).
pub const REMEMBERING: char = '~';

/// The entries of a directory that may be missing.
pub fn entries(directory: &Path) -> Result<Vec<DirEntry>> {
    if directory.exists() { file::entries(directory) } else { Ok(Vec::new()) }
}

/// What may be a record of ours in a directory, with its name: all that is not hidden.
pub fn records(directory: &Path) -> Result<Vec<(PathBuf, String)>> {
    let entries = entries(directory)?.into_iter();
    let named =
        entries.map(|entry| (entry.path().to_owned(), entry.file_name().to_string_lossy().into_owned()));
    Ok(named.filter(|(_, name)| !name.starts_with('.')).collect())
}

/// A record of ours: what it is about, by a word of its name, and the file. What is none goes to `found`.
pub fn record<Description>(path: &Path, word: &str, found: &mut Vec<Orphan>) -> Option<(Description, File)>
where
    Description: FromStr<Err: Display>,
{
    let about = word.parse().map_err(|error| found.push(Orphan::odd(path, error))).ok()?;
    match file::open(path, OpenOptions::new().read(true)) {
        Ok(file) => Some((about, file)),
        Err(error) if error.kind() == ErrorKind::NotFound => None, // it was right to go meanwhile
        Err(error) => {
            found.push(Orphan::odd(path, error));
            None
        }
    }
}

pub fn find(paths: &Paths, states: &BTreeMap<NsName, State>) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    for (path, file) in records(&paths.direct)? {
        if let Some(word) = file.strip_suffix(".lock") {
            found.extend(lock(paths, path, word, states));
        } else if let Some(word) = file.strip_suffix(".log") {
            let Some((instance, _)) = record(&path, word, &mut found) else { continue };
            found.extend(log(paths, path, &instance, states));
        }
    }
    for (path, word) in records(&paths.closed)? {
        let Some((name, _)) = record::<NsName>(&path, &word, &mut found) else { continue };
        if netns::look(paths, &name)? == Named::Nothing {
            let reason = "the namespace that it keeps closed is gone".to_owned();
            found.push(Orphan { what: What::File, path, reason });
        }
    }
    found.extend(unfinished(paths)?);
    Ok(found)
}

/// What was being written when the writer was killed.
fn unfinished(paths: &Paths) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    let types = plugin::known(paths).unwrap_or_default();
    let declared: Vec<Declaration> = types.iter().map(|nstype| Declaration::of(paths, nstype)).collect();
    let places =
        [&paths.conf, &paths.units, &paths.ownership, &paths.closed, &paths.direct, &paths.remembered];
    for directory in places {
        let own = directory.starts_with(paths.ownership.parent().unwrap_or(&paths.ownership));
        for entry in entries(directory)? {
            let name = entry.file_name().to_string_lossy();
            let left = is_draft(&name, own, &declared);
            let left = left || directory == &paths.remembered && name.ends_with(REMEMBERING);
            if left && entry.file_type().is_file() && is_old(&entry) {
                let reason = "it was being written when the writer was killed".to_owned();
                found.push(Orphan { what: What::File, path: entry.path().to_owned(), reason });
            }
        }
    }
    Ok(found)
}

/// Of what has failed, the log is kept until it is taken down; without a plugin that will not be.
fn log(
    paths: &Paths,
    path: PathBuf,
    instance: &Instance,
    states: &BTreeMap<NsName, State>,
) -> Option<Orphan> {
    let is_known = states.get(&instance.name).is_some_and(|state| {
        state.instances.is_empty() || state.instances.iter().any(|entry| entry.nstype == instance.nstype)
    });
    (!is_known && plugin::find(paths, &instance.nstype).is_err()).then(|| {
        let reason = format!("there is no type `{}` any more", instance.nstype);
        Orphan { what: What::File, path, reason }
    })
}

fn lock(paths: &Paths, path: PathBuf, word: &str, states: &BTreeMap<NsName, State>) -> Option<Orphan> {
    let name: NsName = match word.parse() {
        Ok(name) => name,
        Err(error) => return Some(Orphan::odd(&path, error)),
    };
    let is_needed = || !states.contains_key(&name) && paths.state(&name).symlink_metadata().is_ok();
    match state::is_locked(paths, &name) {
        Ok(held) if held || is_needed() => None,
        Ok(_) => Some(Orphan { what: What::Lock(name), path, reason: "nobody holds this lock".to_owned() }),
        Err(error) => Some(Orphan::odd(&path, format!("{error:#}"))),
    }
}

/// Whether a file is a draft of ours; in directories of others, of a file that is ours.
fn is_draft(file: &str, own: bool, rules: &[Declaration]) -> bool {
    file::drafted(file).is_some_and(|name| own || is_rules(name, rules) || is_copy(name))
}

/// Whether it is the name of rules that are saved, or of the previous ones.
fn is_rules(name: &str, types: &[Declaration]) -> bool {
    let name = name.strip_suffix('~').unwrap_or(name);
    types.iter().any(|declared| declared.has_rules(name))
}

/// Whether it is the name of a unit of a type.
fn is_copy(name: &str) -> bool {
    name.ends_with("@.service") && unit::type_word(name).is_some()
}

fn is_old(entry: &DirEntry) -> bool {
    let modified = entry.metadata().ok().and_then(|found| found.modified().ok());
    modified.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > OLD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_directories_of_others_drafts_of_our_files_alone_are_ours() {
        let rules = [Declaration::read("# Rules: nft-NAME.rules nft.rules\n")];
        for ours in [".nft-a.rules.netns-draft-aB3xYz", ".netns-veth@.service.netns-draft-aB3xYz"] {
            assert!(is_draft(ours, false, &rules), "{ours}");
        }
        let other = ".a.json.netns-draft-aB3xYz";
        assert!(!is_draft(other, false, &rules) && is_draft(other, true, &rules));
    }
}
