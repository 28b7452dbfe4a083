//! Finds the running units of a name, and checks that their processes have left the previous network.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::findings::misplaced_processes;
use super::members::{members_in, restart_commands};
use super::{Attached, ServiceUnit};
use crate::netns::Id;
use crate::paths::{GLOBAL_NETNS, Paths};
use crate::systemd::journal;
use crate::systemd::show::Properties;
use crate::systemd::systemctl::Systemctl;

/// A process that systemd has just started enters the namespace within this time.
const ENTER_TIMEOUT: Duration = Duration::from_secs(5);

/// The names of the running units of a name: the unit itself, or the instances of a template.
/// Errors: systemctl is missing or fails.
pub(super) fn running_units(unit: &ServiceUnit) -> Result<Vec<String>> {
    let units = Properties::of_service(&unit.pattern())?;
    Ok(units.iter().filter(|one| one.runs()).map(|one| one.get("Id").to_owned()).collect())
}

/// The loaded units of a name, without template instances that have their own drop-in.
/// Errors: systemctl is missing or fails.
pub(super) fn loaded_units(unit: &ServiceUnit, attached: &[Attached]) -> Result<Vec<Properties>> {
    let mut units = Properties::of_service(&unit.pattern())?;
    units.retain(|one| one.id() == unit.as_ref() || !attached.iter().any(|other| other.unit == one.id()));
    Ok(units)
}

/// The network that the processes of a unit must leave.
#[derive(Debug)]
pub(super) struct PreviousNetwork {
    id: Id,
    name: String,
}

impl PreviousNetwork {
    pub(super) fn host() -> Option<Self> {
        let id = Id::of(GLOBAL_NETNS.as_ref()).ok()?;
        Some(Self { id, name: "the host's network".to_owned() })
    }

    pub(super) fn namespace(paths: &Paths, unit: &ServiceUnit, attached: &[Attached]) -> Option<Self> {
        let one = attached.iter().find(|one| one.unit == unit.as_ref())?;
        let id = Id::of(&paths.namespace(&one.namespace)).ok()?;
        Some(Self { id, name: format!("`{}`", one.namespace) })
    }

    /// Reports the processes that are still in this network, one line a unit.
    /// Errors: systemctl is missing or fails.
    pub(super) fn remaining(&self, unit: &ServiceUnit, attached: &[Attached]) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for properties in loaded_units(unit, attached)? {
            let members = members_in(&properties, ENTER_TIMEOUT, &|id| id == self.id);
            if !members.is_empty() {
                let network = format!("still in {}", self.name);
                let problem = misplaced_processes(&members, properties.id(), &network);
                lines.push(format!("{problem}; {}", restart_commands(&properties)));
            }
        }
        Ok(lines)
    }
}

/// Restarts running units.
/// Errors: a unit does not come up again, or systemctl fails.
pub(super) fn restart(systemd: &Systemctl, running: &[String]) -> Result<()> {
    systemd.change("restart", running);
    for name in running {
        let state = Properties::of_service(name)?.pop().unwrap_or_default().get("ActiveState").to_owned();
        ensure!(
            state == "active" || state == "activating",
            "{name} did not come up again, and is {state}; the drop-in is changed as requested: fix the cause, then run \
             `systemctl start {name}`{}",
            journal::of_unit(name)
        );
    }
    Ok(())
}
