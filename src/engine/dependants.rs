//! Dependants of active instances. `down` refuses to take down an instance if an active dependant would stay
//! up. With `--recursive` it also takes the dependants down.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::anyhow;

use crate::name::{Instance, NsName};

/// The active dependants of each instance: other instances, and units that are not ours, such as attached services.
#[derive(Debug, Default)]
pub struct Dependants {
    instances: BTreeMap<Instance, BTreeSet<Instance>>,
    units: BTreeMap<Instance, BTreeSet<String>>,
}

impl Dependants {
    /// Adds an active `dependant` that requires `instance`.
    pub fn add(&mut self, instance: &Instance, dependant: &Instance) {
        self.instances.entry(instance.clone()).or_default().insert(dependant.clone());
    }

    /// Adds an active unit that requires `instance`.
    pub fn add_unit(&mut self, instance: &Instance, unit: &str) {
        self.units.entry(instance.clone()).or_default().insert(unit.to_owned());
    }

    /// Adds the units that stop with the units: `stop_with` returns those of several units.
    /// Errors: as for `stop_with`.
    pub fn extend_units(
        &mut self,
        stop_with: impl Fn(&BTreeSet<String>) -> anyhow::Result<BTreeSet<String>>,
    ) -> anyhow::Result<()> {
        for units in self.units.values_mut() {
            let mut next = units.clone();
            while !next.is_empty() {
                next = stop_with(&next)?.into_iter().filter(|unit| !units.contains(unit)).collect();
                units.extend(next.iter().cloned());
            }
        }
        Ok(())
    }

    fn of(&self, instance: &Instance) -> impl Iterator<Item = &Instance> {
        self.instances.get(instance).into_iter().flatten()
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

    /// The units that stop with the instances.
    #[must_use]
    pub fn units_of(&self, instances: &[Instance]) -> BTreeSet<&str> {
        instances
            .iter()
            .filter_map(|instance| self.units.get(instance))
            .flatten()
            .map(String::as_str)
            .collect()
    }

    /// Removes from `instances` each instance with a dependant outside of `instances`, or with a dependant unit, and all others of its
    /// namespace. Returns the removed instances with the reasons.
    pub fn refuse(&self, instances: &mut Vec<Instance>) -> Vec<(Instance, anyhow::Error)> {
        let mut refused = Vec::new();
        while let Some((at, (dependants, stop))) =
            instances.iter().enumerate().find_map(|(at, one)| Some((at, self.obstacle(one, instances)?)))
        {
            let instance = instances.remove(at);
            let error = anyhow!(
                "cannot take down `{instance}`: {dependants}; run `{stop}` first, \
                 or `netnsctl down --recursive {instance}`"
            );
            refused.push((instance, error));
        }
        // A namespace is not taken down in part: its firewall must not go down before a service.
        let names: BTreeSet<NsName> = refused.iter().map(|(instance, _)| instance.name.clone()).collect();
        instances.retain(|instance| {
            let stays = names.contains(&instance.name);
            if stays {
                let error =
                    anyhow!("cannot take down `{instance}`: another instance of its namespace stays up");
                refused.push((instance.clone(), error));
            }
            !stays
        });
        refused
    }

    /// The dependants that keep an instance up, as the beginning of a message, and the command that stops them.
    fn obstacle(&self, instance: &Instance, instances: &[Instance]) -> Option<(String, String)> {
        if let Some(dependant) = self.of(instance).find(|dependant| !instances.contains(dependant)) {
            return Some((
                format!("`{dependant}` is up and requires it"),
                format!("netnsctl down {dependant}"),
            ));
        }
        let units: Vec<&str> = self.units.get(instance)?.iter().map(String::as_str).collect();
        let each: Vec<String> = units.iter().map(|unit| format!("`{unit}`")).collect();
        Some((
            format!("active units require it: {}", each.join(", ")),
            format!("systemctl stop {}", shell_words::join(units)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(text: &str) -> Instance {
        text.parse().unwrap()
    }

    #[test]
    fn an_instance_with_a_dependant_unit_is_refused_with_all_that_it_requires_and_their_namespaces() {
        let mut dependants = Dependants::default();
        dependants.add(&instance("b@y"), &instance("a@x"));
        for unit in ["one.service", "two@\\x2d.service"] {
            dependants.add_unit(&instance("a@x"), unit);
        }
        let mut instances = ["b@y", "a@x", "c@y", "d@z"].map(instance).to_vec();
        assert_eq!(dependants.units_of(&instances).len(), 2);
        let refused = dependants.refuse(&mut instances);
        assert_eq!(instances, [instance("d@z")]);
        assert_eq!(
            refused[0].1.to_string(),
            "cannot take down `a@x`: active units require it: `one.service`, `two@\\x2d.service`; run \
             `systemctl stop one.service 'two@\\x2d.service'` first, or `netnsctl down --recursive a@x`"
        );
        assert!(refused[1].1.to_string().contains("`b@y`: `a@x` is up"));
    }
}
