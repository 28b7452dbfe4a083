//! Drop-ins of ours whose unit is gone.
//!
//! A drop-in of a unit that is there is never removed, whatever has become of what it asks for: without it, a service would start
//! outside of its namespace. Nor is one of a service whose unit is away: a package or a generator may bring it back.

use std::path::Path;

use anyhow::Result;

use super::{Orphan, What, files};
use crate::attach;
use crate::config::plugin;
use crate::name::UnitName;
use crate::paths::Paths;
use crate::requires;
use crate::sys::file;
use crate::systemd::unit_files::dropins;

/// What is said of a drop-in of ours, given its unit, if nobody needs it.
type DropInJudge = fn(&Paths, &str) -> Option<(What, String)>;

/// Drop-ins that this program writes: the file, and what it begins with, so that it is known to be ours.
const KINDS: [(&str, &str, DropInJudge); 3] = [
    (dropins::REQUIRES.file, dropins::REQUIRES.header, of_instance),
    (dropins::FIREWALL.file, dropins::FIREWALL.header, of_type),
    (attach::FILE, attach::HEADER, of_service),
];

pub fn find(paths: &Paths) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    // What a link leads to may be the drop-ins of another unit, which needs them.
    for entry in files::entries(&paths.units)?.iter().filter(|entry| !entry.path_is_symlink()) {
        let Some(unit) = entry.file_name().to_str().and_then(|name| name.strip_suffix(".d")) else {
            continue;
        };
        for (file, header, judge) in &KINDS {
            let path = entry.path().join(file);
            if let Some((what, reason)) = judge(paths, unit).filter(|_| is_ours(&path, header)) {
                found.push(Orphan { what, path, reason });
            }
        }
    }
    Ok(found)
}

fn is_ours(path: &Path, header: &str) -> bool {
    file::read(path).is_ok_and(|text| text.starts_with(header.as_bytes()))
}

/// What an instance requires that may still be meant is netns-update's to say.
fn of_instance(paths: &Paths, unit: &str) -> Option<(What, String)> {
    let Some(UnitName::Outside(instance)) = UnitName::parse(unit) else { return None };
    Some((What::File, requires::unknown(paths, &instance)?))
}

/// The drop-in of a type, which `netns-update` has written for its firewall.
fn of_type(paths: &Paths, unit: &str) -> Option<(What, String)> {
    let Some(UnitName::OutsideTemplate(nstype)) = UnitName::parse(unit) else { return None };
    let is_gone = plugin::find(paths, &nstype).is_err() && paths.units.join(unit).symlink_metadata().is_err();
    is_gone.then(|| (What::File, format!("there is no type `{nstype}` any more")))
}

fn of_service(paths: &Paths, unit: &str) -> Option<(What, String)> {
    // Also of a template, x@.service for x@a.service.
    let template =
        unit.split_once('@').and_then(|(stem, rest)| Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1)));
    let run = ["system", "generator", "generator.early", "generator.late", "transient"];
    let places = run.iter().map(|place| paths.root.join("run/systemd").join(place));
    let mut places = places.chain([paths.units.clone()]).chain(paths.templates.iter().cloned());
    let there = places.any(|place| {
        [Some(unit), template.as_deref()]
            .into_iter()
            .flatten()
            .any(|unit| place.join(unit).symlink_metadata().is_ok())
    });
    let reason = format!(
        "there is no unit {unit} now, which would start in its namespace if it came back; `netnsctl detach {}` removes \
         it",
        shell_words::quote(unit)
    );
    (!there).then_some((What::Foreign, reason))
}
