//! What is asked of a running systemd, by systemctl(1).

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::name::unit::{self, UnitName};
use crate::paths::Paths;
use crate::sys::program::{Program, Running};
use crate::sys::wait::try_wait_until;

/// How long `--now` waits for namespaces to go after their instances were stopped.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two looks whether they are gone.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A unit of ours that systemd has loaded, as `systemctl list-units` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// `netns-veth@x.service`
    pub name: String,
    /// `active`, `failed`, …
    pub active: String,
}

impl Loaded {
    /// Whether it keeps its unit file from being removed: something of the instance is there, or may be.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.active != "inactive"
    }

    /// What has to be done before its unit file can go.
    #[must_use]
    pub fn advice(&self) -> String {
        let name = &self.name;
        if self.active == "failed" {
            format!(
                "{self}; once you have seen why, run `systemctl reset-failed '{name}'`, then run this again"
            )
        } else {
            format!(
                "{self}; with its plugin in place, so that its hooks can run, stop it by `systemctl stop '{name}'`, then run this again"
            )
        }
    }

    /// The type that it is an instance of; `None` for `netns_name@`.
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

/// The options of `list-units` with which it prints whole names, and nothing else than units.
const LISTING: [&str; 4] = ["--all", "--plain", "--no-legend", "--no-pager"];

/// systemctl with a verb.
pub(super) fn systemctl(verb: &str) -> Program {
    Program::new("systemctl").package("systemd").label(format!("systemctl {verb}")).args([verb])
}

/// The names of all units of these types, `TYPE,TYPE`, that systemd has loaded; none where it cannot be asked.
#[must_use]
pub fn loaded_of_types(types: &str) -> Vec<String> {
    let listing = systemctl("list-units").args(LISTING).args([format!("--type={types}")]);
    let text = listing.run().map(|answer| answer.text()).unwrap_or_default();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// What [`Systemctl::ask_for_loaded`] has asked for.
#[derive(Debug)]
pub struct Loading(Running);

impl Loading {
    /// Waits for the answer.
    /// Errors: systemctl fails.
    pub fn wait(self) -> Result<Vec<Loaded>> {
        Ok(parse(&self.0.wait()?.success()?.text()))
    }
}

/// systemd as PID 1 of this machine.
#[derive(Debug)]
pub struct Systemctl(());

impl Systemctl {
    /// `None` where there is none to talk to: in an image, a chroot, a container without it.
    #[must_use]
    pub fn of(paths: &Paths) -> Option<Self> {
        (paths.is_live() && paths.systemd.is_dir()).then_some(Self(()))
    }

    /// Asks for all instances of our template units, and does not wait for the answer.
    /// Errors: systemctl is missing.
    #[allow(clippy::unused_self)] // the value is the proof that there is a systemd, here and below
    pub fn ask_for_loaded(&self) -> Result<Loading> {
        let patterns = ["netns-*@*.service", "netns_outside-*@*.service", "netns_name@*.service"];
        systemctl("list-units").args(LISTING).args(["--full"]).args(patterns).start().map(Loading)
    }

    /// All instances of our template units.
    /// Errors: systemctl is missing or fails.
    pub fn loaded(&self) -> Result<Vec<Loaded>> {
        self.ask_for_loaded()?.wait()
    }

    /// Makes systemd read its units again.
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

    /// Has units started, stopped, restarted or reset, and returns what systemctl complains of. That is no error yet: each unit is
    /// asked how it went.
    #[allow(clippy::unused_self)]
    pub fn change<Unit: AsRef<str>>(&self, verb: &str, units: &[Unit]) -> String {
        match on_units(verb, units).run() {
            Ok(answer) => answer.message(),
            Err(error) => format!("{error:#}"),
        }
    }

    /// Stops all instances, and waits until their namespaces are gone too: systemd removes those only after `stop` has
    /// returned (StopWhenUnneeded= in systemd.unit(5)).
    /// Errors: systemctl is missing or fails, or something does not go.
    pub fn stop_all(&self) -> Result<()> {
        let accepted = Instant::now();
        let units = self.loaded()?;
        let names: Vec<&str> = units
            .iter()
            .filter(|unit| unit.holds() && unit.nstype().is_some())
            .map(|unit| unit.name.as_str())
            .collect();
        if !names.is_empty() {
            on_units("stop", &names).run()?.success()?;
            // Nothing to reset is no error worth a word: what failed before may have been stopped properly now.
            self.change("reset-failed", &names);
        }
        let mut left = None;
        try_wait_until(TIMEOUT.saturating_sub(accepted.elapsed()), POLL_INTERVAL, || {
            left = self.loaded()?.into_iter().find(Loaded::holds);
            anyhow::Ok(left.is_none().then_some(()))
        })?;
        match left {
            None => Ok(()),
            Some(unit) => bail!("{unit} though it was stopped; see `systemctl status '{}'`", unit.name),
        }
    }
}

fn on_units<Unit: AsRef<str>>(verb: &str, units: &[Unit]) -> Program {
    systemctl(verb).args(["--"]).args(units.iter().map(AsRef::as_ref))
}

/// Reads lines of `UNIT LOAD ACTIVE SUB DESCRIPTION`. Lines that are cut short are left out, and so is what only has a name like ours:
/// the inside half of an instance needs the outside half, so systemd has that loaded as well.
#[must_use]
pub fn parse(listing: &str) -> Vec<Loaded> {
    let unit = |line| {
        let mut columns = str::split_whitespace(line);
        Some((columns.next()?, columns.nth(1)?))
    };
    let units: Vec<(&str, &str)> = listing.lines().filter_map(unit).collect();
    let all: BTreeSet<&str> = units.iter().map(|(name, _)| *name).collect();
    let has_half = |name: &str| match UnitName::parse(name) {
        Some(UnitName::Inside(instance)) => all.contains(instance.outside_unit().as_str()),
        Some(_) => true,
        None => false,
    };
    let is_ours = |name: &str| unit::is_ours(name) && has_half(name);
    let ours = units.iter().filter(|(name, _)| is_ours(name));
    ours.map(|&(name, active)| Loaded { name: name.to_owned(), active: active.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_their_types_are_read_from_list_units() {
        let listing = "netns-lo@a.service loaded active exited Namespace a, lo\n\
                       netns_outside-lo@a.service loaded active exited Namespace a, lo\n\
                       netns-exporter@a.service loaded active running of somebody else\n\
                       netns_outside-a.b@my-net.service loaded failed failed x\n\
                       netns_name@a.service loaded inactive dead x\n\
                       cut short\n";
        let units = parse(listing);
        let seen: Vec<_> = units.iter().map(|unit| (unit.nstype(), unit.holds())).collect();
        assert_eq!(seen, [(Some("lo"), true), (Some("lo"), true), (Some("a.b"), true), (None, false)]);
    }
}
