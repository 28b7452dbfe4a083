//! Runs a hook in this process.

use std::io::Write;

use anyhow::{Context, Result};

use super::plan::{Planned, plan, skip};
use super::wrapper::NO_CONFIGURATION;
use super::{Caller, CallerKind, Hook};
use crate::config::remembered;
use crate::name::{Instance, Phase, Side};
use crate::netns::ownership::{self, Ownership};
use crate::paths::Paths;
use crate::print;
use crate::systemd::systemctl::Systemctl;

/// Runs a hook: this process becomes bash. The function returns only if nothing is run.
/// Errors: [`plan`] fails, bash cannot be started, or stdout cannot be written.
pub fn run(paths: &Paths, hook: &Hook, trace: bool) -> Result<()> {
    if (hook.phase, hook.side) == (Phase::Down, Side::Inside) {
        recreate_on_restart(paths, &hook.instance);
    }
    let caller = Caller::of(trace, CallerKind::Netnsinit)?;
    let planned = ownership::recorded(paths, &hook.instance.name)
        .and_then(|ours| plan(paths, hook, &caller, ours.as_ref()));
    if planned.is_err() && (hook.phase, hook.side) == (Phase::Down, Side::Outside) {
        remembered::mark_unfinished(paths, &hook.instance)?;
    }
    match planned? {
        Planned::Bash(bash) => match bash.exec()? {},
        Planned::Nothing => {
            skip(paths, hook)?;
            #[allow(clippy::disallowed_methods)] // names are checked
            let mut stdout = std::io::stdout();
            writeln!(stdout, "{}\n{NO_CONFIGURATION}", hook.starting()).context("cannot write to stdout")
        }
    }
}

/// Re-creates a manually deleted namespace, if systemd restarts the instance. The restart covers only the inside unit, which
/// cannot start without the namespace. A restart of the unit of the namespace also restarts all instances on it.
fn recreate_on_restart(paths: &Paths, instance: &Instance) {
    let Some(systemctl) = Systemctl::of(paths) else { return };
    if !ownership::inspect(paths, &instance.name).is_ok_and(|found| found == Ownership::Missing) {
        return;
    }
    let unit = instance.unit();
    let queued = systemctl.jobs().and_then(|jobs| {
        if !jobs.iter().any(|job| job.unit == unit && job.kind == "restart") {
            return Ok(());
        }
        print::warn(&format!(
            "namespace `{}` was deleted manually: re-creating it with all its instances",
            instance.name
        ));
        systemctl.queue_restart(&instance.name.unit())
    });
    if let Err(error) = queued {
        print::warn(&format!("{error:#}; {}", ownership::deleted(&instance.name)));
    }
}
