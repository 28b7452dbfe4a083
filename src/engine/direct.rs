//! The engine for machines without systemd: this program creates the namespace and runs the hooks itself.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::fs;

use anyhow::{Result, anyhow, bail};
use jiff::Timestamp;

use super::child::{Process, Runner};
use super::parallel::parallel;
use super::state::{self, Held, Known, Stage};
use super::{Active, Condition, Engine, Kind, Outcome};
use crate::name::{Instance, NsName, NsType, Phase, Side};
use crate::netns::{self, Named};
use crate::paths::Paths;
use crate::privilege::{self, Capability};

/// This program as an engine.
#[derive(Debug)]
pub struct Direct {
    paths: Paths,
    adopt: bool,
    runner: Runner,
}

/// What is done to each instance of a namespace.
type Step = fn(&Direct, &mut Held, &NsType) -> Result<bool>;

impl Direct {
    /// The engine; `adopt` lets it take over namespaces that somebody else has made.
    ///
    /// # Errors
    /// A privilege is missing, or the handlers of signals cannot be set.
    pub fn of(paths: &Paths, adopt: bool) -> Result<Self> {
        privilege::need(Capability::SysAdmin, "to create and enter namespaces")?;
        privilege::need(Capability::NetAdmin, "to configure interfaces")?;
        Ok(Self { paths: paths.clone(), adopt, runner: Runner::new(paths)? })
    }

    /// Works on all namespaces, in parallel, and on the instances of each in their order.
    fn each(&self, instances: &[Instance], prepare: bool, step: Step, go_on: bool) -> Vec<Outcome> {
        let mut groups: BTreeMap<&NsName, Vec<&Instance>> = BTreeMap::new();
        for instance in instances {
            groups.entry(&instance.name).or_default().push(instance);
        }
        let refused = |group: &[&Instance], error: &anyhow::Error| -> Vec<Outcome> {
            let outcome = |instance: &&Instance| Outcome {
                instance: (*instance).clone(),
                engine: Kind::Direct,
                changed: Err(anyhow!("{error:#}")),
            };
            group.iter().map(outcome).collect()
        };
        // All locks come before any work, in the order of the names: so two commands never wait for each other.
        let mut outcomes = Vec::new();
        let mut ready = VecDeque::new();
        for (name, group) in groups {
            match state::hold(&self.paths, name) {
                Ok(held) => ready.push_back((held, group)),
                Err(error) => outcomes.extend(refused(&group, &error)),
            }
        }
        // All namespaces come before any hook: one may want to put an interface into another.
        let prepared = parallel(ready, |(mut held, group)| {
            let begun = self
                .settle(&mut held)
                .and_then(|()| if prepare { self.ensure_namespace(&mut held) } else { Ok(()) });
            (held, group, begun)
        });
        outcomes.extend(
            parallel(prepared.into(), |(mut held, group, begun)| {
                let outcomes = match begun {
                    Ok(()) => self.one_by_one(&mut held, &group, step, go_on),
                    Err(error) => refused(&group, &error),
                };
                if let Err(error) = self.finish(&mut held) {
                    crate::warn(&format!("{error:#}"));
                }
                outcomes
            })
            .into_iter()
            .flatten(),
        );
        outcomes
    }

    fn one_by_one(&self, held: &mut Held, group: &[&Instance], step: Step, go_on: bool) -> Vec<Outcome> {
        let mut stopped = None;
        let mut outcomes = Vec::new();
        for instance in group {
            if self.runner.interrupted() {
                stopped.get_or_insert("interrupted".to_owned());
            }
            let changed = match &stopped {
                Some(why) => Err(anyhow!("`{instance}` was not begun: {why}")),
                None => step(self, held, &instance.nstype),
            };
            if changed.is_err() && !go_on {
                stopped.get_or_insert(format!("`{instance}` had failed"));
            }
            outcomes.push(Outcome { instance: (*instance).clone(), engine: Kind::Direct, changed });
        }
        outcomes
    }

    /// Puts right what was broken off: a command that was killed, or a namespace that was deleted by hand.
    fn settle(&self, held: &mut Held) -> Result<()> {
        for entry in held.state.instances.clone() {
            if let Some(hook) = entry.hook.filter(Process::runs) {
                self.runner.end(&hook);
            }
        }
        let name = held.name.clone();
        let Some(ours) = held.state.namespace else { return Ok(()) };
        let found = netns::look(&self.paths, &name)?;
        let there = match found {
            Named::Namespace(found) if found == ours => true,
            Named::Namespace(_) => {
                crate::warn(&format!(
                    "namespace `{name}` was deleted by hand, and somebody else has made another one, which is left alone"
                ));
                held.state.namespace = None;
                held.state.instances.clear();
                return held.save();
            }
            Named::Debris => {
                netns::delete(&self.paths, &name)?;
                false
            }
            Named::Nothing => false,
        };
        for entry in held.state.instances.clone().into_iter().rev() {
            let instance = held.instance(&entry.nstype);
            if !there {
                crate::warn(&format!("namespace `{name}` was deleted by hand: taking `{instance}` down"));
            } else if entry.stage == Stage::Up {
                continue;
            } else {
                crate::warn(&format!("`{instance}` was left half-way: taking it down first"));
            }
            let inside = there && entry.stage == Stage::DownInside;
            for error in self.take_down(held, &entry.nstype, inside)? {
                crate::warn(&format!("{error:#}"));
            }
        }
        if !there {
            held.state.namespace = None;
            held.save()?;
        }
        Ok(())
    }

    fn ensure_namespace(&self, held: &mut Held) -> Result<()> {
        if held.state.namespace.is_some() {
            return Ok(());
        }
        let name = held.name.clone();
        match netns::look(&self.paths, &name)? {
            Named::Namespace(found) if self.adopt => {
                (held.state.namespace, held.state.adopted) = (Some(found), true);
                held.save()
            }
            Named::Namespace(_) => bail!(
                "namespace `{name}` was made by somebody else, and is left alone; remove it by `ip netns delete {name}`, \
                 or take it over with --adopt"
            ),
            Named::Nothing | Named::Debris => {
                let made = netns::create(&self.paths, &name, |id| {
                    (held.state.namespace, held.state.adopted) = (Some(id), false);
                    held.save()
                });
                if made.is_err() {
                    held.state.namespace = None;
                    held.save()?;
                }
                made
            }
        }
    }

    /// The namespace goes with the last instance, unless it was there before.
    fn finish(&self, held: &mut Held) -> Result<()> {
        let Some(ours) = held.state.namespace else { return Ok(()) };
        if !held.state.instances.is_empty() {
            return Ok(());
        }
        if !held.state.adopted && netns::look(&self.paths, &held.name)? == Named::Namespace(ours) {
            netns::delete(&self.paths, &held.name)?;
        }
        held.state.namespace = None;
        held.save()
    }

    fn up_one(&self, held: &mut Held, nstype: &NsType) -> Result<bool> {
        if held.stage(nstype) == Some(Stage::Up) {
            return Ok(false);
        }
        let instance = held.instance(nstype);
        _ = fs::remove_file(self.paths.log(&instance));
        let mut undone = Vec::new();
        let mut result = self.run(held, nstype, (Phase::Up, Side::Outside), false);
        if result.is_ok() {
            result = self.run(held, nstype, (Phase::Up, Side::Inside), false);
            if result.is_err() {
                undone.push("`down outside` was run".to_owned());
                if let Err(error) = self.run(held, nstype, (Phase::Down, Side::Outside), true) {
                    undone.push(format!("but: {error:#}"));
                }
            }
        }
        if let Err(error) = result {
            held.forget(nstype)?;
            if held.state.instances.is_empty() && !held.state.adopted {
                undone.push(format!("namespace `{}` is removed", held.name));
            }
            return Err(match undone.as_slice() {
                [] => error.context(format!("cannot bring up `{instance}`")),
                _ => anyhow!("cannot bring up `{instance}`: {error:#}\n  undone: {}", undone.join("; ")),
            });
        }
        held.note(nstype, Stage::Up, None)?;
        Ok(true)
    }

    fn down_one(&self, held: &mut Held, nstype: &NsType) -> Result<bool> {
        let instance = held.instance(nstype);
        if held.stage(nstype).is_none() {
            _ = fs::remove_file(self.paths.log(&instance));
            let name = &held.name;
            if held.state.namespace.is_none() && netns::look(&self.paths, name)? != Named::Nothing {
                crate::warn(&format!(
                    "there is a namespace `{name}` that this engine knows nothing of, and leaves alone"
                ));
            }
            return Ok(false);
        }
        let errors = self.take_down(held, nstype, true)?;
        if errors.is_empty() {
            _ = fs::remove_file(self.paths.log(&instance));
            return Ok(true);
        }
        let errors: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
        Err(anyhow!("`{instance}` is down, but not all went well: {}", errors.join("\n  and ")))
    }

    fn restart_one(&self, held: &mut Held, nstype: &NsType) -> Result<bool> {
        if held.stage(nstype).is_none() {
            self.ensure_namespace(held)?;
            return self.up_one(held, nstype);
        }
        let instance = held.instance(nstype);
        if let Err(error) = self.run(held, nstype, (Phase::Down, Side::Inside), false) {
            crate::warn(&format!("`{instance}`: {error:#}; going on"));
        }
        if let Err(error) = self.run(held, nstype, (Phase::Up, Side::Inside), false) {
            let mut undone = "`down outside` was run".to_owned();
            for error in self.take_down(held, nstype, false)? {
                _ = write!(undone, "; but: {error:#}");
            }
            bail!("cannot restart `{instance}`: {error:#}\n  undone: {undone}");
        }
        held.note(nstype, Stage::Up, None)?;
        Ok(true)
    }

    /// Runs the down hooks, each whatever comes of the other; returns what went wrong.
    fn take_down(&self, held: &mut Held, nstype: &NsType, inside: bool) -> Result<Vec<anyhow::Error>> {
        let mut errors = Vec::new();
        if inside {
            errors.extend(self.run(held, nstype, (Phase::Down, Side::Inside), true).err());
        }
        errors.extend(self.run(held, nstype, (Phase::Down, Side::Outside), true).err());
        held.forget(nstype)?;
        Ok(errors)
    }

    /// Runs one hook, and notes that it is run.
    fn run(&self, held: &mut Held, nstype: &NsType, hook: (Phase, Side), whatever_comes: bool) -> Result<()> {
        let instance = held.instance(nstype);
        let stage = Stage::of(hook.0, hook.1);
        let done = self.runner.run(&instance, hook, whatever_comes, |process| {
            match held.note(nstype, stage, process) {
                // A tear-down goes on without its note: to take it down twice, after a crash, does no harm.
                Err(error) if whatever_comes => {
                    crate::warn(&format!("{error:#}"));
                    Ok(())
                }
                noted => noted,
            }
        });
        if done.is_err() && hook.1 == Side::Outside {
            // No other hook of this instance follows. A bash that was killed has not seen to it.
            _ = fs::remove_file(self.paths.memory(&instance));
        }
        done
    }
}

impl Engine for Direct {
    fn up(&self, instances: &[Instance]) -> Vec<Outcome> {
        self.each(instances, true, Self::up_one, false)
    }

    fn down(&self, instances: &[Instance]) -> Vec<Outcome> {
        let mut instances = instances.to_vec();
        instances.reverse();
        self.each(&instances, false, Self::down_one, true)
    }

    fn restart(&self, instances: &[Instance]) -> Vec<Outcome> {
        self.each(instances, false, Self::restart_one, false)
    }
}

/// What this engine has up, by its files alone.
pub(super) fn active(paths: &Paths) -> Result<Vec<Active>> {
    let mut active: Vec<Active> = Vec::new();
    let mut failed = Vec::new();
    if !paths.direct.exists() {
        return Ok(active);
    }
    for entry in crate::file::entries(&paths.direct)? {
        let file = entry.file_name().to_string_lossy();
        if let Some(instance) = file.strip_suffix(".log").and_then(|word| word.parse::<Instance>().ok()) {
            failed.push((instance, entry.metadata().ok().and_then(|found| found.modified().ok())));
        }
        let Some(name) = file.strip_suffix(".json").and_then(|name| name.parse::<NsName>().ok()) else {
            continue;
        };
        match state::read(paths, &name)? {
            Some(Known::State(state)) => active.extend(state.instances.into_iter().map(|entry| Active {
                instance: Instance { nstype: entry.nstype, name: name.clone() },
                engine: Kind::Direct,
                condition: if entry.stage == Stage::Up { Condition::Up } else { Condition::Changing },
                since: Some(entry.since),
            })),
            Some(Known::Unusable(error)) => crate::warn(&format!("{error:#}")),
            None => {}
        }
    }
    // Of what is neither up nor was taken down in order, the log is left.
    failed.retain(|(instance, _)| !active.iter().any(|active| active.instance == *instance));
    active.extend(failed.into_iter().map(|(instance, time)| Active {
        instance,
        engine: Kind::Direct,
        condition: Condition::Failed,
        since: time.and_then(|time| Timestamp::try_from(time).ok()),
    }));
    Ok(active)
}
