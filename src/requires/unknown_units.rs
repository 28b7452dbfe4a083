//! What systemd does not know: units that instances require, and that they require anything.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Graph, Problem, Requirement};
use crate::name::Instance;
use crate::paths::Paths;
use crate::systemd::show::Properties;
use crate::systemd::unit_files::dropins::outdated;

/// Units that systemd does not know, as problems of the instances that require them. systemd is asked once, and only where there is
/// anything to ask.
/// Errors: systemctl cannot be run.
pub fn not_found(graph: &Graph) -> Result<Vec<Problem>> {
    let states = states("LoadState", units(graph).map(|(_, unit)| unit))?;
    let unknown =
        units(graph).filter(|(_, unit)| states.get(unit.as_str()).is_some_and(|state| state == "not-found"));
    let problem = |(instance, unit): (&Instance, &String)| Problem {
        instance: instance.clone(),
        message: format!(
            "`{instance}` requires the unit `{unit}`, which systemd does not know: `systemctl cat {unit}` finds nothing"
        ),
    };
    Ok(unknown.map(problem).collect())
}

/// A property of each unit. One command shows them in the order of its arguments, aliases under their real names.
/// Errors: systemctl cannot be run.
pub fn states<'a>(
    property: &str,
    units: impl Iterator<Item = &'a String>,
) -> Result<BTreeMap<&'a str, String>> {
    let units: Vec<&str> = units.map(String::as_str).collect();
    let values: Vec<String> =
        Properties::of(property, &units)?.iter().map(|one| one.get(property).to_owned()).collect();
    Ok(units.into_iter().zip(values).collect())
}

/// The units that are required, with who requires them.
fn units(graph: &Graph) -> impl Iterator<Item = (&Instance, &String)> {
    graph.requires.iter().flat_map(|(instance, requires)| {
        requires.iter().filter_map(move |requirement| match requirement {
            Requirement::Unit(unit) => Some((instance, unit)),
            _ => None,
        })
    })
}

/// Why systemd does not know what an instance requires, and the next step; `None` where it does, or somebody's own file counts
/// instead.
#[must_use]
pub fn stale_dropin(paths: &Paths, instance: &Instance, requires: &[Requirement]) -> Option<String> {
    let first = requires.first()?;
    let why = outdated(paths, instance, &units_of(requires))?;
    let conf = paths.conf_of(instance);
    let next = if conf.is_file() {
        "run `netns-update`".to_owned()
    } else {
        format!("create {}, which may be empty, then run `netns-update`", conf.display())
    };
    Some(format!("`{instance}` requires `{first}`, and systemd does not know that: {why}; {next}"))
}

/// The units that have to be active for what is required.
#[must_use]
pub fn units_of(requires: &[Requirement]) -> Vec<String> {
    requires.iter().map(Requirement::unit).collect()
}
