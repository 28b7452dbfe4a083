//! Preflight checks of `up` and `restart`. systemd knows the requirements of an instance only from a drop-in. Without
//! the drop-in, or with a stale one, systemd ignores the requirements.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

use crate::config::declaration::Declaration;
use crate::name::Instance;
use crate::netns::processes;
use crate::paths::Paths;
use crate::requires::{self, Graph, Problem, RequirementReader};
use crate::systemd::show::Properties;
use crate::systemd::systemctl::Systemctl;

/// Reads the requirement graph of instances, and finds the problems. `up` contains the active instances: their requirements
/// are not checked again.
/// Errors: systemctl cannot be run.
pub fn graph(paths: &Paths, instances: &[Instance], up: &BTreeSet<Instance>) -> Result<Graph> {
    let reader = RequirementReader::new(paths);
    let requirements =
        |instance: &Instance| if up.contains(instance) { Ok(Vec::new()) } else { reader.of(instance) };
    let mut graph =
        Graph::of(paths, instances.iter().cloned(), requirements, |instance| up.contains(instance));
    let stale_dropin = graph.requires.iter().filter_map(|(instance, requires)| {
        let message = requires::stale_dropin(paths, instance, requires)?;
        Some(Problem { instance: instance.clone(), message })
    });
    let problems: Vec<Problem> = requires::not_found(&graph)?
        .into_iter()
        .chain(stale_dropin)
        .chain(not_reloaded(&graph)?)
        .chain(masked_firewalls(paths, instances, up)?)
        .collect();
    graph.problems.extend(problems);
    Ok(graph)
}

/// Finds firewalls with a masked unit. systemd would start the interfaces without the firewall.
fn masked_firewalls(paths: &Paths, instances: &[Instance], up: &BTreeSet<Instance>) -> Result<Vec<Problem>> {
    let firewalls = instances
        .iter()
        .filter(|one| !up.contains(one) && Declaration::of(paths, &one.nstype).firewall)
        .flat_map(|one| {
            [one.unit(), one.outside_unit(), one.name.closed_unit()].map(|unit| (one.clone(), unit))
        });
    let (firewalls, units): (Vec<Instance>, Vec<String>) = firewalls.unzip();
    let states = requires::states("LoadState", units.iter())?;
    let masked = firewalls
        .into_iter()
        .zip(&units)
        .filter(|(_, unit)| states.get(unit.as_str()).is_some_and(|state| state == "masked"));
    let problem = |(instance, unit): (Instance, &String)| Problem { message: masked_unit(unit), instance };
    Ok(masked.map(problem).collect())
}

/// Finds the unit of this process, if `instances` start after it and it waits for this process. A start would then never end: for
/// example in an ifupdown hook, which `network.target` waits for.
/// Errors: systemctl cannot be run.
pub fn caller_before(systemctl: &Systemctl, instances: &[Instance]) -> Result<Option<String>> {
    let Some(own) = processes::own_unit() else { return Ok(None) };
    let jobs: BTreeSet<String> = systemctl.jobs()?.into_iter().map(|job| job.unit).collect();
    let mut seen = BTreeSet::new();
    let mut next: Vec<String> =
        instances.iter().flat_map(|one| [one.unit(), one.outside_unit(), one.name.unit()]).collect();
    while jobs.contains(&own) && !next.is_empty() {
        let units = Properties::of("After", &next)?;
        let earlier = units.iter().flat_map(|unit| unit.values("After")).filter(|unit| jobs.contains(*unit));
        next = earlier.map(str::to_owned).filter(|unit| seen.insert(unit.clone())).collect();
        if next.contains(&own) {
            return Ok(Some(own));
        }
    }
    Ok(None)
}

/// The message about a masked unit.
#[must_use]
pub fn masked_unit(unit: &str) -> String {
    format!("the unit {unit} is masked; fix: `systemctl unmask {unit}`")
}

/// Finds requirement drop-ins that changed since the last reload of systemd.
fn not_reloaded(graph: &Graph) -> Result<Vec<Problem>> {
    let requiring = || graph.requires.iter().filter(|(_, requires)| !requires.is_empty());
    let units: Vec<String> = requiring().map(|(instance, _)| instance.outside_unit()).collect();
    let states = requires::states("NeedDaemonReload", units.iter())?;
    let changed = requiring()
        .zip(&units)
        .filter(|(_, unit)| states.get(unit.as_str()).is_some_and(|state| state == "yes"));
    let problem = |((instance, _), unit): ((&Instance, _), &String)| Problem {
        instance: instance.clone(),
        message: format!(
            "{unit} has changed since the last reload of systemd, which may not know the requirements of `{instance}`; \
             fix: `systemctl daemon-reload`"
        ),
    };
    Ok(changed.map(problem).collect())
}

/// Splits instances into accepted instances, and refused instances with a problem in their requirements. Both engines use this.
pub fn refuse(
    verb: &str,
    instances: &[Instance],
    graph: &Graph,
) -> (Vec<Instance>, Vec<(Instance, anyhow::Error)>) {
    let mut refused = Vec::new();
    let mut accepted = Vec::new();
    for instance in instances {
        match graph.problem_of(instance) {
            Some(problem) => {
                refused.push((instance.clone(), anyhow!("cannot {verb} `{instance}`: {}", problem.message)));
            }
            None => accepted.push(instance.clone()),
        }
    }
    (accepted, refused)
}

/// Finds the instance whose failure caused the failure of `instance`: follows the chain of required instances that are not
/// up, and returns the last one.
pub fn root_cause<'a>(
    graph: &'a Graph,
    instance: &'a Instance,
    is_up: impl Fn(&Instance) -> bool,
) -> &'a Instance {
    let mut cause = instance;
    while let Some(next) = graph.required_by(cause).find(|other| !is_up(other)) {
        cause = next;
    }
    cause
}
