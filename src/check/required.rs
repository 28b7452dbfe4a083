//! Whether what is up has what it requires.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Finding;
use crate::engine::{Active, Condition, EngineKind};
use crate::name::Instance;
use crate::netns::{self, Named};
use crate::paths::Paths;
use crate::requires::{Requirement, RequirementReader, stale_dropin, states};
use crate::trust;

pub(super) fn check(
    paths: &Paths,
    active: &[Active],
    meant: &dyn Fn(&Instance) -> bool,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let reader = RequirementReader::new(paths);
    let of_up = || active.iter().filter(|one| one.condition == Condition::Up);
    let up: BTreeSet<&Instance> = of_up().map(|one| &one.instance).collect();
    for one in of_up().filter(|one| meant(&one.instance)) {
        let instance = &one.instance;
        let required = match reader.of(instance) {
            // There is a finding of each such file, and of each problem of an instance that has one of its own.
            Err(error) if error.is::<trust::Refused>() || paths.conf_of(instance).is_file() => continue,
            Err(error) => {
                findings.push(Finding::error(format!("{error:#}")).of(instance));
                continue;
            }
            Ok(required) => required,
        };
        for requirement in &required {
            if !is_there(paths, requirement, &up)? {
                findings.push(
                    Finding::error(format!("it is up, and `{requirement}`, which it requires, is not"))
                        .of(instance)
                        .advice(format!("`netnsctl down {instance}`, then `up`, brings up both")),
                );
            }
        }
        // Of the others there is a finding for the drop-in.
        if one.engine == EngineKind::Systemd
            && !paths.conf_of(instance).is_file()
            && let Some(why) = stale_dropin(paths, instance, &required)
        {
            findings.push(Finding::error(format!("it is up, and {why}")).of(instance));
        }
    }
    Ok(findings)
}

fn is_there(paths: &Paths, requirement: &Requirement, up: &BTreeSet<&Instance>) -> Result<bool> {
    Ok(match requirement {
        Requirement::Instance(other) => up.contains(other),
        Requirement::Namespace(name) => matches!(netns::look(paths, name)?, Named::Namespace(_)),
        Requirement::Unit(_) if !paths.systemd.is_dir() => false,
        Requirement::Unit(unit) => {
            states("ActiveState", [unit].into_iter())?.values().all(|state| state == "active")
        }
    })
}
