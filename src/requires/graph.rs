//! The requirements of instances as a graph. Invalid requirements are found before anything is changed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::Result;

use super::{Requirement, RequirementReader, units_of};
use crate::config::layers::Layers;
use crate::config::plugin;
use crate::name::Instance;
use crate::paths::Paths;
use crate::sys::parallel::parallel_waiting;

/// Instances with all their transitive requirements.
#[derive(Debug, Default)]
pub struct Graph {
    /// The requirements of each instance; empty if they cannot be read.
    pub requires: BTreeMap<Instance, Vec<Requirement>>,
    /// The configured instances whose files may name a parent interface.
    pub on_parents: BTreeSet<Instance>,
    /// The invalid requirements.
    pub problems: Vec<Problem>,
    /// The instances in cycles. `problems` has each cycle once.
    in_cycles: BTreeSet<Instance>,
}

/// An invalid requirement, or requirements that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The instance with the problem.
    pub instance: Instance,
    /// The message.
    pub message: String,
}

impl Graph {
    /// Reads the requirements of the wanted instances with their own file, `TYPE-NAME.conf`, and the transitive ones.
    /// Errors: the directory of these files cannot be read.
    pub fn of_configured(paths: &Paths, is_wanted: impl Fn(&Instance) -> bool) -> Result<Self> {
        let reader = RequirementReader::new(paths);
        let instances: Vec<Instance> = plugin::configured(paths)?.into_iter().filter(is_wanted).collect();
        let mut graph = Self::of(paths, instances.iter().cloned(), |instance| reader.of(instance), |_| false);
        graph.on_parents = reader.on_parents();
        graph.on_parents.retain(|instance| instances.binary_search(instance).is_ok());
        Ok(graph)
    }

    /// Reads the requirements of some instances, and their transitive requirements. `query` returns the requirements of an
    /// instance. A required instance needs no files if `is_known` returns true for it.
    pub fn of(
        paths: &Paths,
        instances: impl IntoIterator<Item = Instance>,
        query: impl Fn(&Instance) -> Result<Vec<Requirement>> + Sync,
        is_known: impl Fn(&Instance) -> bool,
    ) -> Self {
        let mut graph = Self::default();
        let mut next: VecDeque<Instance> = instances.into_iter().collect();
        while !next.is_empty() {
            let mut answers = parallel_waiting(next, |instance| {
                let requires = query(&instance);
                (instance, requires)
            });
            answers.sort_by(|(one, _), (other, _)| one.cmp(other));
            let mut reached = BTreeSet::new();
            for (instance, requires) in answers {
                let requires = requires.unwrap_or_else(|error| {
                    graph.add_problem(&instance, format!("{error:#}"));
                    Vec::new()
                });
                for other in instances_in(&requires) {
                    match unknown_reason(paths, other).filter(|_| !is_known(other)) {
                        Some(reason) => graph.add_problem(
                            &instance,
                            format!("`{instance}` requires `{other}`, which is unknown: {reason}"),
                        ),
                        None => _ = reached.insert(other.clone()),
                    }
                }
                graph.requires.insert(instance, requires);
            }
            next = reached.into_iter().filter(|other| !graph.requires.contains_key(other)).collect();
        }
        for cycle in graph.cycles() {
            let names: Vec<String> = cycle.iter().map(ToString::to_string).collect();
            graph.add_problem(&cycle[0], format!("circular requirements: {}", names.join(" -> ")));
            graph.in_cycles.extend(cycle);
        }
        graph
    }

    fn add_problem(&mut self, instance: &Instance, message: String) {
        self.problems.push(Problem { instance: instance.clone(), message });
    }

    /// Whether the requirements of an instance are valid, apart from the requirements of other instances.
    #[must_use]
    pub fn is_valid(&self, instance: &Instance) -> bool {
        !self.in_cycles.contains(instance)
            && !self.problems.iter().any(|problem| problem.instance == *instance)
    }

    /// The first problem of an instance or its transitive requirements.
    #[must_use]
    pub fn problem_of(&self, instance: &Instance) -> Option<&Problem> {
        let mut seen = BTreeSet::new();
        let mut next = vec![instance];
        while let Some(current) = next.pop() {
            if let Some(problem) = self.problems.iter().find(|problem| problem.instance == *current) {
                return Some(problem);
            }
            next.extend(self.required_by(current).filter(|other| seen.insert(*other)));
        }
        None
    }

    /// Reduces the graph to some instances and their transitive requirements.
    #[must_use]
    pub fn only<'a>(mut self, instances: impl Iterator<Item = &'a Instance>) -> Self {
        let mut kept = BTreeSet::new();
        let mut next: Vec<Instance> = instances.cloned().collect();
        while let Some(instance) = next.pop() {
            if kept.insert(instance.clone()) {
                next.extend(self.required_by(&instance).cloned());
            }
        }
        self.requires.retain(|instance, _| kept.contains(instance));
        self
    }

    /// The units that each instance requires.
    #[must_use]
    pub fn units(&self) -> BTreeMap<Instance, Vec<String>> {
        self.requires.iter().map(|(instance, requires)| (instance.clone(), units_of(requires))).collect()
    }

    /// The instances that an instance requires.
    pub fn required_by(&self, instance: &Instance) -> impl Iterator<Item = &Instance> {
        instances_in(self.requires.get(instance).map(Vec::as_slice).unwrap_or_default())
    }

    /// Groups the instances into waves: an instance requires only instances of earlier waves. The instances of a cycle, and those
    /// that require them, are left out.
    #[must_use]
    pub fn waves(&self) -> Vec<Vec<Instance>> {
        let mut waves = Vec::new();
        let mut done = BTreeSet::new();
        loop {
            let ready = |instance: &&Instance| {
                !done.contains(*instance) && self.required_by(instance).all(|other| done.contains(other))
            };
            let wave: Vec<Instance> = self.requires.keys().filter(ready).cloned().collect();
            if wave.is_empty() {
                return waves;
            }
            done.extend(wave.iter().cloned());
            waves.push(wave);
        }
    }

    /// The cycles. Each begins and ends with the same instance, which is the first one in the sort order.
    fn cycles(&self) -> BTreeSet<Vec<Instance>> {
        let mut cycles = BTreeSet::new();
        let mut finished = BTreeSet::new();
        for start in self.requires.keys() {
            self.follow(start, &mut Vec::new(), &mut finished, &mut cycles);
        }
        cycles
    }

    fn follow<'a>(
        &'a self,
        instance: &'a Instance,
        path: &mut Vec<&'a Instance>,
        finished: &mut BTreeSet<&'a Instance>,
        cycles: &mut BTreeSet<Vec<Instance>>,
    ) {
        if let Some(start) = path.iter().position(|other| *other == instance) {
            let mut cycle: Vec<Instance> = path[start..].iter().map(|other| (*other).clone()).collect();
            let first = (0..cycle.len()).min_by_key(|&index| &cycle[index]).unwrap_or(0);
            cycle.rotate_left(first);
            cycle.push(cycle[0].clone());
            cycles.insert(cycle);
        } else if !finished.contains(instance) {
            path.push(instance);
            for other in self.required_by(instance) {
                self.follow(other, path, finished, cycles);
            }
            path.pop();
            finished.insert(instance);
        }
    }
}

/// The instances among the requirements.
pub fn instances_in(requires: &[Requirement]) -> impl Iterator<Item = &Instance> {
    requires.iter().filter_map(|requirement| match requirement {
        Requirement::Instance(instance) => Some(instance),
        _ => None,
    })
}

/// The reason why a required instance is unknown: its plugin, or a necessary `TYPE-NAME.conf`, does not exist. A `TYPE.conf` is not
/// enough, because the name may be mistyped.
#[must_use]
pub fn unknown_reason(paths: &Paths, instance: &Instance) -> Option<String> {
    let layers = match Layers::of(paths, instance) {
        Ok(layers) => layers,
        Err(error) => return Some(format!("{error:#}")),
    };
    let conf = paths.conf_of(instance);
    (!conf.is_file() && layers.require_conf())
        .then(|| format!("{} does not exist (an empty file is enough)", conf.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A graph from `edges`, `a@x: b@y c@z`; all these types need no configuration.
    fn graph(edges: &[&str]) -> Graph {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::under(directory.path());
        fs::create_dir_all(&paths.conf).unwrap();
        for nstype in ["a", "b", "c"] {
            fs::write(paths.conf.join(format!("{nstype}.sh")), "NO_CONFIG_REQUIRED=yes\n").unwrap();
        }
        fs::write(paths.conf.join("d.sh"), "").unwrap();
        fs::write(paths.conf.join("d.conf"), "").unwrap();
        let edges: BTreeMap<Instance, Vec<Requirement>> = edges
            .iter()
            .map(|edge| edge.split_once(": ").unwrap())
            .map(|(from, to)| {
                (from.parse().unwrap(), to.split_whitespace().map(|text| text.parse().unwrap()).collect())
            })
            .collect();
        let query = |instance: &Instance| Ok(edges.get(instance).cloned().unwrap_or_default());
        Graph::of(&paths, edges.keys().cloned(), query, |_| false)
    }

    fn messages(edges: &[&str]) -> Vec<String> {
        graph(edges).problems.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn each_cycle_is_reported_completely_and_once() {
        assert_eq!(
            messages(&["b@y: c@z", "a@x: b@y", "c@z: a@x b@y x"]),
            ["circular requirements: a@x -> b@y -> c@z -> a@x", "circular requirements: b@y -> c@z -> b@y"]
        );
        assert_eq!(messages(&["a@x: a@x"]), ["circular requirements: a@x -> a@x"]);
        assert!(messages(&["a@x: b@y c@z", "b@y: c@z x"]).is_empty());
    }

    #[test]
    fn an_instance_without_its_plugin_or_a_required_conf_file_is_unknown() {
        let messages = messages(&["a@x: e@x", "b@y: d@typo n"]);
        assert!(
            messages[0].starts_with("`a@x` requires `e@x`, which is unknown: cannot find plugin `e`"),
            "{messages:?}"
        );
        assert!(messages[1].starts_with("`b@y` requires `d@typo`, which is unknown: "), "{messages:?}");
        assert!(
            messages[1].ends_with("/etc/conf.d/netns/d-typo.conf does not exist (an empty file is enough)"),
            "{messages:?}"
        );
    }

    #[test]
    fn a_problem_affects_the_transitive_dependants_only() {
        let graph = graph(&["a@x: b@y", "b@y: e@x", "c@z: a@y"]);
        for (instance, is_affected) in [("a@x", true), ("b@y", true), ("c@z", false), ("a@y", false)] {
            assert_eq!(graph.problem_of(&instance.parse().unwrap()).is_some(), is_affected, "{instance}");
        }
    }

    #[test]
    fn requirements_are_in_earlier_waves_including_transitive_ones() {
        let waves = graph(&["a@x: b@y b@z", "b@y: b@z"]).waves();
        let names: Vec<Vec<String>> =
            waves.iter().map(|wave| wave.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(names, [["b@z"], ["b@y"], ["a@x"]]);
    }
}
