//! How far the services are that were attached: one question to systemd about all of them.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use duct::cmd;

use super::Service;
use crate::engine::Condition;

/// Tells each service its state.
pub(super) fn tell(services: &mut [Service]) -> Result<()> {
    if services.is_empty() {
        return Ok(());
    }
    let words = ["show", "--property=Names,ActiveState", "--"].map(str::to_owned);
    let units = services.iter().map(|service| pattern(&service.unit));
    let listing = cmd("systemctl", words.into_iter().chain(units))
        .stdin_null()
        .stderr_capture()
        .read()
        .context("the states of attached services are not shown: `systemctl show` failed")?;
    let states = parse(&listing);
    for service in services {
        service.state = Some(of(&service.unit, &states));
    }
    Ok(())
}

/// What systemctl takes for a unit: of a template, all that is there.
fn pattern(unit: &str) -> String {
    if unit.contains("@.") { unit.replacen("@.", "@*.", 1) } else { unit.to_owned() }
}

/// The state of a unit; of a template, that of the one that most has to be looked at.
fn of(unit: &str, states: &BTreeMap<&str, Condition>) -> Condition {
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

/// Reads blocks of `KEY=value` lines with an empty line between them. A unit may have several names.
fn parse(listing: &str) -> BTreeMap<&str, Condition> {
    let mut states = BTreeMap::new();
    for block in listing.split("\n\n") {
        let value = |key: &str| block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let state = match value("ActiveState").unwrap_or_default() {
            "active" | "reloading" | "refreshing" => Condition::Up,
            "failed" => Condition::Failed,
            "inactive" | "" => Condition::Down,
            _ => Condition::Changing,
        };
        states.extend(value("Names").unwrap_or_default().split_whitespace().map(|name| (name, state)));
    }
    states
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_known_by_each_of_its_names_and_a_template_by_its_worst_instance() {
        use Condition::{Changing, Down, Failed, Up};
        let states = parse(
            "Names=web.service www.service\nActiveState=active\n\nActiveState=failed\nNames=x@b.service\n\n\
             Names=x@a.service\nActiveState=active\n\nNames=slow.service\nActiveState=activating\n",
        );
        let states: Vec<Condition> =
            ["www.service", "x@.service", "x@a.service", "slow.service", "gone.service", "y@.service"]
                .map(|unit| of(unit, &states))
                .to_vec();
        assert_eq!(states, [Up, Failed, Up, Changing, Down, Down]);
    }
}
