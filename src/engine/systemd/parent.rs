//! Brings an instance up again when its parent interface has appeared.

use std::slice;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Systemd;
use crate::engine::Outcome;
use crate::name::Instance;
use crate::sys::wait::try_wait_until;
use crate::systemd::show::Properties;

/// Maximum time until a start or stop of the instance has ended: the sum of the start timeouts of its units and a stop timeout, with a
/// reserve.
const TIMEOUT: Duration = Duration::from_secs(90 + 90 + 90 + 10);
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// A parent can go and return while the instance is brought up again. systemd does not repeat the start of a unit that is starting.
const MAX_ATTEMPTS: usize = 3;

const KEYS: &str = "ActiveState,ActiveExitTimestampMonotonic,InactiveExitTimestampMonotonic";

impl Systemd {
    /// Takes an instance down and up, if it is up and `has_drift`, or if its last start has failed. The kernel has removed the
    /// interface of the instance with the old parent. An instance that was taken down stays down. Returns the outcomes, which are
    /// empty if nothing was changed.
    /// Errors: systemctl or `has_drift` fails, or a start or stop of the instance does not end.
    pub fn bring_back(
        &self,
        instance: &Instance,
        has_drift: impl Fn() -> Result<bool>,
    ) -> Result<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        for _ in 0..MAX_ATTEMPTS {
            let units = settled(instance)?;
            // It may have been taken down during the comparison.
            let differs = || anyhow::Ok(is_up(&units) && has_drift()? && is_up(&settled(instance)?));
            if !(units.iter().any(has_failed_to_start) || differs()?) {
                break;
            }
            outcomes = self.recreate(slice::from_ref(instance), &[]);
            if outcomes.iter().any(|outcome| outcome.changed.is_err()) {
                break;
            }
        }
        Ok(outcomes)
    }
}

/// The units of an instance, after the start or stop that is in progress.
fn settled(instance: &Instance) -> Result<Vec<Properties>> {
    let settled = try_wait_until(TIMEOUT, POLL_INTERVAL, || {
        let units = Properties::of(KEYS, [instance.outside_unit(), instance.unit()])?;
        let is_changing =
            |unit: &Properties| ["activating", "deactivating"].contains(&unit.get("ActiveState"));
        anyhow::Ok((!units.iter().any(is_changing)).then_some(units))
    })?;
    settled.with_context(|| {
        format!("`{instance}` has been coming up or going down for {} seconds", TIMEOUT.as_secs())
    })
}

fn is_up(units: &[Properties]) -> bool {
    units.iter().all(|unit| unit.get("ActiveState") == "active")
}

/// Whether the last start has failed. If a stop has failed, the unit was active since its last start.
fn has_failed_to_start(unit: &Properties) -> bool {
    unit.get("ActiveState") == "failed"
        && unit.time("ActiveExitTimestampMonotonic") <= unit.time("InactiveExitTimestampMonotonic")
}
