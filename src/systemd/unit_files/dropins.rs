//! The drop-ins that netns-update writes. One kind contains the requirements of an instance. Another kind belongs to a type
//! with a firewall, and closes the namespace before an instance of the type starts. The third kind orders a type after the types whose
//! interfaces it uses, and the fourth kind starts the unit that watches its rules on the host. The fifth kind starts attached units again,
//! and the sixth kind instances whose parent interface has returned.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use walkdir::DirEntry;

use super::{Action, Change, FileContent, Plan};
use crate::name::{Instance, NsType, UnitName, unit};
use crate::paths::Paths;

/// A kind of drop-in.
#[derive(Debug)]
pub struct DropInKind {
    /// The name of the file. systemd reads an administrator's `20-….conf` later.
    pub file: &'static str,
    /// The beginning of the first line, by which drop-ins of this kind are recognized.
    pub header: &'static str,
}

/// For an instance with requirements: `netns_outside-TYPE@NAME.service.d/10-requires.conf`.
pub const REQUIRES: DropInKind =
    DropInKind { file: "10-requires.conf", header: "# Written by netns-update from what " };

/// For a type that provides a firewall: `netns_outside-TYPE@.service.d/10-firewall.conf`.
pub const FIREWALL: DropInKind =
    DropInKind { file: "10-firewall.conf", header: "# Written by netns-update, since the type " };

/// For a type that uses the interfaces of other types: `netns-TYPE@.service.d/10-links.conf`, and the same for `netns_outside-TYPE@`.
pub const LINKS: DropInKind = DropInKind {
    file: "10-links.conf",
    header: "# Written by netns-update for the interfaces that the type ",
};

/// For a type with rules on the host: `netns-TYPE@.service.d/10-watch.conf`.
pub const WATCH: DropInKind =
    DropInKind { file: "10-watch.conf", header: "# Written by netns-update, since instances of the type " };

/// For attached units that follow: `netns_follow@UNIT.service.d/10-follow.conf` and `netns-TYPE@NAME.service.d/10-follow.conf`.
pub const FOLLOW: DropInKind =
    DropInKind { file: "10-follow.conf", header: "# Written by netnsctl for attached units: " };

/// For a parent interface of instances: `sys-subsystem-net-devices-IFNAME.device.d/10-netns.conf`.
pub const PARENT: DropInKind =
    DropInKind { file: "10-netns.conf", header: "# Written by netns-update for a parent interface: " };

/// The unit that removes the namespace after a failed requirement (units/netns_settle@.service).
const SETTLE: &str = "netns_settle@%i.service";

impl DropInKind {
    /// The path of the drop-in of a unit.
    fn path(&self, paths: &Paths, unit: &str) -> PathBuf {
        paths.units.join(format!("{unit}.d")).join(self.file)
    }

    /// Whether a file exists and is a drop-in of this kind, written by netns-update.
    fn is_ours(&self, path: &Path) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
            && fs::read(path).is_ok_and(|content| content.starts_with(self.header.as_bytes()))
    }

    /// The action for a drop-in that should exist. An administrator's file or a mask stays.
    /// Errors: the directory of the drop-in is a link, or not a directory.
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
    /// Plans the drop-ins of instances: each instance with requirements has a drop-in, and those of other instances are removed.
    /// `present` are the entries in the directory of the units. The drop-in of an
    /// instance with invalid requirements is not changed.
    pub fn add_requirements(
        &mut self,
        paths: &Paths,
        present: &[DirEntry],
        requires: &BTreeMap<Instance, Vec<String>>,
        is_valid: impl Fn(&Instance) -> bool,
    ) {
        let with_units = requires.iter().filter(|(instance, units)| !units.is_empty() && is_valid(instance));
        let wanted =
            with_units.map(|(instance, units)| (instance.outside_unit(), requires_text(instance, units)));
        let is_instance = |unit: &str| matches!(UnitName::parse(unit), Some(UnitName::Outside(instance)) if is_valid(&instance));
        self.add_dropins(paths, present, &REQUIRES, wanted.collect(), is_instance);
    }

    /// Plans the drop-ins of types: each firewall type has a drop-in, and those of other types are removed.
    pub fn add_firewalls(&mut self, paths: &Paths, present: &[DirEntry], firewalls: &BTreeSet<NsType>) {
        let wanted = firewalls
            .iter()
            .map(|nstype| (UnitName::OutsideTemplate(nstype.clone()).to_string(), firewall_text(nstype)))
            .collect();
        let is_template = |unit: &str| matches!(UnitName::parse(unit), Some(UnitName::OutsideTemplate(_)));
        self.add_dropins(paths, present, &FIREWALL, wanted, is_template);
    }

    /// Plans the drop-ins of types that use the interfaces of other types. `users` has the other types of each.
    pub fn add_link_users(
        &mut self,
        paths: &Paths,
        present: &[DirEntry],
        users: &BTreeMap<NsType, Vec<NsType>>,
    ) {
        let with_links = users.iter().filter(|(_, links)| !links.is_empty());
        let texts = with_links.clone().map(|(nstype, links)| (nstype, links_text(nstype, links)));
        self.add_to_inside_templates(paths, present, &LINKS, texts);
        let wanted = with_links.map(|(nstype, links)| {
            (UnitName::OutsideTemplate(nstype.clone()).to_string(), outside_links_text(nstype, links))
        });
        let is_template = |unit: &str| matches!(UnitName::parse(unit), Some(UnitName::OutsideTemplate(_)));
        self.add_dropins(paths, present, &LINKS, wanted.collect(), is_template);
    }

    /// Plans the drop-ins of types with rules on the host.
    pub fn add_host_rules(&mut self, paths: &Paths, present: &[DirEntry], types: &BTreeSet<NsType>) {
        let texts = types.iter().map(|nstype| (nstype, watch_text(nstype)));
        self.add_to_inside_templates(paths, present, &WATCH, texts);
    }

    fn add_to_inside_templates<'a>(
        &mut self,
        paths: &Paths,
        present: &[DirEntry],
        kind: &DropInKind,
        texts: impl Iterator<Item = (&'a NsType, String)>,
    ) {
        let wanted = texts.map(|(nstype, text)| (UnitName::InsideTemplate(nstype.clone()).to_string(), text));
        let is_template = |unit: &str| matches!(UnitName::parse(unit), Some(UnitName::InsideTemplate(_)));
        self.add_dropins(paths, present, kind, wanted.collect(), is_template);
    }

    /// Plans the drop-ins of attached units that follow. `wanted` are all their texts.
    pub fn add_followers(&mut self, paths: &Paths, present: &[DirEntry], wanted: BTreeMap<UnitName, String>) {
        let wanted = wanted.into_iter().map(|(unit, text)| (unit.to_string(), text)).collect();
        let applies_to =
            |unit: &str| matches!(UnitName::parse(unit), Some(UnitName::Inside(_) | UnitName::Follow(_)));
        self.add_dropins(paths, present, &FOLLOW, wanted, applies_to);
    }

    /// Plans the drop-ins of parent interfaces: `parents` has their instances, by the name of the interface. An instance that
    /// `is_unknown` stays in the drop-in that has it.
    pub fn add_parents(
        &mut self,
        paths: &Paths,
        present: &[DirEntry],
        parents: &BTreeMap<String, BTreeSet<Instance>>,
        is_unknown: impl Fn(&Instance) -> bool,
    ) {
        let mut parents = parents.clone();
        let devices = present.iter().filter(|entry| unit_of(entry).is_some_and(unit::is_device));
        for (ifname, instance) in devices.flat_map(written_parents).filter(|(_, one)| is_unknown(one)) {
            parents.entry(ifname).or_default().insert(instance);
        }
        let wanted =
            parents.iter().map(|(ifname, instances)| (unit::device(ifname), parent_text(ifname, instances)));
        self.add_dropins(paths, present, &PARENT, wanted.collect(), unit::is_device);
    }

    /// Plans the drop-ins of one kind. `wanted` are the texts of all such drop-ins, by unit. `applies_to` returns whether a unit can
    /// have a drop-in of this kind.
    fn add_dropins(
        &mut self,
        paths: &Paths,
        present: &[DirEntry],
        kind: &DropInKind,
        wanted: BTreeMap<String, String>,
        applies_to: impl Fn(&str) -> bool,
    ) {
        // A link is left out, because its target may belong to another unit.
        for entry in present.iter().filter(|entry| !entry.path_is_symlink()) {
            let Some(unit) = unit_of(entry).filter(|unit| applies_to(unit)) else { continue };
            let path = entry.path().join(kind.file);
            if !wanted.contains_key(unit) && kind.is_ours(&path) {
                self.changes.push(Change { action: Action::Remove, path, content: None });
            }
        }
        for (unit, text) in wanted {
            let path = kind.path(paths, &unit);
            match kind.action(&path, &text) {
                Ok(action) => {
                    self.changes.push(Change { action, path, content: Some(FileContent::DropIn(text)) });
                }
                Err(error) => self.problems.push(format!("{error:#}")),
            }
        }
        self.sort();
    }
}

/// The unit of a drop-in directory.
fn unit_of(entry: &DirEntry) -> Option<&str> {
    entry.file_name().to_str()?.strip_suffix(".d")
}

/// The reason why systemd does not know that an instance requires these units. `None` if the drop-in is up to date, or if an
/// administrator's file replaces it.
#[must_use]
pub fn stale_reason(paths: &Paths, instance: &Instance, units: &[String]) -> Option<String> {
    let path = REQUIRES.path(paths, &instance.outside_unit());
    match REQUIRES.action(&path, &requires_text(instance, units)) {
        Ok(Action::Keep) => None,
        Ok(Action::Create) => Some(format!("{} does not exist", path.display())),
        Ok(_) => Some(format!("{} is stale", path.display())),
        Err(error) => Some(format!("{error:#}")),
    }
}

/// The drop-in of an instance with requirements.
fn requires_text(instance: &Instance, units: &[String]) -> String {
    let units = units.join(" ");
    format!(
        "{}{instance} requires: configure_{}_requires in its files, or\n\
         # NETNS_REQUIRES (netns.conf(5)). Put your own settings into another file in this directory. netns-update does not\n\
         # change your own file with the name of this one; it may be empty.\n\n\
         [Unit]\nRequires={units}\nAfter={units}\n\
         # If they fail, the namespace is removed.\nWants={SETTLE}\nBefore={SETTLE}\n",
        REQUIRES.header, instance.nstype
    )
}

/// The drop-in of a type that provides a firewall.
fn firewall_text(nstype: &NsType) -> String {
    format!(
        "{}{nstype} provides a firewall.\n\
         # The namespace is closed before any of its types comes up (netns_closed@.service).\n\n\
         [Unit]\nRequires=netns_closed@%i.service\nAfter=netns_closed@%i.service\n",
        FIREWALL.header
    )
}

/// The drop-in of a type with rules on the host.
fn watch_text(nstype: &NsType) -> String {
    format!(
        "{}{nstype} have rules on the host.\n\
         # If another program deletes the rules, they are loaded again (netns_watch.service).\n\n\
         [Unit]\nWants=netns_watch.service\n",
        WATCH.header
    )
}

/// The drop-in of a type that uses the interfaces of other types. `PartOf=`: an interface that is created again has lost what the
/// type has set for it.
fn links_text(nstype: &NsType, links: &[NsType]) -> String {
    let units: Vec<String> = links.iter().map(|link| format!("netns-{link}@%i.service")).collect();
    let units = units.join(" ");
    format!(
        "{}{nstype} uses.\n\
         # Its instances start after the types with interfaces, and stop and restart with them.\n\n\
         [Unit]\nAfter={units}\nPartOf={units}\n",
        LINKS.header
    )
}

/// The drop-in of the outside unit of such a type.
fn outside_links_text(nstype: &NsType, links: &[NsType]) -> String {
    let units: Vec<String> =
        links.iter().map(|link| format!("netns-{link}@%i.service netns_outside-{link}@%i.service")).collect();
    format!(
        "{}{nstype} uses.\n\
         # Its hooks on the host use the interfaces, too: to stop, a daemon may send a last packet.\n\n\
         [Unit]\nAfter={}\n",
        LINKS.header,
        units.join(" ")
    )
}

/// The interface and the instances in our drop-in of a parent interface.
fn written_parents(entry: &DirEntry) -> Vec<(String, Instance)> {
    let text = fs::read_to_string(entry.path().join(PARENT.file)).unwrap_or_default();
    let mut lines = text.lines();
    let ifname = lines.next().and_then(|line| line.strip_prefix(PARENT.header)?.strip_suffix('.'));
    let Some(ifname) = ifname else { return Vec::new() };
    let units = lines.find_map(|line| line.strip_prefix("Wants=")).unwrap_or_default().split_whitespace();
    let instance = |unit: &str| match UnitName::parse(unit) {
        Some(UnitName::Return(instance)) => Some((ifname.to_owned(), instance)),
        _ => None,
    };
    units.filter_map(instance).collect()
}

/// The drop-in of a parent interface. `Before=`: the unit must not start while another unit still waits for the device.
fn parent_text(ifname: &str, instances: &BTreeSet<Instance>) -> String {
    let units: Vec<String> =
        instances.iter().map(|instance| UnitName::Return(instance.clone()).to_string()).collect();
    let units = units.join(" ");
    format!(
        "{}{ifname}.\n\
         # If these instances were up or have failed, they start again when the interface appears.\n\n\
         [Unit]\nWants={units}\nBefore={units}\n",
        PARENT.header
    )
}
