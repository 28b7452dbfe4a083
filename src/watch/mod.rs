//! Watches the rules of the host, and lets systemd load those of instances again after another program has deleted or changed them:
//! `systemctl restart nftables`, `nft flush ruleset`, a reload of another firewall. The same after a new interface of the host has
//! appeared, which needs forwarding.
//!
//! The kernel reports each change of nftables and of interfaces, so nothing is polled, and one process is enough for all instances. An instance is
//! reloaded, which runs its hook `up inside` again. So the services in its namespace keep running.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::engine::{Condition, EngineKind, active};
use crate::library::{Record, Repair};
use crate::name::Instance;
use crate::netlink::HostChanges;
use crate::paths::Paths;
use crate::print;
use crate::systemd::systemctl::Systemctl;

/// The time between a change and the repair: other firewalls load their rules in several steps.
const DELAY: Duration = Duration::from_secs(1);

/// The longest time between two repairs, if another program deletes the rules again and again.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Repairs the rules after each change, without end.
/// Errors: systemd is not running, systemctl fails, or the kernel refuses the subscription.
pub fn run(paths: &Paths) -> Result<()> {
    let systemctl = Systemctl::of(paths).context("systemd is not running here")?;
    let changes = HostChanges::subscribe()?;
    let mut delay = DELAY;
    loop {
        let damaged = damaged(paths)?;
        if damaged.is_empty() {
            delay = DELAY;
            changes.wait()?;
        } else {
            let units: Vec<String> = damaged.iter().map(Instance::unit).collect();
            print::say(&format!(
                "the rules or interfaces of the host have changed: reloading {}",
                units.join(", ")
            ));
            let message = systemctl.change("reload", &units);
            if !message.is_empty() {
                print::warn(&format!("cannot reload {}: {message}", units.join(", ")));
            }
            delay = (delay * 2).min(MAX_DELAY);
        }
        sleep(delay);
        changes.discard()?;
    }
}

/// The instances that a reload repairs.
/// Errors: systemctl fails.
fn damaged(paths: &Paths) -> Result<Vec<Instance>> {
    let up = active(paths)?.into_iter();
    let up = up.filter(|one| one.engine == EngineKind::Systemd && one.condition == Condition::Up);
    Ok(up.map(|one| one.instance).filter(|instance| is_damaged(paths, instance)).collect())
}

/// Whether an instance has rules on the host and differs from its record. A record that cannot be read counts as one without rules.
fn is_damaged(paths: &Paths, instance: &Instance) -> bool {
    let record = Record::read(paths, instance).ok().filter(Record::has_host_rules);
    match record.map_or(Ok(Vec::new()), |record| record.drift(paths)) {
        Ok(differences) => differences.iter().any(|difference| difference.repair == Repair::Restart),
        Err(error) => {
            print::warn(&format!("cannot check `{instance}`: {error:#}"));
            false
        }
    }
}
