//! Finds stale drop-ins of ours, which have no unit any more.
//!
//! A drop-in of an existing unit always stays, even if its instances are gone: without the drop-in, a service would start outside
//! of the namespace. The drop-in of a missing service stays, too: a package or a generator can install the unit again.

use std::path::Path;

use anyhow::Result;

use super::{Orphan, OrphanKind, files};
use crate::attach;
use crate::config::plugin;
use crate::name::UnitName;
use crate::paths::Paths;
use crate::requires;
use crate::sys::file;
use crate::systemd::unit_files::dropins;

/// Checks a drop-in of a unit. Returns the kind and the reason if the drop-in is stale.
type DropInCheck = fn(&Paths, &str) -> Option<(OrphanKind, String)>;

/// The drop-ins that this program writes: the file name, the header by which a file is recognised, and the check.
const DROP_INS: [(&str, &str, DropInCheck); 3] = [
    (dropins::REQUIRES.file, dropins::REQUIRES.header, check_instance),
    (dropins::FIREWALL.file, dropins::FIREWALL.header, check_type),
    (attach::FILE, attach::HEADER, check_service),
];

/// Finds stale drop-ins.
/// Errors: the directory of units cannot be read.
pub fn find(paths: &Paths) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    // A symbolic link can lead to the drop-ins of another unit, which are needed.
    for entry in files::entries(&paths.units)?.iter().filter(|entry| !entry.path_is_symlink()) {
        let Some(unit) = entry.file_name().to_str().and_then(|name| name.strip_suffix(".d")) else {
            continue;
        };
        for (file, header, check) in &DROP_INS {
            let path = entry.path().join(file);
            if let Some((kind, reason)) = check(paths, unit).filter(|_| is_ours(&path, header)) {
                found.push(Orphan { kind, path, reason });
            }
        }
    }
    Ok(found)
}

fn is_ours(path: &Path, header: &str) -> bool {
    file::read(path).is_ok_and(|text| text.starts_with(header.as_bytes()))
}

/// Checks a drop-in for the requirements of an instance. Only drop-ins of unknown instances are stale; netns-update handles the
/// others.
fn check_instance(paths: &Paths, unit: &str) -> Option<(OrphanKind, String)> {
    let Some(UnitName::Outside(instance)) = UnitName::parse(unit) else { return None };
    Some((OrphanKind::File, requires::unknown_reason(paths, &instance)?))
}

/// Checks a drop-in that `netns-update` has written for the firewall of a type.
fn check_type(paths: &Paths, unit: &str) -> Option<(OrphanKind, String)> {
    let Some(UnitName::OutsideTemplate(nstype)) = UnitName::parse(unit) else { return None };
    let is_gone = plugin::find(paths, &nstype).is_err() && paths.units.join(unit).symlink_metadata().is_err();
    is_gone.then(|| (OrphanKind::File, files::type_is_gone(&nstype)))
}

/// Checks a drop-in of an attached service.
fn check_service(paths: &Paths, unit: &str) -> Option<(OrphanKind, String)> {
    // The template counts as the unit, too: x@.service for x@a.service.
    let template =
        unit.split_once('@').and_then(|(stem, rest)| Some(format!("{stem}@.{}", rest.rsplit_once('.')?.1)));
    let run = ["system", "generator", "generator.early", "generator.late", "transient"];
    let directories = run.iter().map(|directory| paths.root.join("run/systemd").join(directory));
    let mut directories = directories.chain([paths.units.clone()]).chain(paths.templates.iter().cloned());
    let exists = directories.any(|directory| {
        [Some(unit), template.as_deref()]
            .into_iter()
            .flatten()
            .any(|unit| directory.join(unit).symlink_metadata().is_ok())
    });
    let reason = format!(
        "unit {unit} does not exist; the drop-in is kept in case the unit is installed again; \
         `netnsctl detach {}` removes the drop-in",
        shell_words::quote(unit)
    );
    (!exists).then_some((OrphanKind::Foreign, reason))
}
