//! What there is that nobody needs. Nothing is changed.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::records::Records;
use super::used::Used;
use super::{Orphan, What, drop_ins, files};
use crate::engine;
use crate::engine::state::{self, Stage, State, StateFile};
use crate::name::{Instance, NsName};
use crate::netns::processes;
use crate::netns::{self, Id, Identity, Named};
use crate::paths::Paths;

/// Everything that is found, in an order in which it can be removed.
/// Errors: a directory cannot be read, or systemd does not answer.
pub fn find(paths: &Paths) -> Result<Vec<Orphan>> {
    // The records come before the question of who needs them.
    let mut found = Vec::new();
    let records = Records::read(paths, &mut found)?;
    let names = netns::names(paths)?.into_iter().chain(records.notes.keys().cloned()).collect();
    let search = Search { paths, records, used: Used::ask(paths)? };
    found.extend(search.left_half_way());
    found.extend(search.remembered());
    found.extend(search.unneeded(&names));
    found.extend(files::find(paths, &search.records.states)?);
    found.extend(drop_ins::find(paths)?);
    Ok(found)
}

/// What the search goes by. What the direct engine has, it puts right itself; the rest is about what it has not.
struct Search<'a> {
    paths: &'a Paths,
    records: Records,
    used: Used,
}

impl Search<'_> {
    /// What the direct engine has to put right.
    fn left_half_way(&self) -> Vec<Orphan> {
        let quiet = self.records.states.iter().filter(|(name, state)| !self.is_worked_on(name, state));
        let orphan = |(name, state): (&NsName, &State)| {
            let path = self.paths.state(name);
            match self.partially_up(name, state) {
                Ok(found) => found.map(|(reason, instances)| Orphan {
                    what: What::PartiallyUp(name.clone(), instances),
                    path,
                    reason: reason.to_owned(),
                }),
                Err(error) => Some(Orphan::odd(&path, format!("{error:#}"))),
            }
        };
        quiet.filter_map(orphan).collect()
    }

    /// Whether somebody works on a namespace, or has done so since its state was read: then that says something else.
    fn is_worked_on(&self, name: &NsName, state: &State) -> bool {
        let says_so_still =
            || matches!(state::read(self.paths, name), Ok(Some(StateFile::Valid(now))) if now == *state);
        // Of a lock that cannot be looked at, the files tell.
        state::is_locked(self.paths, name).unwrap_or(true) || !says_so_still()
    }

    /// Why the direct engine has something to put right on a namespace that nobody works on, and with which instances.
    fn partially_up(&self, name: &NsName, state: &State) -> Result<Option<(&'static str, Vec<Instance>)>> {
        let there = state.namespace.map_or(Ok(false), |ours| ours.has_name(self.paths, name))?;
        let concerned = state.instances.iter().filter(|entry| !there || entry.stage != Stage::Up);
        let instances: Vec<Instance> =
            concerned.map(|entry| Instance { nstype: entry.nstype.clone(), name: name.clone() }).collect();
        let reason = if !there {
            "the namespace was deleted by hand, or never made"
        } else if !instances.is_empty() {
            "netnsctl was killed while it worked on it"
        } else if state.instances.is_empty() && !engine::required_namespaces(self.paths)?.contains(name) {
            "netnsctl was killed before anything was up on it"
        } else {
            return Ok(None);
        };
        Ok(Some((reason, instances)))
    }

    /// What instances remember that no engine has up.
    fn remembered(&self) -> Vec<Orphan> {
        let is_up = |instance: &&Instance| {
            self.used.instances.contains(instance) || self.records.has_direct(instance)
        };
        let orphan = |instance: &Instance| {
            let path = self.paths.remembered(instance);
            let foreign = self.is_of_others(instance);
            foreign.map_or_else(
                |error| Orphan::odd(&path, format!("{error:#}")),
                |is_foreign| memory(instance, &path, is_foreign),
            )
        };
        self.records.memories.iter().filter(|instance| !is_up(instance)).map(orphan).collect()
    }

    /// Whether the namespace of an instance is somebody else's, who may run the hooks by hand, or by another init system.
    fn is_of_others(&self, instance: &Instance) -> Result<bool> {
        let name = &instance.name;
        if !matches!(netns::look(self.paths, name)?, Named::Namespace(_)) {
            return Ok(false);
        }
        let of_direct = self.records.states.get(name).and_then(|state| state.namespace);
        if of_direct.map_or(Ok(false), |ours| ours.has_name(self.paths, name))? {
            return Ok(false);
        }
        Ok(!self.used.systemd
            || self.used.made.contains(name)
            || self.records.noted(self.paths, name)?.is_none())
    }

    /// What stands behind names that neither systemd nor the direct engine needs.
    fn unneeded(&self, names: &BTreeSet<NsName>) -> Vec<Orphan> {
        let processes = processes::by_namespace();
        let is_busy = |id| processes.contains_key(&id);
        let nobodys = |name: &&NsName| !self.used.needs(name) && !self.records.is_of_direct(name);
        let orphan = |name: &NsName| {
            self.behind(name, &is_busy)
                .unwrap_or_else(|error| Some(Orphan::odd(&self.paths.namespace(name), format!("{error:#}"))))
        };
        names.iter().filter(nobodys).filter_map(orphan).collect()
    }

    fn behind(&self, name: &NsName, is_busy: &dyn Fn(Id) -> bool) -> Result<Option<Orphan>> {
        let note = self.records.notes.get(name);
        let found = netns::look(self.paths, name)?;
        if found == Named::Debris {
            return Ok(Some(self.leftover(name, note.is_some())));
        }
        let ours = self.records.noted(self.paths, name)?;
        if let (Named::Namespace(id), Some(ours)) = (found, ours) {
            // Without systemd it was made by `netnsinit --create`, by hand or by a script, which alone knows.
            return Ok(self.used.systemd.then(|| self.namespace(name, ours, is_busy(id))));
        }
        Ok(note.map(|note| Orphan {
            what: What::Note(name.clone(), note.clone()),
            path: self.paths.ownership(name),
            reason: "the namespace that it is about is gone".to_owned(),
        }))
    }

    fn namespace(&self, name: &NsName, ours: Identity, is_busy: bool) -> Orphan {
        let (what, reason) = if is_busy {
            (What::Foreign, "no unit needs this namespace of ours, but processes run in it")
        } else {
            (What::Namespace(name.clone(), ours), "we have made it, and no unit needs it")
        };
        Orphan { what, path: self.paths.namespace(name), reason: reason.to_owned() }
    }

    fn leftover(&self, name: &NsName, is_ours: bool) -> Orphan {
        let (what, reason) = if is_ours {
            (What::Debris(name.clone()), "an attempt of ours was broken off")
        } else {
            (What::Foreign, "it is not known to be ours: look at it, and remove it by `rm`")
        };
        let reason = format!("no namespace is mounted on it; {reason}");
        Orphan { what, path: self.paths.namespace(name), reason }
    }
}

fn memory(instance: &Instance, path: &Path, is_foreign: bool) -> Orphan {
    let (what, reason) = if is_foreign {
        let reason = "no engine has this instance up, but there is a namespace of its name that is not ours";
        (What::Foreign, reason.to_owned())
    } else {
        let reason =
            format!("it is not up; its `down outside` removes that, by what {} holds", path.display());
        (What::Instance(instance.clone()), reason)
    };
    Orphan { what, path: path.to_owned(), reason }
}
