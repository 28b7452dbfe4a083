//! Dependencies between active instances. `down` refuses to take down an instance if an active dependant would stay
//! up. With `--recursive` it also takes the dependants down.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;

use crate::name::Instance;

/// The active dependants of each instance.
#[derive(Debug, Default)]
pub struct Dependants(BTreeMap<Instance, BTreeSet<Instance>>);

impl Dependants {
    /// Adds an active `dependant` that requires `instance`.
    pub fn add(&mut self, instance: &Instance, dependant: &Instance) {
        self.0.entry(instance.clone()).or_default().insert(dependant.clone());
    }

    fn of(&self, instance: &Instance) -> impl Iterator<Item = &Instance> {
        self.0.get(instance).into_iter().flatten()
    }

    /// The direct and indirect dependants of the instances.
    #[must_use]
    pub fn transitive(&self, instances: &[Instance]) -> BTreeSet<Instance> {
        let mut found = BTreeSet::new();
        let mut next: Vec<&Instance> = instances.iter().collect();
        while let Some(instance) = next.pop() {
            next.extend(self.of(instance).filter(|dependant| found.insert((*dependant).clone())));
        }
        found
    }

    /// Removes from `instances` each instance with a dependant outside of `instances`. Returns the removed instances with the
    /// reasons.
    pub fn refuse(&self, instances: &mut Vec<Instance>) -> Vec<(Instance, anyhow::Error)> {
        let mut refused = Vec::new();
        while let Some((at, dependant)) = instances.iter().enumerate().find_map(|(at, instance)| {
            self.of(instance)
                .find(|dependant| !instances.contains(dependant))
                .map(|dependant| (at, dependant))
        }) {
            let instance = instances.remove(at);
            let error = anyhow!(
                "cannot take down `{instance}`: `{dependant}` is up and requires it; run `netnsctl down {dependant}` first, \
                 or `netnsctl down --recursive {instance}`"
            );
            refused.push((instance, error));
        }
        refused
    }
}
