//! Queries and commands to a running systemd, with systemctl(1).

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::name::unit::{self, UnitName};
use crate::paths::Paths;
use crate::sys::program::{Program, Running};
use crate::sys::wait::try_wait_until;

/// The time limit of `--now` for the removal of the namespaces. It is counted from the beginning of the stop of the
/// instances.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The poll interval for the removal.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The oldest version of systemd with all settings of our units and drop-ins: `StopPropagatedFrom=` (systemd.unit(5)).
const OLDEST_VERSION: u32 = 249;

/// A loaded unit of systemd-netns, as `systemctl list-units` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// `netns-veth@x.service`
    pub name: String,
    /// `active`, `failed`, …
    pub active: String,
}

impl Loaded {
    /// Whether the unit is neither inactive nor failed: it is active or changing, so its unit file must be kept.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.active != "inactive" && !self.has_failed()
    }

    /// Whether the unit is in the state `failed`. Nothing of it runs any more.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.active == "failed"
    }

    /// The state of a unit that is up, and the steps after which the unit file can be removed.
    #[must_use]
    pub fn advice(&self) -> String {
        let name = &self.name;
        format!(
            "{self}; restore the plugin, so that the hooks can run; run `systemctl stop '{name}'`, then run this command again"
        )
    }

    /// The type of the instance; `None` for `netns_name@`.
    #[must_use]
    pub fn nstype(&self) -> Option<&str> {
        unit::type_part(&self.name)
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.name, self.active)
    }
}

/// A job of systemd: a change of a unit that is queued or running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The unit.
    pub unit: String,
    /// `start`, `stop`, `restart`, …
    pub kind: String,
}

/// Options of `list-units` and `list-jobs`: it prints all loaded units, without symbols, header, summary and pager.
const LIST_OPTIONS: [&str; 4] = ["--all", "--plain", "--no-legend", "--no-pager"];

/// A call of systemctl with a verb.
pub(super) fn systemctl(verb: &str) -> Program {
    Program::new("systemctl").package("systemd").label(format!("systemctl {verb}")).args([verb])
}

/// The names of all loaded units of these unit types, `TYPE,TYPE`.
/// Errors: systemctl is missing or fails.
pub fn loaded_of_types(types: &str) -> Result<Vec<String>> {
    let listing = systemctl("list-units").args(LIST_OPTIONS).args(["--full", &format!("--type={types}")]);
    let text = listing.run()?.success()?.text();
    Ok(text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
}

/// A running query of [`Systemctl::query_loaded`].
#[derive(Debug)]
pub struct LoadedQuery(Running);

impl LoadedQuery {
    /// Waits for the result.
    /// Errors: systemctl fails.
    pub fn wait(self) -> Result<Vec<Loaded>> {
        Ok(parse(&self.0.wait()?.success()?.text()))
    }
}

/// systemd as PID 1 of this machine.
#[derive(Debug)]
pub struct Systemctl(());

impl Systemctl {
    /// `None` if systemd does not run, as in an image, a chroot or a container.
    #[must_use]
    pub fn of(paths: &Paths) -> Option<Self> {
        (paths.is_live() && paths.systemd.is_dir()).then_some(Self(()))
    }

    /// Starts a query for all instances of our template units, without waiting for the result.
    /// Errors: systemctl is missing.
    #[allow(clippy::unused_self)] // the value proves that systemd runs, here and below
    pub fn query_loaded(&self) -> Result<LoadedQuery> {
        let patterns = ["netns-*@*.service", "netns_outside-*@*.service", "netns_name@*.service"];
        systemctl("list-units").args(LIST_OPTIONS).args(["--full"]).args(patterns).start().map(LoadedQuery)
    }

    /// All instances of our template units.
    /// Errors: systemctl is missing or fails.
    pub fn loaded(&self) -> Result<Vec<Loaded>> {
        self.query_loaded()?.wait()
    }

    /// Checks that systemd has all settings of our units and drop-ins. It would ignore unknown ones.
    /// Errors: systemd is too old; systemctl is missing or fails.
    #[allow(clippy::unused_self)]
    pub fn check_version(&self) -> Result<()> {
        let answer = Program::new("systemctl").package("systemd").args(["--version"]).run()?.success()?;
        if let Some(version) = parse_version(&answer.text()).filter(|&version| version < OLDEST_VERSION) {
            bail!(
                "systemd {version} is too old: the units require version {OLDEST_VERSION} or later; \
                 hint: `netnsctl --engine direct` brings namespaces up without units"
            );
        }
        Ok(())
    }

    /// Makes systemd read the unit files again.
    /// Errors: systemctl is missing or fails.
    #[allow(clippy::unused_self)]
    pub fn daemon_reload(&self) -> Result<()> {
        systemctl("daemon-reload").run()?.success().map(drop)
    }

    /// Clears the failed state of units.
    /// Errors: systemctl is missing or fails.
    #[allow(clippy::unused_self)]
    pub fn reset_failed<Unit: AsRef<str>>(&self, units: &[Unit]) -> Result<()> {
        on_units("reset-failed", units).run()?.success().map(drop)
    }

    /// The queued and running jobs.
    /// Errors: systemctl is missing or fails.
    #[allow(clippy::unused_self)]
    pub fn jobs(&self) -> Result<Vec<Job>> {
        let answer = systemctl("list-jobs").args(LIST_OPTIONS).args(["--full"]).run()?.success()?;
        Ok(parse_jobs(&answer.text()))
    }

    /// Queues a restart, without waiting for it.
    /// Errors: systemctl is missing or fails.
    #[allow(clippy::unused_self)]
    pub fn queue_restart(&self, unit: &str) -> Result<()> {
        systemctl("restart").args(["--no-block", "--", unit]).run()?.success().map(drop)
    }

    /// Starts, stops, restarts or resets units, and returns the messages of systemctl. The messages are not yet errors: the caller
    /// queries the state of each unit afterwards.
    #[allow(clippy::unused_self)]
    pub fn change<Unit: AsRef<str>>(&self, verb: &str, units: &[Unit]) -> String {
        match on_units(verb, units).run() {
            Ok(answer) => answer.message(),
            Err(error) => format!("{error:#}"),
        }
    }

    /// Stops units, and leaves the units that require them as they are. Returns the messages of systemctl.
    #[allow(clippy::unused_self)]
    pub fn stop_alone<Unit: AsRef<str>>(&self, units: &[Unit]) -> String {
        let options = ["--job-mode=ignore-requirements", "--"];
        match systemctl("stop").args(options).args(units.iter().map(AsRef::as_ref)).run() {
            Ok(answer) => answer.message(),
            Err(error) => format!("{error:#}"),
        }
    }

    /// Queues a start or another job for units, without waiting for it, unless it conflicts with a queued job. Returns the messages of
    /// systemctl.
    #[allow(clippy::unused_self)]
    pub fn queue<Unit: AsRef<str>>(&self, verb: &str, units: &[Unit]) -> String {
        let options = ["--no-block", "--job-mode=fail", "--"];
        match systemctl(verb).args(options).args(units.iter().map(AsRef::as_ref)).run() {
            Ok(answer) => answer.message(),
            Err(error) => format!("{error:#}"),
        }
    }

    /// Stops all instances, and waits until their namespaces are removed.
    /// Errors: systemctl is missing or fails, or a unit is still active after the timeout.
    pub fn stop_all(&self) -> Result<()> {
        let start = Instant::now();
        let units = self.loaded()?;
        let names: Vec<&str> = units
            .iter()
            .filter(|unit| unit.active != "inactive" && unit.nstype().is_some())
            .map(|unit| unit.name.as_str())
            .collect();
        if !names.is_empty() {
            on_units("stop", &names).run()?.success()?;
            // An error is ignored: a unit that had failed may have been stopped successfully now.
            self.change("reset-failed", &names);
        }
        // systemd removes the namespaces only after `stop` has returned (StopWhenUnneeded= in systemd.unit(5)).
        let mut remaining = None;
        try_wait_until(TIMEOUT.saturating_sub(start.elapsed()), POLL_INTERVAL, || {
            remaining = self.loaded()?.into_iter().find(|unit| unit.active != "inactive");
            anyhow::Ok(remaining.is_none().then_some(()))
        })?;
        match remaining {
            None => Ok(()),
            Some(unit) => bail!("{unit} although it was stopped; hint: `systemctl status '{}'`", unit.name),
        }
    }
}

/// Parses lines of `JOB UNIT TYPE STATE`. Other lines are left out.
fn parse_jobs(listing: &str) -> Vec<Job> {
    let job = |line| {
        let [_, unit, kind, _] = str::split_whitespace(line).collect::<Vec<_>>()[..] else { return None };
        Some(Job { unit: unit.to_owned(), kind: kind.to_owned() })
    };
    listing.lines().filter_map(job).collect()
}

fn on_units<Unit: AsRef<str>>(verb: &str, units: &[Unit]) -> Program {
    systemctl(verb).args(["--"]).args(units.iter().map(AsRef::as_ref))
}

/// Parses the first line of `systemctl --version`: `systemd 257 (257.13-1)`, or `systemd 258~rc1 (…)`.
fn parse_version(text: &str) -> Option<u32> {
    let version = text.strip_prefix("systemd ")?;
    version.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

/// Parses lines of `UNIT LOAD ACTIVE SUB DESCRIPTION`. Truncated lines, and foreign units with similar names, are left out.
#[must_use]
pub fn parse(listing: &str) -> Vec<Loaded> {
    let unit = |line| {
        let mut columns = str::split_whitespace(line);
        Some((columns.next()?, columns.nth(1)?))
    };
    let units: Vec<(&str, &str)> = listing.lines().filter_map(unit).collect();
    let all: BTreeSet<&str> = units.iter().map(|(name, _)| *name).collect();
    // The inside unit of an instance requires the outside unit, so systemd has loaded both. A foreign unit has no outside unit.
    let has_outside_unit = |name: &str| match UnitName::parse(name) {
        Some(UnitName::Inside(instance)) => all.contains(instance.outside_unit().as_str()),
        Some(_) => true,
        None => false,
    };
    let is_ours = |name: &str| unit::is_ours(name) && has_outside_unit(name);
    let ours = units.iter().filter(|(name, _)| is_ours(name));
    ours.map(|&(name, active)| Loaded { name: name.to_owned(), active: active.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_parsed_from_list_jobs_and_truncated_lines_are_left_out() {
        let jobs = parse_jobs(
            "402 netns-nft@a.service  restart running\n7 network.target start waiting\n8 x\nNo jobs\n",
        );
        let found: Vec<_> = jobs.iter().map(|job| (job.unit.as_str(), job.kind.as_str())).collect();
        assert_eq!(found, [("netns-nft@a.service", "restart"), ("network.target", "start")]);
    }

    #[test]
    fn units_and_their_types_are_parsed_from_list_units() {
        let listing = "netns-lo@a.service loaded active exited Namespace a, lo\n\
                       netns_outside-lo@a.service loaded active exited Namespace a, lo\n\
                       netns-exporter@a.service loaded active running foreign\n\
                       netns_outside-a.b@my-net.service loaded failed failed x\n\
                       netns_name@a.service loaded inactive dead x\n\
                       truncated line\n";
        let units = parse(listing);
        let found: Vec<_> = units.iter().map(|unit| (unit.nstype(), unit.is_up())).collect();
        assert_eq!(found, [(Some("lo"), true), (Some("lo"), true), (Some("a.b"), false), (None, false)]);
    }

    #[test]
    fn the_version_is_the_number_also_of_a_release_candidate() {
        let versions =
            ["systemd 252 (252.39-1~deb12u1)\n+PAM", "systemd 258~rc1 (258~rc1-1)", "systemd", "", "busybox"];
        assert_eq!(versions.map(parse_version), [Some(252), Some(258), None, None, None]);
    }
}
