//! What there is that nobody needs. Nothing is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use anyhow::Result;

use super::used::Used;
use super::{Orphan, What, drop_ins, files};
use crate::engine;
use crate::engine::state::{self, Known, Stage, State};
use crate::name::{Instance, NsName};
use crate::netns::ownership;
use crate::netns::processes;
use crate::netns::{self, Id, Identity, Named};
use crate::paths::Paths;

/// Everything that is found, in an order in which it can be removed.
///
/// # Errors
/// A directory cannot be read, or systemd does not answer.
pub fn find(paths: &Paths) -> Result<Vec<Orphan>> {
    // The records come before the question of who needs them.
    let mut found: Vec<Orphan> = Vec::new();
    let notes = notes(paths, &mut found)?;
    let Records { states, unusable } = records(paths, &mut found)?;
    let memories = memories(paths, &mut found)?;
    let names: BTreeSet<NsName> = netns::names(paths)?.into_iter().chain(notes.keys().cloned()).collect();
    let used = Used::ask(paths)?;

    for (name, state) in &states {
        // Of a lock that cannot be looked at, the files tell.
        // Whoever held it when it was read may be done by now: then it says something else.
        let says_so_still =
            || matches!(state::read(paths, name), Ok(Some(Known::State(now))) if now == *state);
        if state::is_held(paths, name).unwrap_or(true) || !says_so_still() {
            continue;
        }
        let path = paths.state(name);
        match half_way(paths, name, state) {
            Ok(Some((reason, instances))) => {
                found.push(Orphan { what: What::HalfWay(name.clone(), instances), path, reason });
            }
            Ok(None) => {}
            Err(error) => found.push(Orphan::odd(&path, format!("{error:#}"))),
        }
    }
    // What the direct engine has, it puts right itself; the rest is about what it has not.
    let of_direct = |name: &NsName| states.contains_key(name) || unusable.contains(name);
    let direct = |instance: &Instance| {
        let entries = states.get(&instance.name).map_or([].as_slice(), |state| &state.instances);
        entries.iter().any(|entry| entry.nstype == instance.nstype) || unusable.contains(&instance.name)
    };
    for instance in memories {
        if !used.instances.contains(&instance) && !direct(&instance) {
            let path = paths.memory(&instance);
            let ours = states.get(&instance.name).and_then(|state| state.namespace);
            let orphan = remembered(paths, instance, &notes, &used, ours);
            found.push(orphan.unwrap_or_else(|error| Orphan::odd(&path, format!("{error:#}"))));
        }
    }
    let processes = processes::by_namespace();
    for name in names.iter().filter(|name| !used.needs(name) && !of_direct(name)) {
        let busy = |id| processes.contains_key(&id);
        match name_of_nobody(paths, name, &notes, &used, &busy) {
            Ok(orphan) => found.extend(orphan),
            Err(error) => found.push(Orphan::odd(&paths.namespace(name), format!("{error:#}"))),
        }
    }
    found.extend(files::find(paths, &states)?);
    found.extend(drop_ins::find(paths)?);
    Ok(found)
}

/// Why the direct engine has something to put right on a namespace that nobody works on, and with which instances.
fn half_way(paths: &Paths, name: &NsName, state: &State) -> Result<Option<(String, Vec<Instance>)>> {
    let there = state.namespace.map_or(Ok(false), |ours| ours.has_name(paths, name))?;
    let concerned = state.instances.iter().filter(|entry| !there || entry.stage != Stage::Up);
    let instances: Vec<Instance> =
        concerned.map(|entry| Instance { nstype: entry.nstype.clone(), name: name.clone() }).collect();
    let reason = if !there {
        "the namespace was deleted by hand, or never made"
    } else if !instances.is_empty() {
        "netnsctl was killed while it worked on it"
    } else if state.instances.is_empty() && !engine::required(paths)?.contains(name) {
        "netnsctl was killed before anything was up on it"
    } else {
        return Ok(None);
    };
    Ok(Some((reason.to_owned(), instances)))
}

/// What an instance remembers that no engine has up.
fn remembered(
    paths: &Paths,
    instance: Instance,
    notes: &BTreeMap<NsName, String>,
    used: &Used,
    of_direct: Option<Identity>,
) -> Result<Orphan> {
    let path = paths.memory(&instance);
    // Somebody may run the hooks by hand, or by another init system: then the namespace is theirs.
    let of_others = match netns::look(paths, &instance.name)? {
        Named::Nothing | Named::Debris => false,
        Named::Namespace(_)
            if of_direct.map_or(Ok(false), |ours| ours.has_name(paths, &instance.name))? =>
        {
            false
        }
        Named::Namespace(_) => {
            !used.systemd
                || used.made.contains(&instance.name)
                || noted(paths, &instance.name, notes)?.is_none()
        }
    };
    Ok(if of_others {
        let reason = "no engine has this instance up, but there is a namespace of its name that is not ours";
        Orphan { what: What::Foreign, path, reason: reason.to_owned() }
    } else {
        let reason =
            format!("it is not up; its `down outside` removes that, by what {} holds", path.display());
        Orphan { what: What::Instance(instance), path, reason }
    })
}

/// What stands behind a name that neither systemd nor the direct engine needs.
fn name_of_nobody(
    paths: &Paths,
    name: &NsName,
    notes: &BTreeMap<NsName, String>,
    used: &Used,
    busy: &dyn Fn(Id) -> bool,
) -> Result<Option<Orphan>> {
    let path = paths.namespace(name);
    let note_path = paths.note(name);
    let orphan = |what, path: &Path, reason: &str| {
        Some(Orphan { what, path: path.to_owned(), reason: reason.to_owned() })
    };
    Ok(match (netns::look(paths, name)?, notes.get(name), noted(paths, name, notes)?) {
        (Named::Namespace(id), _, Some(ours)) => {
            if !used.systemd {
                // Made by `netnsinit --create`, by hand or by a script, which alone knows.
                None
            } else if busy(id) {
                orphan(What::Foreign, &path, "no unit needs this namespace of ours, but processes run in it")
            } else {
                orphan(What::Namespace(name.clone(), ours), &path, "we have made it, and no unit needs it")
            }
        }
        (Named::Debris, Some(_), _) => orphan(
            What::Debris(name.clone()),
            &path,
            "no namespace is mounted on it; an attempt of ours was broken off",
        ),
        (Named::Debris, None, _) => orphan(
            What::Foreign,
            &path,
            "no namespace is mounted on it; it is not known to be ours: look at it, and remove it by `rm`",
        ),
        (Named::Nothing | Named::Namespace(_), Some(note), _) => orphan(
            What::Note(name.clone(), note.clone()),
            &note_path,
            "the namespace that it is about is gone",
        ),
        (Named::Nothing | Named::Namespace(_), None, _) => None,
    })
}

/// What `netnsinit --create` has noted. What is none of its notes goes to `found`, here as below.
fn notes(paths: &Paths, found: &mut Vec<Orphan>) -> Result<BTreeMap<NsName, String>> {
    let mut notes = BTreeMap::new();
    for (path, word) in files::records(&paths.made)? {
        let Some((name, file)) = files::record(&path, &word, found) else { continue };
        match io::read_to_string(file) {
            Ok(note) => _ = notes.insert(name, note),
            Err(error) => found.push(Orphan::odd(&path, error)),
        }
    }
    Ok(notes)
}

/// The namespace behind a name, if it is the one that was noted.
fn noted(paths: &Paths, name: &NsName, notes: &BTreeMap<NsName, String>) -> Result<Option<Identity>> {
    let Some((ours, _)) = notes.get(name).and_then(|note| ownership::read(note).ok()) else {
        return Ok(None);
    };
    Ok(ours.has_name(paths, name)?.then_some(ours))
}

/// What the direct engine knows.
#[derive(Default)]
struct Records {
    states: BTreeMap<NsName, State>,
    /// Those of files that cannot be used: they stay for people to look at, with all that they may be about.
    unusable: BTreeSet<NsName>,
}

fn records(paths: &Paths, found: &mut Vec<Orphan>) -> Result<Records> {
    let mut records = Records::default();
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
            Ok(Some(Known::State(state))) => {
                records.states.insert(name, state);
                continue;
            }
            Ok(Some(Known::Unusable(error))) => {
                Orphan { what: What::Foreign, path, reason: format!("{error:#}") }
            }
            Ok(Some(Known::Odd(error))) => Orphan::odd(&path, error),
            Err(error) => Orphan::odd(&path, format!("{error:#}")),
            Ok(None) => continue,
        };
        found.push(orphan);
        records.unusable.insert(name);
    }
    Ok(records)
}

/// The instances that remember something.
fn memories(paths: &Paths, found: &mut Vec<Orphan>) -> Result<Vec<Instance>> {
    let mut memories = Vec::new();
    for (path, word) in files::records(&paths.remembered)? {
        if !word.ends_with(files::REMEMBERING) {
            memories.extend(files::record(&path, &word, found).map(|(instance, _)| instance));
        }
    }
    Ok(memories)
}
