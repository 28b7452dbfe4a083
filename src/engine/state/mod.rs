//! The state file of a namespace: JSON, written under a lock. Each step is recorded before it begins, so that the next
//! command can recover from a crash.

mod locked;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use walkdir::DirEntry;

pub use locked::{LockedState, is_locked, lock, try_lock};

use crate::name::{Instance, NsName, NsType, Phase, Side};
use crate::netns::Identity;
use crate::paths::Paths;
use crate::requires::Requirement;
use crate::sys::file;
use crate::sys::process::Process;

/// The format version that this program writes and accepts.
const VERSION: u32 = 1;

/// The contents of a state file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// The namespace of the instances; `None` before its creation.
    pub namespace: Option<Identity>,
    /// Whether the namespace was foreign and was taken over with `--adopt`. `down` does not delete such a namespace.
    pub adopted: bool,
    /// The instances, in the order in which they came up.
    pub instances: Vec<Entry>,
}

/// An instance in the state file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The type.
    #[serde(rename = "type")]
    pub nstype: NsType,
    /// The current stage.
    pub stage: Stage,
    /// The time at which the stage began.
    pub since: Timestamp,
    /// The running hook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<Process>,
    /// The requirements at the time of `up`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
}

/// The stage of an instance that is up or partially up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// `up outside` runs.
    UpOutside,
    /// `up inside` runs.
    UpInside,
    /// The instance is up.
    Up,
    /// `down inside` runs, for a stop or a restart.
    DownInside,
    /// `down outside` runs.
    DownOutside,
}

impl Stage {
    /// The stage in which a hook runs.
    #[must_use]
    pub fn of(phase: Phase, side: Side) -> Self {
        match (phase, side) {
            (Phase::Up, Side::Outside) => Self::UpOutside,
            (Phase::Up, Side::Inside) => Self::UpInside,
            (Phase::Down, Side::Inside) => Self::DownInside,
            (Phase::Down, Side::Outside) => Self::DownOutside,
        }
    }
}

/// The state file of a namespace, as read.
#[derive(Debug)]
pub enum StateFile {
    /// The contents are valid.
    Valid(State),
    /// The contents are damaged, or have another format version.
    Unusable(anyhow::Error),
    /// The path is not a regular file, or permission is denied.
    Unreadable(io::Error),
}

/// Reads the state of a namespace without a lock. Returns `None` if the file does not exist.
/// Errors: a temporary read error, for example too many open files.
pub fn read(paths: &Paths, name: &NsName) -> Result<Option<StateFile>> {
    let path = paths.state(name);
    let text = match file::read(&path).map_err(|error| (error.kind(), error)) {
        Err((ErrorKind::NotFound, _)) => return Ok(None),
        Err((ErrorKind::InvalidInput | ErrorKind::PermissionDenied, error)) => {
            return Ok(Some(StateFile::Unreadable(error)));
        }
        Err((_, error)) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        Ok(text) => text,
    };
    Ok(Some(match parse(&text).with_context(|| format!("cannot use {}", path.display())) {
        Ok(state) => StateFile::Valid(state),
        Err(error) => StateFile::Unusable(error),
    }))
}

/// Returns the namespace of a state file, from the name of the directory entry. Warns if the entry has an invalid namespace
/// name.
#[must_use]
pub fn namespace_of_file(entry: &DirEntry) -> Option<NsName> {
    let file = entry.file_name().to_string_lossy();
    let name = file.strip_suffix(".json").filter(|name| !name.starts_with('.'))?;
    name.parse().map_err(|error: anyhow::Error| file::warn_skipped(entry.path(), error)).ok()
}

/// Reads the instances in all state files. Warns about unreadable files, and skips unusable files.
/// Errors: the directory or a file cannot be read.
pub fn entries(paths: &Paths) -> Result<BTreeMap<Instance, Entry>> {
    let mut entries = BTreeMap::new();
    if !paths.direct.exists() {
        return Ok(entries);
    }
    for found in file::entries(&paths.direct)? {
        let Some(name) = namespace_of_file(&found) else { continue };
        match read(paths, &name)? {
            Some(StateFile::Valid(state)) => entries.extend(
                state
                    .instances
                    .into_iter()
                    .map(|entry| (Instance { nstype: entry.nstype.clone(), name: name.clone() }, entry)),
            ),
            Some(StateFile::Unreadable(error)) => file::warn_skipped(found.path(), error),
            Some(StateFile::Unusable(_)) | None => {}
        }
    }
    Ok(entries)
}

fn parse(text: &[u8]) -> Result<State> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_slice(text).context("the file is damaged")?;
    anyhow::ensure!(version == VERSION, "a newer version wrote the file (format version {version})");
    serde_json::from_slice(text).context("the file is damaged")
}
