//! `netns-update`: one pair of units for each type, and a drop-in for each instance that requires something.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{BufWriter, stdout};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;

use super::{Status, say};
use crate::attach;
use crate::cli::Update;
use crate::file;
use crate::foreign;
use crate::paths::Paths;
use crate::plugin::{self, Listing};
use crate::requires::{self, Graph};
use crate::units::{self, Action, Loaded, Loading, Plan, Systemctl};

pub(super) fn run(options: &Update) -> Result<Status> {
    let root =
        options.root.canonicalize().with_context(|| format!("cannot find {}", options.root.display()))?;
    let paths = Paths::under(&root);
    ensure!(
        !paths.is_live() || options.dry_run || geteuid().is_root(),
        "only root may change systemd's units: run it by sudo, or see what it would do by --dry-run"
    );

    if !paths.is_live() && !options.dry_run && !options.clean {
        // An image may be without it, as long as it has no unit of its own.
        fs::create_dir_all(&paths.units)
            .with_context(|| format!("cannot create {}", paths.units.display()))?;
    }
    let _lock = if options.dry_run { None } else { Some(units::lock(&paths)?) };
    let attached = if options.clean { attach::attached(&paths)? } else { Vec::new() };
    if !attached.is_empty() {
        // Not even in part: what they are bound to may require any of the others.
        for one in &attached {
            crate::warn(&format!("the units of all types stay: {}", one.advice()));
        }
        say("Nothing was changed: see the warnings.");
        return Ok(Status::Failed);
    }
    let systemctl = Systemctl::of(&paths);
    // It answers while the files are read.
    let mut loading = match &systemctl {
        Some(systemctl) if !options.now => Some(systemctl.ask_for_loaded()?),
        _ => None,
    };
    let listing = if options.clean {
        Listing::default()
    } else {
        say(&format!("Processing configuration files in '{}'...", paths.conf.display()));
        plugin::list(&paths)?
    };
    let graph = if options.clean { Graph::default() } else { Graph::of_configured(&paths)? };
    if !graph.problems.is_empty() {
        for problem in &graph.problems {
            crate::warn(&problem.message);
        }
        say("Nothing was changed: see the warnings.");
        return Ok(Status::Failed);
    }
    let templates = if options.clean { Vec::new() } else { units::templates(&paths)? };
    if let (Some(systemctl), true, false) = (&systemctl, options.now, options.dry_run) {
        say("Stopping all instances...");
        systemctl.stop_all()?;
        loading = Some(systemctl.ask_for_loaded()?);
    }
    // By `--now --dry-run`, nothing would be left that holds a unit.
    let loaded = loading.map_or(Ok(Vec::new()), Loading::wait)?;

    let present = units::present(&paths)?;
    let mut plan = units::plan(&paths, &present, &listing.types, &templates, &loaded)?;
    plan.add_dropins(&paths, &present, &graph);
    plan.add_firewalls(&paths, &present, &plugin::firewalls(&paths, &listing.types));
    let complaints = listing.complaints.iter().chain(&plan.complaints);
    let mut whole = true;
    for complaint in complaints {
        crate::warn(complaint);
        whole = false;
    }
    if systemctl.is_some() {
        // It may be installed later: nothing is wrong with the drop-in.
        for problem in requires::not_found(&graph)? {
            crate::warn(&problem.message);
        }
    }
    // Not line by line: there may be thousands.
    #[allow(clippy::disallowed_methods)] // through `foreign`
    let mut said = BufWriter::new(stdout());
    let mut announce = |change: &units::Change| print(&mut said, change);
    if options.dry_run {
        plan.changes.iter().filter(|change| change.action != Action::Keep).for_each(announce);
        drop(said);
        say(&format!("{}\nDry run, nothing was changed.", summary(&plan)));
        return Ok(status(whole));
    }
    // What a run that was stopped, or whose reload failed, has left to this one.
    let pending = systemctl.is_some() && paths.reload.exists();
    if systemctl.is_some()
        && plan.changes.iter().any(|change| change.action != Action::Keep)
        && let Err(error) = note_reload(&paths.reload)
    {
        crate::warn(&format!("{error:#}; should this run be stopped, run `systemctl daemon-reload`"));
    }
    let outcome = plan.apply(&paths, &mut announce);
    drop(said);
    for error in &outcome.errors {
        crate::warn(&format!("{error:#}"));
        whole = false;
    }

    let reload = options.daemon_reload || pending || outcome.changed > 0;
    match systemctl {
        Some(systemctl) => {
            if reload {
                say("Reloading systemd daemon configuration...");
                systemctl.daemon_reload()?;
                file::remove(&paths.reload)?;
            }
            reset_failed(&systemctl, &loaded, &listing.types)?;
        }
        None if reload => say("systemd is not running here: daemon-reload was left out."),
        None => {}
    }
    say(&summary(&plan));
    say(if whole { "Update successful." } else { "Update incomplete: see the warnings." });
    Ok(status(whole))
}

/// Prints a change, on one line.
fn print(stream: impl std::io::Write, change: &units::Change) {
    let path = change.path.display().to_string();
    foreign::print(stream, &format!("{} '{}'.", change.action, foreign::line(&path)));
}

/// Notes that systemd is to read its units again, whatever becomes of this run: a drop-in that it does not know of may be what has a
/// firewall come first.
fn note_reload(note: &Path) -> Result<()> {
    let what = || format!("cannot create {}", note.display());
    note.parent().map_or(Ok(()), fs::create_dir_all).with_context(what)?;
    file::open(note, OpenOptions::new().write(true).create(true)).map(drop).with_context(what)
}

/// Clears the failed state of instances, so that `systemctl --failed` shows what fails from now on.
fn reset_failed(
    systemctl: &Systemctl,
    loaded: &[Loaded],
    types: &BTreeSet<crate::name::NsType>,
) -> Result<()> {
    let of_ours = |unit: &&Loaded| match unit.nstype() {
        Some(word) => types.iter().any(|nstype| nstype.to_string() == word),
        None => true,
    };
    let failed: Vec<&str> = loaded
        .iter()
        .filter(|unit| unit.active == "failed")
        .filter(of_ours)
        .map(|unit| unit.name.as_str())
        .collect();
    if failed.is_empty() {
        return Ok(());
    }
    say(&format!("Resetting failed units: {}.", failed.join(", ")));
    systemctl.reset_failed(&failed)
}

fn summary(plan: &Plan) -> String {
    let count = |action| plan.changes.iter().filter(|change| change.action == action).count();
    format!(
        "Plan: create {}, update {}, replace link {}, remove {}, keep {}.",
        count(Action::Create),
        count(Action::Update),
        count(Action::ReplaceLink),
        count(Action::Remove),
        count(Action::Keep)
    )
}

fn status(whole: bool) -> Status {
    if whole { Status::Done } else { Status::Failed }
}
