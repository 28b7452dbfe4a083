//! Reads the states of the attached services, with one query to systemd.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::MapService;
use crate::engine::Condition;
use crate::systemd::show::Properties;

/// Sets the state of each service.
pub(super) fn read_states(services: &mut [MapService]) -> Result<()> {
    let units = services.iter().map(|service| pattern(&service.unit));
    let units = Properties::of("Names,ActiveState", units)
        .context("the states of attached services are not shown")?;
    let states = states(&units);
    for service in services {
        service.state = Some(state_of(&service.unit, &states));
    }
    Ok(())
}

/// Returns the argument with which systemctl finds a unit. For a template, this is a pattern that matches its loaded instances.
fn pattern(unit: &str) -> String {
    if unit.contains("@.") { unit.replacen("@.", "@*.", 1) } else { unit.to_owned() }
}

/// Returns the state of a unit. A template has the worst state of its instances.
fn state_of(unit: &str, states: &BTreeMap<&str, Condition>) -> Condition {
    let is_of = |name: &str| match unit.split_once("@.") {
        Some((stem, suffix)) => name
            .strip_prefix(stem)
            .and_then(|rest| rest.strip_prefix('@')?.strip_suffix(suffix))
            .is_some_and(|rest| rest.ends_with('.')),
        None => name == unit,
    };
    let found: Vec<Condition> =
        states.iter().filter(|(name, _)| is_of(name)).map(|(_, state)| *state).collect();
    [Condition::Failed, Condition::Changing, Condition::Up]
        .into_iter()
        .find(|state| found.contains(state))
        .unwrap_or(Condition::Down)
}

/// Returns the states of the units, by name. A unit with several names has an entry for each name.
fn states(units: &[Properties]) -> BTreeMap<&str, Condition> {
    let mut states = BTreeMap::new();
    for unit in units {
        let state = Condition::of_unit(unit.get("ActiveState"));
        states.extend(unit.values("Names").map(|name| (name, state)));
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_found_by_each_name_and_a_template_has_its_worst_state() {
        use Condition::{Changing, Down, Failed, Up};
        let units = Properties::parse(
            "Id=web.service\nNames=web.service www.service\nActiveState=active\n\nId=x@b.service\nActiveState=failed\nNames=x@b.service\n\n\
             Id=x@a.service\nNames=x@a.service\nActiveState=active\n\n\
             Id=slow.service\nNames=slow.service\nActiveState=activating\n",
        );
        let states = states(&units);
        let states: Vec<Condition> =
            ["www.service", "x@.service", "x@a.service", "slow.service", "gone.service", "y@.service"]
                .map(|unit| state_of(unit, &states))
                .to_vec();
        assert_eq!(states, [Up, Failed, Up, Changing, Down, Down]);
    }
}
