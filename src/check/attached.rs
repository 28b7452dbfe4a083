//! Checks the network and the resolver of attached services. The check reads the running process: a change of the host's files can
//! remove a mount in the process.

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
const START_TIMEOUT: Duration = Duration::from_secs(1);

/// Checks all attached units, or the units attached to the wanted instances.
pub(super) fn check(paths: &Paths, all: bool, is_wanted: &dyn Fn(&Instance) -> bool) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let attached = attach::attached(paths)?;
    let managers = if attached.is_empty() { Vec::new() } else { bus::managers()? };
    for one in attached.iter().filter(|one| all || one.instances.iter().any(is_wanted)) {
        let unit: ServiceUnit = one.unit.parse()?;
        findings.extend(stale(paths, &unit, one)?);
        findings.extend(too_long(paths, &unit, one));
        let circular = attach::circular_dependency(paths, &unit, &one.instances)?;
        let place = attach::drop_in_path(paths, &unit).display().to_string();
        findings.extend(circular.map(|problem| Finding::error(problem).at(place)));
        for properties in Properties::of_service(&unit.pattern())? {
            let id = properties.get("Id");
            if id != one.unit && attached.iter().any(|other| other.unit == id) {
                continue; // an instance with its own drop-in, which overrides the one of the template
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

/// Reports a stale drop-in: `attach` would now write a different text.
fn stale(paths: &Paths, unit: &ServiceUnit, one: &Attached) -> Result<Option<Finding>> {
    let DropInFile::Ours(text) = attach::read(paths, unit)? else { return Ok(None) };
    let bus = Bus::of(&text);
    let planned = DropIn::of(paths, unit, &one.instances, &one.namespace).with_bus(bus);
    let follow = one.follow.unwrap_or_default();
    let planned = planned.with_follow(follow).to_string();
    let instances: Vec<String> = one.instances.iter().map(ToString::to_string).collect();
    Ok((text != planned).then(|| {
        Finding::warning(format!(
            "this drop-in is stale: an older version wrote it, or files of /etc/netns/{} or of the host's resolver were added or \
             removed",
            one.namespace
        ))
        .at(attach::drop_in_path(paths, unit).display().to_string())
        .advice(format!("run `netnsctl attach {unit} {}{}{}`, then restart the unit", instances.join(" "), bus.option(), follow.option()))
    }))
}

/// Reports a namespace name that is too long for a mount unit: the unit then does not stop with the namespace.
fn too_long(paths: &Paths, unit: &ServiceUnit, one: &Attached) -> Option<Finding> {
    let error = one.namespace.check_mount_unit_length().err()?;
    Some(
        Finding::error(format!("`{unit}` does not stop when its namespace is deleted: {error:#}"))
            .at(attach::drop_in_path(paths, unit).display().to_string())
            .advice("attach it to a namespace with fewer hyphens in its name"),
    )
}

/// Checks one unit, which may be an instance of an attached template.
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

/// Reports settings of other unit files that keep the unit, or its network, out of the namespace.
fn settings(unit: &str, namespace: &NsName, properties: &Properties) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(problem) = attach::overridden_namespace(unit, namespace, properties) {
        findings.push(Finding::error(problem).advice(format!(
            "`systemctl cat {unit}` shows the files; run `systemctl daemon-reload` after a change"
        )));
    }
    findings.extend(attach::joined_namespaces(unit, properties).map(Finding::error));
    findings
        .extend(attach::defeating_settings(unit, namespace, properties).into_iter().map(Finding::warning));
    findings
}

/// The network namespace of a main process.
enum Network {
    Wanted,
    Other(Finding),
    /// The process has just exited, or permission was denied.
    Unknown(Option<Finding>),
}

fn network(paths: &Paths, namespace: &NsName, unit: &str, pid: u32, restart: &str) -> Network {
    let own = Id::of(format!("/proc/{pid}/ns/net").as_ref());
    match (own, Id::of(&paths.namespace(namespace))) {
        (Ok(own), Ok(wanted)) if own == wanted => Network::Wanted,
        (Ok(_), _) => {
            let message =
                format!("`{unit}` (process {pid}) runs in another network namespace than `{namespace}`");
            Network::Other(Finding::error(message).advice(restart))
        }
        (Err(error), _) if error.kind() == io::ErrorKind::PermissionDenied => {
            let message = format!("cannot check `{unit}` (process {pid}): permission denied");
            Network::Unknown(Some(Finding::warning(message).advice("run this as root")))
        }
        (Err(_), _) => Network::Unknown(None),
    }
}

/// Reports processes with a thread in the host's network or in another named namespace. Namespaces without a name are sandboxes
/// of the processes.
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
    let mut elsewhere = attach::members_in(properties, START_TIMEOUT, &|id| networks.contains_key(&id));
    // `running` has reported the first thread of the main process.
    let main = properties.main_pid().and_then(|pid| i32::try_from(pid).ok());
    for member in elsewhere.iter_mut().filter(|member| Some(member.pid) == main) {
        if let Ok(reported) = Id::of(format!("/proc/{}/ns/net", member.pid).as_ref()) {
            member.namespaces.remove(&reported);
        }
    }
    let mut findings = Vec::new();
    for (id, other) in networks {
        let found: Vec<GroupMember> =
            elsewhere.iter().filter(|member| member.namespaces.contains(&id)).cloned().collect();
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
                .advice(format!("if the service did not enter that namespace itself: {restart}")),
        });
    }
    let hidden =
        || processes::of_group(properties.get("ControlGroup")).into_iter().find(|member| member.hidden);
    if let (None, Some(member)) = (properties.main_pid(), hidden()) {
        let message =
            format!("cannot check {} of `{unit}`: permission denied", attach::list_processes(&[member]));
        findings.push(Finding::warning(message).advice("run this as root"));
    }
    findings
}

/// Reports file descriptors that systemd stores for a unit. systemd does not show the network of a stored socket.
fn stored(namespace: &NsName, properties: &Properties) -> Option<Finding> {
    let (unit, number) = (properties.id(), properties.get("NFileDescriptorStore"));
    (!["", "0"].contains(&number)).then(|| {
        Finding::warning(format!(
            "systemd stores {number} file descriptors for `{unit}`; sockets among them can belong to another network than `{namespace}`"
        ))
        .advice(format!("if the service ran before it was attached: {}", attach::release_commands(unit)))
    })
}
