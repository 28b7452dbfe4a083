//! What is asked of a running systemd.

use std::collections::BTreeSet;
use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use duct::{Handle, cmd};

use crate::name::unit::{self, UnitName};
use crate::paths::Paths;

/// How long `--now` waits for namespaces to go after their instances were stopped.
const PATIENCE: Duration = Duration::from_secs(30);

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
        unit::type_word(&self.name)
    }
}

impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.name, self.active)
    }
}

const LISTING_FAILED: &str = "`systemctl list-units` failed";

/// What [`Systemctl::ask_for_loaded`] has asked for.
#[derive(Debug)]
pub struct Loading(Handle);

impl Loading {
    /// Waits for the answer.
    ///
    /// # Errors
    /// systemctl fails.
    pub fn wait(self) -> Result<Vec<Loaded>> {
        let output = self.0.into_output().context(LISTING_FAILED)?;
        Ok(parse(&String::from_utf8_lossy(&output.stdout)))
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
    ///
    /// # Errors
    /// systemctl is missing.
    #[allow(clippy::unused_self)] // as for `run`
    pub fn ask_for_loaded(&self) -> Result<Loading> {
        let patterns = ["netns-*@*.service", "netns_outside-*@*.service", "netns_name@*.service"];
        let listing = ["list-units", "--all", "--full", "--plain", "--no-legend", "--no-pager"];
        let words = listing.iter().chain(&patterns);
        let asked = cmd("systemctl", words).stdout_capture().start().context(LISTING_FAILED)?;
        Ok(Loading(asked))
    }

    /// All instances of our template units.
    ///
    /// # Errors
    /// systemctl is missing or fails.
    pub fn loaded(&self) -> Result<Vec<Loaded>> {
        self.ask_for_loaded()?.wait()
    }

    /// Makes systemd read its units again.
    ///
    /// # Errors
    /// systemctl is missing or fails.
    pub fn daemon_reload(&self) -> Result<()> {
        self.run(["daemon-reload"]).map(drop)
    }

    /// Clears the failed state of units.
    ///
    /// # Errors
    /// systemctl is missing or fails.
    pub fn reset_failed(&self, units: &[&str]) -> Result<()> {
        self.run(["reset-failed", "--"].iter().chain(units)).map(drop)
    }

    /// Stops all instances, and waits until their namespaces are gone too: systemd removes those only after `stop` has
    /// returned (StopWhenUnneeded= in systemd.unit(5)).
    ///
    /// # Errors
    /// systemctl is missing or fails, or something does not go.
    pub fn stop_all(&self) -> Result<()> {
        let begun = Instant::now();
        let units = self.loaded()?;
        let names: Vec<&str> = units
            .iter()
            .filter(|unit| unit.holds() && unit.nstype().is_some())
            .map(|unit| unit.name.as_str())
            .collect();
        if !names.is_empty() {
            self.run(["stop", "--"].iter().chain(&names))?;
            // Nothing to reset is no error worth a word: what failed before may have been stopped properly now.
            _ = cmd("systemctl", ["reset-failed", "--"].iter().chain(&names)).stderr_null().unchecked().run();
        }
        while let Some(unit) = self.loaded()?.into_iter().find(Loaded::holds) {
            if begun.elapsed() > PATIENCE {
                bail!("{unit} though it was stopped; see `systemctl status '{}'`", unit.name);
            }
            sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    #[allow(clippy::unused_self)] // the value is the proof that there is a systemd
    fn run<Word: AsRef<str>>(&self, words: impl IntoIterator<Item = Word>) -> Result<String> {
        let words: Vec<String> = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        let verb = words.first().cloned().unwrap_or_default();
        cmd("systemctl", words).read().with_context(|| format!("`systemctl {verb}` failed"))
    }
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
