//! What systemd needs, or may be about to.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::units::Systemctl;

/// The names and instances that have a unit which is up, or on its way up or down.
#[derive(Debug, Default)]
pub struct Used {
    /// Whether systemd runs here at all.
    pub systemd: bool,
    /// The namespaces of these units.
    pub names: BTreeSet<NsName>,
    /// The instances of these units.
    pub instances: BTreeSet<Instance>,
}

impl Used {
    /// Asks systemd, where it runs.
    ///
    /// # Errors
    /// It does not answer.
    pub fn ask(paths: &Paths) -> Result<Self> {
        let Some(systemctl) = Systemctl::of(paths) else { return Ok(Self::default()) };
        let mut used = Self { systemd: true, ..Self::default() };
        for unit in systemctl.loaded()? {
            if ["inactive", "failed"].contains(&unit.active.as_str()) {
                continue;
            }
            let Some(stem) = unit.name.strip_suffix(".service") else { continue };
            if let Some(name) = stem.strip_prefix("netns_name@") {
                used.names.extend(name.parse::<NsName>());
            } else if let Some((_, word)) = stem.split_once('-') {
                // Either half of an instance.
                if let Ok(instance) = word.parse::<Instance>() {
                    used.names.insert(instance.name.clone());
                    used.instances.insert(instance);
                }
            }
        }
        Ok(used)
    }
}
