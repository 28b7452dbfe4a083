//! Queries systemd for the namespaces and instances that units need now or can need soon.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::name::{Instance, NsName, UnitName};
use crate::netns::ownership;
use crate::paths::Paths;
use crate::sys::file;
use crate::systemd::show::Properties;
use crate::systemd::systemctl::{Systemctl, loaded_of_types};

/// The queried properties of all units.
const PROPERTIES: &str = "ActiveState,Job,NetworkNamespacePath,ExecStartPre,ExecStart";

/// The unit types that execute commands (systemd.exec(5)).
const TYPES: &str = "service,socket,mount,swap";

/// The namespaces and instances that units need. Our own inactive or failed units are ignored. Foreign units are ignored if they
/// are inactive and have no job.
#[derive(Debug, Default)]
pub struct Used {
    /// Whether systemd runs on this machine.
    pub systemd: bool,
    /// The namespaces of our units.
    pub names: BTreeSet<NsName>,
    /// The instances of our units.
    pub instances: BTreeSet<Instance>,
    /// The namespaces that foreign units have created or can create with `netnsinit --create`.
    pub created: BTreeSet<NsName>,
    /// The namespaces in which foreign units run.
    entered: BTreeSet<NsName>,
}

impl Used {
    /// Queries systemd. Without systemd the result is empty.
    /// Errors: systemd cannot be queried.
    pub fn query(paths: &Paths) -> Result<Self> {
        let Some(systemctl) = Systemctl::of(paths) else { return Ok(Self::default()) };
        let mut used = Self { systemd: true, ..Self::default() };
        let ours = systemctl.loaded()?;
        for unit in &ours {
            if ["inactive", "failed"].contains(&unit.active.as_str()) {
                continue;
            }
            match UnitName::parse(&unit.name) {
                Some(UnitName::Name(name)) => _ = used.names.insert(name),
                Some(UnitName::Inside(instance) | UnitName::Outside(instance)) => {
                    used.names.insert(instance.name.clone());
                    used.instances.insert(instance);
                }
                _ => {}
            }
        }
        let ours: BTreeSet<String> = ours.into_iter().map(|unit| unit.name).collect();
        // The properties of a unit take much longer than its name, and there can be hundreds of our units.
        let others = loaded_of_types(TYPES)?.into_iter().filter(|unit| !ours.contains(unit));
        let mut foreign = BTreeSet::new();
        for unit in Properties::of(PROPERTIES, others)? {
            if unit.get("ActiveState") == "inactive" && ["", "0"].contains(&unit.get("Job")) {
                continue;
            }
            foreign.insert(unit.id().to_owned());
            let path = Path::new(unit.get("NetworkNamespacePath"));
            // The path can also be /var/run/netns/NAME.
            if path.parent().is_some_and(|directory| directory.ends_with("run/netns")) {
                used.entered.extend(path.file_name().and_then(|name| NsName::new(name).ok()));
            }
            used.created.extend(created(unit.values("ExecStartPre").chain(unit.values("ExecStart"))));
        }
        used.created.extend(recorded_for(paths, &foreign));
        Ok(used)
    }

    /// Whether any unit needs a namespace.
    pub fn needs(&self, name: &NsName) -> bool {
        [&self.names, &self.created, &self.entered].iter().any(|names| names.contains(name))
    }
}

/// Returns the namespaces that these units have created, according to the ownership records. This finds namespaces that a script
/// of the unit has created, too.
fn recorded_for(paths: &Paths, units: &BTreeSet<String>) -> Vec<NsName> {
    let entries = file::entries(&paths.ownership).unwrap_or_default();
    let is_creator_in_units = |name: &NsName| {
        let record = file::read_text(&paths.ownership(name)).unwrap_or_default();
        matches!(ownership::parse(&record), Ok((_, Some(creator))) if units.contains(creator))
    };
    entries
        .iter()
        .filter_map(|entry| NsName::new(entry.file_name()).ok())
        .filter(is_creator_in_units)
        .collect()
}

/// Returns the namespaces that commands create: each NAME of `netnsinit --create NAME`, anywhere in the commands.
fn created<'a>(words: impl Iterator<Item = &'a str>) -> Vec<NsName> {
    let words: Vec<&str> = words.map(|word| word.trim_matches(['"', '\'', ';'])).collect();
    let calls = words.windows(3).filter(|three| three[0].ends_with("netnsinit") && three[1] == "--create");
    calls.filter_map(|three| three[2].parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_namespace_is_found_anywhere_in_a_command() {
        let output = "{ path=/bin/sh ; argv[]=/bin/sh -c netnsinit --create my-net; exec sleep 1 ; ignore_errors=no }\n\
                    { path=/usr/sbin/netnsinit ; argv[]=/usr/sbin/netnsinit --create a ; ignore_errors=no ; pid=0 }\n\
                    { path=/usr/sbin/netnsinit ; argv[]=/usr/sbin/netnsinit --delete b ; ignore_errors=no ; pid=0 }";
        let names: Vec<String> = created(output.split_whitespace()).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["my-net", "a"]);
    }
}
