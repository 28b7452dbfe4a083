//! Finds orphans. Nothing is changed.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use super::records::Records;
use super::used::Used;
use super::{Orphan, OrphanKind, drop_ins, files};
use crate::engine;
use crate::engine::state::{self, Stage, State, StateFile};
use crate::library::{HostTables, OrphanTable};
use crate::name::{Instance, NsName};
use crate::netns::processes;
use crate::netns::{self, Id, Identity, NameState};
use crate::paths::Paths;

/// Finds all orphans, in the order in which they can be removed.
/// Errors: a directory or a namespace cannot be read, or systemd cannot be queried.
pub fn find(paths: &Paths) -> Result<Vec<Orphan>> {
    let tables = HostTables::list();
    // The records are read before systemd is queried: see the documentation of `gc`.
    let mut found = Vec::new();
    let records = Records::read(paths, &mut found)?;
    let names = netns::names(paths)?.into_iter().chain(records.ownership.keys().cloned()).collect();
    let search = Search { paths, records, used: Used::query(paths)? };
    found.extend(search.partially_up());
    found.extend(search.remembered());
    found.extend(search.host_tables(tables));
    found.extend(search.unneeded(&names));
    found.extend(files::find(paths, &search.records.states)?);
    found.extend(drop_ins::find(paths)?);
    Ok(found)
}

/// The data of the search. [`Search::partially_up`] finds the unfinished work that the direct engine itself recovers. The other
/// methods skip everything that the direct engine has recorded.
struct Search<'a> {
    paths: &'a Paths,
    records: Records,
    used: Used,
}

impl Search<'_> {
    /// Finds unfinished work of the direct engine.
    fn partially_up(&self) -> Vec<Orphan> {
        let idle = self.records.states.iter().filter(|(name, state)| !self.is_in_progress(name, state));
        let orphan = |(name, state): (&NsName, &State)| {
            let path = self.paths.state(name);
            match self.unfinished(name, state) {
                Ok(found) => found.map(|(reason, instances)| Orphan {
                    kind: OrphanKind::PartiallyUp(name.clone(), instances),
                    path,
                    reason: reason.to_owned(),
                }),
                Err(error) => Some(Orphan::unusable(&path, format!("{error:#}"))),
            }
        };
        idle.filter_map(orphan).collect()
    }

    /// Whether a run of netnsctl is changing the namespace, or has changed its state since the search began.
    fn is_in_progress(&self, name: &NsName, state: &State) -> bool {
        let is_unchanged =
            || matches!(state::read(self.paths, name), Ok(Some(StateFile::Valid(now))) if now == *state);
        // A lock that cannot be read counts as held; `files` reports it.
        state::is_locked(self.paths, name).unwrap_or(true) || !is_unchanged()
    }

    /// Returns why the state of an idle namespace is unfinished, and the affected instances; `None` if it is finished.
    fn unfinished(&self, name: &NsName, state: &State) -> Result<Option<(&'static str, Vec<Instance>)>> {
        let exists = state.namespace.map_or(Ok(false), |ours| ours.has_name(self.paths, name))?;
        let affected = state.instances.iter().filter(|entry| !exists || entry.stage != Stage::Up);
        let instances: Vec<Instance> =
            affected.map(|entry| Instance { nstype: entry.nstype.clone(), name: name.clone() }).collect();
        let reason = if !exists {
            "the namespace was deleted manually, or never created"
        } else if !instances.is_empty() {
            "netnsctl was killed while it worked on the namespace"
        } else if state.instances.is_empty() && !engine::required_namespaces(self.paths)?.contains(name) {
            "netnsctl was killed before an instance was up on the namespace"
        } else {
            return Ok(None);
        };
        Ok(Some((reason, instances)))
    }

    /// Finds remembered values of instances that are not up in any engine.
    fn remembered(&self) -> Vec<Orphan> {
        let orphan = |instance: &Instance| {
            let path = self.paths.remembered(instance);
            let is_foreign = self.has_foreign_namespace(instance);
            is_foreign.map_or_else(
                |error| Orphan::unusable(&path, format!("{error:#}")),
                |is_foreign| remembered_orphan(instance, &path, is_foreign),
            )
        };
        self.records.remembered.iter().filter(|instance| !self.is_up(instance)).map(orphan).collect()
    }

    /// Whether an instance is up in any engine.
    fn is_up(&self, instance: &Instance) -> bool {
        self.used.instances.contains(instance) || self.records.has_direct(instance)
    }

    /// Finds tables on the host whose records were lost.
    fn host_tables(&self, tables: HostTables) -> Vec<Orphan> {
        let orphan = |table: OrphanTable| Orphan {
            path: self.paths.remembered(&table.instance),
            reason: format!("it belongs to `{}`, which is not up, and has no record", table.instance),
            kind: OrphanKind::Table(table),
        };
        tables
            .orphans(self.paths)
            .into_iter()
            .filter(|table| !self.is_up(&table.instance))
            .map(orphan)
            .collect()
    }

    /// Whether the namespace of an instance is foreign. Another program or init system can then run the hooks of the instance.
    fn has_foreign_namespace(&self, instance: &Instance) -> Result<bool> {
        let name = &instance.name;
        if !matches!(netns::inspect(self.paths, name)?, NameState::Namespace(_)) {
            return Ok(false);
        }
        let of_direct = self.records.states.get(name).and_then(|state| state.namespace);
        if of_direct.map_or(Ok(false), |ours| ours.has_name(self.paths, name))? {
            return Ok(false);
        }
        Ok(!self.used.systemd
            || self.used.created.contains(name)
            || self.records.identity(self.paths, name)?.is_none())
    }

    /// Finds the orphans of namespaces that neither a unit of systemd nor the direct engine needs.
    fn unneeded(&self, names: &BTreeSet<NsName>) -> Vec<Orphan> {
        let processes = processes::by_namespace();
        let is_busy = |id| processes.contains_key(&id);
        let is_unneeded = |name: &&NsName| !self.used.needs(name) && !self.records.is_of_direct(name);
        let orphan = |name: &NsName| {
            self.check_name(name, &is_busy).unwrap_or_else(|error| {
                Some(Orphan::unusable(&self.paths.namespace(name), format!("{error:#}")))
            })
        };
        names.iter().filter(is_unneeded).filter_map(orphan).collect()
    }

    fn check_name(&self, name: &NsName, is_busy: &dyn Fn(Id) -> bool) -> Result<Option<Orphan>> {
        let record = self.records.ownership.get(name);
        let found = netns::inspect(self.paths, name)?;
        if found == NameState::Leftover {
            return Ok(Some(self.leftover_file(name, record.is_some())));
        }
        let ours = self.records.identity(self.paths, name)?;
        if let (NameState::Namespace(id), Some(ours)) = (found, ours) {
            // Without systemd, a user or a script has called `netnsinit --create`, and must delete the namespace.
            return Ok(self.used.systemd.then(|| self.namespace(name, ours, is_busy(id))));
        }
        Ok(record.map(|record| Orphan {
            kind: OrphanKind::OwnershipRecord(name.clone(), record.clone()),
            path: self.paths.ownership(name),
            reason: "the namespace of this ownership record was deleted".to_owned(),
        }))
    }

    fn namespace(&self, name: &NsName, ours: Identity, is_busy: bool) -> Orphan {
        let (kind, reason) = if is_busy {
            (OrphanKind::Foreign, "no unit needs this namespace, but processes run in it")
        } else {
            (OrphanKind::Namespace(name.clone(), ours), "created by systemd-netns, and no unit needs it")
        };
        Orphan { kind, path: self.paths.namespace(name), reason: reason.to_owned() }
    }

    fn leftover_file(&self, name: &NsName, is_ours: bool) -> Orphan {
        let (kind, reason) = if is_ours {
            (OrphanKind::LeftoverFile(name.clone()), "the creation of a namespace was interrupted")
        } else {
            (OrphanKind::Foreign, "no ownership record exists; check the file, and remove it with `rm`")
        };
        let reason = format!("no namespace is mounted on this file; {reason}");
        Orphan { kind, path: self.paths.namespace(name), reason }
    }
}

fn remembered_orphan(instance: &Instance, path: &Path, is_foreign: bool) -> Orphan {
    let (kind, reason) = if is_foreign {
        (OrphanKind::Foreign, "the instance is not up, but a foreign namespace has its name".to_owned())
    } else {
        let reason = format!(
            "the instance is not up; its `down outside` hook removes the leftovers; it reads the remembered values in {}",
            path.display()
        );
        (OrphanKind::Instance(instance.clone()), reason)
    };
    Orphan { kind, path: path.to_owned(), reason }
}
