//! The engine for machines without systemd: this program creates the namespace and runs the hooks itself.

mod active;
mod instance;
mod namespace;

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, anyhow};

pub(super) use active::active;

use super::runner::Runner;
use super::schedule::{self, Entries, InstanceStep, Schedule};
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

/// The direct engine.
#[derive(Debug)]
pub struct Direct {
    paths: Paths,
    adopt: bool,
    runner: Runner,
}

/// Errors that prevent all work on a namespace.
type NamespaceErrors = BTreeMap<NsName, String>;

impl Direct {
    /// Creates the engine; `adopt` allows foreign namespaces.
    /// Errors: a capability is missing, a signal handler cannot be set, `NETNS_HOOK_TIMEOUT` is invalid, or the program path
    /// is unknown.
    pub fn of(paths: &Paths, adopt: bool) -> Result<Self> {
        capability::require(Capability::SysAdmin, "to create and enter namespaces")?;
        capability::require(Capability::NetAdmin, "to configure interfaces")?;
        Ok(Self { paths: paths.clone(), adopt, runner: Runner::new(paths)? })
    }

    /// Takes down the instances of a namespace that are only partially up, and deletes the namespace if it is unused.
    /// Errors: the namespace cannot be read or deleted, or the state cannot be written.
    pub fn recover(&self, locked: &mut LockedState) -> Result<()> {
        self.undo_interrupted(locked)?;
        if super::required_namespaces(&self.paths)?.contains(&locked.name) {
            return Ok(());
        }
        self.delete_if_empty(locked)
    }

    /// Runs a schedule. `plan` makes the schedule from the current entries of the state files.
    fn execute(&self, instances: &[Instance], plan: impl Fn(&Entries) -> Schedule) -> Vec<Outcome> {
        let outcome = |instance: &Instance, changed| Outcome {
            instance: instance.clone(),
            engine: EngineKind::Direct,
            changed,
        };
        let (mut schedule, states, mut namespace_errors) = match self.lock(plan) {
            Ok(locked) => locked,
            Err(error) => {
                let all = instances.iter();
                return all.map(|instance| outcome(instance, Err(anyhow!("{error:#}")))).collect();
            }
        };
        let states = self.prepare(&schedule, states, &mut namespace_errors);
        let mut results = self.run_waves(&mut schedule, states, &namespace_errors);
        let never = |name: &NsName| {
            Err(namespace_errors
                .get(name)
                .map_or_else(|| anyhow!("it was not started"), |why| anyhow!("{why}")))
        };
        let reported = schedule.reported.iter();
        reported
            .map(|instance| {
                outcome(instance, results.remove(instance).unwrap_or_else(|| never(&instance.name)))
            })
            .collect()
    }

    /// Creates all namespaces before the first hook: a hook may move an interface into another namespace.
    fn prepare(
        &self,
        schedule: &Schedule,
        states: VecDeque<LockedState>,
        namespace_errors: &mut NamespaceErrors,
    ) -> BTreeMap<NsName, LockedState> {
        let prepared = parallel(states, |mut locked| {
            let need = schedule.namespaces[&locked.name];
            let result = self
                .undo_interrupted(&mut locked)
                .and_then(|()| self.ensure_namespace(&mut locked, need))
                .and_then(|()| self.close_for_firewall(schedule, &locked.name));
            (locked, result)
        });
        let mut all = BTreeMap::new();
        for (locked, result) in prepared {
            if let Err(error) = result {
                namespace_errors.insert(locked.name.clone(), format!("{error:#}"));
            }
            all.insert(locked.name.clone(), locked);
        }
        all
    }

    /// Runs the waves one after the other, and releases the locks. In a wave the namespaces are processed in parallel.
    fn run_waves(
        &self,
        schedule: &mut Schedule,
        mut states: BTreeMap<NsName, LockedState>,
        namespace_errors: &NamespaceErrors,
    ) -> BTreeMap<Instance, Result<bool>> {
        let refused = schedule.refused.drain(..).map(|(instance, error)| (instance, Err(error)));
        let mut results: BTreeMap<Instance, Result<bool>> = refused.collect();
        for wave in &schedule.waves {
            let mut steps: BTreeMap<&NsName, Vec<&(InstanceStep, Instance)>> = BTreeMap::new();
            for step in wave {
                steps.entry(&step.1.name).or_default().push(step);
            }
            let work =
                states.iter_mut().filter_map(|(name, locked)| Some((locked, steps.remove(name)?))).collect();
            let context = WaveContext { requires: &schedule.requires, results: &results, namespace_errors };
            let done = parallel(work, |(locked, steps)| self.run_steps(locked, &steps, &context));
            results.extend(done.into_iter().flatten());
        }
        self.delete_unused(states.into_values().collect());
        results
    }

    /// Locks all namespaces before any work, in the order of their names, so that commands cannot deadlock. If the entries
    /// change in the meantime, the schedule is made again.
    fn lock(
        &self,
        plan: impl Fn(&Entries) -> Schedule,
    ) -> Result<(Schedule, VecDeque<LockedState>, NamespaceErrors)> {
        let mut entries = state::entries(&self.paths)?;
        let mut schedule = plan(&entries);
        loop {
            let mut namespace_errors = NamespaceErrors::new();
            let mut states = VecDeque::new();
            for name in schedule.namespaces.keys() {
                match state::lock(&self.paths, name) {
                    Ok(locked) => states.push_back(locked),
                    Err(error) => _ = namespace_errors.insert(name.clone(), format!("{error:#}")),
                }
            }
            let now = state::entries(&self.paths)?;
            if now != entries {
                entries = now;
                let locked = schedule.namespaces;
                schedule = plan(&entries);
                if schedule.namespaces.keys().any(|name| !locked.contains_key(name)) {
                    continue;
                }
                states.retain(|state: &LockedState| schedule.namespaces.contains_key(&state.name));
            }
            return Ok((schedule, states, namespace_errors));
        }
    }

    /// Closes a namespace before its first hook if the schedule brings up a firewall there.
    fn close_for_firewall(&self, schedule: &Schedule, name: &NsName) -> Result<()> {
        let comes_up = schedule.waves.iter().flatten().any(|(step, instance)| {
            matches!(step, InstanceStep::Up | InstanceStep::Restart)
                && instance.name == *name
                && Declaration::of(&self.paths, &instance.nstype).firewall
        });
        if comes_up { firewall::close(&self.paths, name) } else { Ok(()) }
    }

    fn run_steps(
        &self,
        locked: &mut LockedState,
        steps: &[&(InstanceStep, Instance)],
        context: &WaveContext,
    ) -> Vec<(Instance, Result<bool>)> {
        let mut stopped = context.failure_on(&locked.name);
        let mut results = Vec::new();
        for (step, instance) in steps {
            if self.runner.interrupted() {
                stopped.get_or_insert("interrupted".to_owned());
            }
            let is_down = matches!(step, InstanceStep::Down | InstanceStep::DownForRestart);
            let missing = if is_down { None } else { context.missing_requirement(instance) };
            let why = if is_down {
                stopped.clone().filter(|_| self.runner.interrupted())
            } else {
                missing.clone().or_else(|| stopped.clone())
            };
            let changed = if let Some(error) = context.namespace_errors.get(&locked.name) {
                Err(anyhow!("{error}"))
            } else if let Some(why) = why {
                let mut why = format!("`{instance}` was not started: {why}");
                // What it requires is gone.
                if *step == InstanceStep::Restart
                    && missing.is_some()
                    && let Err(error) = self.down_instance(locked, &instance.nstype)
                {
                    why = format!("{why}\n  {error:#}");
                }
                Err(anyhow!("{why}"))
            } else {
                locked.required = context.requires.get(instance).cloned().unwrap_or_default();
                self.run_step(*step, locked, &instance.nstype)
            };
            if changed.is_err() && !is_down {
                stopped.get_or_insert(format!("`{instance}` failed"));
            }
            results.push((instance.clone(), changed));
        }
        results
    }

    fn run_step(&self, step: InstanceStep, locked: &mut LockedState, nstype: &NsType) -> Result<bool> {
        match step {
            InstanceStep::Up => self.up_instance(locked, nstype),
            InstanceStep::Down => Ok(self.down_instance(locked, nstype)? || locked.undone.contains(nstype)),
            InstanceStep::Restart => self.restart_instance(locked, nstype),
            InstanceStep::DownForRestart => self.down_instance(locked, nstype).or_else(|error| {
                print::warn(&format!("{error:#}; continuing"));
                Ok(true)
            }),
        }
    }

    fn delete_unused(&self, states: VecDeque<LockedState>) {
        let is_empty =
            |locked: &LockedState| locked.state.namespace.is_some() && locked.state.instances.is_empty();
        let entries =
            if states.iter().any(is_empty) { state::entries(&self.paths) } else { Ok(Entries::new()) };
        let required = entries.as_ref().map(schedule::required_namespaces);
        parallel(states, |mut locked| {
            let deleted = match &required {
                Ok(required) if required.contains(&locked.name) => Ok(()),
                Ok(_) => self.delete_if_empty(&mut locked),
                Err(error) => Err(anyhow!("{error:#}")),
            };
            if let Err(error) = deleted {
                print::warn(&format!("{error:#}"));
            }
        });
    }
}

impl Engine for Direct {
    fn up(&self, instances: &[Instance]) -> Vec<Outcome> {
        self.execute(instances, |entries| Schedule::up(&self.paths, entries, instances))
    }

    fn down(&self, instances: &[Instance], recursive: bool) -> Vec<Outcome> {
        self.execute(instances, |entries| Schedule::down(entries, instances, recursive))
    }

    fn restart(&self, instances: &[Instance]) -> Vec<Outcome> {
        self.execute(instances, |entries| Schedule::restart(&self.paths, entries, instances))
    }
}

/// The requirements, results and errors that are known at the beginning of a wave.
struct WaveContext<'a> {
    requires: &'a BTreeMap<Instance, Vec<Requirement>>,
    results: &'a BTreeMap<Instance, Result<bool>>,
    namespace_errors: &'a NamespaceErrors,
}

impl WaveContext<'_> {
    /// An earlier failure on a namespace, which stops further instances from coming up.
    fn failure_on(&self, name: &NsName) -> Option<String> {
        let failed = self.results.iter().find(|(instance, result)| instance.name == *name && result.is_err());
        failed.map(|(instance, _)| format!("`{instance}` failed"))
    }

    /// The first failed requirement of an instance, with the cause of the failure.
    fn missing_requirement(&self, instance: &Instance) -> Option<String> {
        self.requires.get(instance)?.iter().find_map(|requirement| {
            let why = match requirement {
                Requirement::Instance(other) => format!("{:#}", self.results.get(other)?.as_ref().err()?),
                Requirement::Namespace(name) => self.namespace_errors.get(name)?.clone(),
                Requirement::Unit(_) => return None,
            };
            Some(format!("it requires `{requirement}`: {why}"))
        })
    }
}
