//! What the direct engine knows of one namespace: a file that people can read, changed under a lock.
//!
//! Each step is noted before it is taken. So whoever comes after a crash knows how far it went.

mod locked;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use walkdir::DirEntry;

pub use locked::{LockedState, hold, is_held, try_hold};

use crate::name::{Instance, NsName, NsType, Phase, Side};
use crate::netns::Identity;
use crate::paths::Paths;
use crate::requires::Requirement;
use crate::sys::file;
use crate::sys::process::Process;

/// The version of the file's shape that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    /// The namespace that all this is about; `None` before it is made.
    pub namespace: Option<Identity>,
    /// It was there before: `down` leaves it.
    pub adopted: bool,
    /// In the order in which they came up.
    pub instances: Vec<Entry>,
}

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its type.
    #[serde(rename = "type")]
    pub nstype: NsType,
    /// How far it is.
    pub stage: Stage,
    /// When it got there.
    pub since: Timestamp,
    /// The hook that runs now, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<Process>,
    /// What it required when it came up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
}

/// How far an instance is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// `up outside` runs.
    UpOutside,
    /// `up inside` runs.
    UpInside,
    /// It is up.
    Up,
    /// `down inside` runs, for a stop or a restart.
    DownInside,
    /// `down outside` runs.
    DownOutside,
}

impl Stage {
    /// The stage at which a hook runs.
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

/// What there is to know of a namespace.
#[derive(Debug)]
pub enum Known {
    /// This.
    State(State),
    /// There is a file, but it cannot be used, for this reason.
    Unusable(anyhow::Error),
    /// What is there is no file, or may not be read.
    Odd(io::Error),
}

/// Reads the state of a namespace, without the right to change it. There may be none.
/// Errors: the file cannot be read now; it may be later.
pub fn read(paths: &Paths, name: &NsName) -> Result<Option<Known>> {
    let path = paths.state(name);
    let text = match file::read(&path).map_err(|error| (error.kind(), error)) {
        Err((ErrorKind::NotFound, _)) => return Ok(None),
        Err((ErrorKind::InvalidInput | ErrorKind::PermissionDenied, error)) => {
            return Ok(Some(Known::Odd(error)));
        }
        Err((_, error)) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        Ok(text) => text,
    };
    Ok(Some(match parse(&text).with_context(|| format!("cannot use {}", path.display())) {
        Ok(state) => Known::State(state),
        Err(error) => Known::Unusable(error),
    }))
}

/// The namespace that an entry of the directory is the state of, by its name; what has one that none can have is told.
#[must_use]
pub fn name_of(entry: &DirEntry) -> Option<NsName> {
    let file = entry.file_name().to_string_lossy();
    let name = file.strip_suffix(".json").filter(|name| !name.starts_with('.'))?;
    name.parse().map_err(|error: anyhow::Error| file::warn_skipped(entry.path(), error)).ok()
}

/// All instances that anything of is there, by the files of all namespaces.
/// Errors: they cannot be read.
pub fn entries(paths: &Paths) -> Result<BTreeMap<Instance, Entry>> {
    let mut entries = BTreeMap::new();
    if !paths.direct.exists() {
        return Ok(entries);
    }
    for found in file::entries(&paths.direct)? {
        let Some(name) = name_of(&found) else { continue };
        match read(paths, &name)? {
            Some(Known::State(state)) => entries.extend(
                state
                    .instances
                    .into_iter()
                    .map(|entry| (Instance { nstype: entry.nstype.clone(), name: name.clone() }, entry)),
            ),
            Some(Known::Odd(error)) => file::warn_skipped(found.path(), error),
            Some(Known::Unusable(_)) | None => {}
        }
    }
    Ok(entries)
}

fn parse(text: &[u8]) -> Result<State> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let Version { version } = serde_json::from_slice(text).context("it is damaged")?;
    anyhow::ensure!(version == VERSION, "it was written by a newer version (its shape is version {version})");
    serde_json::from_slice(text).context("it is damaged")
}
