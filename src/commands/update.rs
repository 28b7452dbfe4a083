//! `netns-update`: one pair of units for each type, and a drop-in for each instance that requires something.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{BufWriter, stdout};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;

use crate::attach;
use crate::config::plugin::{self, Listing};
use crate::exit::Status;
use crate::paths::Paths;
use crate::print::escape;
use crate::print::say;
use crate::requires::{self, Graph};
use crate::sys::file;
use crate::systemd::systemctl::{Loaded, Loading, Systemctl};
use crate::systemd::unit_files::{self, Action, Plan};
use clap::Parser;
use std::path::PathBuf;

/// Keeps one pair of systemd units for each namespace type.
///
/// A type is a plugin, TYPE.sh, in /etc/conf.d/netns or /usr/share/systemd-netns. For each there is a copy of the
/// template units netns@.service and netns_outside@.service in /etc/systemd/system. Copies whose type is gone are removed
/// unless one of their instances is active. Run it after a plugin was added, removed or upgraded.
#[derive(Debug, Parser)]
#[command(name = "netns-update", version)]
#[allow(clippy::struct_excessive_bools)] // as above
pub struct UpdateArgs {
    /// Let systemd read its units again even if nothing was changed
    #[arg(long, overrides_with = "daemon_reload")]
    pub daemon_reload: bool,
    /// Remove the units of all types
    #[arg(long, overrides_with = "clean")]
    pub clean: bool,
    /// With --clean: stop active instances first; refused while a service is attached
    #[arg(long, requires = "clean", overrides_with = "now")]
    pub now: bool,
    /// Say what would be done, and do nothing
    #[arg(short = 'n', long, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Work on the image below DIR; systemd is not told
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub root: PathBuf,
}

pub(super) fn run(options: &UpdateArgs) -> Result<Status> {
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
    let _lock = if options.dry_run { None } else { Some(unit_files::lock(&paths)?) };
    let attached = if options.clean { attach::attached(&paths)? } else { Vec::new() };
    if !attached.is_empty() {
        // Not even in part: what they are bound to may require any of the others.
        for one in &attached {
            crate::print::warn(&format!("the units of all types stay: {}", one.advice()));
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
            crate::print::warn(&problem.message);
        }
        say("Nothing was changed: see the warnings.");
        return Ok(Status::Failed);
    }
    let templates = if options.clean { Vec::new() } else { unit_files::templates(&paths)? };
    if let (Some(systemctl), true, false) = (&systemctl, options.now, options.dry_run) {
        say("Stopping all instances...");
        systemctl.stop_all()?;
        loading = Some(systemctl.ask_for_loaded()?);
    }
    // By `--now --dry-run`, nothing would be left that holds a unit.
    let loaded = loading.map_or(Ok(Vec::new()), Loading::wait)?;

    let present = unit_files::present(&paths)?;
    let mut plan = unit_files::plan(&paths, &present, &listing.types, &templates, &loaded)?;
    plan.add_dropins(&paths, &present, &graph);
    plan.add_firewalls(&paths, &present, &plugin::firewalls(&paths, &listing.types));
    let complaints = listing.complaints.iter().chain(&plan.complaints);
    let mut whole = true;
    for complaint in complaints {
        crate::print::warn(complaint);
        whole = false;
    }
    if systemctl.is_some() {
        // It may be installed later: nothing is wrong with the drop-in.
        for problem in requires::not_found(&graph)? {
            crate::print::warn(&problem.message);
        }
    }
    // Not line by line: there may be thousands.
    #[allow(clippy::disallowed_methods)] // through `foreign`
    let mut said = BufWriter::new(stdout());
    let mut announce = |change: &unit_files::Change| print(&mut said, change);
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
        crate::print::warn(&format!("{error:#}; should this run be stopped, run `systemctl daemon-reload`"));
    }
    let outcome = plan.apply(&paths, &mut announce);
    drop(said);
    for error in &outcome.errors {
        crate::print::warn(&format!("{error:#}"));
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
fn print(stream: impl std::io::Write, change: &unit_files::Change) {
    let path = change.path.display().to_string();
    escape::print(stream, &format!("{} '{}'.", change.action, escape::line(&path)));
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
