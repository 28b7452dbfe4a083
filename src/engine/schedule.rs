//! What a command of the direct engine comes to: which instances, in which order, and which namespaces. Nothing is done here.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};

use super::dependants::Dependants;
use super::state::{Entry, Stage};
use crate::firewall;
use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::requires::{Graph, Problem, Requirement, RequirementReader, instances_in};

/// All that is up, or half-way, by the files of the engine.
pub type Entries = BTreeMap<Instance, Entry>;

/// What is done to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It is brought up.
    Up,
    /// It is taken down.
    Down,
    /// It is taken down, to be brought up again.
    Pause,
    /// Its inside hooks are run again.
    Restart,
}

/// What a namespace is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// It is to be left by something, and may go.
    Leave,
    /// It has to exist, whoever has made it.
    Exist,
    /// Instances come up in it.
    Fill,
}

/// Steps, in waves: those of one wave have no order between namespaces.
#[derive(Debug, Default)]
pub struct Schedule {
    /// The waves.
    pub waves: Vec<Vec<(Act, Instance)>>,
    /// The namespaces that are worked on.
    pub names: BTreeMap<NsName, Need>,
    /// What instances that come up require.
    pub requires: BTreeMap<Instance, Vec<Requirement>>,
    /// Whose outcome is told, in this order.
    pub told: Vec<Instance>,
    /// What is not begun, and why.
    pub refused: Vec<(Instance, anyhow::Error)>,
}

impl Schedule {
    /// Brings up instances, after what they require.
    pub fn up(paths: &Paths, entries: &Entries, instances: &[Instance]) -> Self {
        let graph = graph(paths, entries, instances.iter().cloned(), &BTreeSet::new());
        let mut schedule = Self { told: instances.to_vec(), ..Self::default() };
        let accepted = schedule.refuse("bring up", instances, &graph);
        let accepted: BTreeSet<Instance> =
            firewall::hold_back(paths, accepted.into_iter().collect(), &mut schedule.refused)
                .into_iter()
                .collect();
        schedule.add_up(graph.only(accepted.iter()), instances, |_| Act::Up);
        schedule
    }

    /// Takes down instances; before them, if `recursive`, what requires them. What something else still requires stays.
    pub fn down(entries: &Entries, instances: &[Instance], recursive: bool) -> Self {
        let dependants = dependants(entries);
        let mut told = instances.to_vec();
        if recursive {
            told.extend(
                dependants.transitive(instances).into_iter().filter(|user| !instances.contains(user)),
            );
        }
        let refused = dependants.refuse(&mut told);
        let mut schedule = Self { told, refused, ..Self::default() };
        let work: Vec<Instance> = schedule.told.iter().rev().cloned().collect();
        schedule.add_down(entries, &work, Act::Down);
        schedule.told.extend(schedule.refused.iter().map(|(instance, _)| instance.clone()));
        schedule
    }

    /// Restarts instances. What requires them is taken down before and brought up after that.
    pub fn restart(paths: &Paths, entries: &Entries, instances: &[Instance]) -> Self {
        let users = dependants(entries).transitive(instances);
        let mut schedule = Self { told: instances.to_vec(), ..Self::default() };
        schedule.told.extend(users.iter().filter(|user| !instances.contains(user)).cloned());
        let all = schedule.told.clone();
        let graph = graph(paths, entries, all.iter().cloned(), &users);
        let accepted = schedule.refuse("restart", &all, &graph);
        if users.iter().any(|user| !accepted.contains(user)) {
            // They would be left down.
            let problem =
                schedule.refused.iter().map(|(_, error)| format!("{error:#}")).next().unwrap_or_default();
            let refused =
                |instance: &Instance| (instance.clone(), anyhow!("cannot restart `{instance}`: {problem}"));
            schedule.refused.extend(accepted.iter().map(refused));
            return schedule;
        }
        let users_first: Vec<Instance> = users.iter().cloned().collect();
        schedule.add_down(entries, &users_first, Act::Pause);
        schedule.add_up(graph.only(accepted.iter()), &all, |instance| {
            if instances.contains(instance) && !users.contains(instance) { Act::Restart } else { Act::Up }
        });
        schedule
    }

    /// Refuses the instances that lead to a problem, and returns the others.
    fn refuse(&mut self, what: &str, instances: &[Instance], graph: &Graph) -> BTreeSet<Instance> {
        let mut accepted = BTreeSet::new();
        for instance in instances {
            match graph.problem_of(instance) {
                Some(problem) => self
                    .refused
                    .push((instance.clone(), anyhow!("cannot {what} `{instance}`: {}", problem.message))),
                None => _ = accepted.insert(instance.clone()),
            }
        }
        accepted
    }

    fn add_up(&mut self, graph: Graph, order: &[Instance], act: impl Fn(&Instance) -> Act) {
        for mut wave in graph.waves() {
            wave.sort_by_key(|instance| order.iter().position(|other| other == instance));
            self.waves.push(wave.into_iter().map(|instance| (act(&instance), instance)).collect());
        }
        for (instance, requires) in &graph.requires {
            self.need(&instance.name, Need::Fill);
            for name in namespaces_in(requires) {
                self.need(name, Need::Exist);
            }
        }
        self.requires = graph.requires;
    }

    fn add_down(&mut self, entries: &Entries, order: &[Instance], act: Act) {
        let mut graph = Graph::default();
        for instance in order {
            let requires = entries.get(instance).map(|entry| entry.requires.as_slice()).unwrap_or_default();
            self.need(&instance.name, Need::Leave);
            for name in namespaces_in(requires) {
                self.need(name, Need::Leave);
            }
            let within = instances_in(requires).filter(|other| order.contains(other));
            graph.requires.insert(instance.clone(), within.cloned().map(Requirement::Instance).collect());
        }
        for mut wave in graph.waves().into_iter().rev() {
            wave.sort_by_key(|instance| order.iter().position(|other| other == instance));
            self.waves.push(wave.into_iter().map(|instance| (act, instance)).collect());
        }
    }

    fn need(&mut self, name: &NsName, need: Need) {
        let known = self.names.entry(name.clone()).or_insert(need);
        *known = need.max(*known);
    }
}

/// The instances with all that they lead to. What is up is not asked again, unless it is one of `anew`: that its files were
/// edited, or are gone, is no concern of its tear-down.
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
    let ask = |instance: &Instance| -> Result<Vec<Requirement>> {
        is_up(instance).map_or_else(|| reader.of(instance), |entry| Ok(entry.requires.clone()))
    };
    let mut graph = Graph::of(paths, instances, ask, |instance| is_up(instance).is_some());
    let next = if paths.systemd.is_dir() {
        ": use `--engine systemd`"
    } else {
        ", and systemd does not run here: take it out of what is required"
    };
    for (instance, requires) in &graph.requires {
        graph.problems.extend(requires.iter().filter_map(|requirement| match requirement {
            Requirement::Unit(unit) => Some(Problem {
                instance: instance.clone(),
                message: format!(
                    "`{instance}` requires the unit `{unit}`, which only systemd can start{next}"
                ),
            }),
            _ => None,
        }));
    }
    graph
}

fn namespaces_in(requires: &[Requirement]) -> impl Iterator<Item = &NsName> {
    requires.iter().filter_map(|requirement| match requirement {
        Requirement::Namespace(name) => Some(name),
        _ => None,
    })
}

/// The namespaces that anything requires to exist.
pub fn needed(entries: &Entries) -> BTreeSet<&NsName> {
    entries.values().flat_map(|entry| namespaces_in(&entry.requires)).collect()
}

fn dependants(entries: &Entries) -> Dependants {
    let mut dependants = Dependants::default();
    for (user, entry) in entries {
        instances_in(&entry.requires).for_each(|instance| dependants.add(instance, user));
    }
    dependants
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    /// What is up, `a@x: b@y n`.
    fn entries(lines: &[&str]) -> Entries {
        let entry = |line: &&str| {
            let (instance, requires) = line.split_once(": ").unwrap();
            let instance: Instance = instance.parse().unwrap();
            let requires = requires.split_whitespace().map(|word| word.parse().unwrap()).collect();
            let nstype = instance.nstype.clone();
            (instance, Entry { nstype, stage: Stage::Up, since: Timestamp::UNIX_EPOCH, hook: None, requires })
        };
        lines.iter().map(entry).collect()
    }

    fn instances(words: &str) -> Vec<Instance> {
        words.split_whitespace().map(|word| word.parse().unwrap()).collect()
    }

    fn waves(schedule: &Schedule) -> Vec<String> {
        let words = |wave: &Vec<(Act, Instance)>| {
            wave.iter().map(|(_, instance)| instance.to_string()).collect::<Vec<_>>().join(" ")
        };
        schedule.waves.iter().map(words).collect()
    }

    #[test]
    fn what_is_required_goes_last_and_the_namespaces_that_had_to_exist_are_left() {
        let up = entries(&["a@x: b@y n", "b@y: c@z", "c@z: "]);
        let schedule = Schedule::down(&up, &instances("c@z a@x b@y"), false);
        assert_eq!(waves(&schedule), ["a@x", "b@y", "c@z"]);
        let names: Vec<&str> = schedule.names.keys().map(AsRef::as_ref).collect();
        assert_eq!(names, ["n", "x", "y", "z"]);
    }

    #[test]
    fn what_is_still_required_is_refused_also_by_way_of_another() {
        let up = entries(&["a@x: b@y", "b@y: c@z", "c@z: ", "d@z: "]);
        let schedule = Schedule::down(&up, &instances("b@y c@z d@z"), false);
        assert_eq!(waves(&schedule), ["d@z"]);
        let said: Vec<String> = schedule.refused.iter().map(|(_, error)| error.to_string()).collect();
        assert!(said[0].contains("`b@y` is required by `a@x`"), "{said:?}");
        assert!(said[1].contains("`c@z` is required by `b@y`"), "{said:?}");
    }

    #[test]
    fn recursive_takes_all_dependants_first() {
        let up = entries(&["a@x: b@y", "b@y: c@z", "c@z: ", "d@z: "]);
        assert_eq!(waves(&Schedule::down(&up, &instances("c@z"), true)), ["a@x", "b@y", "c@z"]);
    }

    #[test]
    fn what_is_not_up_is_no_ones_dependant() {
        assert_eq!(waves(&Schedule::down(&entries(&[]), &instances("b@y a@y"), false)), ["a@y b@y"]);
    }
}
