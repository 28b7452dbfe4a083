//! What systemd says of the units that instances require.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use duct::cmd;

use super::{Graph, Problem, Requirement};
use crate::name::Instance;

/// Units that systemd does not know, as problems of the instances that require them. systemd is asked once, and only where there is
/// anything to ask.
///
/// # Errors
/// systemctl cannot be run.
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
///
/// # Errors
/// systemctl cannot be run.
pub fn states<'a>(
    property: &str,
    units: impl Iterator<Item = &'a String>,
) -> Result<BTreeMap<&'a str, String>> {
    let units: Vec<&str> = units.map(String::as_str).collect();
    if units.is_empty() {
        return Ok(BTreeMap::new());
    }
    let property = format!("--property={property}");
    let words = ["show", "--value", &property, "--"];
    let listing = cmd("systemctl", words.iter().chain(&units))
        .stdin_null()
        .read()
        .context("`systemctl show` failed")?;
    let values = listing.lines().filter(|line| !line.is_empty()).map(str::to_owned);
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
