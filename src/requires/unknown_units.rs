//! Required units that systemd does not know, and drop-ins with requirements that systemd has not read.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Graph, Problem, Requirement};
use crate::name::Instance;
use crate::paths::Paths;
use crate::systemd::show::Properties;
use crate::systemd::unit_files::dropins::stale_reason;

/// The required units that systemd does not know. systemd is queried once, and only if a unit is required.
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

/// The values of a property, by unit.
/// Errors: systemctl cannot be run.
pub fn states<'a>(
    property: &str,
    units: impl Iterator<Item = &'a String>,
) -> Result<BTreeMap<&'a str, String>> {
    // systemctl prints the real name of an alias. So the results are assigned by their order.
    let units: Vec<&str> = units.map(String::as_str).collect();
    let values: Vec<String> =
        Properties::of(property, &units)?.iter().map(|unit| unit.get(property).to_owned()).collect();
    Ok(units.into_iter().zip(values).collect())
}

/// The required units, with the instances that require them.
fn units(graph: &Graph) -> impl Iterator<Item = (&Instance, &String)> {
    graph.requires.iter().flat_map(|(instance, requires)| {
        requires.iter().filter_map(move |requirement| match requirement {
            Requirement::Unit(unit) => Some((instance, unit)),
            _ => None,
        })
    })
}

/// The reason why systemd does not know the requirements of an instance, and the next step. See [`stale_reason`].
#[must_use]
pub fn stale_dropin(paths: &Paths, instance: &Instance, requires: &[Requirement]) -> Option<String> {
    let first = requires.first()?;
    let reason = stale_reason(paths, instance, &units_of(requires))?;
    let conf = paths.conf_of(instance);
    let next = if conf.is_file() {
        "run `netns-update`".to_owned()
    } else {
        format!("create {} (it may be empty), then run `netns-update`", conf.display())
    };
    Some(format!("`{instance}` requires `{first}`, but systemd does not know this: {reason}; {next}"))
}

/// The units that are active when the requirements are met.
#[must_use]
pub fn units_of(requires: &[Requirement]) -> Vec<String> {
    requires.iter().map(Requirement::unit).collect()
}
