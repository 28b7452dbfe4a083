//! Circular dependencies of an attached unit: an instance that the unit requires, requires the unit.

use std::collections::BTreeSet;

use anyhow::Result;

use super::ServiceUnit;
use crate::name::{Instance, UnitName};
use crate::paths::Paths;
use crate::requires::{Requirement, RequirementReader};
use crate::systemd::show::Properties;

/// The dependencies that start or verify another unit (systemd.unit(5)).
const DEPENDENCIES: &str = "Requires,BindsTo,Requisite";

/// Finds the shortest circular dependency of a unit that is attached to these instances, and describes it. The requirements in
/// the files of an instance count too, before `netns-update` has written them.
/// Errors: systemctl fails.
pub fn circular_dependency(
    paths: &Paths,
    unit: &ServiceUnit,
    instances: &[Instance],
) -> Result<Option<String>> {
    let reader = RequirementReader::new(paths);
    let is_unit = |name: &str| {
        let other = name.parse::<ServiceUnit>().ok();
        name == unit.as_ref() || other.is_some_and(|one| one.template().as_deref() == Some(unit.as_ref()))
    };
    let mut chains: Vec<Vec<String>> = instances.iter().map(|instance| vec![instance.unit()]).collect();
    let mut seen: BTreeSet<String> = chains.concat().into_iter().collect();
    while !chains.is_empty() {
        let mut longer = Vec::new();
        let ends = chains.iter().filter_map(|chain| chain.last());
        for (chain, properties) in chains.iter().zip(Properties::of(DEPENDENCIES, ends)?) {
            let mut required: Vec<String> = properties.all_values(DEPENDENCIES).map(str::to_owned).collect();
            if let Some(UnitName::Inside(instance)) = UnitName::parse(properties.id()) {
                // Another check reports requirements that cannot be read.
                required.extend(reader.of(&instance).unwrap_or_default().iter().map(Requirement::unit));
            }
            for name in required {
                if is_unit(&name) {
                    return Ok(Some(describe(unit, chain)));
                }
                let can_require = [".service", ".socket", ".target"].iter().any(|end| name.ends_with(end));
                if can_require && seen.insert(name.clone()) {
                    longer.push([chain.as_slice(), &[name]].concat());
                }
            }
        }
        chains = longer;
    }
    Ok(None)
}

/// The message for a chain of units, of which the last one requires the unit.
fn describe(unit: &ServiceUnit, chain: &[String]) -> String {
    let units: Vec<String> = chain.iter().map(|one| format!("`{one}`")).collect();
    let last = chain.last().map_or("", String::as_str);
    format!(
        "circular dependency: `{unit}` requires {}, which requires `{unit}`, so neither can start first; remove the requirement of \
         `{last}` (NETNS_REQUIRES=, or `systemctl cat {last}`), or attach `{unit}` to other instances",
        units.join(", which requires ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_of_the_chain_is_named() {
        let chain = ["netns-lo@a.service".to_owned(), "b.service".to_owned()];
        let message = describe(&"a".parse().unwrap(), &chain);
        assert!(
            message.starts_with(
                "circular dependency: `a.service` requires `netns-lo@a.service`, which requires `b.service`, which requires \
                 `a.service`, so"
            ),
            "{message}"
        );
    }
}
