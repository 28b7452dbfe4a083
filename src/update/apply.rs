//! Does it, and has systemd read it.

use std::fs::{self, OpenOptions};
use std::path::Path;

use anyhow::{Context, Result};

use super::Machine;
use crate::print;
use crate::sys::file;
use crate::systemd::systemctl::Loaded;
use crate::systemd::unit_files::{Applied, Change, Plan};

/// Whether a run that was stopped, or whose reload failed, has left a reload to the next one.
#[must_use]
pub fn pending(machine: &Machine) -> bool {
    machine.systemctl.is_some() && machine.paths.reload.exists()
}

/// Carries the plan out as far as possible, and calls `say` before each change. That systemd has to read its units again is noted
/// before: a drop-in that it does not know of may be what has a firewall come first.
pub fn apply(machine: &Machine, plan: &Plan, say: impl FnMut(&Change)) -> Applied {
    let reload = &machine.paths.reload;
    if machine.systemctl.is_some()
        && !plan.is_done()
        && let Err(error) = note(reload)
    {
        print::warn(&format!("{error:#}; should this run be stopped, run `systemctl daemon-reload`"));
    }
    plan.apply(machine.paths, say)
}

fn note(reload: &Path) -> Result<()> {
    let what = || format!("cannot create {}", reload.display());
    reload.parent().map_or(Ok(()), fs::create_dir_all).with_context(what)?;
    file::open(reload, OpenOptions::new().write(true).create(true)).map(drop).with_context(what)
}

/// Has systemd read its units again, if `reload`, and clears the failed state of instances, so that `systemctl --failed` shows what
/// fails from now on. `say` is called before each.
/// Errors: systemctl fails.
pub fn finish(machine: &Machine, loaded: &[Loaded], reload: bool, say: impl Fn(&str)) -> Result<()> {
    let Some(systemctl) = &machine.systemctl else {
        if reload {
            say("systemd is not running here: daemon-reload was left out.");
        }
        return Ok(());
    };
    if reload {
        say("Reloading systemd daemon configuration...");
        systemctl.daemon_reload()?;
        file::remove(&machine.paths.reload)?;
    }
    let is_ours = |unit: &Loaded| {
        unit.nstype().is_none_or(|word| machine.listing.types.iter().any(|nstype| nstype.as_ref() == word))
    };
    let failed = loaded.iter().filter(|unit| unit.active == "failed" && is_ours(unit));
    let failed: Vec<&str> = failed.map(|unit| unit.name.as_str()).collect();
    if failed.is_empty() {
        return Ok(());
    }
    say(&format!("Resetting failed units: {}.", failed.join(", ")));
    systemctl.reset_failed(&failed)
}
