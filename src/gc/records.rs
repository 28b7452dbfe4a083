//! The records of what is ours. What is none of them, where one would be, is told as odd.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use anyhow::Result;

use super::{Orphan, What, files};
use crate::engine::state::{self, State, StateFile};
use crate::name::{Instance, NsName};
use crate::netns::{Identity, ownership};
use crate::paths::Paths;

/// All that is on record.
pub struct Records {
    /// What `netnsinit --create` has noted.
    pub notes: BTreeMap<NsName, String>,
    /// What the direct engine knows.
    pub states: BTreeMap<NsName, State>,
    /// Those of its files that cannot be used: they stay for people to look at, with all that they may be about.
    pub unusable: BTreeSet<NsName>,
    /// The instances that remember something.
    pub memories: Vec<Instance>,
}

impl Records {
    /// Reads them. What is odd goes to `found`.
    pub fn read(paths: &Paths, found: &mut Vec<Orphan>) -> Result<Self> {
        let notes = notes(paths, found)?;
        let (states, unusable) = states(paths, found)?;
        Ok(Self { notes, states, unusable, memories: memories(paths, found)? })
    }

    /// Whether the direct engine has something on a namespace.
    pub fn is_of_direct(&self, name: &NsName) -> bool {
        self.states.contains_key(name) || self.unusable.contains(name)
    }

    /// Whether the direct engine has something of an instance.
    pub fn has_direct(&self, instance: &Instance) -> bool {
        let entries = self.states.get(&instance.name).map_or([].as_slice(), |state| &state.instances);
        entries.iter().any(|entry| entry.nstype == instance.nstype) || self.unusable.contains(&instance.name)
    }

    /// The namespace behind a name, if it is the one that was noted.
    pub fn noted(&self, paths: &Paths, name: &NsName) -> Result<Option<Identity>> {
        let Some((ours, _)) = self.notes.get(name).and_then(|note| ownership::read(note).ok()) else {
            return Ok(None);
        };
        Ok(ours.has_name(paths, name)?.then_some(ours))
    }
}

fn notes(paths: &Paths, found: &mut Vec<Orphan>) -> Result<BTreeMap<NsName, String>> {
    let mut notes = BTreeMap::new();
    for (path, word) in files::records(&paths.ownership)? {
        let Some((name, file)) = files::record(&path, &word, found) else { continue };
        match io::read_to_string(file) {
            Ok(note) => _ = notes.insert(name, note),
            Err(error) => found.push(Orphan::odd(&path, error)),
        }
    }
    Ok(notes)
}

fn states(paths: &Paths, found: &mut Vec<Orphan>) -> Result<(BTreeMap<NsName, State>, BTreeSet<NsName>)> {
    let (mut states, mut unusable) = (BTreeMap::new(), BTreeSet::new());
    for (path, file) in files::records(&paths.direct)? {
        let Some(word) = file.strip_suffix(".json") else { continue };
        let name: NsName = match word.parse() {
            Ok(name) => name,
            Err(error) => {
                found.push(Orphan::odd(&path, error));
                continue;
            }
        };
        let orphan = match state::read(paths, &name) {
            Ok(Some(StateFile::Valid(state))) => {
                states.insert(name, state);
                continue;
            }
            Ok(Some(StateFile::Unusable(error))) => {
                Orphan { what: What::Foreign, path, reason: format!("{error:#}") }
            }
            Ok(Some(StateFile::Unreadable(error))) => Orphan::odd(&path, error),
            Err(error) => Orphan::odd(&path, format!("{error:#}")),
            Ok(None) => continue,
        };
        found.push(orphan);
        unusable.insert(name);
    }
    Ok((states, unusable))
}

fn memories(paths: &Paths, found: &mut Vec<Orphan>) -> Result<Vec<Instance>> {
    let mut memories = Vec::new();
    for (path, word) in files::records(&paths.remembered)? {
        if !word.ends_with(files::REMEMBERING) {
            memories.extend(files::record(&path, &word, found).map(|(instance, _)| instance));
        }
    }
    Ok(memories)
}
