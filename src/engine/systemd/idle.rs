//! Ends the units that a connection has started, if nothing else needs them.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::Systemd;
use super::units::Units;
use crate::name::{Instance, UnitName};
use crate::systemd::show::Properties;

/// The properties of a unit that list the units which need it. `WantedBy`: an enabled unit stays up with its target. `PropagatesStopTo`:
/// attached services.
const NEEDED_BY: &str = "RequiredBy,BoundBy,WantedBy,PropagatesStopTo";

impl Systemd {
    /// Stops `units`, among them inside units of instances, unless another active unit needs one of them. Then all stay up, because a
    /// namespace must not lose its firewall first, and the message names both units. Types that only use interfaces of these instances
    /// (`PartOf=`) stay up.
    /// Errors: systemctl is missing or fails, or a unit does not stop.
    pub fn stop_unneeded(&self, units: &BTreeSet<String>) -> Result<Option<String>> {
        let found = Properties::of(&format!("{NEEDED_BY},ConsistsOf"), units)?;
        let is_other = |unit: &&str| !units.contains(*unit) && !is_part_of(unit, units);
        let users: BTreeSet<&str> =
            found.iter().flat_map(|unit| unit.all_values(NEEDED_BY)).filter(is_other).collect();
        let states = Units::of(&users)?;
        for unit in &found {
            let user =
                unit.all_values(NEEDED_BY).filter(is_other).find(|user| states.is_up_or_changing(user));
            if let Some(user) = user {
                return Ok(Some(format!("{user} needs {}", unit.id())));
            }
        }
        let instances: Vec<Instance> =
            units.iter().filter_map(|unit| UnitName::parse(unit)?.instance()).collect();
        let is_follower = |unit: &&str| matches!(UnitName::parse(unit), Some(UnitName::Follow(_)));
        let followers = found.iter().flat_map(|unit| unit.values("ConsistsOf")).filter(is_follower);
        let all: Vec<&str> = units.iter().map(String::as_str).chain(followers).collect();
        let message = self.systemctl.stop_alone(&all);
        let after = Units::of(units)?;
        match units.iter().find(|unit| after.is_up_or_changing(unit)) {
            Some(unit) => bail!("cannot stop {unit}: {message}"),
            // The outside units follow. A new start must not find them half stopped.
            None => self.wait_until_down(&instances).into_values().next().map_or(Ok(None), Err),
        }
    }
}

/// Whether a unit is of an instance whose inside unit is in `units`, or is of this program and of no instance: it stops by itself.
fn is_part_of(unit: &str, units: &BTreeSet<String>) -> bool {
    UnitName::parse(unit).is_some_and(|ours| {
        ours.instance().as_ref().map(Instance::unit).is_none_or(|unit| units.contains(&unit))
    })
}
