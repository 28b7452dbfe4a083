//! Queries and commands to a running systemd, by systemctl(1).

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::name::unit::{self, UnitName};
use crate::paths::Paths;
use crate::sys::program::{Program, Running};
use crate::sys::wait::try_wait_until;

/// The timeout of `--now` for namespaces to be removed after their instances have stopped.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The poll interval for this.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A loaded unit of systemd-netns, as `systemctl list-units` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// `netns-veth@x.service`
    pub name: String,
    /// `active`, `failed`, …
    pub active: String,
}

impl Loaded {
    /// Whether its unit file must be kept: resources of the instance exist, or may exist.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.active != "inactive"
    }

    /// The message with the steps before its unit file can be removed.
    #[must_use]
    pub fn advice(&self) -> String {
        let name = &self.name;
        if self.active == "failed" {
            format!(
                "{self}; check the cause, run `systemctl reset-failed '{name}'`, then run this command again"
            )
        } else {
            format!(
                "{self}; restore its plugin, so that its hooks can run; then run `systemctl stop '{name}'`, then this command again"
            )
        }
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

/// Options of `list-units` that print whole names, and nothing except units.
const LISTING: [&str; 4] = ["--all", "--plain", "--no-legend", "--no-pager"];

/// A call of systemctl with a verb.
pub(super) fn systemctl(verb: &str) -> Program {
    Program::new("systemctl").package("systemd").label(format!("systemctl {verb}")).args([verb])
}

/// The names of all loaded units of these unit types, `TYPE,TYPE`; empty if systemctl fails.
#[must_use]
pub fn loaded_of_types(types: &str) -> Vec<String> {
    let listing = systemctl("list-units").args(LISTING).args([format!("--type={types}")]);
    let text = listing.run().map(|answer| answer.text()).unwrap_or_default();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// A running query of [`Systemctl::ask_for_loaded`].
#[derive(Debug)]
pub struct Loading(Running);

impl Loading {
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
    /// `None` if systemd does not run: in an image, a chroot, a container.
    #[must_use]
    pub fn of(paths: &Paths) -> Option<Self> {
        (paths.is_live() && paths.systemd.is_dir()).then_some(Self(()))
    }

    /// Starts a query for all instances of our template units, without waiting for the result.
    /// Errors: systemctl is missing.
    #[allow(clippy::unused_self)] // the value proves that systemd runs, here and below
    pub fn ask_for_loaded(&self) -> Result<Loading> {
        let patterns = ["netns-*@*.service", "netns_outside-*@*.service", "netns_name@*.service"];
        systemctl("list-units").args(LISTING).args(["--full"]).args(patterns).start().map(Loading)
    }

    /// All instances of our template units.
    /// Errors: systemctl is missing or fails.
    pub fn loaded(&self) -> Result<Vec<Loaded>> {
        self.ask_for_loaded()?.wait()
    }

    /// Reloads systemd.
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

    /// Starts, stops, restarts or resets units, and returns the messages of systemctl. These are not errors yet: the state of
    /// each unit is
    /// queried afterwards.
    #[allow(clippy::unused_self)]
    pub fn change<Unit: AsRef<str>>(&self, verb: &str, units: &[Unit]) -> String {
        match on_units(verb, units).run() {
            Ok(answer) => answer.message(),
            Err(error) => format!("{error:#}"),
        }
    }

    /// Stops all instances, and waits until their namespaces are removed. systemd removes these after `stop` has returned
    /// (StopWhenUnneeded= in systemd.unit(5)).
    /// Errors: systemctl is missing or fails, or an instance or namespace remains.
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
            // Without failed units there is nothing to reset, which is not an error.
            self.change("reset-failed", &names);
        }
        let mut left = None;
        try_wait_until(TIMEOUT.saturating_sub(accepted.elapsed()), POLL_INTERVAL, || {
            left = self.loaded()?.into_iter().find(Loaded::holds);
            anyhow::Ok(left.is_none().then_some(()))
        })?;
        match left {
            None => Ok(()),
            Some(unit) => bail!("{unit} after the stop; see `systemctl status '{}'`", unit.name),
        }
    }
}

fn on_units<Unit: AsRef<str>>(verb: &str, units: &[Unit]) -> Program {
    systemctl(verb).args(["--"]).args(units.iter().map(AsRef::as_ref))
}

/// Parses lines of `UNIT LOAD ACTIVE SUB DESCRIPTION`. Truncated lines are left out, and so are foreign units with similar names: the
/// inside unit of an instance requires the outside unit, so systemd has loaded that too.
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
