//! The engine for machines with systemd: its units do the work, this waits until it is really done.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use duct::cmd;
use jiff::Timestamp;

use super::ahead;
use super::dependants::Dependants;
use super::{Active, Condition, Engine, Interrupt, Kind, Outcome};
use crate::made::{self, Made};
use crate::name::Instance;
use crate::paths::Paths;
use crate::requires::Graph;

/// How long the rest of a stop may take after `systemctl stop` has returned: `down outside` and the removal of the namespace,
/// by their units' own time limits, and a moment.
const PATIENCE: Duration = Duration::from_secs(90 + 30 + 5);

/// How many of the last lines of a failed unit are shown.
const LINES: usize = 10;

/// systemd as PID 1 of this machine.
#[derive(Debug)]
pub struct Systemd {
    paths: Paths,
    interrupt: Interrupt,
}

/// What systemd says of one unit.
#[derive(Debug, Default)]
struct Unit {
    active: String,
    since: Option<Timestamp>,
}

impl Unit {
    /// Whether it is up, or on its way there or down.
    fn is_there(&self) -> bool {
        !["inactive", "failed", ""].contains(&self.active.as_str())
    }
}

impl Systemd {
    /// The engine.
    ///
    /// # Errors
    /// systemd is not PID 1 here.
    pub fn of(paths: &Paths) -> Result<Self> {
        ensure!(
            paths.is_live() && paths.systemd.is_dir(),
            "systemd does not run here: use `--engine direct`"
        );
        Ok(Self { paths: paths.clone(), interrupt: Interrupt::catch()? })
    }

    /// Has systemd start or restart the units of all instances at once, which lets it find the order. What leads to a problem is not
    /// begun, nor is anything where that is one of `users`, which would be left down.
    fn all(&self, verb: &str, instances: &[Instance], users: &BTreeSet<Instance>) -> Vec<Outcome> {
        let what = if verb == "start" { "bring up" } else { verb };
        let looked = active().and_then(|active| {
            let is_up = |one: &Active| one.condition == Condition::Up && !users.contains(&one.instance);
            let up = active.into_iter().filter(is_up).map(|one| one.instance).collect();
            ahead::graph(&self.paths, instances, &up)
        });
        let graph = match looked {
            Ok(graph) => graph,
            Err(error) => return refused(instances, &format!("{error:#}")),
        };
        let (begun, mut told) = ahead::refuse(what, instances, &graph);
        if let Some((_, error)) = told.iter().find(|(instance, _)| users.contains(instance)) {
            return refused(instances, &format!("{error:#}"));
        }
        let mut outcomes = self.begin(verb, &begun, &graph);
        let outcome = |(instance, error)| Outcome { instance, engine: Kind::Systemd, changed: Err(error) };
        outcomes.extend(told.drain(..).map(outcome));
        outcomes
    }

    fn begin(&self, verb: &str, instances: &[Instance], graph: &Graph) -> Vec<Outcome> {
        if instances.is_empty() {
            return Vec::new();
        }
        let begun = Timestamp::now();
        let before = units(instances);
        let said = systemctl(verb, &instances.iter().map(Instance::unit).collect::<Vec<_>>());
        let all: Vec<Instance> = instances.iter().chain(graph.requires.keys()).cloned().collect();
        let after = units(&all);
        let is_up = |units: &Result<BTreeMap<String, Unit>>, instance: &Instance| {
            units
                .as_ref()
                .is_ok_and(|units| units.get(&instance.unit()).is_some_and(|unit| unit.active == "active"))
        };
        let outcome = |instance: &Instance| {
            let changed = if is_up(&after, instance) {
                Ok(verb == "restart" || !is_up(&before, instance))
            } else {
                let cause = ahead::cause(graph, instance, |other| is_up(&after, other));
                Err(self.failure(instance, cause, &said, begun))
            };
            Outcome { instance: instance.clone(), engine: Kind::Systemd, changed }
        };
        instances.iter().map(outcome).collect()
    }

    /// Why an instance is not up, once systemd is done with it: because of itself, or of another that it leads to.
    fn failure(&self, instance: &Instance, cause: &Instance, said: &str, begun: Timestamp) -> anyhow::Error {
        let name = instance.name.unit();
        let undone = match self.wait_until_gone(instance).and_then(|()| show(&[name])) {
            // Its unit was started for this, in order, and is gone again.
            Ok(units)
                if units.values().any(|unit| {
                    unit.active == "inactive"
                        && unit.since.map(Timestamp::as_second) >= Some(begun.as_second())
                }) =>
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
        anyhow!("cannot bring up `{instance}`: {said}{}{undone}", journal(cause, begun))
    }

    /// Waits until nothing of an instance is there, and no namespace that nobody needs. Somebody else may bring it up again.
    fn wait_until_gone(&self, instance: &Instance) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let (inside, outside, name) = (instance.unit(), instance.outside_unit(), instance.name.unit());
        loop {
            let units = show(&[inside.clone(), outside.clone(), name.clone()])?;
            let is_there = |unit: &String| units.get(unit).is_some_and(Unit::is_there);
            ensure!(
                units.get(&inside).is_none_or(|unit| unit.active != "active"),
                "somebody else has brought `{instance}` up again"
            );
            if !is_there(&outside) && (!is_there(&name) || needed(&name)?) {
                return Ok(());
            }
            ensure!(!self.interrupt.is_set(), "interrupted while systemd takes `{instance}` down");
            ensure!(
                Instant::now() < deadline,
                "`{instance}` is not gone yet; see `systemctl status {outside} {name}`"
            );
            thread::sleep(Duration::from_millis(20));
        }
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
            let users = dependants.beyond(instances);
            let mut all = instances.to_vec();
            all.extend(users.iter().filter(|user| !instances.contains(user)).cloned());
            self.all("restart", &all, &users)
        })
    }

    fn down(&self, instances: &[Instance], recursive: bool) -> Vec<Outcome> {
        with_dependants(instances, |dependants| {
            let mut all = instances.to_vec();
            if recursive {
                let users = dependants.beyond(instances);
                all.extend(users.into_iter().filter(|user| !instances.contains(user)));
            }
            let refused = dependants.refuse(&mut all).into_iter().map(|(instance, error)| Outcome {
                instance,
                engine: Kind::Systemd,
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
        let up: BTreeSet<Instance> = active()?
            .into_iter()
            .filter(|one| one.condition == Condition::Up)
            .map(|one| one.instance)
            .collect();
        let mut lost = Vec::new();
        for name in instances.iter().map(|instance| &instance.name).collect::<BTreeSet<_>>() {
            let here: Vec<Instance> = up.iter().filter(|one| one.name == *name).cloned().collect();
            match if here.is_empty() { Made::Ours } else { made::look(&self.paths, name)? } {
                Made::Ours | Made::Unknown => {}
                Made::Gone => lost.extend(here),
                Made::Other => bail!("{}", made::other(name)),
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
                dependants.beyond(&all).into_iter().filter(|user| !all.contains(user)).collect();
            all.extend(users);
            // What goes wrong on the way down is in the journal; a unit that is not gone fails to start.
            _ = self.stop(&all);
            self.all("start", &all, &BTreeSet::new())
        })
    }

    fn stop(&self, instances: &[Instance]) -> Vec<Outcome> {
        if instances.is_empty() {
            return Vec::new();
        }
        let begun = Timestamp::now();
        let halves: Vec<String> =
            instances.iter().flat_map(|instance| [instance.unit(), instance.outside_unit()]).collect();
        let before = show(&halves).unwrap_or_default();
        // What failed earlier is not what fails now.
        let failed: Vec<String> =
            before.iter().filter(|(_, unit)| unit.active == "failed").map(|(name, _)| name.clone()).collect();
        if !failed.is_empty() {
            systemctl("reset-failed", &failed);
        }
        systemctl("stop", &instances.iter().map(Instance::unit).collect::<Vec<_>>());
        let outcome = |instance: &Instance| {
            let halves = [instance.unit(), instance.outside_unit()];
            let was_there = halves.iter().any(|name| before.get(name).is_some_and(Unit::is_there));
            let changed = self.wait_until_gone(instance).and_then(|()| {
                match show(&halves)?.iter().find(|(_, unit)| unit.active == "failed") {
                    Some((name, _)) => Err(anyhow!(
                        "`{instance}` is down, but not all went well: {name} has failed{}",
                        journal(instance, begun)
                    )),
                    None => Ok(was_there),
                }
            });
            Outcome { instance: instance.clone(), engine: Kind::Systemd, changed }
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
        engine: Kind::Systemd,
        changed: Err(anyhow!("{error}")),
    };
    instances.iter().map(outcome).collect()
}

/// Whatever is there and requires any of the instances, or one another that does: systemd stops it with that.
fn dependants(instances: &[Instance]) -> Result<Dependants> {
    let mut dependants = Dependants::default();
    let mut seen: BTreeSet<Instance> = instances.iter().cloned().collect();
    let mut next = instances.to_vec();
    while !next.is_empty() {
        let halves: Vec<String> =
            next.iter().flat_map(|instance| [instance.unit(), instance.outside_unit()]).collect();
        let words = ["show", "--property=Id,RequiredBy,BoundBy", "--"];
        let listing = cmd("systemctl", words.into_iter().chain(halves.iter().map(String::as_str)))
            .stdin_null()
            .read()
            .context("`systemctl show` failed")?;
        let pairs = pairs(&listing);
        let users: Vec<String> =
            pairs.iter().flat_map(|(_, user)| [user.unit(), user.outside_unit()]).collect();
        let there = if users.is_empty() { BTreeMap::new() } else { show(&users)? };
        let is_there = |unit: &String| there.get(unit).is_some_and(Unit::is_there);
        next.clear();
        for (instance, user) in &pairs {
            if is_there(&user.unit()) || is_there(&user.outside_unit()) {
                dependants.add(instance, user);
                if seen.insert(user.clone()) {
                    next.push(user.clone());
                }
            }
        }
    }
    Ok(dependants)
}

/// Reads which instance each instance is required by from what `systemctl show` says of units.
fn pairs(listing: &str) -> BTreeSet<(Instance, Instance)> {
    let mut pairs = BTreeSet::new();
    for block in listing.split("\n\n") {
        let id = block.lines().find_map(|line| instance_of(line.strip_prefix("Id=")?));
        let users = block.lines().filter_map(|line| line.split_once('=')).filter(|(key, _)| *key != "Id");
        for user in users.flat_map(|(_, units)| units.split_whitespace()).filter_map(instance_of) {
            pairs.extend(id.clone().filter(|id| *id != user).map(|id| (id, user)));
        }
    }
    pairs
}

/// The instance that a unit is a half of.
fn instance_of(unit: &str) -> Option<Instance> {
    let stem = unit.strip_suffix(".service")?;
    stem.strip_prefix("netns-").or_else(|| stem.strip_prefix("netns_outside-"))?.parse().ok()
}

/// What its units have up, or have failed to bring up.
pub(super) fn active() -> Result<Vec<Active>> {
    ask_for(&["netns-*@*.service".to_owned(), "netns_outside-*@*.service".to_owned()])
        .map(|listing| instances(&listing))
}

/// The instances in what `systemctl show` prints of their units.
#[must_use]
pub fn instances(listing: &str) -> Vec<Active> {
    let units = parse(listing);
    let mut instances: BTreeMap<String, Active> = BTreeMap::new();
    for (name, unit) in &units {
        let Some(instance) = instance_of(name) else { continue };
        let word = instance.to_string();
        let condition = match unit.active.as_str() {
            "inactive" => continue,
            "failed" => Condition::Failed,
            // The outside half alone is on its way, one way or the other.
            "active" if name.starts_with("netns-") => Condition::Up,
            _ => Condition::Changing,
        };
        let found = Active { instance, engine: Kind::Systemd, condition, since: unit.since };
        // The inside half comes first by its name; only a failure of the other one says more.
        if condition == Condition::Failed {
            instances.insert(word, found);
        } else {
            instances.entry(word).or_insert(found);
        }
    }
    instances.into_values().collect()
}

/// Runs systemctl on units; returns what it complains of. That is no error yet: each unit is asked how it went.
fn systemctl(verb: &str, units: &[String]) -> String {
    let words = [verb, "--"].into_iter().chain(units.iter().map(String::as_str));
    match cmd("systemctl", words).stdin_null().stdout_null().stderr_capture().unchecked().run() {
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => format!("cannot run systemctl: {error}"),
    }
}

/// Whether a unit is required by one that is there.
fn needed(name: &str) -> Result<bool> {
    let listing = cmd!("systemctl", "show", "--property=RequiredBy,BoundBy", "--value", "--", name)
        .read()
        .context("`systemctl show` failed")?;
    let users: Vec<String> = listing.split_whitespace().map(str::to_owned).collect();
    Ok(!users.is_empty() && show(&users)?.values().any(Unit::is_there))
}

fn units(instances: &[Instance]) -> Result<BTreeMap<String, Unit>> {
    show(&instances.iter().map(Instance::unit).collect::<Vec<_>>())
}

/// Asks systemd about units, by names or patterns.
fn show(names: &[String]) -> Result<BTreeMap<String, Unit>> {
    ask_for(names).map(|listing| parse(&listing))
}

fn ask_for(names: &[String]) -> Result<String> {
    let words = ["show", "--property=Id,ActiveState,StateChangeTimestamp", "--timestamp=unix", "--"];
    cmd("systemctl", words.into_iter().chain(names.iter().map(String::as_str)))
        .stdin_null()
        .read()
        .context("`systemctl show` failed")
}

/// Reads blocks of `KEY=value` lines with an empty line between them.
fn parse(listing: &str) -> BTreeMap<String, Unit> {
    let mut units = BTreeMap::new();
    for block in listing.split("\n\n") {
        let mut unit = Unit::default();
        let mut id = None;
        for (key, value) in block.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "Id" => id = Some(value.to_owned()),
                "ActiveState" => value.clone_into(&mut unit.active),
                "StateChangeTimestamp" => {
                    unit.since = value
                        .strip_prefix('@')
                        .and_then(|seconds| seconds.parse().ok())
                        .and_then(|seconds| Timestamp::from_second(seconds).ok());
                }
                _ => {}
            }
        }
        units.extend(id.map(|id| (id, unit)));
    }
    units
}

/// The last lines that the units of an instance have logged since then, for an error.
fn journal(instance: &Instance, since: Timestamp) -> String {
    super::quote(&logged(instance, since))
}

/// The last lines that the units of an instance have logged.
pub(super) fn last_words(instance: &Instance) -> Vec<String> {
    logged(instance, Timestamp::UNIX_EPOCH)
}

fn logged(instance: &Instance, since: Timestamp) -> Vec<String> {
    let mut words = vec![
        "--quiet".to_owned(),
        "--boot".to_owned(),
        "--output=json".to_owned(),
        "--output-fields=MESSAGE,_PID".to_owned(),
        // Whole seconds: the lines are looked at more closely below. With --lines, it would be the first ones.
        format!("--since=@{}", since.as_second()),
    ];
    words.extend(
        [instance.unit(), instance.outside_unit(), instance.name.unit()].map(|unit| format!("--unit={unit}")),
    );
    // Best effort: there may be no journal, and what is missing from it is no reason to fail.
    _ = cmd!("journalctl", "--sync").stdin_null().stdout_null().stderr_null().unchecked().run();
    let text = cmd("journalctl", words).stdin_null().stderr_null().unchecked().read().unwrap_or_default();
    messages(&text, since)
}

/// The last lines in what `journalctl --output=json` prints: those of hooks, or else what systemd says.
#[must_use]
pub fn messages(text: &str, since: Timestamp) -> Vec<String> {
    let (host, mut lines): (Vec<Entry>, Vec<Entry>) =
        text.lines().filter_map(|line| Entry::read(line, since)).partition(|entry| entry.of_systemd);
    if lines.is_empty() {
        lines = host; // no hook came to say anything
    }
    lines.split_off(lines.len().saturating_sub(LINES)).into_iter().map(|entry| entry.message).collect()
}

/// An entry of the journal (systemd.journal-fields(7)).
struct Entry {
    message: String,
    of_systemd: bool,
}

impl Entry {
    /// Reads an entry, if it is as young as that.
    fn read(line: &str, since: Timestamp) -> Option<Self> {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        let microseconds: i64 = entry["__REALTIME_TIMESTAMP"].as_str()?.parse().ok()?;
        let message = entry["MESSAGE"].as_str().unwrap_or("(binary)").to_owned();
        (microseconds >= since.as_microsecond()).then(|| Self { message, of_systemd: entry["_PID"] == "1" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependants_are_read_from_what_requires_or_binds_either_half() {
        let listing = "Id=netns-veth@b.service\nRequiredBy=netns_outside-nft@a.service nginx.service\nBoundBy=netns-x@b.service\n\n\
                       Id=netns_outside-veth@b.service\nRequiredBy=netns-veth@b.service\nBoundBy=\n";
        let words: Vec<String> =
            pairs(listing).into_iter().map(|(instance, user)| format!("{instance} by {user}")).collect();
        assert_eq!(words, ["veth@b by nft@a", "veth@b by x@b"]);
    }

    #[test]
    fn units_are_read_from_blocks_of_properties() {
        let units = parse(
            "Id=netns-lo@a.service\nActiveState=active\nStateChangeTimestamp=@1764000000\n\n\
             ActiveState=inactive\nId=netns-lo@b.service\nStateChangeTimestamp=\n\nnonsense\n",
        );
        assert_eq!(units.len(), 2);
        assert_eq!(units["netns-lo@a.service"].since.unwrap().as_second(), 1_764_000_000);
        assert_eq!(
            (units["netns-lo@b.service"].active.as_str(), units["netns-lo@b.service"].since),
            ("inactive", None)
        );
    }
}
