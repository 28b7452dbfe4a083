//! Attached services: whether each is where its drop-in puts it, and which resolver it really has. That is looked up in the
//! running process, since mounts in it may have gone by what the host did to the files below.

use std::collections::BTreeMap;
use std::io::{self};
use std::time::Duration;

use anyhow::Result;

use super::{Finding, view};
use crate::attach::bus::{self, Bus};
use crate::attach::{self, Attached, DropIn, DropInFile, ServiceUnit};
use crate::name::{Instance, NsName};
use crate::netns::processes::{self, GroupMember};
use crate::netns::resolver::{self};
use crate::netns::{self, Id};
use crate::paths::{GLOBAL_NETNS, Paths};
use crate::systemd::show::Properties;

/// A process that systemd has just started enters its namespace within this time.
const SETTLING: Duration = Duration::from_secs(1);

/// All that is attached, or what is attached to the instances that are asked for.
pub(super) fn check(paths: &Paths, all: bool, meant: &dyn Fn(&Instance) -> bool) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let attached = attach::attached(paths)?;
    let managers = if attached.is_empty() { Vec::new() } else { bus::managers()? };
    for one in attached.iter().filter(|one| all || one.instances.iter().any(meant)) {
        let unit: ServiceUnit = one.unit.parse()?;
        findings.extend(stale(paths, &unit, one)?);
        findings.extend(too_long(paths, &unit, one));
        for properties in Properties::of_service(&unit.pattern())? {
            let id = properties.get("Id");
            if id != one.unit && attached.iter().any(|other| other.unit == id) {
                continue; // an instance with a drop-in of its own, which wins
            }
            findings.extend(super::bus::check(paths, &unit, one, &properties, &managers));
            findings.extend(
                running(paths, one, &properties)
                    .into_iter()
                    .map(|finding| finding.at(attach::drop_in_path(paths, &unit).display().to_string())),
            );
        }
    }
    Ok(findings)
}

/// Whether the drop-in is what an attach would write now.
fn stale(paths: &Paths, unit: &ServiceUnit, one: &Attached) -> Result<Option<Finding>> {
    let DropInFile::Ours(text) = attach::read(paths, unit)? else { return Ok(None) };
    let bus = Bus::of(&text);
    let planned = DropIn::of(paths, unit, &one.instances, &one.namespace).with_bus(bus).to_string();
    let words: Vec<String> = one.instances.iter().map(ToString::to_string).collect();
    Ok((text != planned).then(|| {
        Finding::warning(format!(
            "this is not what `netnsctl attach` would write now: an older version wrote it, or files of /etc/netns/{} or of \
             the host's resolver were added or removed",
            one.namespace
        ))
        .at(attach::drop_in_path(paths, unit).display().to_string())
        .advice(format!("run `netnsctl attach {unit} {}{}` again, and restart it", words.join(" "), bus.option()))
    }))
}

/// Whether systemd ignores the dependency that stops the unit with its namespace.
fn too_long(paths: &Paths, unit: &ServiceUnit, one: &Attached) -> Option<Finding> {
    let error = one.namespace.mount_unit_fits().err()?;
    Some(
        Finding::error(format!("`{unit}` does not stop when its namespace is deleted: {error:#}"))
            .at(attach::drop_in_path(paths, unit).display().to_string())
            .advice("attach it to a namespace with fewer hyphens in its name"),
    )
}

/// What is wrong with one unit, which may be an instance of a template that is attached.
fn running(paths: &Paths, one: &Attached, properties: &Properties) -> Vec<Finding> {
    let (unit, namespace) = (properties.get("Id"), &one.namespace);
    if properties.get("LoadState") != "loaded" {
        return vec![
            Finding::warning(attach::missing_unit(unit)).advice(format!("`netnsctl detach {}`", one.unit)),
        ];
    }
    let mut findings = settings(unit, namespace, properties);
    findings.extend(members(paths, namespace, properties));
    findings.extend(stored(namespace, properties));
    let Some(pid) = properties.main_pid() else { return findings };
    let restart = format!("`systemctl restart {unit}`");
    match network(paths, namespace, unit, pid, &restart) {
        Network::Wanted => {}
        Network::Other(finding) => findings.push(finding),
        Network::Unknown(finding) => {
            findings.extend(finding);
            return findings;
        }
    }
    let whose = format!("`{unit}` (process {pid})");
    findings.extend(view::files(paths, namespace, &whose, pid, &restart));
    let open = view::open_resolver_sockets(paths, namespace, &whose, pid, &restart);
    let own = attach::exposing_mounts(
        unit,
        properties,
        &resolver::resolver_directories(paths, namespace, false),
        "a resolver of the host",
    );
    findings.extend(if own.is_empty() { open } else { own.into_iter().map(Finding::error).collect() });
    findings
}

/// Settings of its files by which the unit would not be in the namespace.
fn settings(unit: &str, namespace: &NsName, properties: &Properties) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(problem) = attach::overridden_namespace(unit, namespace, properties) {
        findings.push(Finding::error(problem).advice(format!(
            "`systemctl cat {unit}` shows the files; run `systemctl daemon-reload` after a change"
        )));
    }
    findings.extend(attach::joined_namespaces(unit, properties).map(Finding::error));
    findings
}

/// The network of a main process.
enum Network {
    Wanted,
    Other(Finding),
    /// It has just ended, or is not ours to look at.
    Unknown(Option<Finding>),
}

fn network(paths: &Paths, namespace: &NsName, unit: &str, pid: u32, restart: &str) -> Network {
    let there = Id::of(format!("/proc/{pid}/ns/net").as_ref());
    match (there, Id::of(&paths.namespace(namespace))) {
        (Ok(there), Ok(wanted)) if there == wanted => Network::Wanted,
        (Ok(_), _) => {
            let message =
                format!("`{unit}` (process {pid}) runs in another network namespace than `{namespace}`");
            Network::Other(Finding::error(message).advice(restart))
        }
        (Err(error), _) if error.kind() == io::ErrorKind::PermissionDenied => {
            let message = format!("`{unit}` (process {pid}) may not be looked at");
            Network::Unknown(Some(Finding::warning(message).advice("be root")))
        }
        (Err(_), _) => Network::Unknown(None),
    }
}

/// Processes of a unit with a thread in the host's network or in another namespace with a name. One without a name is a sandbox
/// that the process has made itself.
fn members(paths: &Paths, namespace: &NsName, properties: &Properties) -> Vec<Finding> {
    let unit = properties.id();
    let wanted = Id::of(&paths.namespace(namespace)).ok();
    let mut networks: BTreeMap<Id, Option<NsName>> = BTreeMap::new();
    for other in netns::names(paths).unwrap_or_default() {
        if let Ok(id) = Id::of(&paths.namespace(&other)) {
            networks.entry(id).or_insert(Some(other));
        }
    }
    networks.extend(Id::of(GLOBAL_NETNS.as_ref()).map(|host| (host, None)));
    networks.retain(|id, _| Some(*id) != wanted);
    let mut astray = attach::members_in(properties, SETTLING, &|id| networks.contains_key(&id));
    // `running` reports where the main process is, but not its other threads.
    let main = properties.main_pid().and_then(|pid| i32::try_from(pid).ok());
    for member in astray.iter_mut().filter(|member| Some(member.pid) == main) {
        if let Ok(reported) = Id::of(format!("/proc/{}/ns/net", member.pid).as_ref()) {
            member.namespaces.remove(&reported);
        }
    }
    let mut findings = Vec::new();
    for (id, other) in networks {
        let found: Vec<GroupMember> =
            astray.iter().filter(|member| member.namespaces.contains(&id)).cloned().collect();
        if found.is_empty() {
            continue;
        }
        let problem = |network: &str| {
            attach::misplaced_processes(&found, unit, &format!("in {network}, not in `{namespace}`"))
        };
        let restart = attach::restart_commands(properties);
        findings.push(match other {
            None => Finding::error(problem("the host's network")).advice(restart),
            Some(other) => Finding::warning(problem(&format!("namespace `{other}`")))
                .advice(format!("unless the service enters it itself: {restart}")),
        });
    }
    let hidden =
        || processes::of_group(properties.get("ControlGroup")).into_iter().find(|member| member.hidden);
    if let (None, Some(member)) = (properties.main_pid(), hidden()) {
        let message = format!("{} of `{unit}` may not be looked at", attach::list_processes(&[member]));
        findings.push(Finding::warning(message).advice("be root"));
    }
    findings
}

/// Descriptors that systemd stores for a unit. It does not tell in which network a socket among them is.
fn stored(namespace: &NsName, properties: &Properties) -> Option<Finding> {
    let (unit, number) = (properties.id(), properties.get("NFileDescriptorStore"));
    (!["", "0"].contains(&number)).then(|| {
        Finding::warning(format!(
            "systemd stores {number} descriptors for `{unit}`, and sockets among them may be in another network than `{namespace}`"
        ))
        .advice(format!("if it ran before it was attached: {}", attach::release_commands(unit)))
    })
}
