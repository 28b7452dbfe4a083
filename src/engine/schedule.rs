//! Plans a command of the direct engine: the instances, their order, and the namespaces. Nothing is changed here.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};

use super::dependants::Dependants;
use super::preflight;
use super::state::{Entry, Stage};
use crate::config::declaration::Declaration;
use crate::firewall;
use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::requires::{Graph, Problem, Requirement, RequirementReader, instances_in};

/// All instances that are up or partially up, from the state files.
pub type Entries = BTreeMap<Instance, Entry>;

/// One step with an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceStep {
    /// Brings the instance up.
    Up,
    /// Takes the instance down.
    Down,
    /// Takes the instance down; a later wave brings it up again.
    DownForRestart,
    /// Runs the inside hooks of the instance again.
    Restart,
}

/// The purpose of a namespace in a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Instances go down: the namespace is deleted if it is no longer used.
    Release,
    /// Instances require the namespace: it is created if it is missing. A foreign namespace is accepted.
    Exist,
    /// Instances come up: a foreign namespace is accepted only with `--adopt`.
    Own,
}

/// Steps, in waves. One wave runs after the other. In a wave, the steps for different namespaces run in parallel.
#[derive(Debug, Default)]
pub struct Schedule {
    /// The waves.
    pub waves: Vec<Vec<(InstanceStep, Instance)>>,
    /// The namespaces to lock.
    pub namespaces: BTreeMap<NsName, Need>,
    /// The requirements of the instances that come up.
    pub requires: BTreeMap<Instance, Vec<Requirement>>,
    /// The instances with a reported outcome, in the order of the report.
    pub reported: Vec<Instance>,
    /// The instances that are skipped, with the reasons.
    pub refused: Vec<(Instance, anyhow::Error)>,
}

impl Schedule {
    /// Plans `up`: the requirements come up before the instances.
    pub fn up(paths: &Paths, entries: &Entries, instances: &[Instance]) -> Self {
        let graph = graph(paths, entries, instances.iter().cloned(), &BTreeSet::new());
        let mut schedule = Self { reported: instances.to_vec(), ..Self::default() };
        let accepted = schedule.refuse("bring up", instances, &graph);
        let accepted: BTreeSet<Instance> =
            firewall::hold_back(paths, accepted.into_iter().collect(), &mut schedule.refused)
                .into_iter()
                .collect();
        schedule.add_up(graph.only(accepted.iter()), instances, |_| InstanceStep::Up);
        schedule
    }

    /// Plans `down`. With `recursive`, the dependants also go down, before the instances. Without `recursive`, an instance is
    /// refused if a dependant would stay up.
    pub fn down(entries: &Entries, instances: &[Instance], recursive: bool) -> Self {
        let dependants = dependants(entries);
        let mut reported = instances.to_vec();
        if recursive {
            reported.extend(
                dependants
                    .transitive(instances)
                    .into_iter()
                    .filter(|dependant| !instances.contains(dependant)),
            );
        }
        let refused = dependants.refuse(&mut reported);
        let mut schedule = Self { reported, refused, ..Self::default() };
        let reversed: Vec<Instance> = schedule.reported.iter().rev().cloned().collect();
        schedule.add_down(entries, &reversed, InstanceStep::Down);
        schedule.reported.extend(schedule.refused.iter().map(|(instance, _)| instance.clone()));
        schedule
    }

    /// Plans `restart`: the dependants go down before the restart, and come up after the restart. Those that only use interfaces of the
    /// instances are restarted, too: their outside hooks do not run again.
    pub fn restart(paths: &Paths, entries: &Entries, instances: &[Instance]) -> Self {
        let dependants = dependants(entries).transitive(instances);
        let mut schedule = Self { reported: instances.to_vec(), ..Self::default() };
        schedule
            .reported
            .extend(dependants.iter().filter(|dependant| !instances.contains(dependant)).cloned());
        let all = schedule.reported.clone();
        let graph = graph(paths, entries, all.iter().cloned(), &dependants);
        let accepted = schedule.refuse("restart", &all, &graph);
        if dependants.iter().any(|dependant| !accepted.contains(dependant)) {
            // The dependants would stay down.
            let problem =
                schedule.refused.iter().map(|(_, error)| format!("{error:#}")).next().unwrap_or_default();
            let refused =
                |instance: &Instance| (instance.clone(), anyhow!("cannot restart `{instance}`: {problem}"));
            schedule.refused.extend(accepted.iter().map(refused));
            return schedule;
        }
        let reader = RequirementReader::new(paths);
        let (users, paused): (Vec<Instance>, Vec<Instance>) = dependants
            .iter()
            .cloned()
            .partition(|dependant| only_uses_links(paths, &reader, entries, dependant, &all));
        schedule.add_down(entries, &paused, InstanceStep::DownForRestart);
        schedule.add_up(graph.only(accepted.iter()), &all, |instance| {
            let is_restarted = instances.contains(instance) && !dependants.contains(instance);
            if is_restarted || users.contains(instance) { InstanceStep::Restart } else { InstanceStep::Up }
        });
        schedule
    }

    /// Refuses the instances with a problem in their requirements, and returns the other instances.
    fn refuse(&mut self, verb: &str, instances: &[Instance], graph: &Graph) -> BTreeSet<Instance> {
        let (accepted, refused) = preflight::refuse(verb, instances, graph);
        self.refused.extend(refused);
        accepted.into_iter().collect()
    }

    fn add_up(&mut self, graph: Graph, order: &[Instance], step: impl Fn(&Instance) -> InstanceStep) {
        for mut wave in graph.waves() {
            wave.sort_by_key(|instance| order.iter().position(|other| other == instance));
            self.waves.push(wave.into_iter().map(|instance| (step(&instance), instance)).collect());
        }
        for (instance, requires) in &graph.requires {
            self.need(&instance.name, Need::Own);
            for name in namespaces_in(requires) {
                self.need(name, Need::Exist);
            }
        }
        self.requires = graph.requires;
    }

    fn add_down(&mut self, entries: &Entries, order: &[Instance], step: InstanceStep) {
        let mut graph = Graph::default();
        for instance in order {
            let requires = entries.get(instance).map(|entry| entry.requires.as_slice()).unwrap_or_default();
            self.need(&instance.name, Need::Release);
            for name in namespaces_in(requires) {
                self.need(name, Need::Release);
            }
            let within = instances_in(requires).filter(|other| order.contains(other));
            graph.requires.insert(instance.clone(), within.cloned().map(Requirement::Instance).collect());
        }
        for mut wave in graph.waves().into_iter().rev() {
            wave.sort_by_key(|instance| order.iter().position(|other| other == instance));
            self.waves.push(wave.into_iter().map(|instance| (step, instance)).collect());
        }
    }

    fn need(&mut self, name: &NsName, need: Need) {
        let known = self.namespaces.entry(name.clone()).or_insert(need);
        *known = need.max(*known);
    }
}

/// Reads the requirement graph. For an active instance, the recorded requirements are used, because edited files must not
/// prevent a teardown. For the instances in `reread`, the requirements are read from the files again.
fn graph(
    paths: &Paths,
    entries: &Entries,
    instances: impl IntoIterator<Item = Instance>,
    reread: &BTreeSet<Instance>,
) -> Graph {
    let is_up = |instance: &Instance| {
        entries.get(instance).filter(|entry| entry.stage == Stage::Up && !reread.contains(instance))
    };
    let reader = RequirementReader::new(paths);
    let instances: Vec<Instance> = instances.into_iter().collect();
    let up = entries.iter().filter(|(_, entry)| entry.stage == Stage::Up).map(|(instance, _)| instance);
    let present: BTreeSet<&Instance> = instances.iter().chain(up).collect();
    let requirements = |instance: &Instance| -> Result<Vec<Requirement>> {
        if let Some(entry) = is_up(instance) {
            return Ok(entry.requires.clone());
        }
        let mut requires = reader.of(instance)?;
        if Declaration::of(paths, &instance.nstype).after_links {
            let links = links_beside(paths, instance, &present).map(Requirement::Instance);
            requires.extend(links.filter(|link| !requires.contains(link)).collect::<Vec<_>>());
        }
        Ok(requires)
    };
    let mut graph =
        Graph::of(paths, instances.iter().cloned(), requirements, |instance| is_up(instance).is_some());
    let hint = if paths.systemd.is_dir() {
        "use `--engine systemd`"
    } else {
        "systemd is not running here; remove this requirement"
    };
    for (instance, requires) in &graph.requires {
        graph.problems.extend(requires.iter().filter_map(|requirement| match requirement {
            Requirement::Unit(unit) => Some(Problem {
                instance: instance.clone(),
                message: format!(
                    "`{instance}` requires the unit `{unit}`, which only systemd can start; {hint}"
                ),
            }),
            _ => None,
        }));
    }
    graph
}

/// Whether a dependant requires none of the instances by its files: it only uses their interfaces.
fn only_uses_links(
    paths: &Paths,
    reader: &RequirementReader,
    entries: &Entries,
    dependant: &Instance,
    instances: &[Instance],
) -> bool {
    let Some(entry) = entries.get(dependant) else { return false };
    let Ok(requires) = reader.of(dependant) else { return false };
    let is_link = |other: &&Instance| {
        other.name == dependant.name
            && Declaration::of(paths, &other.nstype).creates_links_first()
            && !instances_in(&requires).any(|required| required == *other)
    };
    Declaration::of(paths, &dependant.nstype).after_links
        && instances_in(&entry.requires)
            .filter(|other| instances.contains(other))
            .all(|other| is_link(&other))
}

/// The `present` instances that create interfaces in the namespace of an instance.
fn links_beside<'a>(
    paths: &'a Paths,
    instance: &'a Instance,
    present: &'a BTreeSet<&Instance>,
) -> impl Iterator<Item = Instance> + 'a {
    let here = present.iter().filter(|other| other.name == instance.name);
    let links = here.filter(|other| Declaration::of(paths, &other.nstype).creates_links_first());
    links.map(|&other| other.clone())
}

fn namespaces_in(requires: &[Requirement]) -> impl Iterator<Item = &NsName> {
    requires.iter().filter_map(|requirement| match requirement {
        Requirement::Namespace(name) => Some(name),
        _ => None,
    })
}

/// The namespaces that instances require.
pub fn required_namespaces(entries: &Entries) -> BTreeSet<&NsName> {
    entries.values().flat_map(|entry| namespaces_in(&entry.requires)).collect()
}

fn dependants(entries: &Entries) -> Dependants {
    let mut dependants = Dependants::default();
    for (dependant, entry) in entries {
        instances_in(&entry.requires).for_each(|instance| dependants.add(instance, dependant));
    }
    dependants
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    /// Entries from lines `INSTANCE: REQUIREMENT…`; all instances are up.
    fn entries(lines: &[&str]) -> Entries {
        let entry = |line: &&str| {
            let (instance, requires) = line.split_once(": ").unwrap();
            let instance: Instance = instance.parse().unwrap();
            let requires = requires.split_whitespace().map(|text| text.parse().unwrap()).collect();
            let nstype = instance.nstype.clone();
            (instance, Entry { nstype, stage: Stage::Up, since: Timestamp::UNIX_EPOCH, hook: None, requires })
        };
        lines.iter().map(entry).collect()
    }

    fn instances(list: &str) -> Vec<Instance> {
        list.split_whitespace().map(|text| text.parse().unwrap()).collect()
    }

    fn waves(schedule: &Schedule) -> Vec<String> {
        let line = |wave: &Vec<(InstanceStep, Instance)>| {
            wave.iter().map(|(_, instance)| instance.to_string()).collect::<Vec<_>>().join(" ")
        };
        schedule.waves.iter().map(line).collect()
    }

    #[test]
    fn down_takes_requirements_down_last_and_releases_required_namespaces() {
        let up = entries(&["a@x: b@y n", "b@y: c@z", "c@z: "]);
        let schedule = Schedule::down(&up, &instances("c@z a@x b@y"), false);
        assert_eq!(waves(&schedule), ["a@x", "b@y", "c@z"]);
        let names: Vec<&str> = schedule.namespaces.keys().map(AsRef::as_ref).collect();
        assert_eq!(names, ["n", "x", "y", "z"]);
    }

    #[test]
    fn down_refuses_required_instances_also_transitively_and_the_others_of_their_namespaces() {
        let up = entries(&["a@x: b@y", "b@y: c@z", "c@z: ", "d@z: ", "e@w: "]);
        let schedule = Schedule::down(&up, &instances("b@y c@z d@z e@w"), false);
        assert_eq!(waves(&schedule), ["e@w"]);
        let messages: Vec<String> = schedule.refused.iter().map(|(_, error)| error.to_string()).collect();
        assert!(messages[0].contains("`b@y`: `a@x` is up and requires it"), "{messages:?}");
        assert!(messages[1].contains("`c@z`: `b@y` is up and requires it"), "{messages:?}");
        assert!(messages[2].contains("`d@z`: another instance of its namespace stays up"), "{messages:?}");
    }

    #[test]
    fn recursive_down_takes_all_dependants_down_first() {
        let up = entries(&["a@x: b@y", "b@y: c@z", "c@z: ", "d@z: "]);
        assert_eq!(waves(&Schedule::down(&up, &instances("c@z"), true)), ["a@x", "b@y", "c@z"]);
    }

    #[test]
    fn an_inactive_instance_has_no_requirements_for_down() {
        assert_eq!(waves(&Schedule::down(&entries(&[]), &instances("b@y a@y"), false)), ["a@y b@y"]);
    }
}
