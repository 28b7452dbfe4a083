//! Files that nobody reads any more: locks, logs, and what was being written when the writer was killed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use walkdir::DirEntry;

use super::{Orphan, What};
use crate::engine::state::{self, State};
use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::{file, plugin};

/// Nobody writes a file for that long.
const OLD: Duration = Duration::from_secs(60);

/// The entries of a directory that may be missing.
pub fn entries(directory: &Path) -> Result<Vec<DirEntry>> {
    if directory.exists() { file::entries(directory) } else { Ok(Vec::new()) }
}

pub fn find(paths: &Paths, states: &BTreeMap<NsName, State>) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    for entry in entries(&paths.direct)? {
        let file = entry.file_name().to_string_lossy();
        let path = entry.path().to_owned();
        if let Some(name) = file.strip_suffix(".lock").and_then(|name| name.parse::<NsName>().ok()) {
            if !state::is_held(paths, &name)? && (states.contains_key(&name) || !paths.state(&name).exists())
            {
                let reason = "nobody holds this lock".to_owned();
                found.push(Orphan { what: What::Lock(name), path, reason });
            }
        } else if let Some(instance) =
            file.strip_suffix(".log").and_then(|word| word.parse::<Instance>().ok())
        {
            let known = states.get(&instance.name).is_some_and(|state| {
                state.instances.is_empty()
                    || state.instances.iter().any(|entry| entry.nstype == instance.nstype)
            });
            // Of what has failed, the log is kept until it is taken down; without a plugin that will not be.
            if !known && plugin::find(paths, &instance.nstype).is_err() {
                let reason = format!("there is no type `{}` any more", instance.nstype);
                found.push(Orphan { what: What::File, path, reason });
            }
        }
    }
    let places = [&paths.conf, &paths.units, &paths.made, &paths.direct, &paths.remembered];
    for directory in places {
        let own = directory.starts_with(paths.made.parent().unwrap_or(&paths.made));
        for entry in entries(directory)? {
            let name = entry.file_name().to_string_lossy();
            let left = is_draft(&name, own);
            let left = left || directory == &paths.remembered && name.ends_with(".new");
            if left && entry.file_type().is_file() && is_old(&entry) {
                let reason = "it was being written when the writer was killed".to_owned();
                found.push(Orphan { what: What::File, path: entry.path().to_owned(), reason });
            }
        }
    }
    Ok(found)
}

/// Whether a file is a draft of ours; in directories of others, of a file that is ours.
fn is_draft(file: &str, own: bool) -> bool {
    file::drafted(file).is_some_and(|name| own || is_rules(name) || is_copy(name))
}

/// Whether it is the name of rules that are saved.
fn is_rules(name: &str) -> bool {
    name.strip_prefix("nft-").is_some_and(|rest| rest.strip_suffix(".rules").is_some())
}

/// Whether it is the name of a unit of a type.
fn is_copy(name: &str) -> bool {
    (name.starts_with("netns-") || name.starts_with("netns_outside-")) && name.ends_with("@.service")
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
        for ours in [".nft-a.rules.netns-draft-aB3xYz", ".netns-veth@.service.netns-draft-aB3xYz"] {
            assert!(is_draft(ours, false), "{ours}");
        }
        let other = ".a.json.netns-draft-aB3xYz";
        assert!(!is_draft(other, false) && is_draft(other, true));
    }
}
