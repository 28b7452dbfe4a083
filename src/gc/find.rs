//! What there is that nobody needs. Nothing is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::used::Used;
use super::{Orphan, What, drop_ins, files};
use crate::engine;
use crate::engine::state::{self, Known, Stage, State};
use crate::name::{Instance, NsName};
use crate::netns::{self, Id, Identity, Named};
use crate::paths::Paths;
use crate::process;

/// Everything that is found, in an order in which it can be removed.
///
/// # Errors
/// A directory cannot be read, or systemd does not answer.
pub fn find(paths: &Paths) -> Result<Vec<Orphan>> {
    // The records come before the question of who needs them.
    let notes = notes(paths)?;
    let Records { states, unusable } = records(paths)?;
    let memories = memories(paths)?;
    let names: BTreeSet<NsName> = netns::names(paths)?.into_iter().chain(notes.keys().cloned()).collect();
    let used = Used::ask(paths)?;

    let mut found: Vec<Orphan> = Vec::new();
    for (name, error) in &unusable {
        found.push(Orphan { what: What::Foreign, path: paths.state(name), reason: error.clone() });
    }
    for (name, state) in &states {
        if let (false, Some((reason, instances))) =
            (state::is_held(paths, name)?, half_way(paths, name, state)?)
        {
            found.push(Orphan {
                what: What::HalfWay(name.clone(), instances),
                path: paths.state(name),
                reason,
            });
        }
    }
    // What the direct engine has, it puts right itself; the rest is about what it has not.
    let of_direct = |name: &NsName| states.contains_key(name) || unusable.contains_key(name);
    for instance in memories {
        if !used.instances.contains(&instance) && !of_direct(&instance.name) {
            found.push(remembered(paths, instance, &notes, &used)?);
        }
    }
    let processes = process::by_namespace();
    for name in names.iter().filter(|name| !used.names.contains(name) && !of_direct(name)) {
        found.extend(name_of_nobody(paths, name, &notes, &used, &|id| processes.contains_key(&id))?);
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
) -> Result<Orphan> {
    let path = paths.memory(&instance);
    // Somebody may run the hooks by hand, or by another init system: then the namespace is theirs.
    let of_others = match netns::look(paths, &instance.name)? {
        Named::Nothing | Named::Debris => false,
        Named::Namespace(_) => !used.systemd || noted(paths, &instance.name, notes)?.is_none(),
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
    let note_path = paths.made.join(name.to_string());
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

/// What `netnsinit --create` has noted.
fn notes(paths: &Paths) -> Result<BTreeMap<NsName, String>> {
    let mut notes = BTreeMap::new();
    for entry in files::entries(&paths.made)? {
        let Ok(name) = NsName::new(entry.file_name()) else { continue };
        let note = fs::read_to_string(entry.path())
            .with_context(|| format!("cannot read {}", entry.path().display()))?;
        notes.insert(name, note);
    }
    Ok(notes)
}

/// The namespace behind a name, if it is the one that was noted.
fn noted(paths: &Paths, name: &NsName, notes: &BTreeMap<NsName, String>) -> Result<Option<Identity>> {
    let Some(ours) = notes.get(name).and_then(|note| note.parse::<Identity>().ok()) else { return Ok(None) };
    Ok(ours.has_name(paths, name)?.then_some(ours))
}

/// What the direct engine knows.
#[derive(Default)]
struct Records {
    states: BTreeMap<NsName, State>,
    /// Files that cannot be used, and why: they stay for people to look at, with all that they may be about.
    unusable: BTreeMap<NsName, String>,
}

fn records(paths: &Paths) -> Result<Records> {
    let mut records = Records::default();
    for entry in files::entries(&paths.direct)? {
        let file = entry.file_name().to_string_lossy();
        let Some(name) = file.strip_suffix(".json").and_then(|name| name.parse::<NsName>().ok()) else {
            continue;
        };
        match state::read(paths, &name)? {
            Some(Known::State(state)) => _ = records.states.insert(name, state),
            Some(Known::Unusable(error)) => _ = records.unusable.insert(name, format!("{error:#}")),
            None => {}
        }
    }
    Ok(records)
}

/// The instances that remember something.
fn memories(paths: &Paths) -> Result<Vec<Instance>> {
    let entries = files::entries(&paths.remembered)?;
    Ok(entries.iter().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}
