//! Reads the state of the units of instances from systemd.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::Result;
use jiff::Timestamp;

use crate::engine::dependants::Dependants;
use crate::engine::{Active, Condition, EngineKind};
use crate::name::{Instance, UnitName, unit};
use crate::paths::Paths;
use crate::systemd::show::Properties;
use crate::systemd::systemctl::{Loaded, Systemctl};

/// The properties of a unit that list the other units which require this unit.
const REVERSE_DEPENDENCIES: &str = "RequiredBy,BoundBy";

/// The same, with the other units that stop with a unit: those with `PartOf=`, and those with `StopPropagatedFrom=`.
const STOP_DEPENDENCIES: &str = "RequiredBy,BoundBy,ConsistsOf,PropagatesStopTo";

/// The conditions of units, by name. A unit that is not loaded is down.
#[derive(Debug, Default)]
pub(super) struct Units(BTreeMap<String, Condition>);

impl Units {
    /// Queries systemd about units, by name. This takes much longer than [`Units::ours`].
    /// Errors: systemctl is missing or fails.
    pub(super) fn of<Name: AsRef<str>>(names: impl IntoIterator<Item = Name>) -> Result<Self> {
        let units = Properties::of("ActiveState", names)?.into_iter();
        Ok(Self(
            units.map(|unit| (unit.id().to_owned(), Condition::of_unit(unit.get("ActiveState")))).collect(),
        ))
    }

    /// Queries systemd about all units of systemd-netns.
    /// Errors: systemctl is missing or fails.
    pub(super) fn ours(systemctl: &Systemctl) -> Result<Self> {
        let units = systemctl.loaded()?.into_iter();
        Ok(Self(units.map(|unit| (unit.name, Condition::of_unit(&unit.active))).collect()))
    }

    pub(super) fn condition(&self, name: &str) -> Condition {
        self.0.get(name).copied().unwrap_or(Condition::Down)
    }

    pub(super) fn is_up(&self, name: &str) -> bool {
        self.condition(name) == Condition::Up
    }

    /// Whether a unit is up, coming up or going down.
    pub(super) fn is_up_or_changing(&self, name: &str) -> bool {
        [Condition::Up, Condition::Changing].contains(&self.condition(name))
    }
}

/// The time of the last change of each of these units, by name.
/// Errors: systemctl is missing or fails.
pub(super) fn changed_at<Name: AsRef<str>>(
    names: impl IntoIterator<Item = Name>,
) -> Result<BTreeMap<String, Timestamp>> {
    let units = Properties::of("StateChangeTimestamp", names)?;
    Ok(units.iter().filter_map(|unit| Some((unit.id().to_owned(), unit.since()?))).collect())
}

/// Finds the active dependants of instances, direct and indirect. systemd stops them with the instances.
/// Errors: systemctl is missing or fails.
pub(super) fn dependants(instances: &[Instance]) -> Result<Dependants> {
    let mut dependants = Dependants::default();
    let mut seen: BTreeSet<Instance> = instances.iter().cloned().collect();
    let mut next = instances.to_vec();
    while !next.is_empty() {
        // Only the inside units: a query of the outside units would double the time, and other units have no reason to require them.
        let units = next.iter().map(Instance::unit);
        let pairs = requirement_pairs(&Properties::of(STOP_DEPENDENCIES, units)?);
        let names: BTreeSet<String> = pairs.iter().flat_map(|(_, dependant)| dependant.units()).collect();
        let units = Units::of(&names)?;
        next.clear();
        for (instance, dependant) in &pairs {
            if !dependant.units().iter().any(|unit| units.is_up_or_changing(unit)) {
                continue;
            }
            match dependant {
                Dependant::Unit(unit) => dependants.add_unit(instance, unit),
                Dependant::Instance(dependant) => {
                    dependants.add(instance, dependant);
                    if seen.insert(dependant.clone()) {
                        next.push(dependant.clone());
                    }
                }
            }
        }
    }
    dependants.extend_units(|units| {
        let found = Properties::of(STOP_DEPENDENCIES, units)?;
        let names: BTreeSet<String> = found
            .iter()
            .flat_map(|unit| unit.all_values(STOP_DEPENDENCIES))
            .filter(|unit| !unit::is_ours(unit))
            .map(str::to_owned)
            .collect();
        let states = Units::of(&names)?;
        Ok(names.into_iter().filter(|unit| states.is_up_or_changing(unit)).collect())
    })?;
    Ok(dependants)
}

/// A unit that requires an instance.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dependant {
    /// A unit of another instance.
    Instance(Instance),
    /// A unit that is not ours, such as an attached service.
    Unit(String),
}

impl Dependant {
    /// `None` for a unit of ours without an instance.
    fn of(unit: &str) -> Option<Self> {
        match UnitName::parse(unit) {
            Some(ours) => ours.instance().map(Self::Instance),
            None => Some(Self::Unit(unit.to_owned())),
        }
    }

    /// The units that are active while the dependant is up.
    fn units(&self) -> Vec<String> {
        match self {
            Self::Instance(instance) => vec![instance.unit(), instance.outside_unit()],
            Self::Unit(unit) => vec![unit.clone()],
        }
    }
}

/// Reads pairs of an instance and a dependant from the properties of units.
fn requirement_pairs(units: &[Properties]) -> BTreeSet<(Instance, Dependant)> {
    let mut pairs = BTreeSet::new();
    for unit in units {
        let Some(instance) = instance_of(unit.id()) else { continue };
        let dependants = unit.all_values(STOP_DEPENDENCIES).filter_map(Dependant::of);
        let own = Dependant::Instance(instance.clone());
        pairs.extend(dependants.filter(|one| *one != own).map(|one| (instance.clone(), one)));
    }
    pairs
}

/// The units of `names` which another unit requires that is up or changing.
/// Errors: systemctl is missing or fails.
pub(super) fn needed<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<BTreeSet<String>> {
    let units = Properties::of(REVERSE_DEPENDENCIES, names)?;
    let states = Units::of(units.iter().flat_map(dependants_of).collect::<BTreeSet<_>>())?;
    let is_needed = |unit: &&Properties| dependants_of(unit).any(|other| states.is_up_or_changing(other));
    Ok(units.iter().filter(is_needed).map(|unit| unit.id().to_owned()).collect())
}

/// The units that require a unit.
fn dependants_of(unit: &Properties) -> impl Iterator<Item = &str> {
    unit.all_values(REVERSE_DEPENDENCIES)
}

/// The instance of an inside or outside unit.
fn instance_of(unit: &str) -> Option<Instance> {
    UnitName::parse(unit)?.instance()
}

/// Lists the active and failed instances of the systemd engine.
/// Errors: systemctl is missing or fails.
pub(crate) fn active(paths: &Paths) -> Result<Vec<Active>> {
    let loaded = Systemctl::of(paths).map_or(Ok(Vec::new()), |systemctl| systemctl.loaded())?;
    let mut found: Vec<(&str, Active)> = instances(&loaded);
    // `systemctl show` costs a hundred times more than `list-units`: it is only used where the start time is unknown.
    for (unit, active) in &mut found {
        if active.condition == Condition::Up {
            active.since = start_time(paths, unit);
        }
    }
    let changed_at =
        changed_at(found.iter().filter(|(_, active)| active.since.is_none()).map(|(unit, _)| unit))?;
    let since = |(unit, active): (&str, Active)| Active {
        since: active.since.or(changed_at.get(unit).copied()),
        ..active
    };
    Ok(found.into_iter().map(since).collect())
}

/// The start time of an active unit: the modification time of a symbolic link that systemd creates at the start. The link
/// contains the invocation ID for journald (`unit_export_invocation_id` in systemd's src/core/unit.c).
fn start_time(paths: &Paths, unit: &str) -> Option<Timestamp> {
    let modified = fs::symlink_metadata(paths.invocation(unit)).ok()?.modified().ok()?;
    Timestamp::from_second(Timestamp::try_from(modified).ok()?.as_second()).ok()
}

/// Combines inside and outside units to instances. Each instance comes with the unit that determines its condition. The time
/// of the last change is not set.
#[must_use]
pub fn instances(units: &[Loaded]) -> Vec<(&str, Active)> {
    let units: BTreeMap<&str, &Loaded> = units.iter().map(|unit| (unit.name.as_str(), unit)).collect();
    let mut instances: BTreeMap<String, (&str, Active)> = BTreeMap::new();
    for (name, unit) in units {
        let Some(instance) = instance_of(name) else { continue };
        let key = instance.to_string();
        let condition = match Condition::of_unit(&unit.active) {
            Condition::Down => continue,
            // With only the outside unit up, the instance is coming up or going down.
            Condition::Up if name != instance.unit() => Condition::Changing,
            condition => condition,
        };
        let found =
            (name, Active { instance, engine: EngineKind::Systemd, condition, since: None, namespace: None });
        // The inside unit sorts first. Only a failure of the outside unit replaces it.
        if condition == Condition::Failed {
            instances.insert(key, found);
        } else {
            instances.entry(key).or_insert(found);
        }
    }
    instances.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systemd::systemctl;

    #[test]
    fn dependants_are_read_from_required_by_and_bound_by_of_the_inside_units() {
        let listing = "Id=netns-veth@b.service\nRequiredBy=netns_outside-nft@a.service nginx.service\nBoundBy=netns-x@b.service\n";
        let pairs: Vec<String> = requirement_pairs(&Properties::parse(listing))
            .into_iter()
            .map(|(instance, dependant)| format!("{instance} by {}", dependant.units()[0]))
            .collect();
        assert_eq!(
            pairs,
            ["veth@b by netns-nft@a.service", "veth@b by netns-x@b.service", "veth@b by nginx.service"]
        );
    }

    #[test]
    fn the_inside_unit_determines_the_condition_unless_the_outside_unit_has_failed() {
        let listing = "netns-lo@a.service loaded active exited x\nnetns_outside-lo@a.service loaded active exited x\n\
                       netns_outside-lo@b.service loaded active exited x\n\
                       netns-lo@c.service loaded inactive dead x\n\
                       netns-lo@d.service loaded active exited x\nnetns_outside-lo@d.service loaded failed failed x\n";
        let states: Vec<String> = instances(&systemctl::parse(listing))
            .iter()
            .map(|(unit, one)| format!("{} {} by {unit}", one.instance, one.condition))
            .collect();
        assert_eq!(
            states,
            [
                "lo@a up by netns-lo@a.service",
                "lo@b changing by netns_outside-lo@b.service",
                "lo@d failed by netns_outside-lo@d.service"
            ]
        );
    }
}
