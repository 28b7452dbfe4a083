//! `netnsctl attach` and `detach`: a service in a namespace, by a drop-in of its unit.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::candidates;
use crate::attach::bus::{self, Bus};
use crate::attach::{self, Attached, DropIn, Found, ServiceUnit};
use crate::engine::{self, Active, EngineKind};
use crate::exit::Status;
use crate::firewall;
use crate::lifecycle;
use crate::name::Target;
use crate::name::{Instance, NsName, UnitName};
use crate::netns::Id;
use crate::netns::resolver::Mutable;
use crate::paths::{GLOBAL_NETNS, Paths};
use crate::print::say;
use crate::print::warn;
use crate::systemd::cycles;
use crate::systemd::journal;
use crate::systemd::show::Properties;
use crate::systemd::systemctl::Systemctl;
use crate::systemd::unit_files;
use clap::Args;
use clap_complete::ArgValueCandidates;

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

/// Processes that systemd has started enter the namespace within this time.
const SETTLING: Duration = Duration::from_secs(5);

pub(super) fn attach(paths: &Paths, options: &AttachArgs) -> Result<Status> {
    let instances = lifecycle::resolve(paths, &options.targets, lifecycle::configured)?;
    let namespace = attach::namespace(paths, &instances)?;
    namespace.mount_unit_fits()?;
    for instance in &instances {
        let unit = paths.units.join(UnitName::InsideTemplate(instance.nstype.clone()).to_string());
        ensure!(
            unit.exists(),
            "there is no {}: run `netns-update`, which writes the units of all types",
            unit.display()
        );
    }
    let systemd = systemd(paths)?;
    ensure_no_direct(paths, &instances)?;
    let (unit, properties) = loaded(&options.unit)?;
    ensure!(
        properties.get("Transient") != "yes",
        "`{unit}` was made by systemd-run and goes when it ends: give that --property=NetworkNamespacePath=/run/netns/{namespace}"
    );
    if let Some(reason) = attach::shares(&unit, &properties) {
        bail!("cannot attach `{unit}`: {reason}");
    }
    let bus = options.bus.decision();
    bus.fits(&unit, &properties)?;
    let drop_in = DropIn::of(paths, &unit, &instances, &namespace).with_bus(bus);
    warn_of(paths, &unit, &properties, (&instances, &namespace), &drop_in)?;
    warn_of_cycles(&unit, &drop_in)?;
    warn_of_bus(paths, &unit, &properties, &namespace, bus)?;
    if options.dry_run {
        say(drop_in.to_string().trim_end());
        return Ok(Status::Done);
    }
    let running = running(&unit)?;
    if !running.is_empty() && !options.now {
        ensure_bound_is_up(&unit, &instances)?;
    }
    let _lock = unit_files::lock(paths)?;
    let changed =
        attach::attach(paths, &unit, &drop_in).with_context(|| format!("cannot attach `{unit}`"))?;
    systemd.daemon_reload()?;
    // Drop-ins whose names sort behind ours, such as those of `systemctl edit`, win.
    let (_, now) = loaded(&unit)?;
    let (wanted, found) = (format!("/run/netns/{namespace}"), now.get("NetworkNamespacePath"));
    ensure!(
        found == wanted,
        "`{unit}` is not in `{namespace}`: a file that is read later sets NetworkNamespacePath={found}; \
         `systemctl cat {unit}` shows which: take that line out, and run this again"
    );
    say(&format!(
        "{unit} {} {namespace}",
        if changed { "is attached to" } else { "was attached already to" }
    ));
    if drop_in.asks_the_host() {
        say(&format!(
            "it asks the host's resolvers for names: name dns@{namespace} as well, or write /etc/netns/{namespace}/resolv.conf, \
             and run this again"
        ));
    }
    follow(&systemd, &running, options.now)?;
    if options.now || running.is_empty() {
        let attached = attach::attached(paths)?;
        let left = Left::host().map_or(Ok(Vec::new()), |host| host.behind(&unit, &attached))?;
        ensure!(left.is_empty() || !options.now, "{}", left.join("\n"));
        for line in left {
            warn(&line);
        }
    }
    Ok(Status::Done)
}

pub(super) fn detach(paths: &Paths, options: &DetachArgs) -> Result<Status> {
    let systemd = systemd(paths)?;
    // One whose own file is gone may still have our drop-in.
    let unit = loaded(&options.unit).map_or_else(|_| options.unit.clone(), |(unit, _)| unit);
    if options.dry_run {
        return match attach::look(paths, &unit)? {
            Found::Ours(_) => {
                say(&format!("would remove {}", attach::place(paths, &unit).display()));
                Ok(Status::Done)
            }
            _ => nothing(&unit),
        };
    }
    let running = running(&unit)?;
    let attached = attach::attached(paths)?;
    if !options.now {
        ensure_outside(paths, &unit, &attached)?;
    }
    let namespace = Left::namespace(paths, &unit, &attached);
    let _lock = unit_files::lock(paths)?;
    if !attach::detach(paths, &unit).with_context(|| format!("cannot detach `{unit}`"))? {
        return nothing(&unit);
    }
    systemd.daemon_reload()?;
    say(&format!("{unit} is detached"));
    follow(&systemd, &running, options.now)?;
    if options.now {
        let left = namespace.map_or(Ok(Vec::new()), |namespace| namespace.behind(&unit, &attached))?;
        ensure!(left.is_empty(), "{}", left.join("\n"));
    }
    Ok(Status::Done)
}

fn nothing(unit: &ServiceUnit) -> Result<Status> {
    bail!("`{unit}` is not attached: `netnsctl status` shows what is");
}

fn systemd(paths: &Paths) -> Result<Systemctl> {
    Systemctl::of(paths)
        .context("systemd does not run here: only its units can be attached; use `netnsctl run`")
}

/// A unit by its own name, which may be another than the one it was called by, and what systemd says of it.
fn loaded(unit: &ServiceUnit) -> Result<(ServiceUnit, Properties)> {
    let sample = unit.sample();
    let mut properties = Properties::of_service(&sample)?.pop().unwrap_or_default();
    properties.ask_half(unit)?;
    match properties.get("LoadState") {
        "loaded" => {}
        "masked" => bail!("`{unit}` is masked: `systemctl unmask {unit}` first"),
        "not-found" => {
            bail!("there is no unit `{unit}`: `systemctl list-unit-files` lists those that there are")
        }
        state => bail!("systemd cannot load `{unit}` ({state}): see `systemctl status {sample}`"),
    }
    let id = properties.get("Id");
    let own = if id == sample { unit.clone() } else { unit.known_as(id)? };
    Ok((own, properties))
}

/// What will not be as one might expect.
fn warn_of(
    paths: &Paths,
    unit: &ServiceUnit,
    properties: &Properties,
    (instances, namespace): (&[Instance], &NsName),
    drop_in: &DropIn,
) -> Result<()> {
    let attached: Vec<Attached> = attach::attached(paths)?;
    let mut lines = attach::conflicts(unit, properties, namespace);
    let template = unit.template();
    let is_own = |one: &&Attached| one.unit == unit.as_ref() || Some(&one.unit) == template.as_ref();
    // What an earlier attach of ours has written, which this one replaces, or one of its template, which this one wins over.
    for one in attached.iter().filter(is_own).filter(|one| one.namespace != *namespace) {
        let files = format!("=/etc/netns/{}/", one.namespace);
        let place = format!("NetworkNamespacePath=/run/netns/{}", one.namespace);
        lines.retain(|line| !line.ends_with(&place) && !line.contains(&files));
    }
    lines.extend(attach::stranded(unit, properties, namespace, &attached));
    lines.extend(attach::reopened(unit.as_ref(), properties, drop_in.doors(), "a resolver of the host"));
    lines.extend(drop_in.gaps());
    for firewall in firewall::configured(paths, namespace)? {
        if !instances.contains(&firewall) {
            lines.push(format!(
                "the firewall `{firewall}` is configured, but `{unit}` starts without it: name it, too, or name `{namespace}`"
            ));
        }
    }
    let before = attached.iter().filter(|one| one.unit == unit.as_ref()).flat_map(|one| &one.instances);
    let dropped: Vec<String> = before
        .filter(|instance| !instances.contains(instance))
        .map(|instance| format!("`{instance}`"))
        .collect();
    if !dropped.is_empty() {
        lines.push(format!(
            "`{unit}` was attached to {} before, and does not need that any more",
            dropped.join(", ")
        ));
    }
    if drop_in.has_resolver() {
        lines.extend(Mutable::of(paths).warning(&format!("`{unit}`")));
    }
    for line in lines {
        warn(&line);
    }
    Ok(())
}

/// Warns of a service that has the system bus of the host.
fn warn_of_bus(
    paths: &Paths,
    unit: &ServiceUnit,
    properties: &Properties,
    namespace: &NsName,
    bus: Bus,
) -> Result<()> {
    let template: Option<ServiceUnit> = unit.template().map(|template| template.parse()).transpose()?;
    let before = [Some(unit), template.as_ref()]
        .into_iter()
        .flatten()
        .map(|one| attach::bus_of(paths, one))
        .find(|before| *before != Bus::Undecided)
        .unwrap_or_default();
    if before == Bus::Hidden && bus != Bus::Hidden {
        warn(&format!(
            "`{unit}` was attached with --hide-bus before, and has the bus again: add --hide-bus to hide it"
        ));
    }
    match bus {
        Bus::Kept => {}
        Bus::Hidden => {
            let directory = [bus::DIRECTORY.into()];
            for line in attach::reopened(unit.as_ref(), properties, &directory, "the system bus of the host")
            {
                warn(&line);
            }
        }
        Bus::Undecided => {
            if let Some(risk) = bus::risk(unit.as_ref(), properties, namespace, &bus::managers()?, before) {
                warn(&format!(
                    "{risk}; add --hide-bus if it does not need the bus, or --keep-bus to accept that"
                ));
            }
        }
    }
    Ok(())
}

/// Warns of the ordering cycles that the unit is in once it has the drop-in.
fn warn_of_cycles(unit: &ServiceUnit, drop_in: &DropIn) -> Result<()> {
    let overlay = tempfile::tempdir().context("cannot create a temporary directory")?;
    let sample = unit.sample();
    let directory = overlay.path().join(format!("{unit}.d"));
    fs::create_dir(&directory)
        .and_then(|()| fs::write(directory.join(attach::FILE), drop_in.to_string()))
        .with_context(|| format!("cannot write a copy of the drop-in to {}", directory.display()))?;
    for cycle in
        cycles::find([&sample], Some(overlay.path()))?.iter().filter(|cycle| cycle.has(|one| one == sample))
    {
        warn(&format!(
            "{cycle}; `systemctl cat {unit}` shows its files: remove an After= or Before= that causes it"
        ));
    }
    Ok(())
}

/// The units of that name that run.
fn running(unit: &ServiceUnit) -> Result<Vec<String>> {
    let units = Properties::of_service(&unit.running())?;
    Ok(units.iter().filter(|one| one.runs()).map(|one| one.get("Id").to_owned()).collect())
}

/// Units do not know of what the direct engine has up, and would fail to make the namespace.
fn ensure_no_direct(paths: &Paths, instances: &[Instance]) -> Result<()> {
    let active = engine::active(paths)?;
    let direct = |one: &&Active| one.engine == EngineKind::Direct && instances.contains(&one.instance);
    let Some(one) = active.iter().find(direct) else { return Ok(()) };
    let instance = &one.instance;
    bail!(
        "`{instance}` is up by the direct engine, of which systemd knows nothing: `netnsctl down {instance}`, then \
         `netnsctl up --engine systemd {instance}`, and run this again"
    )
}

/// The loaded units of that name. An instance of a template that has a drop-in of its own is not among them.
fn of_name(unit: &ServiceUnit, attached: &[Attached]) -> Result<Vec<Properties>> {
    let mut units = Properties::of_service(&unit.running())?;
    units.retain(|one| one.id() == unit.as_ref() || !attached.iter().any(|other| other.unit == one.id()));
    Ok(units)
}

/// What runs in the namespace would stay there, and not stop with it any more.
fn ensure_outside(paths: &Paths, unit: &ServiceUnit, attached: &[Attached]) -> Result<()> {
    let Some(one) = attached.iter().find(|one| one.unit == unit.as_ref()) else { return Ok(()) };
    let namespace = Id::of(&paths.namespace(&one.namespace)).ok();
    let host = Id::of(GLOBAL_NETNS.as_ref()).ok();
    let is_in = |pid: u32| Id::of(format!("/proc/{pid}/ns/net").as_ref()).ok() == namespace;
    for properties in of_name(unit, attached)? {
        let id = properties.id();
        ensure!(
            !properties.runs() || !properties.main_pid().is_none_or(is_in),
            "cannot detach `{unit}`: {id} runs in `{}`, and would go on there without stopping with it; `systemctl stop {id}` \
             first, or have it restarted outside by --now",
            one.namespace
        );
        // If the name is gone, any namespace but the host's may be it.
        let is_meant = |found: Id| namespace.map_or(Some(found) != host, |namespace| found == namespace);
        let left = attach::members_in(&properties, Duration::ZERO, &is_meant);
        ensure!(
            left.is_empty(),
            "cannot detach `{unit}`: {} of {id} would stay in `{}`, without stopping with it; `systemctl kill {id}` ends all \
             processes of the unit",
            attach::listed(&left),
            one.namespace
        );
    }
    Ok(())
}

/// A network that no process of a unit may be in any more, and its name.
struct Left {
    id: Id,
    name: String,
}

impl Left {
    fn host() -> Option<Self> {
        let id = Id::of(GLOBAL_NETNS.as_ref()).ok()?;
        Some(Self { id, name: "the host's network".to_owned() })
    }

    fn namespace(paths: &Paths, unit: &ServiceUnit, attached: &[Attached]) -> Option<Self> {
        let one = attached.iter().find(|one| one.unit == unit.as_ref())?;
        let id = Id::of(&paths.namespace(&one.namespace)).ok()?;
        Some(Self { id, name: format!("`{}`", one.namespace) })
    }

    /// The processes that are still there, a line for each unit.
    fn behind(&self, unit: &ServiceUnit, attached: &[Attached]) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for properties in of_name(unit, attached)? {
            let members = attach::members_in(&properties, SETTLING, &|id| id == self.id);
            if !members.is_empty() {
                lines.push(format!(
                    "{} of {} still in {}: {}",
                    attach::listed(&members),
                    properties.id(),
                    self.name,
                    attach::renewal(&properties)
                ));
            }
        }
        Ok(lines)
    }
}

/// What runs is stopped by systemd as soon as it reads that it is bound to something that is down.
fn ensure_bound_is_up(unit: &ServiceUnit, instances: &[Instance]) -> Result<()> {
    for instance in instances {
        let id = instance.unit();
        let is_up = Properties::of_service(&id)?.iter().any(|one| one.get("ActiveState") == "active");
        ensure!(
            is_up,
            "cannot attach `{unit}`: it runs, and systemd would stop it at once, since `{instance}` is not up; \
             run `netnsctl up {instance}` first, or have it restarted by --now"
        );
    }
    Ok(())
}

/// Has what ran before follow, or says that it does not yet.
fn follow(systemd: &Systemctl, running: &[String], now: bool) -> Result<()> {
    if running.is_empty() {
        return Ok(());
    }
    let names = running.join(" ");
    if now {
        systemd.change("restart", running);
        for name in running {
            let state = Properties::of_service(name)?.pop().unwrap_or_default().get("ActiveState").to_owned();
            ensure!(
                state == "active" || state == "activating",
                "{name} did not come up again, and is {state} now; the drop-ins are as they should be, so mend that, then \
                 `systemctl start {name}`{}",
                journal::of_unit(name)
            );
        }
        say(&format!("{names} was restarted"));
    } else {
        say(&format!("{names} runs where it was until it is restarted: `systemctl restart {names}`"));
    }
    Ok(())
}
