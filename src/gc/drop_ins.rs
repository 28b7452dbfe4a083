//! Drop-ins of ours whose unit is gone. Each kind is a line of [`KINDS`].
//!
//! A drop-in of a unit that is there is never removed, whatever has become of what it asks for: without it, a service would start
//! outside of its namespace.

use std::fs;

use anyhow::Result;

use super::{Orphan, What, files};
use crate::name::Instance;
use crate::paths::Paths;
use crate::units::dropins;
use crate::{attach, requires};

/// Drop-ins that this program writes.
struct Kind {
    file: &'static str,
    /// What the file begins with, so that it is known to be ours.
    header: &'static str,
    /// Why nobody needs it, given the name of the unit.
    gone: fn(&Paths, &str) -> Option<String>,
}

const KINDS: [Kind; 2] = [
    Kind { file: dropins::FILE, header: dropins::HEADER, gone: instance_gone },
    Kind { file: attach::FILE, header: attach::HEADER, gone: unit_gone },
];

pub fn find(paths: &Paths) -> Result<Vec<Orphan>> {
    let mut found = Vec::new();
    for entry in files::entries(&paths.units)? {
        let Some(unit) = entry.file_name().to_str().and_then(|name| name.strip_suffix(".d")) else {
            continue;
        };
        for kind in &KINDS {
            let path = entry.path().join(kind.file);
            let is_ours = || fs::read(&path).is_ok_and(|text| text.starts_with(kind.header.as_bytes()));
            if let Some(reason) = (kind.gone)(paths, unit).filter(|_| is_ours()) {
                found.push(Orphan { what: What::File, path, reason });
            }
        }
    }
    Ok(found)
}

/// What an instance requires that may still be meant is netns-update's to say.
fn instance_gone(paths: &Paths, unit: &str) -> Option<String> {
    let instance: Instance = unit.strip_prefix("netns_outside-")?.strip_suffix(".service")?.parse().ok()?;
    requires::unknown(paths, &instance)
}

fn unit_gone(paths: &Paths, unit: &str) -> Option<String> {
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
    (!there).then(|| format!("there is no unit {unit} any more"))
}
