//! Attached services: whether each is where its drop-in puts it, and which resolver it really has. That is looked up in the
//! running process, since mounts in it may have gone by what the host did to the files below.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::Finding;
use crate::attach::bus::{self, Bus};
use crate::attach::{self, Attached, DropIn, Found, ServiceUnit};
use crate::name::{Instance, NsName};
use crate::netns::mounts;
use crate::netns::processes::{self, GroupMember};
use crate::netns::resolver::{self, Mutable};
use crate::netns::{self, Id};
use crate::paths::{GLOBAL_NETNS, Paths};
use crate::print::escape;
use crate::systemd::show::Properties;

/// A process that systemd has just started enters its namespace within this time.
const SETTLING: Duration = Duration::from_secs(1);

/// Files that are no longer than this are compared whole.
const LONGEST: u64 = 1 << 20;

/// All that is attached, or what is attached to the instances that are asked for.
pub(super) fn check(paths: &Paths, all: bool, meant: &dyn Fn(&Instance) -> bool) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let attached = attach::attached(paths)?;
    let managers = if attached.is_empty() { Vec::new() } else { bus::managers()? };
    for one in attached.iter().filter(|one| all || one.instances.iter().any(meant)) {
        let unit: ServiceUnit = one.unit.parse()?;
        findings.extend(stale(paths, &unit, one)?);
        findings.extend(too_long(paths, &unit, one));
        for properties in Properties::of_service(&unit.running())? {
            let id = properties.get("Id");
            if id != one.unit && attached.iter().any(|other| other.unit == id) {
                continue; // an instance with a drop-in of its own, which wins
            }
            findings.extend(super::bus::check(paths, &unit, one, &properties, &managers));
            findings.extend(
                running(paths, one, &properties)
                    .into_iter()
                    .map(|finding| finding.at(attach::place(paths, &unit).display().to_string())),
            );
        }
    }
    Ok(findings)
}

/// Whether the drop-in is what an attach would write now.
fn stale(paths: &Paths, unit: &ServiceUnit, one: &Attached) -> Result<Option<Finding>> {
    let Found::Ours(text) = attach::look(paths, unit)? else { return Ok(None) };
    let bus = Bus::of(&text);
    let planned = DropIn::of(paths, unit, &one.instances, &one.namespace).with_bus(bus).to_string();
    let words: Vec<String> = one.instances.iter().map(ToString::to_string).collect();
    Ok((text != planned).then(|| {
        Finding::warning(format!(
            "this is not what `netnsctl attach` would write now: an older version wrote it, or files of /etc/netns/{} or of \
             the host's resolver were added or removed",
            one.namespace
        ))
        .at(attach::place(paths, unit).display().to_string())
        .advice(format!("run `netnsctl attach {unit} {}{}` again, and restart it", words.join(" "), bus.option()))
    }))
}

/// Whether systemd ignores the dependency that stops the unit with its namespace.
fn too_long(paths: &Paths, unit: &ServiceUnit, one: &Attached) -> Option<Finding> {
    let error = one.namespace.mount_unit_fits().err()?;
    Some(
        Finding::error(format!("`{unit}` does not stop when its namespace is deleted: {error:#}"))
            .at(attach::place(paths, unit).display().to_string())
            .advice("attach it to a namespace with fewer hyphens in its name"),
    )
}

/// What is wrong with one unit, which may be an instance of a template that is attached.
fn running(paths: &Paths, one: &Attached, properties: &Properties) -> Vec<Finding> {
    let (unit, namespace) = (properties.get("Id"), &one.namespace);
    if properties.get("LoadState") != "loaded" {
        return vec![
            Finding::warning(format!("there is no unit `{unit}`"))
                .advice(format!("`netnsctl detach {}`", one.unit)),
        ];
    }
    let mut findings = Vec::new();
    let found = properties.get("NetworkNamespacePath");
    if found != format!("/run/netns/{namespace}") {
        findings.push(
            Finding::error(format!("`{unit}` does not belong into `{namespace}` by all of its files: NetworkNamespacePath={found}"))
                .advice(format!("`systemctl cat {unit}` shows which one says so; after a change, `systemctl daemon-reload`")),
        );
    }
    let others = properties.get("JoinsNamespaceOf");
    if !others.is_empty() {
        findings.push(
            Finding::error(format!("`{unit}` shares the namespaces of {others}, and may be in the network of that, or of the host"))
                .advice("take JoinsNamespaceOf= out of its files"),
        );
    }
    findings.extend(members(paths, namespace, properties));
    findings.extend(stored(namespace, properties));
    let Some(pid) = properties.main_pid() else { return findings };
    let restart = format!("`systemctl restart {unit}`");
    let there = Id::of(format!("/proc/{pid}/ns/net").as_ref());
    match (there, Id::of(&paths.namespace(namespace))) {
        (Ok(there), Ok(wanted)) if there == wanted => {}
        (Ok(_), _) => findings.push(
            Finding::error(format!(
                "`{unit}` (process {pid}) runs in another network namespace than `{namespace}`"
            ))
            .advice(restart.clone()),
        ),
        // It has just ended, or is not ours to look at.
        (Err(error), _) => {
            if error.kind() == io::ErrorKind::PermissionDenied {
                findings.push(
                    Finding::warning(format!("`{unit}` (process {pid}) may not be looked at"))
                        .advice("be root"),
                );
            }
            return findings;
        }
    }
    let whose = format!("`{unit}` (process {pid})");
    findings.extend(files(paths, namespace, &whose, pid, &restart));
    let open = doors(paths, namespace, &whose, pid, &restart);
    let own = attach::reopened(
        unit,
        properties,
        &resolver::side_doors(paths, namespace, false),
        "a resolver of the host",
    );
    findings.extend(if own.is_empty() { open } else { own.into_iter().map(Finding::error).collect() });
    findings
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
        let (found, renewal) = (attach::listed(&found), attach::renewal(properties));
        findings.push(match other {
            None => {
                Finding::error(format!("{found} of `{unit}`: in the host's network, not in `{namespace}`"))
                    .advice(renewal)
            }
            Some(other) => {
                Finding::warning(format!("{found} of `{unit}`: in namespace `{other}`, not in `{namespace}`"))
                    .advice(format!("unless the service enters it itself: {renewal}"))
            }
        });
    }
    let hidden =
        || processes::of_group(properties.get("ControlGroup")).into_iter().find(|member| member.hidden);
    if let (None, Some(member)) = (properties.main_pid(), hidden()) {
        let message = format!("{} of `{unit}` may not be looked at", attach::listed(&[member]));
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
        .advice(format!("if it ran before it was attached: {}", attach::release(unit)))
    })
}

/// The files of the namespace that the process does not have.
fn files(paths: &Paths, namespace: &NsName, whose: &str, pid: u32, restart: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in netns::files(paths, namespace) {
        let target = Path::new("/etc").join(file.file_name().unwrap_or_default());
        if !file.is_file() || target.symlink_metadata().is_err() {
            continue; // `stale` and `attach` speak of those
        }
        let wanted = File::open(&file).map_err(anyhow::Error::from).and_then(|file| read(&file));
        let found = open(pid, &target).and_then(|file| read(&file));
        match (wanted, found) {
            (Ok(wanted), Ok(found)) if wanted == found => {}
            (Ok(_), found) => {
                let has = found.ok().filter(|_| target == Path::new(resolver::RESOLV_CONF));
                let asks = has.map(|text| format!(": {}", nameservers(&text))).unwrap_or_default();
                let replaced = target == Path::new(resolver::RESOLV_CONF)
                    && matches!(Mutable::of(paths), Mutable::File(_));
                let why = if replaced {
                    ", each time that something on the host has replaced its own; netnsctl(8) has how to be safe, \"ATTACHED SERVICES\""
                } else {
                    ""
                };
                findings.push(
                    Finding::error(format!(
                        "{} of {whose} is not {}{asks}",
                        target.display(),
                        file.display()
                    ))
                    .advice(format!("{restart}{why}")),
                );
            }
            (Err(error), _) => findings.push(Finding::error(format!("{}: {error:#}", file.display()))),
        }
    }
    findings
}

/// The resolvers of the host that the process can still ask.
fn doors(paths: &Paths, namespace: &NsName, whose: &str, pid: u32, restart: &str) -> Vec<Finding> {
    let doors = resolver::side_doors(paths, namespace, false);
    let is_open = |socket: &&&str| {
        doors.iter().any(|door| Path::new(**socket).starts_with(door))
            && open(pid, Path::new(**socket)).is_ok()
    };
    let finding = |socket: &&str| {
        Finding::error(format!("{whose} can ask a resolver of the host, by {socket}")).advice(restart)
    };
    resolver::SOCKETS.iter().filter(is_open).map(finding).collect()
}

/// Commands of `netnsctl run` that have lost a file of their namespace, or can ask a resolver of the host.
pub(super) fn commands(paths: &Paths) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let processes = processes::by_namespace();
    for namespace in netns::names(paths)? {
        let Ok(id) = Id::of(&paths.namespace(&namespace)) else { continue };
        for one in processes.get(&id).into_iter().flatten().filter(|one| mounts::are_of(one.pid)) {
            let Ok(pid) = one.pid.try_into() else { continue };
            let whose = format!("process {pid} ({}) in `{namespace}`", escape::line(&one.name));
            let advice = "end it, then repeat `netnsctl run`";
            findings.extend(files(paths, &namespace, &whose, pid, advice));
            findings.extend(doors(paths, &namespace, &whose, pid, advice));
        }
    }
    Ok(findings)
}

/// Opens what a path is to a process; links are followed within its own root.
pub(super) fn open(pid: u32, path: &Path) -> Result<File> {
    let root = File::open(format!("/proc/{pid}/root"))?;
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let found = openat2(&root, path.strip_prefix("/").unwrap_or(path), how)?;
    Ok(File::from(found))
}

/// The content of a file that is open by its path alone, or to be read. What else a process may have put there, such as a pipe
/// that nobody writes to, is not waited for.
fn read(file: &File) -> Result<Vec<u8>> {
    ensure!(file.metadata()?.is_file(), "it is no regular file");
    let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).context("cannot read it")?;
    let mut content = Vec::new();
    again.take(LONGEST).read_to_end(&mut content).context("cannot read it")?;
    Ok(content)
}

/// Who is asked by a resolv.conf(5), for a message.
fn nameservers(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let servers: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("nameserver")?.split_whitespace().next()).collect();
    if servers.is_empty() {
        "it asks 127.0.0.1".to_owned()
    } else {
        format!("it asks {}", servers.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_asked_is_read_from_resolv_conf() {
        let text = b"# c\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 # x\nsearch a\n";
        assert_eq!(nameservers(text), "it asks 192.0.2.1, 2001:db8::1");
        assert_eq!(nameservers(b""), "it asks 127.0.0.1");
    }
}
