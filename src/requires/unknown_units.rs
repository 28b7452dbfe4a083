//! Units and requirements that systemd does not know.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Graph, Problem, Requirement};
use crate::name::Instance;
use crate::paths::Paths;
use crate::systemd::show::Properties;
use crate::systemd::unit_files::dropins::outdated;

/// The required units that systemd does not know, as problems of their instances. systemd is queried once, and only if a unit is
/// required.
/// Errors: systemctl cannot be run.
pub fn not_found(graph: &Graph) -> Result<Vec<Problem>> {
    let states = states("LoadState", units(graph).map(|(_, unit)| unit))?;
    let unknown =
        units(graph).filter(|(_, unit)| states.get(unit.as_str()).is_some_and(|state| state == "not-found"));
    let problem = |(instance, unit): (&Instance, &String)| Problem {
        instance: instance.clone(),
        message: format!(
            "`{instance}` requires the unit `{unit}`, which systemd does not know; hint: `systemctl cat {unit}`"
        ),
    };
    Ok(unknown.map(problem).collect())
}

/// A property of each unit. One command shows the properties in the order of its arguments, and aliases under their real names.
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

/// The required units, with their instances.
fn units(graph: &Graph) -> impl Iterator<Item = (&Instance, &String)> {
    graph.requires.iter().flat_map(|(instance, requires)| {
        requires.iter().filter_map(move |requirement| match requirement {
            Requirement::Unit(unit) => Some((instance, unit)),
            _ => None,
        })
    })
}

/// The reason why systemd does not know a requirement of an instance, with the next step. `None` if systemd knows it, or a
/// foreign file is in its place.
#[must_use]
pub fn stale_dropin(paths: &Paths, instance: &Instance, requires: &[Requirement]) -> Option<String> {
    let first = requires.first()?;
    let why = outdated(paths, instance, &units_of(requires))?;
    let conf = paths.conf_of(instance);
    let next = if conf.is_file() {
        "run `netns-update`".to_owned()
    } else {
        format!("create {} (it may be empty), then run `netns-update`", conf.display())
    };
    Some(format!("`{instance}` requires `{first}`, but systemd does not know this: {why}; {next}"))
}

/// The units that must be active for the requirements.
#[must_use]
pub fn units_of(requires: &[Requirement]) -> Vec<String> {
    requires.iter().map(Requirement::unit).collect()
}
