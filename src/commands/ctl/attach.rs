//! `netnsctl attach` and `detach`: a service in a namespace, by a drop-in of its unit.

use anyhow::{Context, Result, bail, ensure};
use duct::cmd;

use crate::attach::{self, Attached, DropIn, Found, Properties, Unit};
use crate::cli::{Attach, Detach};
use crate::commands::{Status, say};
use crate::name::{Instance, NsName};
use crate::paths::Paths;
use crate::resolver::Mutable;
use crate::units::{self, Systemctl};
use crate::warn;

pub(super) fn attach(paths: &Paths, options: &Attach) -> Result<Status> {
    let namespace = attach::namespace(paths, &options.instances)?;
    for instance in &options.instances {
        let unit = paths.units.join(format!("netns-{}@.service", instance.nstype));
        ensure!(
            unit.exists(),
            "there is no {}: run `netns-update`, which writes the units of all types",
            unit.display()
        );
    }
    let systemd = systemd(paths)?;
    let (unit, properties) = loaded(&options.unit)?;
    if let Some(reason) = attach::shares(&unit, &properties) {
        bail!("cannot attach `{unit}`: {reason}");
    }
    let drop_in = DropIn::of(paths, &unit, &options.instances, &namespace);
    warn_of(paths, &unit, &properties, &namespace, &drop_in)?;
    if options.dry_run {
        say(drop_in.to_string().trim_end());
        return Ok(Status::Done);
    }
    let running = running(&unit)?;
    if !running.is_empty() && !options.now {
        ensure_bound_is_up(&unit, &options.instances)?;
    }
    let _lock = units::lock(paths)?;
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
    follow(&running, options.now)
}

pub(super) fn detach(paths: &Paths, options: &Detach) -> Result<Status> {
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
    let _lock = units::lock(paths)?;
    if !attach::detach(paths, &unit).with_context(|| format!("cannot detach `{unit}`"))? {
        return nothing(&unit);
    }
    systemd.daemon_reload()?;
    say(&format!("{unit} is detached"));
    follow(&running, options.now)
}

fn nothing(unit: &Unit) -> Result<Status> {
    bail!("`{unit}` is not attached: `netnsctl status` shows what is");
}

fn systemd(paths: &Paths) -> Result<Systemctl> {
    Systemctl::of(paths)
        .context("systemd does not run here: only its units can be attached; use `netnsctl run`")
}

/// A unit by its own name, which may be another than the one it was called by, and what systemd says of it.
fn loaded(unit: &Unit) -> Result<(Unit, Properties)> {
    let sample = unit.sample();
    let mut properties = Properties::of(&sample)?.pop().unwrap_or_default();
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
    unit: &Unit,
    properties: &Properties,
    namespace: &NsName,
    drop_in: &DropIn,
) -> Result<()> {
    let attached: Vec<Attached> = attach::attached(paths)?;
    let mut lines = attach::conflicts(unit, properties, namespace);
    if attached.iter().any(|one| one.unit == unit.as_ref() && one.namespace != *namespace) {
        // An earlier attach of ours, which this one replaces.
        lines.retain(|line| !line.contains("NetworkNamespacePath="));
    }
    lines.extend(attach::stranded(unit, properties, namespace, &attached));
    lines.extend(drop_in.gaps());
    if let (true, Mutable::File(file)) = (drop_in.has_resolver(), Mutable::of(paths)) {
        lines.push(format!(
            "when a program on the host replaces {file}, `{unit}` gets that resolver until it is restarted; `netnsctl check` \
             finds out; to be safe, keep the file in a directory of its own, and make /etc/resolv.conf a link to it, \
             as in `mkdir /etc/resolver && mv /etc/resolv.conf /etc/resolver/ && ln -s resolver/resolv.conf /etc/`",
            file = file.display()
        ));
    }
    for line in lines {
        warn(&line);
    }
    Ok(())
}

/// The units of that name that run.
fn running(unit: &Unit) -> Result<Vec<String>> {
    let runs = |one: &Properties| ["active", "activating", "reloading"].contains(&one.get("ActiveState"));
    let units = Properties::of(&unit.running())?;
    Ok(units.iter().filter(|one| runs(one)).map(|one| one.get("Id").to_owned()).collect())
}

/// What runs is stopped by systemd as soon as it reads that it is bound to something that is down.
fn ensure_bound_is_up(unit: &Unit, instances: &[Instance]) -> Result<()> {
    for instance in instances {
        let id = format!("netns-{instance}.service");
        let is_up = Properties::of(&id)?.iter().any(|one| one.get("ActiveState") == "active");
        ensure!(
            is_up,
            "cannot attach `{unit}`: it runs, and systemd would stop it at once, since `{instance}` is not up; \
             run `netnsctl up {instance}` first, or have it restarted by --now"
        );
    }
    Ok(())
}

/// Has what ran before follow, or says that it does not yet.
fn follow(running: &[String], now: bool) -> Result<Status> {
    if running.is_empty() {
        return Ok(Status::Done);
    }
    let names = running.join(" ");
    if now {
        let words = ["restart", "--"].into_iter().chain(running.iter().map(String::as_str));
        cmd("systemctl", words)
            .run()
            .with_context(|| format!("cannot restart {names}; see `systemctl status`"))?;
        say(&format!("{names} was restarted"));
    } else {
        say(&format!("{names} runs where it was until it is restarted: `systemctl restart {names}`"));
    }
    Ok(Status::Done)
}
