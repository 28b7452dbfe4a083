//! Drop-ins of netns-update: the requirements of instances, and the units that firewalls require.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use walkdir::DirEntry;

use super::{Action, Change, Plan, Text};
use crate::name::{Instance, NsType, UnitName};
use crate::paths::Paths;

/// A kind of drop-in.
#[derive(Debug)]
pub struct DropInKind {
    /// The name of the file. systemd reads an administrator's `20-….conf` later.
    pub file: &'static str,
    /// The first line, by which our files are recognized.
    pub header: &'static str,
}

/// For an instance with requirements: `netns_outside-TYPE@NAME.service.d/10-requires.conf`.
pub const REQUIRES: DropInKind =
    DropInKind { file: "10-requires.conf", header: "# Written by netns-update from what " };

/// For a type that provides a firewall: `netns_outside-TYPE@.service.d/10-firewall.conf`.
pub const FIREWALL: DropInKind =
    DropInKind { file: "10-firewall.conf", header: "# Written by netns-update, since the type " };

/// The unit that removes the namespace after a failed requirement (units/netns_settle@.service).
const SETTLE: &str = "netns_settle@%i.service";

impl DropInKind {
    /// The path of the drop-in of a unit.
    fn place(&self, paths: &Paths, unit: &UnitName) -> PathBuf {
        paths.units.join(format!("{unit}.d")).join(self.file)
    }

    /// Whether netns-update wrote the file, as a drop-in of this kind.
    fn is_ours(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
            && fs::read(path).is_ok_and(|content| content.starts_with(self.header.as_bytes()))
    }

    /// The action for a wanted drop-in. A foreign file or a mask stays.
    fn action(&self, path: &Path, content: &str) -> Result<Action> {
        let directory = path.parent().unwrap_or(path);
        ensure!(
            match fs::symlink_metadata(directory) {
                Ok(found) => found.is_dir(),
                Err(error) => error.kind() == ErrorKind::NotFound,
            },
            "{} is a link, or not a directory; remove it, then run this command again",
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
    /// Adds the changes after which each instance with requirements has a drop-in, and no other instance has one of ours.
    /// `present` are the
    /// entries in the directory of the units.
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

    /// Adds the drop-in of each firewall type, and removes the drop-in of other types.
    pub fn add_firewalls(&mut self, paths: &Paths, present: &[DirEntry], firewalls: &BTreeSet<NsType>) {
        let wanted = firewalls
            .iter()
            .map(|nstype| (UnitName::OutsideTemplate(nstype.clone()), closing(nstype)))
            .collect();
        let is_meant = |unit: &UnitName| matches!(unit, UnitName::OutsideTemplate(_));
        self.add_dropins(paths, present, &FIREWALL, wanted, is_meant);
    }

    /// `wanted` are the wanted drop-ins by unit; `is_meant` is true for units that can have one.
    fn add_dropins(
        &mut self,
        paths: &Paths,
        present: &[DirEntry],
        kind: &DropInKind,
        wanted: BTreeMap<UnitName, String>,
        is_meant: impl Fn(&UnitName) -> bool,
    ) {
        // The target of a link may belong to another unit.
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

/// The unit of a drop-in directory, if it is a unit of systemd-netns.
fn unit_of(entry: &DirEntry) -> Option<UnitName> {
    UnitName::parse(entry.file_name().to_str()?.strip_suffix(".d")?)
}

/// The reason why systemd does not know that an instance requires these units. `None` if systemd knows it, or a foreign file is
/// in place
/// of the drop-in.
#[must_use]
pub fn outdated(paths: &Paths, instance: &Instance, units: &[String]) -> Option<String> {
    let path = REQUIRES.place(paths, &UnitName::Outside(instance.clone()));
    match REQUIRES.action(&path, &requirements(instance, units)) {
        Ok(Action::Keep) => None,
        Ok(Action::Create) => Some(format!("{} does not exist", path.display())),
        Ok(_) => Some(format!("{} is stale", path.display())),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// The drop-in of an instance with requirements.
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
