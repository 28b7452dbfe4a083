//! Who requires whom, of all that is up: what goes down takes its dependants along, or stays.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;

use crate::name::Instance;

/// For each instance those that are up and require it.
#[derive(Debug, Default)]
pub struct Dependants(BTreeMap<Instance, BTreeSet<Instance>>);

impl Dependants {
    /// Notes that `user` is up and requires `instance`.
    pub fn add(&mut self, instance: &Instance, user: &Instance) {
        self.0.entry(instance.clone()).or_default().insert(user.clone());
    }

    fn of(&self, instance: &Instance) -> impl Iterator<Item = &Instance> {
        self.0.get(instance).into_iter().flatten()
    }

    /// All that require any of the instances, or one another that does.
    #[must_use]
    pub fn transitive(&self, instances: &[Instance]) -> BTreeSet<Instance> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&Instance> = instances.iter().collect();
        while let Some(instance) = next.pop() {
            next.extend(self.of(instance).filter(|user| found.insert((*user).clone())));
        }
        found
    }

    /// Takes out of `instances` what something that is not among them requires, and returns it with the reason.
    pub fn refuse(&self, instances: &mut Vec<Instance>) -> Vec<(Instance, anyhow::Error)> {
        let mut refused = Vec::new();
        while let Some((at, user)) = instances.iter().enumerate().find_map(|(at, instance)| {
            self.of(instance).find(|user| !instances.contains(user)).map(|user| (at, user))
        }) {
            let instance = instances.remove(at);
            let error = anyhow!(
                "`{instance}` is required by `{user}`, which is up: take that down first, \
                 or both by `netnsctl down --recursive {instance}`"
            );
            refused.push((instance, error));
        }
        refused
    }
}
