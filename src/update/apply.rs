//! Applies a plan, and reloads systemd.

use std::fs::{self, OpenOptions};
use std::path::Path;

use anyhow::{Context, Result};

use super::Machine;
use crate::attach::{self, follow};
use crate::name::UnitName;
use crate::print;
use crate::sys::file;
use crate::systemd::systemctl::Loaded;
use crate::systemd::unit_files::{Applied, Change, Plan};

/// Whether an earlier run did not complete its reload of systemd.
#[must_use]
pub fn reload_pending(machine: &Machine) -> bool {
    machine.systemctl.is_some() && machine.paths.reload.exists()
}

/// Applies the plan as far as possible, and calls `say` before each change. First, a file records that a reload of systemd is
/// needed.
pub fn apply(machine: &Machine, plan: &Plan, say: impl FnMut(&Change)) -> Applied {
    let reload = &machine.paths.reload;
    if machine.systemctl.is_some()
        && !plan.is_up_to_date()
        && let Err(error) = mark_reload_pending(reload)
    {
        print::warn(&format!("{error:#}; if this run is interrupted, run `systemctl daemon-reload`"));
    }
    plan.apply(machine.paths, say)
}

fn mark_reload_pending(reload: &Path) -> Result<()> {
    let context = || format!("cannot create {}", reload.display());
    reload.parent().map_or(Ok(()), fs::create_dir_all).with_context(context)?;
    file::open(reload, OpenOptions::new().write(true).create(true)).map(drop).with_context(context)
}

/// Reloads systemd if needed, and resets failed units, so that later only new failures show. Failed units of a type without a
/// plugin are only reset if `plan` removes the type: until then, they are the reason why its units stay. Calls `say` before each
/// step.
/// Errors: systemctl fails, or a file cannot be removed.
pub fn reload(
    machine: &Machine,
    plan: &Plan,
    loaded: &[Loaded],
    needs_reload: bool,
    say: impl Fn(&str),
) -> Result<()> {
    let Some(systemctl) = &machine.systemctl else {
        if needs_reload {
            say("systemd is not running here: daemon-reload was left out.");
        }
        return Ok(());
    };
    if needs_reload {
        say("Reloading systemd daemon configuration...");
        systemctl.daemon_reload()?;
        file::remove(&machine.paths.reload)?;
        follow::watch(machine.paths, systemctl, &attach::attached(machine.paths)?)?;
    }
    let is_known = |nstype: &str| machine.listing.types.iter().any(|known| known.as_ref() == nstype);
    // An instance that has failed for want of its parent comes up with the parent, and its failure is the sign for this.
    let waiting = machine.parents.waiting();
    let waits = |unit: &Loaded| {
        let instance = UnitName::parse(&unit.name).and_then(UnitName::instance);
        instance.is_some_and(|instance| waiting.contains(&instance))
    };
    let needs_reset = |unit: &&Loaded| {
        unit.has_failed()
            && !waits(unit)
            && unit.nstype().is_none_or(|nstype| is_known(nstype) || plan.removes(nstype))
    };
    let failed = loaded.iter().filter(needs_reset);
    let failed: Vec<&str> = failed.map(|unit| unit.name.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    say(&format!("Resetting failed units: {}.", failed.join(", ")));
    systemctl.reset_failed(&failed)
}
