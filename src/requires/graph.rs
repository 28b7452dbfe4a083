//! The requirements of instances as a graph. Problems are found before anything is changed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use anyhow::Result;

use super::{Requirement, RequirementReader, units_of};
use crate::config::layers::Layers;
use crate::config::plugin;
use crate::name::Instance;
use crate::paths::Paths;
use crate::sys::parallel::parallel;

/// Instances with all their transitive requirements.
#[derive(Debug, Default)]
pub struct Graph {
    /// The requirements of each instance; empty if they are unknown.
    pub requires: BTreeMap<Instance, Vec<Requirement>>,
    /// The problems. If there are any, the graph must not be used for changes.
    pub problems: Vec<Problem>,
}

/// A problem with requirements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The instance with the problem.
    pub instance: Instance,
    /// The message.
    pub message: String,
}

impl Graph {
    /// Reads the requirements of every instance with its own file, `TYPE-NAME.conf`.
    /// Errors: the directory of these files cannot be read.
    pub fn of_configured(paths: &Paths) -> Result<Self> {
        let reader = RequirementReader::new(paths);
        Ok(Self::of(paths, plugin::configured(paths)?, |instance| reader.of(instance), |_| false))
    }

    /// Reads the requirements of some instances. `ask` returns the requirements of one; `is_there` is true for instances that are valid
    /// without files.
    pub fn of(
        paths: &Paths,
        instances: impl IntoIterator<Item = Instance>,
        ask: impl Fn(&Instance) -> Result<Vec<Requirement>> + Sync,
        is_there: impl Fn(&Instance) -> bool,
    ) -> Self {
        let mut graph = Self::default();
        let mut next: VecDeque<Instance> = instances.into_iter().collect();
        while !next.is_empty() {
            let mut asked = parallel(next, |instance| {
                let requires = ask(&instance);
                (instance, requires)
            });
            asked.sort_by(|(one, _), (other, _)| one.cmp(other));
            let mut reached = BTreeSet::new();
            for (instance, requires) in asked {
                let requires = requires.unwrap_or_else(|error| {
                    graph.complain(&instance, format!("{error:#}"));
                    Vec::new()
                });
                for other in instances_in(&requires) {
                    match unknown(paths, other).filter(|_| !is_there(other)) {
                        Some(why) => graph.complain(
                            &instance,
                            format!("`{instance}` requires `{other}`, which is unknown: {why}"),
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
            graph.complain(&cycle[0], format!("circular requirements: {}", names.join(" -> ")));
        }
        graph
    }

    fn complain(&mut self, instance: &Instance, message: String) {
        self.problems.push(Problem { instance: instance.clone(), message });
    }

    /// The first problem of an instance or its transitive requirements.
    #[must_use]
    pub fn problem_of(&self, instance: &Instance) -> Option<&Problem> {
        let mut seen = BTreeSet::new();
        let mut next = vec![instance];
        while let Some(one) = next.pop() {
            if let Some(problem) = self.problems.iter().find(|problem| problem.instance == *one) {
                return Some(problem);
            }
            next.extend(self.required_by(one).filter(|other| seen.insert(*other)));
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

    /// All instances in waves: each instance requires only instances of earlier waves. Instances that lead to a cycle are left out.
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

    /// The cycles, each from its first instance back to the same instance.
    fn cycles(&self) -> BTreeSet<Vec<Instance>> {
        let mut cycles = BTreeSet::new();
        let mut left = BTreeSet::new();
        for start in self.requires.keys() {
            self.follow(start, &mut Vec::new(), &mut left, &mut cycles);
        }
        cycles
    }

    fn follow<'a>(
        &'a self,
        instance: &'a Instance,
        way: &mut Vec<&'a Instance>,
        left: &mut BTreeSet<&'a Instance>,
        cycles: &mut BTreeSet<Vec<Instance>>,
    ) {
        if let Some(at) = way.iter().position(|one| *one == instance) {
            let mut cycle: Vec<Instance> = way[at..].iter().map(|one| (*one).clone()).collect();
            let first = (0..cycle.len()).min_by_key(|&at| &cycle[at]).unwrap_or(0);
            cycle.rotate_left(first);
            cycle.push(cycle[0].clone());
            cycles.insert(cycle);
        } else if !left.contains(instance) {
            way.push(instance);
            for other in self.required_by(instance) {
                self.follow(other, way, left, cycles);
            }
            way.pop();
            left.insert(instance);
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

/// The reason why a required instance is invalid: no plugin, or no own file that the plugin needs. `TYPE.conf` is not enough,
/// because names can be mistyped.
#[must_use]
pub fn unknown(paths: &Paths, instance: &Instance) -> Option<String> {
    let layers = match Layers::of(paths, instance) {
        Ok(layers) => layers,
        Err(error) => return Some(format!("{error:#}")),
    };
    let conf = paths.conf_of(instance);
    (!conf.is_file() && layers.require_conf())
        .then(|| format!("{} does not exist (the file may be empty)", conf.display()))
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
                (from.parse().unwrap(), to.split_whitespace().map(|word| word.parse().unwrap()).collect())
            })
            .collect();
        let ask = |instance: &Instance| Ok(edges.get(instance).cloned().unwrap_or_default());
        Graph::of(&paths, edges.keys().cloned(), ask, |_| false)
    }

    fn messages(edges: &[&str]) -> Vec<String> {
        graph(edges).problems.into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn a_circle_is_named_in_full_and_once() {
        assert_eq!(
            messages(&["b@y: c@z", "a@x: b@y", "c@z: a@x b@y x"]),
            ["circular requirements: a@x -> b@y -> c@z -> a@x", "circular requirements: b@y -> c@z -> b@y"]
        );
        assert_eq!(messages(&["a@x: a@x"]), ["circular requirements: a@x -> a@x"]);
        assert!(messages(&["a@x: b@y c@z", "b@y: c@z x"]).is_empty());
    }

    #[test]
    fn an_instance_without_a_plugin_or_a_file_that_the_plugin_wants_is_unknown() {
        let said = messages(&["a@x: e@x", "b@y: d@typo n"]);
        assert!(
            said[0].starts_with("`a@x` requires `e@x`, which is unknown: cannot find plugin `e`"),
            "{said:?}"
        );
        assert!(said[1].starts_with("`b@y` requires `d@typo`, which is unknown: "), "{said:?}");
        assert!(
            said[1].ends_with("/etc/conf.d/netns/d-typo.conf does not exist (the file may be empty)"),
            "{said:?}"
        );
    }

    #[test]
    fn a_problem_is_that_of_all_who_lead_to_it_and_of_no_others() {
        let graph = graph(&["a@x: b@y", "b@y: e@x", "c@z: a@y"]);
        for (instance, has_one) in [("a@x", true), ("b@y", true), ("c@z", false), ("a@y", false)] {
            assert_eq!(graph.problem_of(&instance.parse().unwrap()).is_some(), has_one, "{instance}");
        }
    }

    #[test]
    fn what_is_required_is_in_an_earlier_wave_and_what_is_not_asked_for_is_reached() {
        let waves = graph(&["a@x: b@y b@z", "b@y: b@z"]).waves();
        let words: Vec<Vec<String>> =
            waves.iter().map(|wave| wave.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(words, [["b@z"], ["b@y"], ["a@x"]]);
    }
}
