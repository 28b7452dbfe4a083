//! The engine for machines with systemd: starts and stops units, and waits for the end of the work.

mod idle;
mod parent;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::slice;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::Timestamp;

pub(super) use units::active;
pub use units::instances;

use super::dependants::Dependants;
use super::preflight;
use super::{Active, Condition, Engine, EngineKind, Outcome, down_with_errors, print_warnings};
use super::{leftovers, state};
use crate::config::declaration::Declaration;
use crate::config::remembered;
use crate::firewall;
use crate::name::Instance;
use crate::netns::ownership::{self, Ownership};
use crate::paths::Paths;
use crate::print;
use crate::requires::Graph;
use crate::sys::interrupt::Interrupt;
use crate::sys::wait::try_wait_until;
use crate::systemd::journal;
use crate::systemd::systemctl::Systemctl;
use units::{Units, changed_at, dependants, needed};

/// After `systemctl stop` has returned, this engine waits at most this long until the stop is complete. The time is the sum of
/// the unit timeouts for `down outside` and for the removal of the namespace, plus 5 seconds.
const TIMEOUT: Duration = Duration::from_secs(90 + 30 + 5);

/// Pause between two queries of the units.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Time in which systemd should stop an outside unit that is no longer needed. After this time, this engine stops the unit.
const UNNEEDED_DELAY: Duration = Duration::from_secs(3);

/// The fix for a missing unit of a type, to append to a message.
pub const UNITS_HINT: &str = "(fix: `netns-update` writes the units of all types)";

/// The systemd engine.
#[derive(Debug)]
pub struct Systemd {
    paths: Paths,
    systemctl: Systemctl,
    interrupt: Interrupt,
}

impl Systemd {
    /// Creates the engine.
    /// Errors: systemd is not PID 1, or a signal handler cannot be set.
    pub fn of(paths: &Paths) -> Result<Self> {
        let systemctl = Systemctl::of(paths).context("systemd is not running here; use `--engine direct`")?;
        Ok(Self { paths: paths.clone(), systemctl, interrupt: Interrupt::catch()? })
    }

    /// Starts or restarts units with one systemctl command; systemd finds the order. Skips an instance with a problem. If a
    /// dependant has a problem, skips all instances, because this dependant would stay down after the restart.
    fn start_or_restart(
        &self,
        verb: &str,
        instances: &[Instance],
        dependants: &BTreeSet<Instance>,
    ) -> Vec<Outcome> {
        let action = if verb == "start" { "bring up" } else { verb };
        let result = active(&self.paths).and_then(|active| {
            let is_up = |one: &Active| one.condition == Condition::Up && !dependants.contains(&one.instance);
            let up = active.into_iter().filter(is_up).map(|one| one.instance).collect();
            Ok((preflight::graph(&self.paths, instances, &up)?, up))
        });
        let (graph, up) = match result {
            Ok(found) => found,
            Err(error) => return fail_all(instances, &format!("{error:#}")),
        };
        let (accepted, mut refused) = preflight::refuse(action, instances, &graph);
        if let Some((_, error)) = refused.iter().find(|(instance, _)| dependants.contains(instance)) {
            return fail_all(instances, &format!("{error:#}"));
        }
        // A start of an instance that is up returns at once.
        let waiting: Vec<Instance> =
            accepted.iter().filter(|one| verb != "start" || !up.contains(one)).cloned().collect();
        match preflight::caller_before(&self.systemctl, &waiting) {
            Ok(None) => {}
            Ok(Some(unit)) => {
                let units: Vec<String> = accepted.iter().map(Instance::unit).collect();
                let error = format!(
                    "the {verb} would wait for {unit}, which waits for this command; fix: `systemctl {verb} --no-block {}`",
                    units.join(" ")
                );
                return fail_all(instances, &error);
            }
            Err(error) => return fail_all(instances, &format!("{error:#}")),
        }
        let accepted = firewall::hold_back(&self.paths, accepted, &mut refused);
        let mut outcomes = self.start_units(verb, &accepted, &graph);
        let outcome =
            |(instance, error)| Outcome { instance, engine: EngineKind::Systemd, changed: Err(error) };
        outcomes.extend(refused.drain(..).map(outcome));
        outcomes
    }

    fn start_units(&self, verb: &str, instances: &[Instance], graph: &Graph) -> Vec<Outcome> {
        if instances.is_empty() {
            return Vec::new();
        }
        let start = Timestamp::now();
        let before = Units::ours(&self.systemctl);
        // systemd receives the jobs one after the other. The job of the firewall must exist before an interface starts.
        let mut order: Vec<&Instance> = instances.iter().collect();
        order.sort_by_key(|instance| !Declaration::of(&self.paths, &instance.nstype).firewall);
        let message = self.systemctl.change(verb, &order.into_iter().map(Instance::unit).collect::<Vec<_>>());
        let after = Units::ours(&self.systemctl);
        let is_up = |units: &Result<Units>, instance: &Instance| {
            units.as_ref().is_ok_and(|units| units.is_up(&instance.unit()))
        };
        let is_changed = |instance: &Instance| {
            is_up(&after, instance)
                && (verb == "restart" && instances.contains(instance) || !is_up(&before, instance))
        };
        let all: BTreeSet<&Instance> = instances.iter().chain(graph.requires.keys()).collect();
        let changed: Vec<&Instance> = all.into_iter().filter(|one| is_changed(one)).collect();
        for (instance, lines) in journal::lines_of_hooks(&changed, start) {
            print_warnings(&instance, &lines);
        }
        let outcome = |instance: &Instance| {
            let changed = if is_up(&after, instance) {
                self.ensure_not_replaced(instance).map(|()| is_changed(instance))
            } else {
                let cause = preflight::root_cause(graph, instance, |other| is_up(&after, other));
                Err(self.failure(instance, cause, &message, start))
            };
            Outcome { instance: instance.clone(), engine: EngineKind::Systemd, changed }
        };
        instances.iter().map(outcome).collect()
    }

    /// Checks that an active instance still has its namespace. systemd does not notice a deleted or replaced namespace.
    /// Errors: the namespace was deleted or replaced, or cannot be read.
    fn ensure_not_replaced(&self, instance: &Instance) -> Result<()> {
        let lost = ownership::problem(&self.paths, &instance.name)?;
        lost.map_or(Ok(()), |lost| Err(anyhow!("`{instance}` is not up: {lost}")))
    }

    /// Waits until a failed instance is down, and returns the error: the failure of the instance itself, or of a requirement.
    fn failure(
        &self,
        instance: &Instance,
        cause: &Instance,
        message: &str,
        start: Timestamp,
    ) -> anyhow::Error {
        let name = instance.name.unit();
        let is_removed =
            self.wait_until_down_one(instance).and_then(|()| self.is_removed_since(&name, start));
        let rollback = match is_removed {
            // This command had the namespace created, and it is deleted again.
            Ok(true) => format!("\n  rollback: namespace `{}` is removed", instance.name),
            Ok(false) => String::new(),
            Err(error) => format!("\n  {error:#}"),
        };
        // One command starts all instances, and its messages are about any of them.
        let own = message.lines().find(|line| line.contains(&instance.unit()));
        let other = || message.lines().next().filter(|line| !line.contains("netns"));
        let mut message = own.or_else(other).unwrap_or("see `systemctl status`").to_owned();
        if cause != instance {
            message = format!("it requires `{cause}`, which did not come up");
        } else if message.ends_with("not found.") {
            message = format!("{message} {UNITS_HINT}");
        }
        anyhow!("cannot bring up `{instance}`: {message}{}{rollback}", journal::quoted_since(cause, start))
    }

    /// Whether a unit is down, and has changed since `start`.
    fn is_removed_since(&self, name: &String, start: Timestamp) -> Result<bool> {
        let changed = changed_at([name])?.get(name).map(|time| time.as_second());
        Ok(Units::ours(&self.systemctl)?.condition(name) == Condition::Down
            && changed >= Some(start.as_second()))
    }

    /// Waits until each instance is down, and its namespace is deleted or still needed. Returns the instances that are not down,
    /// with the errors: a timeout, an interrupt, systemctl fails, or another command brings the instance up.
    fn wait_until_down(&self, instances: &[Instance]) -> BTreeMap<Instance, anyhow::Error> {
        let start = Instant::now();
        let mut stopped = false;
        let mut pending = instances.to_vec();
        let mut errors = BTreeMap::new();
        let end = try_wait_until(TIMEOUT, POLL_INTERVAL, || {
            let units = Units::ours(&self.systemctl)?;
            pending.retain(|instance| {
                let is_up = units.is_up(&instance.unit());
                if is_up {
                    let error = anyhow!("another command has brought `{instance}` up again");
                    errors.insert(instance.clone(), error);
                }
                !is_up
            });
            // All instances are polled together: a query takes long on a machine with hundreds of units.
            let has_outside = |instance: &Instance| units.is_up_or_changing(&instance.outside_unit());
            let names = pending.iter().filter(|one| !has_outside(one)).map(|one| one.name.unit());
            let existing: BTreeSet<String> = names.filter(|name| units.is_up_or_changing(name)).collect();
            let needed_names = needed(&existing)?;
            pending.retain(|instance| {
                let name = instance.name.unit();
                has_outside(instance) || (existing.contains(&name) && !needed_names.contains(&name))
            });
            if pending.is_empty() {
                return Ok(Some(()));
            }
            // A stop can cancel a start just when the outside unit has come up. systemd (252) then does not check again whether
            // another unit needs the outside unit.
            if !stopped && start.elapsed() > UNNEEDED_DELAY {
                let outside = pending.iter().map(Instance::outside_unit).filter(|unit| units.is_up(unit));
                let outside: Vec<String> = outside.collect();
                let needed = needed(&outside)?;
                pending.retain(|instance| {
                    let unit = instance.outside_unit();
                    let is_kept = needed.contains(&unit) && !units.is_up_or_changing(&instance.unit());
                    if is_kept {
                        let error =
                            anyhow!("`{instance}` is not completely down: other units require {unit}");
                        errors.insert(instance.clone(), error);
                    }
                    !is_kept
                });
                let unneeded: Vec<String> =
                    outside.into_iter().filter(|unit| !needed.contains(unit)).collect();
                if !unneeded.is_empty() {
                    self.systemctl.change("stop", &unneeded);
                    stopped = true;
                }
            }
            ensure!(!self.interrupt.is_set(), "interrupted");
            Ok(None)
        });
        let cause = match end {
            Ok(Some(())) => return errors,
            Ok(None) => "timed out".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        errors.extend(pending.into_iter().map(|instance| {
            let (outside, name) = (instance.outside_unit(), instance.name.unit());
            let hint = format!("see `systemctl status {outside} {name}`");
            let error = anyhow!("{cause} while systemd takes `{instance}` down; {hint}");
            (instance, error)
        }));
        errors
    }

    /// Waits until one instance is down.
    /// Errors: as in [`Systemd::wait_until_down`].
    fn wait_until_down_one(&self, instance: &Instance) -> Result<()> {
        self.wait_until_down(slice::from_ref(instance)).into_values().next().map_or(Ok(()), Err)
    }
}

impl Engine for Systemd {
    fn up(&self, instances: &[Instance]) -> Vec<Outcome> {
        self.start_or_restart("start", instances, &BTreeSet::new())
    }

    /// systemd also restarts the dependants. They are also arguments of the systemctl command, so that the engine waits for them.
    fn restart(&self, instances: &[Instance]) -> Vec<Outcome> {
        let lost = match self.lost(instances) {
            Ok(lost) => lost,
            Err(error) => return fail_all(instances, &format!("{error:#}")),
        };
        if !lost.is_empty() {
            return self.recreate(instances, &lost);
        }
        with_dependants(instances, |dependants| {
            let dependants = dependants.transitive(instances);
            let mut all = instances.to_vec();
            all.extend(dependants.iter().filter(|dependant| !instances.contains(dependant)).cloned());
            self.start_or_restart("restart", &all, &dependants)
        })
    }

    fn down(&self, instances: &[Instance], recursive: bool) -> Vec<Outcome> {
        with_dependants(instances, |dependants| {
            let mut all = instances.to_vec();
            if recursive {
                let transitive = dependants.transitive(instances);
                all.extend(transitive.into_iter().filter(|dependant| !instances.contains(dependant)));
                for unit in dependants.units_of(&all) {
                    print::stderr_lines(&format!("also stopping {unit}"));
                }
                return self.stop(&all);
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
    /// Finds the namespaces of `instances` that were deleted manually, and returns all active instances on them. systemd does
    /// not notice such a deletion.
    /// Errors: a namespace was replaced or cannot be read, or systemctl fails.
    fn lost(&self, instances: &[Instance]) -> Result<Vec<Instance>> {
        let up: BTreeSet<Instance> = active(&self.paths)?
            .into_iter()
            .filter(|one| one.condition == Condition::Up)
            .map(|one| one.instance)
            .collect();
        let mut lost = Vec::new();
        for name in instances.iter().map(|instance| &instance.name).collect::<BTreeSet<_>>() {
            let here: Vec<Instance> = up.iter().filter(|one| one.name == *name).cloned().collect();
            match if here.is_empty() { Ownership::Ours } else { ownership::inspect(&self.paths, name)? } {
                Ownership::Ours | Ownership::Unrecorded => {}
                Ownership::Missing => lost.extend(here),
                Ownership::Foreign => bail!("{}", ownership::replaced(name)),
            }
        }
        Ok(lost)
    }

    /// Takes `instances`, the `lost` instances and all dependants down, then brings them up again. During this, systemd creates
    /// the deleted namespaces again. Running units that require the instances, such as attached services, are started again.
    fn recreate(&self, instances: &[Instance], lost: &[Instance]) -> Vec<Outcome> {
        let mut all = instances.to_vec();
        all.extend(lost.iter().filter(|one| !instances.contains(one)).cloned());
        with_dependants(&all.clone(), |dependants| {
            let more: Vec<Instance> = dependants
                .transitive(&all)
                .into_iter()
                .filter(|dependant| !all.contains(dependant))
                .collect();
            all.extend(more);
            let units: Vec<&str> = dependants.units_of(&all).into_iter().collect();
            // Errors of the stop are in the journal. A unit that is not down fails to start.
            _ = self.stop(&all);
            let outcomes = self.start_or_restart("start", &all, &BTreeSet::new());
            if !units.is_empty() {
                let message = self.systemctl.change("start", &units);
                if !message.is_empty() {
                    print::warn(&format!("cannot start {} again: {message}", units.join(", ")));
                }
            }
            outcomes
        })
    }

    /// Removes the leftovers of an inactive instance.
    fn remove_leftovers(&self, instance: &Instance) -> Result<()> {
        let locked = state::lock(&self.paths, &instance.name)?;
        leftovers::remove(&self.paths, &locked, instance)
    }

    fn stop(&self, instances: &[Instance]) -> Vec<Outcome> {
        if instances.is_empty() {
            return Vec::new();
        }
        let start = Timestamp::now();
        let units = |instance: &Instance| [instance.unit(), instance.outside_unit(), instance.name.unit()];
        let before = Units::ours(&self.systemctl).unwrap_or_default();
        // Earlier failures must not count as failures of this stop.
        let has_failed = |unit: &String, units: &Units| units.condition(unit) == Condition::Failed;
        let failed: Vec<String> =
            instances.iter().flat_map(units).filter(|unit| has_failed(unit, &before)).collect();
        if !failed.is_empty() {
            self.systemctl.change("reset-failed", &failed);
        }
        self.systemctl.change("stop", &instances.iter().map(Instance::unit).collect::<Vec<_>>());
        let mut errors = self.wait_until_down(instances);
        let after = match Units::ours(&self.systemctl) {
            Ok(after) => after,
            Err(error) => return fail_all(instances, &format!("{error:#}")),
        };
        let mut changed = |instance: &Instance| {
            if let Some(error) = errors.remove(instance) {
                return Err(error);
            }
            let [inside, outside, name] = units(instance);
            match [&inside, &outside, &name].into_iter().find(|unit| has_failed(unit, &after)) {
                Some(failed) => {
                    let mut errors = format!("{failed} has failed");
                    if *failed == name {
                        errors +=
                            ", and the namespace was not removed; fix the cause, then run `netnsctl gc`";
                    }
                    Err(down_with_errors(instance, &(errors + &journal::quoted_since(instance, start))))
                }
                None if remembered::exists(&self.paths, instance) => {
                    self.remove_leftovers(instance).map(|()| true)
                }
                None => Ok([&inside, &outside].into_iter().any(|half| before.is_up_or_changing(half))),
            }
        };
        let outcome = |instance: &Instance| {
            let changed = changed(instance);
            Outcome { instance: instance.clone(), engine: EngineKind::Systemd, changed }
        };
        instances.iter().map(outcome).collect()
    }
}

/// Calls `act` with the dependants of the instances. If systemctl fails, all instances fail.
fn with_dependants(instances: &[Instance], act: impl FnOnce(&Dependants) -> Vec<Outcome>) -> Vec<Outcome> {
    match dependants(instances) {
        Ok(dependants) => act(&dependants),
        Err(error) => fail_all(instances, &format!("{error:#}")),
    }
}

/// Returns the same error for all instances.
fn fail_all(instances: &[Instance], error: &str) -> Vec<Outcome> {
    let outcome = |instance: &Instance| Outcome {
        instance: instance.clone(),
        engine: EngineKind::Systemd,
        changed: Err(anyhow!("{error}")),
    };
    instances.iter().map(outcome).collect()
}
