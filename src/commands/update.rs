//! `netns-update`: updates the unit pairs of the types, and the drop-ins of requirements.

use std::fs;
use std::io::{BufWriter, Stdout, Write, stdout};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use nix::unistd::geteuid;

use crate::exit::Status;
use crate::name::Instance;
use crate::paths::Paths;
use crate::print::{escape, say, warn};
use crate::systemd::systemctl::Systemctl;
use crate::systemd::unit_files::{self, Action, Applied, Change, Plan};
use crate::update::{self, Machine, Scope, plan};

/// Update the systemd units of all namespace types.
///
/// A type is a plugin, TYPE.sh, in /etc/conf.d/netns or /usr/share/systemd-netns. Each type has a copy of the template units
/// netns@.service and netns_outside@.service in /etc/systemd/system. The copies of a deleted type are removed, unless an
/// instance is active. Run this command after a plugin was added, removed or upgraded, and after requirements were changed.
#[derive(Debug, Parser)]
#[command(name = "netns-update", version)]
#[allow(clippy::struct_excessive_bools)] // each is one option
pub struct UpdateArgs {
    /// Reload systemd even if no unit was changed
    #[arg(long, overrides_with = "daemon_reload")]
    pub daemon_reload: bool,
    /// Remove the units of all types
    #[arg(long, overrides_with = "clean")]
    pub clean: bool,
    /// With --clean: stop active instances first
    #[arg(long, requires = "clean", overrides_with = "now")]
    pub now: bool,
    /// Print the changes; change nothing
    #[arg(short = 'n', long, overrides_with = "dry_run")]
    pub dry_run: bool,
    /// Work on the image below DIR, without reloading systemd
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
    let Machine { listing, templates, graph, parents, .. } = &machine;
    let plan = plan(&paths, &listing.types, templates, graph, parents, &loaded)?;
    let invalid = machine.graph.problems.iter().map(|problem| &problem.message);
    let is_reported =
        |instance: &Instance| machine.graph.problems.iter().any(|one| one.instance == *instance);
    let unknown = machine.parents.unknown.iter().filter(|(instance, _)| !is_reported(instance));
    let invalid = invalid.chain(unknown.map(|(_, message)| message));
    let mut whole = warn_of(machine.listing.problems.iter().chain(invalid).chain(&plan.problems));
    warn_of(&machine.unknown_units()?);
    for unit in loaded.iter().filter(|unit| unit.has_failed()) {
        if unit.nstype().is_some_and(|nstype| plan.removes(nstype)) {
            say(&format!(
                "{unit}, and its unit files are removed, so its hooks cannot run any more; `netnsctl gc` lists leftovers"
            ));
        }
    }
    if options.dry_run {
        announce(plan.pending());
        say(&format!("{}\nDry run, nothing was changed.", summary(&plan)));
        return Ok(status(whole));
    }
    if scope == Scope::All && plan.pending().next().is_some() {
        machine.systemctl.as_ref().map_or(Ok(()), Systemctl::check_version)?;
    }
    let pending = update::reload_pending(&machine);
    let applied = carry_out(&machine, &plan);
    whole &= warn_of(applied.errors.iter().map(|error| format!("{error:#}")));
    let reload = options.daemon_reload || pending || applied.changed > 0;
    update::reload(&machine, &plan, &loaded, reload, say)?;
    say(&summary(&plan));
    say(if whole { "Update successful." } else { "Update incomplete: see the warnings." });
    Ok(status(whole))
}

/// The paths of the machine or of the image.
/// Errors: the root does not exist, permission denied, or the unit directory cannot be created.
fn may_change(options: &UpdateArgs) -> Result<Paths> {
    let root =
        options.root.canonicalize().with_context(|| format!("cannot find {}", options.root.display()))?;
    let paths = Paths::under(&root);
    ensure!(
        !paths.is_live() || options.dry_run || geteuid().is_root(),
        "permission denied: only root can change the units of systemd; use sudo, or --dry-run to print the changes"
    );
    if !paths.is_live() && !options.dry_run && !options.clean {
        // The directory may be missing in an image.
        fs::create_dir_all(&paths.units)
            .with_context(|| format!("cannot create {}", paths.units.display()))?;
    }
    Ok(paths)
}

/// Prints warnings. Returns true if there are none.
fn warn_of(lines: impl IntoIterator<Item: AsRef<str>>) -> bool {
    let mut none = true;
    for line in lines {
        warn(line.as_ref());
        none = false;
    }
    none
}

/// Applies the plan. Prints each change before applying it.
fn carry_out(machine: &Machine, plan: &Plan) -> Applied {
    let mut said = buffered();
    update::apply(machine, plan, |change| print(&mut said, change))
}

fn announce<'a>(changes: impl Iterator<Item = &'a Change<'a>>) {
    let mut said = buffered();
    changes.for_each(|change| print(&mut said, change));
}

/// A buffered stdout: there may be thousands of lines.
#[allow(clippy::disallowed_methods)] // escaped by `print`
fn buffered() -> BufWriter<Stdout> {
    BufWriter::new(stdout())
}

/// Prints a change on one line.
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
