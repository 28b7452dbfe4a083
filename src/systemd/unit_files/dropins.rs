//! Drop-ins that have an instance wait for what it requires: `netns_outside-TYPE@NAME.service.d/10-requires.conf`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use walkdir::DirEntry;

use super::{Action, Change, Plan, Text};
use crate::name::{Instance, NsType};
use crate::paths::Paths;
use crate::requires::{Graph, Requirement};

/// The name of the file, so that an administrator's `20-….conf` is read after it.
pub const FILE: &str = "10-requires.conf";

/// The unit that has the namespace go when what is required does not come (units/netns_settle@.service).
const SETTLE: &str = "netns_settle@%i.service";

/// What ours begin with, and nobody else's.
pub const HEADER: &str = "# Written by netns-update from what ";

impl Plan<'_> {
    /// Adds what has to be done so that each instance of the graph has a drop-in if it requires anything, and no other instance one
    /// of ours, where `present` is what there is in the directory of the units.
    pub fn add_dropins(&mut self, paths: &Paths, present: &[DirEntry], graph: &Graph) {
        let mut wanted: BTreeMap<PathBuf, String> = graph
            .requires
            .iter()
            .filter(|(_, requires)| !requires.is_empty())
            .map(|(instance, requires)| (place(paths, instance), content(instance, requires)))
            .collect();
        for entry in present {
            // What a link leads to may be another instance's.
            if !entry.path_is_symlink() && entry.file_name().to_str().is_some_and(is_of_instance) {
                let path = entry.path().join(FILE);
                if !wanted.contains_key(&path) && is_ours(&path, HEADER) {
                    self.changes.push(Change { action: Action::Remove, path, text: None });
                }
            }
        }
        while let Some((path, content)) = wanted.pop_first() {
            match action(&path, &content, HEADER) {
                Ok(action) => self.changes.push(Change { action, path, text: Some(Text::DropIn(content)) }),
                Err(error) => self.complaints.push(format!("{error:#}")),
            }
        }
        self.sort();
    }
}

/// The drop-in of a type that provides a firewall: `netns_outside-TYPE@.service.d/10-firewall.conf`.
pub const FIREWALL_FILE: &str = "10-firewall.conf";

/// The first words of such a drop-in.
pub const FIREWALL_HEADER: &str = "# Written by netns-update, since the type ";

fn firewall_content(nstype: &NsType) -> String {
    format!(
        "{FIREWALL_HEADER}{nstype} provides a firewall.\n\
         # The namespace is closed before any of its types comes up (netns_closed@.service).\n\n\
         [Unit]\nRequires=netns_closed@%i.service\nAfter=netns_closed@%i.service\n"
    )
}

impl Plan<'_> {
    /// Adds the drop-in of each type that provides a firewall, and removes that of other types.
    pub fn add_firewalls(&mut self, paths: &Paths, present: &[DirEntry], firewalls: &BTreeSet<NsType>) {
        for nstype in firewalls {
            let path = paths.units.join(format!("netns_outside-{nstype}@.service.d")).join(FIREWALL_FILE);
            let content = firewall_content(nstype);
            match action(&path, &content, FIREWALL_HEADER) {
                Ok(action) => self.changes.push(Change { action, path, text: Some(Text::DropIn(content)) }),
                Err(error) => self.complaints.push(format!("{error:#}")),
            }
        }
        for entry in present.iter().filter(|entry| !entry.path_is_symlink()) {
            let Some(nstype) = entry.file_name().to_str().and_then(type_of_directory) else { continue };
            let path = entry.path().join(FIREWALL_FILE);
            if !firewalls.contains(&nstype) && is_ours(&path, FIREWALL_HEADER) {
                self.changes.push(Change { action: Action::Remove, path, text: None });
            }
        }
        self.sort();
    }
}

/// The type whose drop-ins are in a directory, if they are for all instances of its outside half.
fn type_of_directory(directory: &str) -> Option<NsType> {
    directory.strip_prefix("netns_outside-")?.strip_suffix("@.service.d")?.parse().ok()
}

/// Why systemd does not know what an instance requires, and the next step; `None` where it does, or somebody's own file counts
/// instead.
#[must_use]
pub fn unheard(paths: &Paths, instance: &Instance, requires: &[Requirement]) -> Option<String> {
    let first = requires.first()?;
    let path = place(paths, instance);
    let why = match action(&path, &content(instance, requires), HEADER) {
        Ok(Action::Keep) => return None,
        Ok(Action::Create) => format!("there is no {}", path.display()),
        Ok(_) => format!("{} is out of date", path.display()),
        Err(error) => format!("{error:#}"),
    };
    let conf = paths.conf_of(instance);
    let next = if conf.is_file() {
        "run `netns-update`".to_owned()
    } else {
        format!("create {}, which may be empty, then run `netns-update`", conf.display())
    };
    Some(format!("`{instance}` requires `{first}`, and systemd does not know that: {why}; {next}"))
}

fn place(paths: &Paths, instance: &Instance) -> PathBuf {
    paths.units.join(format!("{}.d", instance.outside_unit())).join(FILE)
}

fn is_of_instance(directory: &str) -> bool {
    directory
        .strip_prefix("netns_outside-")
        .and_then(|rest| rest.strip_suffix(".service.d"))
        .is_some_and(|word| word.parse::<Instance>().is_ok())
}

fn content(instance: &Instance, requires: &[Requirement]) -> String {
    let units: Vec<String> = requires.iter().map(Requirement::unit).collect();
    let units = units.join(" ");
    format!(
        "{HEADER}{instance} requires: configure_{}_requires in its files, or\n\
         # NETNS_REQUIRES (netns.conf(5)). Settings of your own belong into another file beside it. A file of yours in its place,\n\
         # which may be empty, is left alone, and counts instead.\n\n\
         [Unit]\nRequires={units}\nAfter={units}\n\
         # Where they fail, the namespace goes again.\nWants={SETTLE}\nBefore={SETTLE}\n",
        instance.nstype
    )
}

/// Whether a file is there and was written by netns-update, with these first words.
fn is_ours(path: &Path, header: &str) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
        && fs::read(path).is_ok_and(|content| content.starts_with(header.as_bytes()))
}

/// What a drop-in that should be there needs. One that somebody else has written, or a mask, stays.
fn action(path: &Path, content: &str, header: &str) -> Result<Action> {
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
        Ok(_) if !is_ours(path, header) => Action::Keep,
        Ok(_) if fs::read(path).is_ok_and(|found| found == content.as_bytes()) => Action::Keep,
        Ok(_) => Action::Update,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_of_the_outside_halves_alone_are_looked_into() {
        assert!(is_of_instance("netns_outside-veth@my-net.service.d"));
        for other in
            ["netns-veth@a.service.d", "netns_outside-veth@.service.d", "netns_outside-veth@a.service"]
        {
            assert!(!is_of_instance(other), "{other}");
        }
    }
}
