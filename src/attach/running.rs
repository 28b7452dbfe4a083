//! What runs of a unit, and whether it has followed into a namespace or out of one.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::members::{listed, members_in, renewal};
use super::{Attached, ServiceUnit};
use crate::netns::Id;
use crate::paths::{GLOBAL_NETNS, Paths};
use crate::systemd::journal;
use crate::systemd::show::Properties;
use crate::systemd::systemctl::Systemctl;

/// Processes that systemd has started enter the namespace within this time.
const SETTLING: Duration = Duration::from_secs(5);

/// The units of that name that run.
pub(super) fn running(unit: &ServiceUnit) -> Result<Vec<String>> {
    let units = Properties::of_service(&unit.running())?;
    Ok(units.iter().filter(|one| one.runs()).map(|one| one.get("Id").to_owned()).collect())
}

/// The loaded units of that name. An instance of a template that has a drop-in of its own is not among them.
pub(super) fn of_name(unit: &ServiceUnit, attached: &[Attached]) -> Result<Vec<Properties>> {
    let mut units = Properties::of_service(&unit.running())?;
    units.retain(|one| one.id() == unit.as_ref() || !attached.iter().any(|other| other.unit == one.id()));
    Ok(units)
}

/// A network that no process of a unit may be in any more, and its name.
#[derive(Debug)]
pub(super) struct Left {
    id: Id,
    name: String,
}

impl Left {
    pub(super) fn host() -> Option<Self> {
        let id = Id::of(GLOBAL_NETNS.as_ref()).ok()?;
        Some(Self { id, name: "the host's network".to_owned() })
    }

    pub(super) fn namespace(paths: &Paths, unit: &ServiceUnit, attached: &[Attached]) -> Option<Self> {
        let one = attached.iter().find(|one| one.unit == unit.as_ref())?;
        let id = Id::of(&paths.namespace(&one.namespace)).ok()?;
        Some(Self { id, name: format!("`{}`", one.namespace) })
    }

    /// The processes that are still there, a line for each unit.
    pub(super) fn behind(&self, unit: &ServiceUnit, attached: &[Attached]) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for properties in of_name(unit, attached)? {
            let members = members_in(&properties, SETTLING, &|id| id == self.id);
            if !members.is_empty() {
                lines.push(format!(
                    "{} of {} still in {}: {}",
                    listed(&members),
                    properties.id(),
                    self.name,
                    renewal(&properties)
                ));
            }
        }
        Ok(lines)
    }
}

/// Restarts units that ran before.
/// Errors: one does not come up again.
pub(super) fn restart(systemd: &Systemctl, running: &[String]) -> Result<()> {
    systemd.change("restart", running);
    for name in running {
        let state = Properties::of_service(name)?.pop().unwrap_or_default().get("ActiveState").to_owned();
        ensure!(
            state == "active" || state == "activating",
            "{name} did not come up again, and is {state} now; the drop-ins are as they should be, so mend that, then \
             `systemctl start {name}`{}",
            journal::of_unit(name)
        );
    }
    Ok(())
}
