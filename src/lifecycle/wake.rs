//! Brings a namespace up at the first connection to a port that one of its instances publishes, and takes it down when the connections have
//! ended. Only instances and units that a connection has brought up are taken down, and only if nothing else needs them.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};

use super::{Operation, configured, run};
use crate::engine::systemd::Systemd;
use crate::engine::{self, Active, Condition, Direct, Engine, EngineKind};
use crate::library;
use crate::name::{Instance, Target};
use crate::paths::Paths;
use crate::requires::Requirement;
use crate::sys::file::{self, Draft};
use crate::systemd::show::Properties;
use crate::systemd::systemctl::Systemctl;

/// Brings up the other configured instances of the namespace of an instance, and the units that it wakes. First, a file records which of
/// them are down.
/// Errors: an instance or a unit does not come up, or the file cannot be written.
pub fn wake(paths: &Paths, instance: &Instance) -> Result<()> {
    let active = engine::active(paths)?;
    let is_up = |one: &Instance| {
        let is_up = |active: &&Active| matches!(active.condition, Condition::Up | Condition::Changing);
        active.iter().filter(is_up).any(|active| active.instance == *one)
    };
    let mut down = configured(paths, &instance.name)?;
    down.retain(|one| one != instance && !is_up(one));
    let states = Properties::of("ActiveState", library::units_to_wake(paths, instance))?;
    let units = states.iter().filter(|unit| unit.get("ActiveState") != "active");
    let units: Vec<String> = units.map(|unit| unit.id().to_owned()).collect();
    let mut woken = read(paths, instance)?;
    woken.extend(down.iter().cloned().map(Requirement::Instance));
    woken.extend(units.iter().cloned().map(Requirement::Unit));
    if woken.is_empty() {
        return Ok(());
    }
    write(paths, instance, &woken)?;
    let targets: Vec<Target> = down.into_iter().map(Target::Instance).collect();
    let own = active.iter().find(|active| active.instance == *instance);
    run(paths, Operation::Up, &targets, own.map(|own| own.engine), false)?.into_result()?;
    let Some(systemctl) = Systemctl::of(paths).filter(|_| !units.is_empty()) else { return Ok(()) };
    let message = systemctl.change("start", &units);
    let states = Properties::of("ActiveState", &units)?;
    let is_down = |unit: &&Properties| ["inactive", "failed"].contains(&unit.get("ActiveState"));
    // A unit that has already ended without an error has no message.
    match states.iter().find(is_down) {
        Some(unit) if !message.is_empty() => bail!("cannot start {}: {message}", unit.id()),
        _ => Ok(()),
    }
}

/// Takes down what connections to the ports of an instance have brought up. Returns the reason why it stays up, if something else needs
/// it: then the next end of all connections tries again. If the instance itself goes down, all others stay as they are. Without an idle time,
/// only a namespace goes down that has not come up completely (`failed`).
/// Errors: an instance or a unit does not go down, or the file cannot be read or removed.
pub fn sleep(paths: &Paths, instance: &Instance, failed: bool) -> Result<Option<String>> {
    let woken = read(paths, instance)?;
    if woken.is_empty() {
        return Ok(None);
    }
    if !failed && library::stays_awake(paths, instance) {
        return Ok(Some("no idle time is set".to_owned()));
    }
    let active = engine::active(paths)?;
    let own = active.iter().find(|one| one.instance == *instance && one.condition == Condition::Up);
    let obstacle = match own.map(|own| own.engine) {
        None => None,
        Some(EngineKind::Systemd) => {
            let units = woken.iter().map(Requirement::unit).collect();
            Systemd::of(paths)?.stop_unneeded(&units)?
        }
        Some(EngineKind::Direct) => {
            let is_woken = |one: &&Active| woken.contains(&Requirement::Instance(one.instance.clone()));
            let instances: Vec<Instance> =
                active.iter().filter(is_woken).map(|one| one.instance.clone()).collect();
            let outcomes = Direct::of(paths, false)?.down(&instances, false);
            outcomes.into_iter().find_map(|outcome| outcome.changed.err()).map(|error| format!("{error:#}"))
        }
    };
    if obstacle.is_none() {
        file::remove(&paths.woken(instance))?;
    }
    Ok(obstacle)
}

/// Reads what connections have brought up.
fn read(paths: &Paths, instance: &Instance) -> Result<BTreeSet<Requirement>> {
    let path = paths.woken(instance);
    if !path.exists() {
        return Ok(BTreeSet::new());
    }
    let text = file::read_text(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(str::parse).collect()
}

fn write(paths: &Paths, instance: &Instance, woken: &BTreeSet<Requirement>) -> Result<()> {
    fs::create_dir_all(&paths.woken).with_context(|| format!("cannot create {}", paths.woken.display()))?;
    let lines: Vec<String> = woken.iter().map(ToString::to_string).collect();
    Draft::of(&paths.woken(instance), (lines.join("\n") + "\n").as_bytes())?.commit()
}
