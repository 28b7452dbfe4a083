//! Reads the records of our objects. An invalid file in a directory of records is reported as unusable.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use anyhow::Result;

use super::{Orphan, OrphanKind, files};
use crate::engine::state::{self, State, StateFile};
use crate::name::{Instance, NsName};
use crate::netns::{Identity, ownership};
use crate::paths::Paths;

/// All records.
pub struct Records {
    /// The ownership records of `netnsinit --create`.
    pub ownership: BTreeMap<NsName, String>,
    /// The states of the direct engine.
    pub states: BTreeMap<NsName, State>,
    /// The namespaces with an unusable state file. The file, the namespace and its instances stay.
    pub unusable: BTreeSet<NsName>,
    /// The instances with remembered values.
    pub remembered: Vec<Instance>,
}

impl Records {
    /// Reads all records. Unusable files are added to `found`.
    /// Errors: a directory cannot be read.
    pub fn read(paths: &Paths, found: &mut Vec<Orphan>) -> Result<Self> {
        let ownership = ownership_records(paths, found)?;
        let (states, unusable) = states(paths, found)?;
        Ok(Self { ownership, states, unusable, remembered: remembered(paths, found)? })
    }

    /// Whether the direct engine has a state file of a namespace.
    pub fn is_of_direct(&self, name: &NsName) -> bool {
        self.states.contains_key(name) || self.unusable.contains(name)
    }

    /// Whether the direct engine has a state of an instance, or an unusable state file of its namespace.
    pub fn has_direct(&self, instance: &Instance) -> bool {
        let entries = self.states.get(&instance.name).map_or([].as_slice(), |state| &state.instances);
        entries.iter().any(|entry| entry.nstype == instance.nstype) || self.unusable.contains(&instance.name)
    }

    /// Returns the recorded identity of a namespace, if the namespace with this name is still the recorded one.
    pub fn identity(&self, paths: &Paths, name: &NsName) -> Result<Option<Identity>> {
        let Some((ours, _)) = self.ownership.get(name).and_then(|record| ownership::parse(record).ok())
        else {
            return Ok(None);
        };
        Ok(ours.has_name(paths, name)?.then_some(ours))
    }
}

fn ownership_records(paths: &Paths, found: &mut Vec<Orphan>) -> Result<BTreeMap<NsName, String>> {
    let mut records = BTreeMap::new();
    for (path, name) in files::records(&paths.ownership)? {
        let Some((name, file)) = files::open_record(&path, &name, found) else { continue };
        match io::read_to_string(file) {
            Ok(record) => _ = records.insert(name, record),
            Err(error) => found.push(Orphan::unusable(&path, error)),
        }
    }
    Ok(records)
}

fn states(paths: &Paths, found: &mut Vec<Orphan>) -> Result<(BTreeMap<NsName, State>, BTreeSet<NsName>)> {
    let (mut states, mut unusable) = (BTreeMap::new(), BTreeSet::new());
    for (path, file) in files::records(&paths.direct)? {
        let Some(name) = file.strip_suffix(".json") else { continue };
        let name: NsName = match name.parse() {
            Ok(name) => name,
            Err(error) => {
                found.push(Orphan::unusable(&path, error));
                continue;
            }
        };
        let orphan = match state::read(paths, &name) {
            Ok(Some(StateFile::Valid(state))) => {
                states.insert(name, state);
                continue;
            }
            Ok(Some(StateFile::Unusable(error))) => {
                Orphan { kind: OrphanKind::Foreign, path, reason: format!("{error:#}") }
            }
            Ok(Some(StateFile::Unreadable(error))) => Orphan::unusable(&path, error),
            Err(error) => Orphan::unusable(&path, format!("{error:#}")),
            Ok(None) => continue,
        };
        found.push(orphan);
        unusable.insert(name);
    }
    Ok((states, unusable))
}

fn remembered(paths: &Paths, found: &mut Vec<Orphan>) -> Result<Vec<Instance>> {
    let mut instances = Vec::new();
    for (path, name) in files::records(&paths.remembered)? {
        if !name.ends_with(files::TEMPORARY_SUFFIX) {
            instances.extend(files::open_record(&path, &name, found).map(|(instance, _)| instance));
        }
    }
    Ok(instances)
}
