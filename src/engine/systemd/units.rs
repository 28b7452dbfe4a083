//! What systemd says of the units of instances.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::Result;
use jiff::Timestamp;

use crate::engine::dependants::Dependants;
use crate::engine::{Active, Condition, EngineKind};
use crate::name::{Instance, UnitName};
use crate::paths::Paths;
use crate::systemd::show::Properties;
use crate::systemd::systemctl::{Loaded, Systemctl};

/// What [`Units`] look at.
const ASKED: &str = "ActiveState,StateChangeTimestamp";

/// Whatever may need another unit.
const USERS: [&str; 2] = ["RequiredBy", "BoundBy"];

/// Units, by their names.
#[derive(Debug, Default)]
pub(super) struct Units(BTreeMap<String, Properties>);

impl Units {
    /// Asks systemd about some, by their names.
    pub(super) fn of<Word: AsRef<str>>(names: impl IntoIterator<Item = Word>) -> Result<Self> {
        let units = Properties::of(ASKED, names)?;
        Ok(Self(units.into_iter().map(|unit| (unit.id().to_owned(), unit)).collect()))
    }

    /// Asks systemd about the inside halves of some instances.
    pub(super) fn of_instances(instances: &[Instance]) -> Result<Self> {
        Self::of(instances.iter().map(Instance::unit))
    }

    pub(super) fn condition(&self, name: &str) -> Condition {
        self.0.get(name).map_or(Condition::Down, condition)
    }

    pub(super) fn is_up(&self, name: &str) -> bool {
        self.condition(name) == Condition::Up
    }

    /// Whether one is up, or on its way there or down.
    pub(super) fn is_there(&self, name: &str) -> bool {
        [Condition::Up, Condition::Changing].contains(&self.condition(name))
    }

    pub(super) fn since(&self, name: &str) -> Option<Timestamp> {
        self.0.get(name)?.since()
    }

    /// The names of those that have failed.
    pub(super) fn failed(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, unit)| condition(unit) == Condition::Failed).map(|(name, _)| name.as_str())
    }
}

fn condition(unit: &Properties) -> Condition {
    Condition::of_unit(unit.get("ActiveState"))
}

/// Whatever is there and requires any of the instances, or one another that does: systemd stops it with that.
pub(super) fn dependants(instances: &[Instance]) -> Result<Dependants> {
    let mut dependants = Dependants::default();
    let mut seen: BTreeSet<Instance> = instances.iter().cloned().collect();
    let mut next = instances.to_vec();
    while !next.is_empty() {
        let halves = next.iter().flat_map(|instance| [instance.unit(), instance.outside_unit()]);
        let pairs = pairs(&Properties::of(&USERS.join(","), halves)?);
        let users: Vec<String> =
            pairs.iter().flat_map(|(_, user)| [user.unit(), user.outside_unit()]).collect();
        let there = Units::of(&users)?;
        next.clear();
        for (instance, user) in &pairs {
            if there.is_there(&user.unit()) || there.is_there(&user.outside_unit()) {
                dependants.add(instance, user);
                if seen.insert(user.clone()) {
                    next.push(user.clone());
                }
            }
        }
    }
    Ok(dependants)
}

/// Which instance each instance is required by.
fn pairs(units: &[Properties]) -> BTreeSet<(Instance, Instance)> {
    let mut pairs = BTreeSet::new();
    for unit in units {
        let Some(instance) = instance_of(unit.id()) else { continue };
        let users = USERS.iter().flat_map(|key| unit.words(key)).filter_map(instance_of);
        pairs.extend(users.filter(|user| *user != instance).map(|user| (instance.clone(), user)));
    }
    pairs
}

/// Whether a unit is required by one that is there.
pub(super) fn needed(name: &str) -> Result<bool> {
    let units = Properties::of(&USERS.join(","), [name])?;
    let users = units.iter().flat_map(|unit| USERS.iter().flat_map(|key| unit.words(key)));
    let users: Vec<String> = users.map(str::to_owned).collect();
    let there = Units::of(&users)?;
    Ok(users.iter().any(|user| there.is_there(user)))
}

/// The instance that a unit is a half of.
fn instance_of(unit: &str) -> Option<Instance> {
    UnitName::parse(unit)?.instance()
}

/// What its units have up, or have failed to bring up.
pub(crate) fn active(paths: &Paths) -> Result<Vec<Active>> {
    let loaded = Systemctl::of(paths).map_or(Ok(Vec::new()), |systemctl| systemctl.loaded())?;
    let mut found: Vec<(&str, Active)> = instances(&loaded);
    // To show a unit costs systemd a hundred times what it costs to list it, so only those are asked for which that has to be.
    for (unit, active) in &mut found {
        if active.condition == Condition::Up {
            active.since = began(paths, unit);
        }
    }
    let units = Units::of(found.iter().filter(|(_, active)| active.since.is_none()).map(|(unit, _)| unit))?;
    let since =
        |(unit, active): (&str, Active)| Active { since: active.since.or(units.since(unit)), ..active };
    Ok(found.into_iter().map(since).collect())
}

/// When a unit was started that is active: systemd makes a link then, by which journald knows the invocation
/// (`unit_export_invocation_id` in systemd's src/core/unit.c).
fn began(paths: &Paths, unit: &str) -> Option<Timestamp> {
    let made = fs::symlink_metadata(paths.invocation(unit)).ok()?.modified().ok()?;
    Timestamp::from_second(Timestamp::try_from(made).ok()?.as_second()).ok()
}

/// The instances that units are halves of, each with the unit that tells how far it is. Since when is not known.
#[must_use]
pub fn instances(units: &[Loaded]) -> Vec<(&str, Active)> {
    let units: BTreeMap<&str, &Loaded> = units.iter().map(|unit| (unit.name.as_str(), unit)).collect();
    let mut instances: BTreeMap<String, (&str, Active)> = BTreeMap::new();
    for (name, unit) in units {
        let Some(instance) = instance_of(name) else { continue };
        let word = instance.to_string();
        let condition = match Condition::of_unit(&unit.active) {
            Condition::Down => continue,
            // The outside half alone is on its way, one way or the other.
            Condition::Up if name != instance.unit() => Condition::Changing,
            condition => condition,
        };
        let found = (name, Active { instance, engine: EngineKind::Systemd, condition, since: None });
        // The inside half comes first by its name; only a failure of the other one says more.
        if condition == Condition::Failed {
            instances.insert(word, found);
        } else {
            instances.entry(word).or_insert(found);
        }
    }
    instances.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systemd::systemctl;

    #[test]
    fn dependants_are_read_from_what_requires_or_binds_either_half() {
        let listing = "Id=netns-veth@b.service\nRequiredBy=netns_outside-nft@a.service nginx.service\nBoundBy=netns-x@b.service\n\n\
                       Id=netns_outside-veth@b.service\nRequiredBy=netns-veth@b.service\nBoundBy=\n";
        let words: Vec<String> = pairs(&Properties::parse(listing))
            .into_iter()
            .map(|(instance, user)| format!("{instance} by {user}"))
            .collect();
        assert_eq!(words, ["veth@b by nft@a", "veth@b by x@b"]);
    }

    #[test]
    fn an_instance_is_as_far_as_its_inside_half_unless_either_has_failed() {
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
