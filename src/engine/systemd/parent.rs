//! Brings an instance up again when its parent interface has appeared.

use std::time::Duration;

use anyhow::Result;

use super::{POLL_INTERVAL, Systemd};
use crate::engine::Outcome;
use crate::name::{Instance, UnitName, unit};
use crate::sys::wait::try_wait_until;
use crate::systemd::show::Properties;

/// Maximum time until a start or stop of the instance has ended. It is less than `TimeoutStartSec=` of the unit that waits.
const TIMEOUT: Duration = Duration::from_secs(80);

const KEYS: &str = "ActiveState,WantedBy,ActiveEnterTimestampMonotonic,ActiveExitTimestampMonotonic,\
                    InactiveExitTimestampMonotonic";

impl Systemd {
    /// Takes an instance down and up, if its parent has appeared since the last `up`, or if this `up` has failed. The kernel has
    /// removed the interface of the instance with the old parent. An instance that was taken down stays down. Returns the
    /// outcomes, which are empty if nothing was changed.
    /// Errors: systemctl fails.
    pub fn bring_back(&self, instance: &Instance) -> Result<Vec<Outcome>> {
        let settled = try_wait_until(TIMEOUT, POLL_INTERVAL.max(Duration::from_millis(200)), || {
            let units = States::of(instance)?;
            anyhow::Ok((!units.is_changing()).then_some(units))
        })?;
        let needed = settled.is_some_and(|units| units.lost_parent() || units.has_failed_to_start());
        Ok(if needed { self.recreate(std::slice::from_ref(instance), &[]) } else { Vec::new() })
    }
}

/// The units of an instance, and the devices of its parents.
struct States {
    units: Vec<Properties>,
    devices: Vec<Properties>,
}

impl States {
    fn of(instance: &Instance) -> Result<Self> {
        let waiting = UnitName::Return(instance.clone()).to_string();
        let mut units = Properties::of(KEYS, [instance.outside_unit(), instance.unit(), waiting])?;
        let waiting = units.pop().unwrap_or_default();
        let devices = Properties::of(KEYS, waiting.values("WantedBy").filter(|unit| unit::is_device(unit)))?;
        Ok(Self { units, devices })
    }

    fn is_changing(&self) -> bool {
        self.units.iter().any(|unit| ["activating", "deactivating"].contains(&unit.get("ActiveState")))
    }

    /// Whether the instance is up, and came up before its parent appeared.
    fn lost_parent(&self) -> bool {
        let came_up = self.units.iter().map(|unit| unit.time("ActiveEnterTimestampMonotonic")).min();
        let appeared = self.devices.iter().map(|device| device.time("ActiveEnterTimestampMonotonic")).max();
        self.units.iter().all(|unit| unit.get("ActiveState") == "active") && appeared > came_up
    }

    /// Whether the last start has failed. If a stop has failed, the unit was active since its last start.
    fn has_failed_to_start(&self) -> bool {
        self.units.iter().any(|unit| {
            unit.get("ActiveState") == "failed"
                && unit.time("ActiveExitTimestampMonotonic") <= unit.time("InactiveExitTimestampMonotonic")
        })
    }
}
