//! `netnsctl attach` and `detach`: puts a service or socket into a namespace with a drop-in of its unit, or takes it out.

use anyhow::{Context, Result, ensure};
use clap::Args;
use clap_complete::ArgValueCandidates;

use super::candidates;
use crate::attach::bus::Bus;
use crate::attach::{self, Attachment, Detachment, Follow, ServiceUnit};
use crate::engine;
use crate::exit::Status;
use crate::lifecycle::{self, loopback};
use crate::name::{Instance, NsName, Target};
use crate::paths::Paths;
use crate::print::{say, warn};

/// The arguments of `attach`.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// A service, a socket (x.socket), or a template (x@), which means all its instances
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(candidates::units))]
    pub unit: ServiceUnit,
    /// Required instances, all on one namespace; NAME means every type that is configured or up
    #[arg(value_name = "TYPE@NAME | NAME", required = true, add = ArgValueCandidates::new(candidates::targets))]
    pub targets: Vec<Target>,
    /// Options for the system bus.
    #[command(flatten)]
    pub bus: BusArgs,
    /// Do not start the unit again when its namespace returns; by default an enabled unit starts
    #[arg(long)]
    pub no_follow: bool,
    /// Print the drop-in; change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Restart the unit if it is running; by default it moves at its next start
    #[arg(long, conflicts_with = "dry_run")]
    pub now: bool,
}

/// Whether a service can use the system bus of the host.
#[derive(Debug, Args)]
pub struct BusArgs {
    /// Hide the system bus of the host from the service
    #[arg(long, conflicts_with = "keep_bus")]
    hide_bus: bool,
    /// Let the service use the system bus, without a warning
    #[arg(long)]
    keep_bus: bool,
}

impl BusArgs {
    /// Returns the decision of the user.
    #[must_use]
    pub fn decision(&self) -> Bus {
        match (self.hide_bus, self.keep_bus) {
            (true, _) => Bus::Hidden,
            (_, true) => Bus::Kept,
            _ => Bus::Undecided,
        }
    }
}

/// The arguments of `detach`.
#[derive(Debug, Args)]
pub struct DetachArgs {
    /// The service or socket
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(candidates::attached))]
    pub unit: ServiceUnit,
    /// Print the path that would be removed; change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Restart the unit if it is running
    #[arg(long, conflicts_with = "dry_run")]
    pub now: bool,
}

pub(super) fn attach(paths: &Paths, options: &AttachArgs) -> Result<Status> {
    let instances = lifecycle::resolve(paths, &options.targets, lifecycle::configured_or_active)?;
    lifecycle::ensure_known(paths, &engine::active(paths)?, &instances)?;
    let follow = if options.no_follow { Follow::No } else { Follow::Yes };
    let attachment =
        Attachment::plan(paths, &options.unit, instances.clone(), options.bus.decision(), follow)?;
    for line in &attachment.warnings {
        warn(line);
    }
    if options.dry_run {
        say(attachment.drop_in.to_string().trim_end());
        return Ok(Status::Done);
    }
    let (unit, namespace) = (attachment.unit.clone(), attachment.namespace.clone());
    if options.now && attachment.is_running()? {
        // The restart stops the service, so the namespace must be up before.
        lifecycle::up_under_systemd(paths, &instances)
            .with_context(|| format!("`{unit}` still runs, and is not attached"))?;
    }
    let asks_the_host = attachment.drop_in.uses_host_resolver();
    let (changed, running) = attachment.write(options.now)?;
    let what = if changed { "is attached to" } else { "was already attached to" };
    say(&format!("{unit} {what} {namespace}"));
    if asks_the_host {
        say(&advice(paths, &namespace)?);
    }
    if let Some(text) = loopback::missing(paths, &namespace, &instances) {
        say(&format!("namespace `{namespace}`: {text}"));
    }
    apply_to_running(&running.names, options.now, || running.restart())?;
    if options.now || running.names.is_empty() {
        let behind = running.remaining_processes()?;
        ensure!(behind.is_empty() || !options.now, "{}", behind.join("\n"));
        for line in &behind {
            warn(line);
        }
    }
    Ok(Status::Done)
}

pub(super) fn detach(paths: &Paths, options: &DetachArgs) -> Result<Status> {
    let detachment = Detachment::plan(paths, &options.unit)?;
    if options.dry_run {
        say(&format!("would remove {}", detachment.path()?));
        return Ok(Status::Done);
    }
    let unit = detachment.unit.clone();
    let running = detachment.remove(options.now)?;
    say(&format!("{unit} is detached"));
    apply_to_running(&running.names, options.now, || running.restart())?;
    if options.now {
        let behind = running.remaining_processes()?;
        ensure!(behind.is_empty(), "{}", behind.join("\n"));
    }
    Ok(Status::Done)
}

/// The hint for a service that uses the resolvers of the host.
fn advice(paths: &Paths, namespace: &NsName) -> Result<String> {
    let alternatives: Vec<String> = attach::resolver_instances(paths, namespace)?
        .iter()
        .map(|one: &Instance| format!("add {one}, or "))
        .collect();
    Ok(format!(
        "hint: the service resolves names with the resolvers of the host; {}create /etc/netns/{namespace}/resolv.conf, then run \
         this command again",
        alternatives.concat()
    ))
}

/// Restarts the units that are running, or reports that they keep their network until a restart.
fn apply_to_running(running: &[String], now: bool, restart: impl FnOnce() -> Result<()>) -> Result<()> {
    let names = running.join(" ");
    if !running.is_empty() && now {
        restart()?;
        say(&format!("{names} was restarted"));
    } else if !running.is_empty() {
        say(&format!("{names} keeps its network until the next restart: `systemctl restart {names}`"));
    }
    Ok(())
}
