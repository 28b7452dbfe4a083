//! The engine for machines without systemd: this program creates the namespace and runs the hooks itself.

mod active;
mod instance;
mod namespace;

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, anyhow};

pub(super) use active::active;

use super::runner::Runner;
use super::schedule::{self, Act, Entries, Schedule};
use super::state::{self, LockedState};
use super::{Engine, EngineKind, Outcome};
use crate::config::declaration::Declaration;
use crate::firewall;
use crate::name::{Instance, NsName, NsType};
use crate::paths::Paths;
use crate::print;
use crate::requires::Requirement;
use crate::sys::capability::{self, Capability};
use crate::sys::parallel::parallel;

/// This program as an engine.
#[derive(Debug)]
pub struct Direct {
    paths: Paths,
    adopt: bool,
    runner: Runner,
}

/// Errors that keep all of a namespace from being worked on.
type Broken = BTreeMap<NsName, String>;

impl Direct {
    /// The engine; `adopt` lets it take over namespaces that somebody else has made.
    /// Errors: a privilege is missing, or the handlers of signals cannot be set.
    pub fn of(paths: &Paths, adopt: bool) -> Result<Self> {
        capability::require(Capability::SysAdmin, "to create and enter namespaces")?;
        capability::require(Capability::NetAdmin, "to configure interfaces")?;
        Ok(Self { paths: paths.clone(), adopt, runner: Runner::new(paths)? })
    }

    /// Puts right what was broken off on a namespace, and removes that if nobody needs it.
    /// Errors: the namespace cannot be looked at or deleted, or the state not written.
    pub fn recover(&self, held: &mut LockedState) -> Result<()> {
        self.settle(held)?;
        if super::required(&self.paths)?.contains(&held.name) {
            return Ok(());
        }
        self.finish(held)
    }

    /// Takes the course that `plan` makes of what is up.
    fn follow(&self, instances: &[Instance], plan: impl Fn(&Entries) -> Schedule) -> Vec<Outcome> {
        let outcome = |instance: &Instance, changed| Outcome {
            instance: instance.clone(),
            engine: EngineKind::Direct,
            changed,
        };
        let (mut schedule, held, mut broken) = match self.lock(plan) {
            Ok(locked) => locked,
            Err(error) => {
                let all = instances.iter();
                return all.map(|instance| outcome(instance, Err(anyhow!("{error:#}")))).collect();
            }
        };
        let held = self.prepare(&schedule, held, &mut broken);
        let mut results = self.take_waves(&mut schedule, held, &broken);
        let never = |name: &NsName| {
            Err(broken.get(name).map_or_else(|| anyhow!("it was not begun"), |why| anyhow!("{why}")))
        };
        let told = schedule.told.iter();
        told.map(|instance| {
            outcome(instance, results.remove(instance).unwrap_or_else(|| never(&instance.name)))
        })
        .collect()
    }

    /// Makes all namespaces. They come before any hook: one may want to put an interface into another.
    fn prepare(
        &self,
        schedule: &Schedule,
        held: VecDeque<LockedState>,
        broken: &mut Broken,
    ) -> BTreeMap<NsName, LockedState> {
        let prepared = parallel(held, |mut held| {
            let need = schedule.names[&held.name];
            let accepted = self
                .settle(&mut held)
                .and_then(|()| self.ensure_namespace(&mut held, need))
                .and_then(|()| self.close_for_firewall(schedule, &held.name));
            (held, accepted)
        });
        let mut all = BTreeMap::new();
        for (held, accepted) in prepared {
            if let Err(error) = accepted {
                broken.insert(held.name.clone(), format!("{error:#}"));
            }
            all.insert(held.name.clone(), held);
        }
        all
    }

    /// Takes one wave after the other, in each all namespaces in parallel, and lets go of the namespaces.
    fn take_waves(
        &self,
        schedule: &mut Schedule,
        mut held: BTreeMap<NsName, LockedState>,
        broken: &Broken,
    ) -> BTreeMap<Instance, Result<bool>> {
        let refused = schedule.refused.drain(..).map(|(instance, error)| (instance, Err(error)));
        let mut results: BTreeMap<Instance, Result<bool>> = refused.collect();
        for wave in &schedule.waves {
            let mut steps: BTreeMap<&NsName, Vec<&(Act, Instance)>> = BTreeMap::new();
            for step in wave {
                steps.entry(&step.1.name).or_default().push(step);
            }
            let work = held.iter_mut().filter_map(|(name, held)| Some((held, steps.remove(name)?))).collect();
            let before = Before { requires: &schedule.requires, results: &results, broken };
            let done = parallel(work, |(held, steps)| self.one_by_one(held, &steps, &before));
            results.extend(done.into_iter().flatten());
        }
        self.finish_all(held.into_values().collect());
        results
    }

    /// All locks come before any work, in the order of the names: so two commands never wait for each other. By the time that all
    /// are there, others may have changed what the course is made of.
    fn lock(&self, plan: impl Fn(&Entries) -> Schedule) -> Result<(Schedule, VecDeque<LockedState>, Broken)> {
        let mut entries = state::entries(&self.paths)?;
        let mut schedule = plan(&entries);
        loop {
            let mut broken = Broken::new();
            let mut held = VecDeque::new();
            for name in schedule.names.keys() {
                match state::hold(&self.paths, name) {
                    Ok(one) => held.push_back(one),
                    Err(error) => _ = broken.insert(name.clone(), format!("{error:#}")),
                }
            }
            let now = state::entries(&self.paths)?;
            if now != entries {
                entries = now;
                let locked = schedule.names;
                schedule = plan(&entries);
                if schedule.names.keys().any(|name| !locked.contains_key(name)) {
                    continue;
                }
                held.retain(|one: &LockedState| schedule.names.contains_key(&one.name));
            }
            return Ok((schedule, held, broken));
        }
    }

    /// Closes a namespace in which a firewall is about to come up, before any hook runs in it.
    fn close_for_firewall(&self, schedule: &Schedule, name: &NsName) -> Result<()> {
        let comes_up = schedule.waves.iter().flatten().any(|(act, instance)| {
            matches!(act, Act::Up | Act::Restart)
                && instance.name == *name
                && Declaration::of(&self.paths, &instance.nstype).firewall
        });
        if comes_up { firewall::close(&self.paths, name) } else { Ok(()) }
    }

    fn one_by_one(
        &self,
        held: &mut LockedState,
        steps: &[&(Act, Instance)],
        before: &Before,
    ) -> Vec<(Instance, Result<bool>)> {
        let mut stopped = before.stopped(&held.name);
        let mut results = Vec::new();
        for (act, instance) in steps {
            if self.runner.interrupted() {
                stopped.get_or_insert("interrupted".to_owned());
            }
            let goes = matches!(act, Act::Down | Act::Pause);
            let why = if goes {
                stopped.clone().filter(|_| self.runner.interrupted())
            } else {
                before.missing(instance).or_else(|| stopped.clone())
            };
            let changed = if let Some(error) = before.broken.get(&held.name) {
                Err(anyhow!("{error}"))
            } else if let Some(why) = why {
                Err(anyhow!("`{instance}` was not begun: {why}"))
            } else {
                held.required = before.requires.get(instance).cloned().unwrap_or_default();
                self.act(*act, held, &instance.nstype)
            };
            if changed.is_err() && !goes {
                stopped.get_or_insert(format!("`{instance}` had failed"));
            }
            results.push((instance.clone(), changed));
        }
        results
    }

    fn act(&self, act: Act, held: &mut LockedState, nstype: &NsType) -> Result<bool> {
        match act {
            Act::Up => self.up_one(held, nstype),
            Act::Down => self.down_one(held, nstype),
            Act::Restart => self.restart_one(held, nstype),
            Act::Pause => self.down_one(held, nstype).or_else(|error| {
                print::warn(&format!("{error:#}; going on"));
                Ok(true)
            }),
        }
    }

    fn finish_all(&self, groups: VecDeque<LockedState>) {
        let empty = |held: &LockedState| held.state.namespace.is_some() && held.state.instances.is_empty();
        let entries = if groups.iter().any(empty) { state::entries(&self.paths) } else { Ok(Entries::new()) };
        let needed = entries.as_ref().map(schedule::needed);
        parallel(groups, |mut held| {
            let finished = match &needed {
                Ok(needed) if needed.contains(&held.name) => Ok(()),
                Ok(_) => self.finish(&mut held),
                Err(error) => Err(anyhow!("{error:#}")),
            };
            if let Err(error) = finished {
                print::warn(&format!("{error:#}"));
            }
        });
    }
}

impl Engine for Direct {
    fn up(&self, instances: &[Instance]) -> Vec<Outcome> {
        self.follow(instances, |entries| Schedule::up(&self.paths, entries, instances))
    }

    fn down(&self, instances: &[Instance], recursive: bool) -> Vec<Outcome> {
        self.follow(instances, |entries| Schedule::down(entries, instances, recursive))
    }

    fn restart(&self, instances: &[Instance]) -> Vec<Outcome> {
        self.follow(instances, |entries| Schedule::restart(&self.paths, entries, instances))
    }
}

/// What is known when a wave begins.
struct Before<'a> {
    requires: &'a BTreeMap<Instance, Vec<Requirement>>,
    results: &'a BTreeMap<Instance, Result<bool>>,
    broken: &'a Broken,
}

impl Before<'_> {
    /// Why nothing more comes up in a namespace.
    fn stopped(&self, name: &NsName) -> Option<String> {
        let failed = self.results.iter().find(|(instance, result)| instance.name == *name && result.is_err());
        failed.map(|(instance, _)| format!("`{instance}` had failed"))
    }

    /// What an instance requires, and is not there.
    fn missing(&self, instance: &Instance) -> Option<String> {
        self.requires.get(instance)?.iter().find_map(|requirement| {
            let why = match requirement {
                Requirement::Instance(other) => format!("{:#}", self.results.get(other)?.as_ref().err()?),
                Requirement::Namespace(name) => self.broken.get(name)?.clone(),
                Requirement::Unit(_) => return None,
            };
            Some(format!("it requires `{requirement}`: {why}"))
        })
    }
}
