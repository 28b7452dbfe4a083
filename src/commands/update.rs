//! `netns-update`: one pair of units for each type, and a drop-in for each instance that requires something.

use std::fs;
use std::io::{BufWriter, Stdout, Write, stdout};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use nix::unistd::geteuid;

use crate::exit::Status;
use crate::paths::Paths;
use crate::print::{escape, say, warn};
use crate::systemd::unit_files::{self, Action, Applied, Change, Plan};
use crate::update::{self, Machine, Scope, plan};

/// Keeps one pair of systemd units for each namespace type.
///
/// A type is a plugin, TYPE.sh, in /etc/conf.d/netns or /usr/share/systemd-netns. For each there is a copy of the
/// template units netns@.service and netns_outside@.service in /etc/systemd/system. Copies whose type is gone are removed
/// unless one of their instances is active. Run it after a plugin was added, removed or upgraded.
#[derive(Debug, Parser)]
#[command(name = "netns-update", version)]
#[allow(clippy::struct_excessive_bools)] // each is an option of its own
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
    let paths = may_change(options)?;
    let _lock = if options.dry_run { None } else { Some(unit_files::lock(&paths)?) };
    let scope = if options.clean { Scope::Clean } else { Scope::All };
    if scope == Scope::All {
        say(&format!("Processing configuration files in '{}'...", paths.conf.display()));
    }
    let mut machine = Machine::read(&paths, scope, options.now)?;
    if !warn_of(machine.refusals()) {
        say("Nothing was changed: see the warnings.");
        return Ok(Status::Failed);
    }
    if options.now && !options.dry_run && machine.systemctl.is_some() {
        say("Stopping all instances...");
        machine.stop_all()?;
    }
    let loaded = machine.loaded()?;
    let plan = plan(&paths, &machine.listing.types, &machine.templates, &machine.graph, &loaded)?;
    let mut whole = warn_of(machine.listing.complaints.iter().chain(&plan.complaints));
    warn_of(&machine.unknown_units()?);
    if options.dry_run {
        announce(plan.to_do());
        say(&format!("{}\nDry run, nothing was changed.", summary(&plan)));
        return Ok(status(whole));
    }
    let pending = update::reload_pending(&machine);
    let applied = carry_out(&machine, &plan);
    whole &= warn_of(applied.errors.iter().map(|error| format!("{error:#}")));
    let reload = options.daemon_reload || pending || applied.changed > 0;
    update::reload(&machine, &loaded, reload, say)?;
    say(&summary(&plan));
    say(if whole { "Update successful." } else { "Update incomplete: see the warnings." });
    Ok(status(whole))
}

/// The places of the machine, or of the image, that may be changed.
fn may_change(options: &UpdateArgs) -> Result<Paths> {
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
    Ok(paths)
}

/// Prints warnings; returns whether there are none.
fn warn_of(lines: impl IntoIterator<Item: AsRef<str>>) -> bool {
    let mut none = true;
    for line in lines {
        warn(line.as_ref());
        none = false;
    }
    none
}

/// Carries the plan out, and prints each change before it is made.
fn carry_out(machine: &Machine, plan: &Plan) -> Applied {
    let mut said = buffered();
    update::apply(machine, plan, |change| print(&mut said, change))
}

fn announce<'a>(changes: impl Iterator<Item = &'a Change<'a>>) {
    let mut said = buffered();
    changes.for_each(|change| print(&mut said, change));
}

/// Not line by line: there may be thousands.
#[allow(clippy::disallowed_methods)] // escaped by `print`
fn buffered() -> BufWriter<Stdout> {
    BufWriter::new(stdout())
}

/// Prints a change, on one line.
fn print(stream: impl Write, change: &Change) {
    let path = change.path.display().to_string();
    escape::print(stream, &format!("{} '{}'.", change.action, escape::line(&path)));
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
