//! `netnsctl attach` and `detach`: a service in a namespace, by a drop-in of its unit.

use anyhow::{Result, ensure};
use clap::Args;
use clap_complete::ArgValueCandidates;

use super::candidates;
use crate::attach::bus::Bus;
use crate::attach::{self, Attachment, Detachment, ServiceUnit};
use crate::exit::Status;
use crate::lifecycle;
use crate::name::{Instance, NsName, Target};
use crate::paths::Paths;
use crate::print::{say, warn};

/// What `attach` takes.
#[derive(Debug, Args)]
pub struct AttachArgs {
    /// A service, a socket (x.socket), or a template (x@), which stands for all its instances
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(candidates::units))]
    pub unit: ServiceUnit,
    /// Instances that it needs, all on one namespace; NAME stands for every type that is configured
    #[arg(value_name = "TYPE@NAME | NAME", required = true, add = ArgValueCandidates::new(candidates::targets))]
    pub targets: Vec<Target>,
    /// Whether it has the bus.
    #[command(flatten)]
    pub bus: BusArgs,
    /// Print the drop-in, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Restart it if it is running; by default it stays where it is until that is done
    #[arg(long, conflicts_with = "dry_run")]
    pub now: bool,
}

/// Whether a service has the system bus of the host.
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
    /// The decision.
    #[must_use]
    pub fn decision(&self) -> Bus {
        match (self.hide_bus, self.keep_bus) {
            (true, _) => Bus::Hidden,
            (_, true) => Bus::Kept,
            _ => Bus::Undecided,
        }
    }
}

/// What `detach` takes.
#[derive(Debug, Args)]
pub struct DetachArgs {
    /// The service or socket
    #[arg(value_name = "UNIT", add = ArgValueCandidates::new(candidates::attached))]
    pub unit: ServiceUnit,
    /// Say what would be removed, and change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Restart it if it is running
    #[arg(long, conflicts_with = "dry_run")]
    pub now: bool,
}

pub(super) fn attach(paths: &Paths, options: &AttachArgs) -> Result<Status> {
    let instances = lifecycle::resolve(paths, &options.targets, lifecycle::configured)?;
    let attachment = Attachment::plan(paths, &options.unit, instances, options.bus.decision())?;
    for line in &attachment.warnings {
        warn(line);
    }
    if options.dry_run {
        say(attachment.drop_in.to_string().trim_end());
        return Ok(Status::Done);
    }
    let (unit, namespace) = (attachment.unit.clone(), attachment.namespace.clone());
    let asks_the_host = attachment.drop_in.uses_host_resolver();
    let (changed, running) = attachment.write(options.now)?;
    let what = if changed { "is attached to" } else { "was attached already to" };
    say(&format!("{unit} {what} {namespace}"));
    if asks_the_host {
        say(&advice(paths, &namespace)?);
    }
    follow(&running.names, options.now, || running.restart())?;
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
    follow(&running.names, options.now, || running.restart())?;
    if options.now {
        let behind = running.remaining_processes()?;
        ensure!(behind.is_empty(), "{}", behind.join("\n"));
    }
    Ok(Status::Done)
}

/// What to do about a service that asks the host's resolvers.
fn advice(paths: &Paths, namespace: &NsName) -> Result<String> {
    let named: Vec<String> = attach::resolver_instances(paths, namespace)?
        .iter()
        .map(|one: &Instance| format!("name {one} as well, or "))
        .collect();
    Ok(format!(
        "it asks the host's resolvers for names: {}write /etc/netns/{namespace}/resolv.conf, and run this again",
        named.concat()
    ))
}

/// Has what ran before follow, or says that it does not yet.
fn follow(running: &[String], now: bool, restart: impl FnOnce() -> Result<()>) -> Result<()> {
    let names = running.join(" ");
    if !running.is_empty() && now {
        restart()?;
        say(&format!("{names} was restarted"));
    } else if !running.is_empty() {
        say(&format!("{names} runs where it was until it is restarted: `systemctl restart {names}`"));
    }
    Ok(())
}
