//! The engine for machines without systemd: this program creates the namespace and runs the hooks itself.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::fs;

use anyhow::{Result, anyhow, bail};
use jiff::Timestamp;

use super::child::Runner;
use super::course::{self, Act, Course, Entries, Need};
use super::state::{self, Held, Known, Stage};
use super::{Active, Condition, Engine, Kind, Outcome};
use crate::made;
use crate::memory;
use crate::name::{Instance, NsName, NsType, Phase, Side};
use crate::netns::{self, Identity, Named};
use crate::parallel::parallel;
use crate::paths::Paths;
use crate::privilege::{self, Capability};
use crate::requires::Requirement;

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
    ///
    /// # Errors
    /// A privilege is missing, or the handlers of signals cannot be set.
    pub fn of(paths: &Paths, adopt: bool) -> Result<Self> {
        privilege::need(Capability::SysAdmin, "to create and enter namespaces")?;
        privilege::need(Capability::NetAdmin, "to configure interfaces")?;
        Ok(Self { paths: paths.clone(), adopt, runner: Runner::new(paths)? })
    }

    /// Puts right what was broken off on a namespace, and removes that if nobody needs it.
    ///
    /// # Errors
    /// The namespace cannot be looked at or deleted, or the state not written.
    pub fn put_right(&self, held: &mut Held) -> Result<()> {
        self.settle(held)?;
        if super::required(&self.paths)?.contains(&held.name) {
            return Ok(());
        }
        self.finish(held)
    }

    /// Runs the last hook of an instance that is not up, to remove what an earlier one has left.
    ///
    /// # Errors
    /// The hook cannot be run, or fails.
    pub fn down_outside(&self, instance: &Instance) -> Result<()> {
        self.runner.run(instance, (Phase::Down, Side::Outside), true, None, |_| Ok(()))?;
        _ = fs::remove_file(self.paths.log(instance));
        Ok(())
    }

    /// Removes what an instance has left that is not up, whichever engine it was.
    ///
    /// # Errors
    /// As for [`down_outside`](Self::down_outside); the namespace cannot be locked.
    pub fn clear(paths: &Paths, instance: &Instance) -> Result<()> {
        let _held = state::hold(paths, &instance.name)?;
        Self::of(paths, false)?.down_outside(instance)
    }

    /// Takes the course that `plan` makes of what is up: one wave after the other, in each all namespaces in parallel.
    fn follow(&self, instances: &[Instance], plan: impl Fn(&Entries) -> Course) -> Vec<Outcome> {
        let outcome = |instance: &Instance, changed| Outcome {
            instance: instance.clone(),
            engine: Kind::Direct,
            changed,
        };
        let (course, held, mut broken) = match self.lock(plan) {
            Ok(locked) => locked,
            Err(error) => {
                return instances
                    .iter()
                    .map(|instance| outcome(instance, Err(anyhow!("{error:#}"))))
                    .collect();
            }
        };
        // All namespaces come before any hook: one may want to put an interface into another.
        let prepared = parallel(held, |mut held| {
            let need = course.names[&held.name];
            let begun = self.settle(&mut held).and_then(|()| self.ensure_namespace(&mut held, need));
            (held, begun)
        });
        let mut groups = BTreeMap::new();
        for (held, begun) in prepared {
            if let Err(error) = begun {
                broken.insert(held.name.clone(), format!("{error:#}"));
            }
            groups.insert(held.name.clone(), held);
        }
        let mut results: BTreeMap<Instance, Result<bool>> =
            course.refused.into_iter().map(|(instance, error)| (instance, Err(error))).collect();
        for wave in &course.waves {
            let mut steps: BTreeMap<&NsName, Vec<&(Act, Instance)>> = BTreeMap::new();
            for step in wave {
                steps.entry(&step.1.name).or_default().push(step);
            }
            let work =
                groups.iter_mut().filter_map(|(name, held)| Some((held, steps.remove(name)?))).collect();
            let before = Before { requires: &course.requires, results: &results, broken: &broken };
            let done = parallel(work, |(held, steps)| self.one_by_one(held, &steps, &before));
            results.extend(done.into_iter().flatten());
        }
        self.finish_all(groups.into_values().collect());
        let never = |name: &NsName| {
            Err(broken.get(name).map_or_else(|| anyhow!("it was not begun"), |why| anyhow!("{why}")))
        };
        course
            .told
            .iter()
            .map(|instance| {
                outcome(instance, results.remove(instance).unwrap_or_else(|| never(&instance.name)))
            })
            .collect()
    }

    /// All locks come before any work, in the order of the names: so two commands never wait for each other. By the time that all
    /// are there, others may have changed what the course is made of.
    fn lock(&self, plan: impl Fn(&Entries) -> Course) -> Result<(Course, VecDeque<Held>, Broken)> {
        let mut entries = state::entries(&self.paths)?;
        let mut course = plan(&entries);
        loop {
            let mut broken = Broken::new();
            let mut held = VecDeque::new();
            for name in course.names.keys() {
                match state::hold(&self.paths, name) {
                    Ok(one) => held.push_back(one),
                    Err(error) => _ = broken.insert(name.clone(), format!("{error:#}")),
                }
            }
            let now = state::entries(&self.paths)?;
            if now != entries {
                entries = now;
                let locked = course.names;
                course = plan(&entries);
                if course.names.keys().any(|name| !locked.contains_key(name)) {
                    continue;
                }
                held.retain(|one: &Held| course.names.contains_key(&one.name));
            }
            return Ok((course, held, broken));
        }
    }

    fn one_by_one(
        &self,
        held: &mut Held,
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
                match act {
                    Act::Up => self.up_one(held, &instance.nstype),
                    Act::Down => self.down_one(held, &instance.nstype),
                    Act::Restart => self.restart_one(held, &instance.nstype),
                    Act::Pause => self.down_one(held, &instance.nstype).or_else(|error| {
                        crate::warn(&format!("{error:#}; going on"));
                        Ok(true)
                    }),
                }
            };
            if changed.is_err() && !goes {
                stopped.get_or_insert(format!("`{instance}` had failed"));
            }
            results.push((instance.clone(), changed));
        }
        results
    }

    /// Puts right what was broken off: a command that was killed, or a namespace that was deleted by hand.
    fn settle(&self, held: &mut Held) -> Result<()> {
        for entry in held.state.instances.iter().filter(|entry| entry.stage != Stage::Up) {
            self.runner.end_left(&held.instance(&entry.nstype), entry.hook);
        }
        let name = held.name.clone();
        let Some(ours) = held.state.namespace else { return Ok(()) };
        let found = netns::look(&self.paths, &name)?;
        let there = match found {
            Named::Namespace(_) if ours.has_name(&self.paths, &name)? => true,
            Named::Namespace(_) => {
                crate::warn(&replaced(&name));
                false
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

    fn ensure_namespace(&self, held: &mut Held, need: Need) -> Result<()> {
        if held.state.namespace.is_some() || need == Need::Leave {
            return Ok(());
        }
        let name = held.name.clone();
        match netns::look(&self.paths, &name)? {
            Named::Namespace(_) if need == Need::Exist => Ok(()),
            Named::Namespace(_) if self.adopt => {
                let found = Identity::of_name(&self.paths, &name)?;
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

    fn finish_all(&self, groups: VecDeque<Held>) {
        let empty = |held: &Held| held.state.namespace.is_some() && held.state.instances.is_empty();
        let entries = if groups.iter().any(empty) { state::entries(&self.paths) } else { Ok(Entries::new()) };
        let needed = entries.as_ref().map(course::needed);
        parallel(groups, |mut held| {
            let finished = match &needed {
                Ok(needed) if needed.contains(&held.name) => Ok(()),
                Ok(_) => self.finish(&mut held),
                Err(error) => Err(anyhow!("{error:#}")),
            };
            if let Err(error) = finished {
                crate::warn(&format!("{error:#}"));
            }
        });
    }

    /// The namespace goes with the last instance that is in it or requires it, unless it was there before.
    fn finish(&self, held: &mut Held) -> Result<()> {
        let Some(ours) = held.state.namespace else { return Ok(()) };
        if !held.state.instances.is_empty() {
            return Ok(());
        }
        if !held.state.adopted
            && netns::delete_ours(&self.paths, &held.name, &ours)? == netns::Deleted::NotOurs
        {
            crate::warn(&replaced(&held.name));
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
            result = self
                .run(held, nstype, (Phase::Up, Side::Inside), false)
                .and_then(|()| self.still_there(held));
            if result.is_err() {
                undone.push("`down outside` was run".to_owned());
                if let Err(error) = self.run(held, nstype, (Phase::Down, Side::Outside), true) {
                    undone.push(format!("but: {error:#}"));
                }
            }
        }
        if let Err(error) = result {
            held.forget(nstype)?;
            if held.state.instances.is_empty()
                && !held.state.adopted
                && self.still_there(held).is_ok()
                && !super::required(&self.paths)?.contains(&held.name)
            {
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
            if memory::exists(&self.paths, &instance) {
                self.down_outside(&instance)?;
                return Ok(true);
            }
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
            return self.up_one(held, nstype);
        }
        let instance = held.instance(nstype);
        if let Err(error) = self.run(held, nstype, (Phase::Down, Side::Inside), false) {
            crate::warn(&format!("`{instance}`: {error:#}; going on"));
        }
        let up =
            self.run(held, nstype, (Phase::Up, Side::Inside), false).and_then(|()| self.still_there(held));
        if let Err(error) = up {
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

    /// Whether the namespace is the one that this is about: what has come up in it is lost with it.
    fn still_there(&self, held: &Held) -> Result<()> {
        held.state.namespace.map_or(Ok(()), |ours| made::require(&self.paths, &held.name, &ours))
    }

    /// Runs one hook, and notes that it is run.
    fn run(&self, held: &mut Held, nstype: &NsType, hook: (Phase, Side), whatever_comes: bool) -> Result<()> {
        let instance = held.instance(nstype);
        let stage = Stage::of(hook.0, hook.1);
        let ours = held.state.namespace;
        let done = self.runner.run(&instance, hook, whatever_comes, ours.as_ref(), |process| {
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
            memory::mark(&self.paths, &instance)?;
        }
        done
    }
}

impl Engine for Direct {
    fn up(&self, instances: &[Instance]) -> Vec<Outcome> {
        self.follow(instances, |entries| Course::up(&self.paths, entries, instances))
    }

    fn down(&self, instances: &[Instance], recursive: bool) -> Vec<Outcome> {
        self.follow(instances, |entries| Course::down(entries, instances, recursive))
    }

    fn restart(&self, instances: &[Instance]) -> Vec<Outcome> {
        self.follow(instances, |entries| Course::restart(&self.paths, entries, instances))
    }
}

fn replaced(name: &NsName) -> String {
    format!(
        "namespace `{name}` was deleted by hand, and somebody else has made another one, which is left alone"
    )
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

/// What this engine has up, by its files alone.
pub(super) fn active(paths: &Paths) -> Result<Vec<Active>> {
    let mut active: Vec<Active> = Vec::new();
    let mut failed = Vec::new();
    if !paths.direct.exists() {
        return Ok(active);
    }
    for entry in crate::file::entries(&paths.direct)? {
        let file = entry.file_name().to_string_lossy();
        let is_file = entry.file_type().is_file();
        let log = file.strip_suffix(".log").filter(|_| is_file);
        if let Some(instance) = log.and_then(|word| word.parse::<Instance>().ok()) {
            failed.push((instance, entry.metadata().ok().and_then(|found| found.modified().ok())));
        }
        let Some(name) = state::name_of(&entry) else { continue };
        match state::read(paths, &name)? {
            Some(Known::State(state)) => active.extend(state.instances.into_iter().map(|entry| Active {
                instance: Instance { nstype: entry.nstype, name: name.clone() },
                engine: Kind::Direct,
                condition: if entry.stage == Stage::Up { Condition::Up } else { Condition::Changing },
                since: Some(entry.since),
            })),
            Some(Known::Unusable(error)) => crate::warn(&format!("{error:#}")),
            Some(Known::Odd(error)) => crate::file::pass_over(entry.path(), error),
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
