//! The engine for machines with systemd: its units do the work, this waits until it is really done.

mod units;

use std::collections::BTreeSet;
use std::slice;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::Timestamp;

pub(super) use units::active;
pub use units::instances;

use super::dependants::Dependants;
use super::preflight;
use super::{Active, Condition, Engine, EngineKind, Outcome};
use super::{leftovers, state};
use crate::config::declaration::Declaration;
use crate::config::remembered;
use crate::firewall;
use crate::name::Instance;
use crate::netns::ownership::{self, Ownership};
use crate::paths::Paths;
use crate::requires::Graph;
use crate::sys::interrupt::Interrupt;
use crate::sys::wait::try_wait_until;
use crate::systemd::journal;
use crate::systemd::systemctl::Systemctl;
use units::{Units, dependants, needed};

/// How long the rest of a stop may take after `systemctl stop` has returned: `down outside` and the removal of the namespace,
/// by their units' own time limits, and a moment.
const TIMEOUT: Duration = Duration::from_secs(90 + 30 + 5);

/// Pause between two looks at what is to go.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// When an outside half that nothing needs is stopped, if systemd has not begun that by itself.
const UNNEEDED: Duration = Duration::from_secs(3);

/// systemd as PID 1 of this machine.
#[derive(Debug)]
pub struct Systemd {
    paths: Paths,
    systemctl: Systemctl,
    interrupt: Interrupt,
}

impl Systemd {
    /// The engine.
    /// Errors: systemd is not PID 1 here.
    pub fn of(paths: &Paths) -> Result<Self> {
        let systemctl = Systemctl::of(paths).context("systemd does not run here: use `--engine direct`")?;
        Ok(Self { paths: paths.clone(), systemctl, interrupt: Interrupt::catch()? })
    }

    /// Has systemd start or restart the units of all instances at once, which lets it find the order. What leads to a problem is not
    /// begun, nor is anything where that is one of `users`, which would be left down.
    fn all(&self, verb: &str, instances: &[Instance], users: &BTreeSet<Instance>) -> Vec<Outcome> {
        let what = if verb == "start" { "bring up" } else { verb };
        let looked = active(&self.paths).and_then(|active| {
            let is_up = |one: &Active| one.condition == Condition::Up && !users.contains(&one.instance);
            let up = active.into_iter().filter(is_up).map(|one| one.instance).collect();
            preflight::graph(&self.paths, instances, &up)
        });
        let graph = match looked {
            Ok(graph) => graph,
            Err(error) => return refused(instances, &format!("{error:#}")),
        };
        let (accepted, mut told) = preflight::refuse(what, instances, &graph);
        if let Some((_, error)) = told.iter().find(|(instance, _)| users.contains(instance)) {
            return refused(instances, &format!("{error:#}"));
        }
        let accepted = firewall::hold_back(&self.paths, accepted, &mut told);
        let mut outcomes = self.begin(verb, &accepted, &graph);
        let outcome =
            |(instance, error)| Outcome { instance, engine: EngineKind::Systemd, changed: Err(error) };
        outcomes.extend(told.drain(..).map(outcome));
        outcomes
    }

    fn begin(&self, verb: &str, instances: &[Instance], graph: &Graph) -> Vec<Outcome> {
        if instances.is_empty() {
            return Vec::new();
        }
        let accepted = Timestamp::now();
        let before = Units::of_instances(instances);
        // systemd gets one job after the other: with the firewalls first, it knows of them when an interface is begun.
        let mut order: Vec<&Instance> = instances.iter().collect();
        order.sort_by_key(|instance| !Declaration::of(&self.paths, &instance.nstype).firewall);
        let said = self.systemctl.change(verb, &order.into_iter().map(Instance::unit).collect::<Vec<_>>());
        let all: Vec<Instance> = instances.iter().chain(graph.requires.keys()).cloned().collect();
        let after = Units::of_instances(&all);
        let is_up = |units: &Result<Units>, instance: &Instance| {
            units.as_ref().is_ok_and(|units| units.is_up(&instance.unit()))
        };
        let outcome = |instance: &Instance| {
            let changed = if is_up(&after, instance) {
                self.still_there(instance).map(|()| verb == "restart" || !is_up(&before, instance))
            } else {
                let cause = preflight::cause(graph, instance, |other| is_up(&after, other));
                Err(self.failure(instance, cause, &said, accepted))
            };
            Outcome { instance: instance.clone(), engine: EngineKind::Systemd, changed }
        };
        instances.iter().map(outcome).collect()
    }

    /// Whether the namespace of what is up is the one that was made, which systemd does not notice.
    fn still_there(&self, instance: &Instance) -> Result<()> {
        let lost = ownership::lost(&self.paths, &instance.name)?;
        lost.map_or(Ok(()), |lost| Err(anyhow!("`{instance}` is not up: {lost}")))
    }

    /// Why an instance is not up, once systemd is done with it: because of itself, or of another that it leads to.
    fn failure(
        &self,
        instance: &Instance,
        cause: &Instance,
        said: &str,
        accepted: Timestamp,
    ) -> anyhow::Error {
        let name = instance.name.unit();
        let undone = match self.wait_until_gone(instance).and_then(|()| Units::of([&name])) {
            // Its unit was started for this, in order, and is gone again.
            Ok(units)
                if units.condition(&name) == Condition::Down
                    && units.since(&name).map(Timestamp::as_second) >= Some(accepted.as_second()) =>
            {
                format!("\n  undone: namespace `{}` is removed", instance.name)
            }
            Ok(_) => String::new(),
            Err(error) => format!("\n  {error:#}"),
        };
        let mut said = said.lines().next().unwrap_or("see `systemctl status`").to_owned();
        if cause != instance {
            said = format!("it requires `{cause}`, which did not come up");
        } else if said.ends_with("not found.") {
            said += " Run `netns-update`, which writes the units of all types";
        }
        anyhow!("cannot bring up `{instance}`: {said}{}{undone}", journal::since(cause, accepted))
    }

    /// Waits until nothing of an instance is there, and no namespace that nobody needs. Somebody else may bring it up again.
    fn wait_until_gone(&self, instance: &Instance) -> Result<()> {
        let accepted = Instant::now();
        let mut stopped = false;
        let (inside, outside, name) = (instance.unit(), instance.outside_unit(), instance.name.unit());
        let gone = try_wait_until(TIMEOUT, POLL_INTERVAL, || {
            let units = Units::of([&inside, &outside, &name])?;
            ensure!(!units.is_up(&inside), "somebody else has brought `{instance}` up again");
            if !units.is_there(&outside) && (!units.is_there(&name) || needed(&name)?) {
                return Ok(Some(()));
            }
            // systemd (252) does not look again whether anything needs the outside half, if a stop cancels a start in the moment
            // in which that half has come up.
            if !stopped && accepted.elapsed() > UNNEEDED && units.is_up(&outside) && !needed(&outside)? {
                self.systemctl.change("stop", slice::from_ref(&outside));
                stopped = true;
            }
            ensure!(!self.interrupt.is_set(), "interrupted while systemd takes `{instance}` down");
            Ok(None)
        })?;
        gone.with_context(|| format!("`{instance}` is not gone yet; see `systemctl status {outside} {name}`"))
    }
}

impl Engine for Systemd {
    fn up(&self, instances: &[Instance]) -> Vec<Outcome> {
        self.all("start", instances, &BTreeSet::new())
    }

    /// systemd restarts what requires them as well; named, it is waited for.
    fn restart(&self, instances: &[Instance]) -> Vec<Outcome> {
        let lost = match self.lost(instances) {
            Ok(lost) => lost,
            Err(error) => return refused(instances, &format!("{error:#}")),
        };
        if !lost.is_empty() {
            return self.make_anew(instances, &lost);
        }
        with_dependants(instances, |dependants| {
            let users = dependants.transitive(instances);
            let mut all = instances.to_vec();
            all.extend(users.iter().filter(|user| !instances.contains(user)).cloned());
            self.all("restart", &all, &users)
        })
    }

    fn down(&self, instances: &[Instance], recursive: bool) -> Vec<Outcome> {
        with_dependants(instances, |dependants| {
            let mut all = instances.to_vec();
            if recursive {
                let users = dependants.transitive(instances);
                all.extend(users.into_iter().filter(|user| !instances.contains(user)));
            }
            let refused = dependants.refuse(&mut all).into_iter().map(|(instance, error)| Outcome {
                instance,
                engine: EngineKind::Systemd,
                changed: Err(error),
            });
            let refused: Vec<Outcome> = refused.collect();
            self.stop(&all).into_iter().chain(refused).collect()
        })
    }
}

impl Systemd {
    /// What is up on namespaces of these that were deleted by hand, which systemd does not notice.
    fn lost(&self, instances: &[Instance]) -> Result<Vec<Instance>> {
        let up: BTreeSet<Instance> = active(&self.paths)?
            .into_iter()
            .filter(|one| one.condition == Condition::Up)
            .map(|one| one.instance)
            .collect();
        let mut lost = Vec::new();
        for name in instances.iter().map(|instance| &instance.name).collect::<BTreeSet<_>>() {
            let here: Vec<Instance> = up.iter().filter(|one| one.name == *name).cloned().collect();
            match if here.is_empty() { Ownership::Ours } else { ownership::look(&self.paths, name)? } {
                Ownership::Ours | Ownership::Unknown => {}
                Ownership::Gone => lost.extend(here),
                Ownership::Other => bail!("{}", ownership::other(name)),
            }
        }
        Ok(lost)
    }

    /// Takes instances down and up, with all that was up on the namespaces that are gone, and what requires any of that.
    fn make_anew(&self, instances: &[Instance], lost: &[Instance]) -> Vec<Outcome> {
        let mut all = instances.to_vec();
        all.extend(lost.iter().filter(|one| !instances.contains(one)).cloned());
        with_dependants(&all.clone(), |dependants| {
            let users: Vec<Instance> =
                dependants.transitive(&all).into_iter().filter(|user| !all.contains(user)).collect();
            all.extend(users);
            // What goes wrong on the way down is in the journal; a unit that is not gone fails to start.
            _ = self.stop(&all);
            self.all("start", &all, &BTreeSet::new())
        })
    }

    /// Removes what an instance has left that is down.
    fn clear(&self, instance: &Instance) -> Result<()> {
        let held = state::hold(&self.paths, &instance.name)?;
        leftovers::clear(&self.paths, &held, instance)
    }

    fn stop(&self, instances: &[Instance]) -> Vec<Outcome> {
        if instances.is_empty() {
            return Vec::new();
        }
        let accepted = Timestamp::now();
        let units = |instance: &Instance| [instance.unit(), instance.outside_unit(), instance.name.unit()];
        let all: Vec<String> = instances.iter().flat_map(units).collect();
        let before = Units::of(&all).unwrap_or_default();
        // What failed earlier is not what fails now.
        let failed: Vec<String> = before.failed().map(str::to_owned).collect();
        if !failed.is_empty() {
            self.systemctl.change("reset-failed", &failed);
        }
        self.systemctl.change("stop", &instances.iter().map(Instance::unit).collect::<Vec<_>>());
        let outcome = |instance: &Instance| {
            let [inside, outside, name] = units(instance);
            let was_there = [&inside, &outside].into_iter().any(|half| before.is_there(half));
            let changed = self.wait_until_gone(instance).and_then(|()| {
                match Units::of([&inside, &outside, &name])?.failed().next() {
                    Some(failed) => {
                        let said = if failed == name {
                            format!(
                                "its namespace was not removed: {failed} has failed; mend the cause, then run `netnsctl gc`"
                            )
                        } else {
                            format!("not all went well: {failed} has failed")
                        };
                        Err(anyhow!("`{instance}` is down, but {said}{}", journal::since(instance, accepted)))
                    }
                    None if remembered::exists(&self.paths, instance) => {
                        self.clear(instance).map(|()| true)
                    }
                    None => Ok(was_there),
                }
            });
            Outcome { instance: instance.clone(), engine: EngineKind::Systemd, changed }
        };
        instances.iter().map(outcome).collect()
    }
}

/// Acts by what requires the instances, if systemd tells.
fn with_dependants(instances: &[Instance], act: impl FnOnce(&Dependants) -> Vec<Outcome>) -> Vec<Outcome> {
    match dependants(instances) {
        Ok(dependants) => act(&dependants),
        Err(error) => refused(instances, &format!("{error:#}")),
    }
}

/// The same error for all.
fn refused(instances: &[Instance], error: &str) -> Vec<Outcome> {
    let outcome = |instance: &Instance| Outcome {
        instance: instance.clone(),
        engine: EngineKind::Systemd,
        changed: Err(anyhow!("{error}")),
    };
    instances.iter().map(outcome).collect()
}
