//! What is looked at before systemd is asked to bring instances up. It knows what they require by drop-ins alone: where one is
//! missing or old, it would bring an instance up without what that requires.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

use crate::config::declaration::Declaration;
use crate::name::Instance;
use crate::paths::Paths;
use crate::requires::{self, Graph, Problem, RequirementReader};

/// The graph of instances that are not up, with all that is wrong with it. What is up was brought up with what it requires.
/// Errors: systemd cannot be asked.
pub fn graph(paths: &Paths, instances: &[Instance], up: &BTreeSet<Instance>) -> Result<Graph> {
    let reader = RequirementReader::new(paths);
    let ask = |instance: &Instance| if up.contains(instance) { Ok(Vec::new()) } else { reader.of(instance) };
    let mut graph = Graph::of(paths, instances.iter().cloned(), ask, |instance| up.contains(instance));
    let stale_dropin = graph.requires.iter().filter_map(|(instance, requires)| {
        let message = requires::stale_dropin(paths, instance, requires)?;
        Some(Problem { instance: instance.clone(), message })
    });
    let problems: Vec<Problem> = requires::not_found(&graph)?
        .into_iter()
        .chain(stale_dropin)
        .chain(unread(&graph)?)
        .chain(masked(paths, instances, up)?)
        .collect();
    graph.problems.extend(problems);
    Ok(graph)
}

/// The firewalls that a mask keeps from starting. systemd would start the interfaces without them.
fn masked(paths: &Paths, instances: &[Instance], up: &BTreeSet<Instance>) -> Result<Vec<Problem>> {
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
    let problem = |(instance, unit): (Instance, &String)| Problem {
        message: format!("the unit {unit} is masked: `systemctl unmask {unit}`"),
        instance,
    };
    Ok(masked.map(problem).collect())
}

/// The instances whose drop-ins are there, and systemd has not read them since.
fn unread(graph: &Graph) -> Result<Vec<Problem>> {
    let requiring = || graph.requires.iter().filter(|(_, requires)| !requires.is_empty());
    let units: Vec<String> = requiring().map(|(instance, _)| instance.outside_unit()).collect();
    let states = requires::states("NeedDaemonReload", units.iter())?;
    let unread = requiring()
        .zip(&units)
        .filter(|(_, unit)| states.get(unit.as_str()).is_some_and(|state| state == "yes"));
    let problem = |((instance, _), unit): ((&Instance, _), &String)| Problem {
        instance: instance.clone(),
        message: format!(
            "systemd has not read {unit} since it was changed, so it may not know what `{instance}` requires; \
             run `systemctl daemon-reload`"
        ),
    };
    Ok(unread.map(problem).collect())
}

/// The instances that lead to a problem, with that, by the words of the other engine; the rest may be begun.
pub fn refuse(
    what: &str,
    instances: &[Instance],
    graph: &Graph,
) -> (Vec<Instance>, Vec<(Instance, anyhow::Error)>) {
    let mut refused = Vec::new();
    let mut accepted = Vec::new();
    for instance in instances {
        match graph.problem_of(instance) {
            Some(problem) => {
                refused.push((instance.clone(), anyhow!("cannot {what} `{instance}`: {}", problem.message)));
            }
            None => accepted.push(instance.clone()),
        }
    }
    (accepted, refused)
}

/// What keeps an instance down: it itself, or the last one of those that it leads to and that are not up.
pub fn cause<'a>(
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
