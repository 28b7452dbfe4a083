//! Checks that the requirements of active instances are met.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Finding;
use crate::engine::{Active, Condition, EngineKind};
use crate::name::Instance;
use crate::netns::{self, NameState};
use crate::paths::Paths;
use crate::requires::{Requirement, RequirementReader, stale_dropin, states};
use crate::trust;

pub(super) fn check(
    paths: &Paths,
    active: &[Active],
    is_wanted: &dyn Fn(&Instance) -> bool,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let reader = RequirementReader::new(paths);
    let of_up = || active.iter().filter(|one| one.condition == Condition::Up);
    let up: BTreeSet<&Instance> = of_up().map(|one| &one.instance).collect();
    for one in of_up().filter(|one| is_wanted(&one.instance)) {
        let instance = &one.instance;
        let required = match reader.of(instance) {
            // Other checks report files that are not trusted, and problems of configured instances.
            Err(error) if error.is::<trust::Refused>() || paths.conf_of(instance).is_file() => continue,
            Err(error) => {
                findings.push(Finding::error(format!("{error:#}")).of(instance));
                continue;
            }
            Ok(required) => required,
        };
        for requirement in &required {
            if !is_met(paths, requirement, &up)? {
                findings.push(
                    Finding::error(format!("the instance is up, but its requirement `{requirement}` is not"))
                        .of(instance)
                        .advice(format!("fix: `netnsctl down {instance}`, then `netnsctl up {instance}`, which brings up both")),
                );
            }
        }
        // Another check reports the stale drop-in of a configured instance.
        if one.engine == EngineKind::Systemd
            && !paths.conf_of(instance).is_file()
            && let Some(why) = stale_dropin(paths, instance, &required)
        {
            findings.push(Finding::error(format!("the instance is up, but {why}")).of(instance));
        }
    }
    Ok(findings)
}

fn is_met(paths: &Paths, requirement: &Requirement, up: &BTreeSet<&Instance>) -> Result<bool> {
    Ok(match requirement {
        Requirement::Instance(other) => up.contains(other),
        Requirement::Namespace(name) => matches!(netns::inspect(paths, name)?, NameState::Namespace(_)),
        Requirement::Unit(_) if !paths.systemd.is_dir() => false,
        Requirement::Unit(unit) => {
            states("ActiveState", [unit].into_iter())?.values().all(|state| state == "active")
        }
    })
}
