//! Drop-ins that netns-update writes: what the units of an instance wait for, and what the units of a firewall do first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use walkdir::DirEntry;

use super::{Action, Change, Plan, Text};
use crate::name::{Instance, NsType, UnitName};
use crate::paths::Paths;

/// A kind of drop-ins of ours.
#[derive(Debug)]
pub struct DropInKind {
    /// The name of the file. An administrator's `20-….conf` is read after it.
    pub file: &'static str,
    /// What ours begin with, and nobody else's.
    pub header: &'static str,
}

/// Of an instance that requires something: `netns_outside-TYPE@NAME.service.d/10-requires.conf`.
pub const REQUIRES: DropInKind =
    DropInKind { file: "10-requires.conf", header: "# Written by netns-update from what " };

/// Of a type that provides a firewall: `netns_outside-TYPE@.service.d/10-firewall.conf`.
pub const FIREWALL: DropInKind =
    DropInKind { file: "10-firewall.conf", header: "# Written by netns-update, since the type " };

/// The unit that has the namespace go when what is required does not come (units/netns_settle@.service).
const SETTLE: &str = "netns_settle@%i.service";

impl DropInKind {
    /// Where the drop-in of a unit is.
    fn place(&self, paths: &Paths, unit: &UnitName) -> PathBuf {
        paths.units.join(format!("{unit}.d")).join(self.file)
    }

    /// Whether a file is there and was written by netns-update as one of these.
    fn is_ours(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
            && fs::read(path).is_ok_and(|content| content.starts_with(self.header.as_bytes()))
    }

    /// What a drop-in that should be there needs. One that somebody else has written, or a mask, stays.
    fn action(&self, path: &Path, content: &str) -> Result<Action> {
        let directory = path.parent().unwrap_or(path);
        ensure!(
            match fs::symlink_metadata(directory) {
                Ok(found) => found.is_dir(),
                Err(error) => error.kind() == ErrorKind::NotFound,
            },
            "{} is a link, or no directory: it is left alone; remove it, then run this again",
            directory.display()
        );
        Ok(match fs::symlink_metadata(path) {
            Err(_) => Action::Create,
            Ok(_) if !self.is_ours(path) => Action::Keep,
            Ok(_) if fs::read(path).is_ok_and(|found| found == content.as_bytes()) => Action::Keep,
            Ok(_) => Action::Update,
        })
    }
}

impl Plan<'_> {
    /// Adds what has to be done so that each instance that requires units has a drop-in, and no other instance one of ours, where
    /// `present` is what there is in the directory of the units.
    pub fn add_requirements(
        &mut self,
        paths: &Paths,
        present: &[DirEntry],
        requires: &BTreeMap<Instance, Vec<String>>,
    ) {
        let some = requires.iter().filter(|(_, units)| !units.is_empty());
        let wanted = some
            .map(|(instance, units)| (UnitName::Outside(instance.clone()), requirements(instance, units)));
        let is_meant = |unit: &UnitName| matches!(unit, UnitName::Outside(_));
        self.add_dropins(paths, present, &REQUIRES, wanted.collect(), is_meant);
    }

    /// Adds the drop-in of each type that provides a firewall, and removes that of other types.
    pub fn add_firewalls(&mut self, paths: &Paths, present: &[DirEntry], firewalls: &BTreeSet<NsType>) {
        let wanted = firewalls
            .iter()
            .map(|nstype| (UnitName::OutsideTemplate(nstype.clone()), closing(nstype)))
            .collect();
        let is_meant = |unit: &UnitName| matches!(unit, UnitName::OutsideTemplate(_));
        self.add_dropins(paths, present, &FIREWALL, wanted, is_meant);
    }

    /// `wanted` are the drop-ins that should be there, by their units; `is_meant` tells the units that may have one.
    fn add_dropins(
        &mut self,
        paths: &Paths,
        present: &[DirEntry],
        kind: &DropInKind,
        wanted: BTreeMap<UnitName, String>,
        is_meant: impl Fn(&UnitName) -> bool,
    ) {
        // What a link leads to may be another unit's.
        for entry in present.iter().filter(|entry| !entry.path_is_symlink()) {
            let Some(unit) = unit_of(entry).filter(&is_meant) else { continue };
            let path = entry.path().join(kind.file);
            if !wanted.contains_key(&unit) && kind.is_ours(&path) {
                self.changes.push(Change { action: Action::Remove, path, text: None });
            }
        }
        for (unit, content) in wanted {
            let path = kind.place(paths, &unit);
            match kind.action(&path, &content) {
                Ok(action) => self.changes.push(Change { action, path, text: Some(Text::DropIn(content)) }),
                Err(error) => self.complaints.push(format!("{error:#}")),
            }
        }
        self.sort();
    }
}

/// The unit of ours whose drop-ins are in a directory.
fn unit_of(entry: &DirEntry) -> Option<UnitName> {
    UnitName::parse(entry.file_name().to_str()?.strip_suffix(".d")?)
}

/// Why systemd does not know that an instance requires these units; `None` where it does, or somebody's own file counts instead.
#[must_use]
pub fn outdated(paths: &Paths, instance: &Instance, units: &[String]) -> Option<String> {
    let path = REQUIRES.place(paths, &UnitName::Outside(instance.clone()));
    match REQUIRES.action(&path, &requirements(instance, units)) {
        Ok(Action::Keep) => None,
        Ok(Action::Create) => Some(format!("there is no {}", path.display())),
        Ok(_) => Some(format!("{} is out of date", path.display())),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// The drop-in of an instance that requires units.
fn requirements(instance: &Instance, units: &[String]) -> String {
    let units = units.join(" ");
    format!(
        "{}{instance} requires: configure_{}_requires in its files, or\n\
         # NETNS_REQUIRES (netns.conf(5)). Settings of your own belong into another file beside it. A file of yours in its place,\n\
         # which may be empty, is left alone, and counts instead.\n\n\
         [Unit]\nRequires={units}\nAfter={units}\n\
         # Where they fail, the namespace goes again.\nWants={SETTLE}\nBefore={SETTLE}\n",
        REQUIRES.header, instance.nstype
    )
}

/// The drop-in of a type that provides a firewall.
fn closing(nstype: &NsType) -> String {
    format!(
        "{}{nstype} provides a firewall.\n\
         # The namespace is closed before any of its types comes up (netns_closed@.service).\n\n\
         [Unit]\nRequires=netns_closed@%i.service\nAfter=netns_closed@%i.service\n",
        FIREWALL.header
    )
}
