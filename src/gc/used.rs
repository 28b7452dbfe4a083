//! What systemd needs, or may be about to.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::name::{Instance, NsName, UnitName};
use crate::netns::ownership;
use crate::paths::Paths;
use crate::sys::file;
use crate::systemd::show::Properties;
use crate::systemd::systemctl::Systemctl;

/// What is asked of units that may be others'.
const ASKED: &str = "ActiveState,Job,NetworkNamespacePath,ExecStartPre,ExecStart";

/// All that run something (systemd.exec(5)).
const PATTERNS: [&str; 4] = ["*.service", "*.socket", "*.mount", "*.swap"];

/// The names and instances that have a unit which is up, or on its way up or down.
#[derive(Debug, Default)]
pub struct Used {
    /// Whether systemd runs here at all.
    pub systemd: bool,
    /// The namespaces of these units.
    pub names: BTreeSet<NsName>,
    /// The instances of these units.
    pub instances: BTreeSet<Instance>,
    /// The namespaces that units of others have made, by `netnsinit --create`, or may be about to.
    pub made: BTreeSet<NsName>,
    /// The namespaces that units of others are in.
    entered: BTreeSet<NsName>,
}

impl Used {
    /// Asks systemd, where it runs.
    /// Errors: it does not answer.
    pub fn ask(paths: &Paths) -> Result<Self> {
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
        let mut others = BTreeSet::new();
        for unit in Properties::of(ASKED, PATTERNS)? {
            let is_idle = unit.get("ActiveState") == "inactive" && ["", "0"].contains(&unit.get("Job"));
            if is_idle || ours.iter().any(|ours| ours.name == unit.id()) {
                continue;
            }
            others.insert(unit.id().to_owned());
            let path = Path::new(unit.get("NetworkNamespacePath"));
            // Also by its other name, /var/run/netns/NAME.
            if path.parent().is_some_and(|directory| directory.ends_with("run/netns")) {
                used.entered.extend(path.file_name().and_then(|name| NsName::new(name).ok()));
            }
            used.made.extend(created(unit.words("ExecStartPre").chain(unit.words("ExecStart"))));
        }
        used.made.extend(made_by(paths, &others));
        Ok(used)
    }

    /// Whether any unit needs a namespace.
    pub fn needs(&self, name: &NsName) -> bool {
        [&self.names, &self.made, &self.entered].iter().any(|names| names.contains(name))
    }
}

/// What these units have made, be it by a script, as is noted.
fn made_by(paths: &Paths, units: &BTreeSet<String>) -> Vec<NsName> {
    let entries = file::entries(&paths.ownership).unwrap_or_default();
    let by_one_of_these = |name: &NsName| {
        let note = file::read_text(&paths.ownership(name)).unwrap_or_default();
        matches!(ownership::read(&note), Ok((_, Some(maker))) if units.contains(maker))
    };
    entries.iter().filter_map(|entry| NsName::new(entry.file_name()).ok()).filter(by_one_of_these).collect()
}

/// What commands make by `netnsinit --create NAME`, wherever in them that stands.
fn created<'a>(words: impl Iterator<Item = &'a str>) -> Vec<NsName> {
    let words: Vec<&str> = words.map(|word| word.trim_matches(['"', '\'', ';'])).collect();
    let names = words.windows(3).filter(|three| three[0].ends_with("netnsinit") && three[1] == "--create");
    names.filter_map(|three| three[2].parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_creates_is_found_wherever_it_stands() {
        let said = "{ path=/bin/sh ; argv[]=/bin/sh -c netnsinit --create my-net; exec sleep 1 ; ignore_errors=no }\n\
                    { path=/usr/sbin/netnsinit ; argv[]=/usr/sbin/netnsinit --create a ; ignore_errors=no ; pid=0 }\n\
                    { path=/usr/sbin/netnsinit ; argv[]=/usr/sbin/netnsinit --delete b ; ignore_errors=no ; pid=0 }";
        let names: Vec<String> = created(said.split_whitespace()).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["my-net", "a"]);
    }
}
