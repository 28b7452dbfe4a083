//! Processes: those in each network namespace, and those in a control group.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process;

use serde::Serialize;

use super::Id;
use crate::print::escape;
use crate::sys::process::all;

/// A process in a network namespace.
#[derive(Clone, Debug, Serialize)]
pub struct NamespaceProcess {
    /// The process ID.
    pub pid: i32,
    /// The name of the program, as `ps -o comm` shows it.
    pub name: String,
    /// The unit of the process, if systemd manages it.
    pub unit: Option<String>,
    /// Whether the process is in another namespace, and only has sockets in this one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sockets_only: bool,
}

impl NamespaceProcess {
    fn read(pid: i32, path: &Path, sockets_only: bool) -> Self {
        let comm = fs::read(path.join("comm")).unwrap_or_default();
        let name = escape::text(comm.strip_suffix(b"\n").unwrap_or(&comm));
        let groups = fs::read(path.join("cgroup")).ok();
        let unit = groups.and_then(|groups| unit(&escape::text(&groups)));
        Self { pid, name, unit, sockets_only }
    }
}

/// All readable processes, by namespace. Each thread of a process can be in another one (setns(2)).
#[must_use]
pub fn by_namespace() -> BTreeMap<Id, Vec<NamespaceProcess>> {
    let mut processes: BTreeMap<Id, Vec<NamespaceProcess>> = BTreeMap::new();
    for (pid, path) in all() {
        let namespaces = namespaces(&path).0;
        if namespaces.is_empty() {
            continue;
        }
        let process = NamespaceProcess::read(pid, &path, false);
        for namespace in namespaces {
            processes.entry(namespace).or_default().push(process.clone());
        }
    }
    for group in processes.values_mut() {
        group.sort_by_key(|process| process.pid);
    }
    processes
}

/// The network namespaces of the threads of a process, and whether permission to read one was denied.
fn namespaces(process: &Path) -> (BTreeSet<Id>, bool) {
    let (mut namespaces, mut hidden) = (BTreeSet::new(), false);
    for thread in fs::read_dir(process.join("task")).into_iter().flatten().flatten() {
        match Id::of(&thread.path().join("ns/net")) {
            Ok(id) => _ = namespaces.insert(id),
            Err(error) => hidden |= error.kind() == ErrorKind::PermissionDenied,
        }
    }
    (namespaces, hidden)
}

/// The files in `/proc/net` that list sockets, and the column of the inode; `None` for the last column (proc(5)).
const SOCKET_LISTS: [(&str, Option<usize>); 11] = [
    ("tcp", Some(9)),
    ("tcp6", Some(9)),
    ("udp", Some(9)),
    ("udp6", Some(9)),
    ("udplite", Some(9)),
    ("udplite6", Some(9)),
    ("raw", Some(9)),
    ("raw6", Some(9)),
    ("icmp", Some(9)),
    ("icmp6", Some(9)),
    ("packet", None),
];

/// The inodes of the IP and packet sockets in the namespace of this thread. A socket stays in the namespace in which it was
/// created, also if its process leaves the namespace.
#[must_use]
pub fn sockets() -> BTreeSet<u64> {
    let mut inodes = BTreeSet::new();
    if has_no_sockets() {
        return inodes;
    }
    for (list, column) in SOCKET_LISTS {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{list}")).unwrap_or_default();
        let inode = |line: &str| {
            let mut words = line.split_whitespace();
            let word = if let Some(column) = column { words.nth(column) } else { words.next_back() };
            word?.parse::<u64>().ok()
        };
        inodes.extend(text.lines().skip(1).filter_map(inode));
    }
    inodes.remove(&0); // a closed connection
    inodes
}

/// Whether the namespace of this thread has no socket of any process. The lists of sockets would need 4 ms: for those of TCP, each
/// read(2) visits the hash table of all namespaces. Before Linux 4.16 the number is that of all namespaces (`sock_inuse_get`).
fn has_no_sockets() -> bool {
    fs::read("/proc/thread-self/net/sockstat").is_ok_and(|text| text.starts_with(b"sockets: used 0\n"))
}

/// The processes that hold one of these sockets, except this process and systemd, which holds the sockets of its units.
#[must_use]
pub fn holders(sockets: &BTreeSet<u64>) -> Vec<NamespaceProcess> {
    if sockets.is_empty() {
        return Vec::new();
    }
    let is_own = |pid: i32| u32::try_from(pid).is_ok_and(|pid| pid == process::id());
    let is_foreign = |pid: i32, path: &Path| !is_own(pid) && (pid != 1 || !is_systemd(path));
    let holds = |path: &Path| socket_inodes(path).any(|inode| sockets.contains(&inode));
    let found = all().filter(|(pid, path)| is_foreign(*pid, path) && holds(path));
    let mut holders: Vec<_> = found.map(|(pid, path)| NamespaceProcess::read(pid, &path, true)).collect();
    holders.sort_by_key(|process| process.pid);
    holders
}

/// The processes that are outside of the namespace of this thread, and have sockets in it. `members` are the processes inside.
#[must_use]
pub fn outside_holders(members: &[NamespaceProcess]) -> Vec<NamespaceProcess> {
    let mut sockets = sockets();
    // Mostly the processes inside hold all sockets. Then the other processes are not examined.
    for member in members {
        for inode in socket_inodes(Path::new(&format!("/proc/{}", member.pid))) {
            sockets.remove(&inode);
        }
    }
    holders(&sockets)
}

/// The inodes of the sockets that a process has open: links of the form `socket:[INODE]`.
fn socket_inodes(process: &Path) -> impl Iterator<Item = u64> {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    })
}

fn is_systemd(process: &Path) -> bool {
    fs::read(process.join("comm")).is_ok_and(|name| name == b"systemd\n")
}

/// A process of a control group.
#[derive(Clone, Debug)]
pub struct GroupMember {
    /// The process ID.
    pub pid: i32,
    /// The name of the program, as `ps -o comm` shows it.
    pub name: String,
    /// The network namespaces of its threads: each thread can enter another one (setns(2)).
    pub namespaces: BTreeSet<Id>,
    /// Whether permission to read the namespaces was denied.
    pub hidden: bool,
}

/// The processes of a control group and of its subgroups. `group` is the path of the group from systemd (`ControlGroup`).
/// `/proc/PID/cgroup` has the same path in each layout of the hierarchies (cgroups(7)).
#[must_use]
pub fn of_group(group: &str) -> Vec<GroupMember> {
    if group.is_empty() || group == "/" {
        return Vec::new(); // a unit without processes has no group
    }
    let mut members = Vec::new();
    for (pid, path) in all() {
        if !fs::read_to_string(path.join("cgroup")).is_ok_and(|groups| is_in(&groups, group)) {
            continue;
        }
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default().trim_end().to_owned();
        // systemd starts its helper for PAMName= before it enters the namespace. The helper uses no network. A process of a
        // service can have the same name, but not the same program.
        if name == "(sd-pam)" && is_program_of_init(&path) {
            continue;
        }
        let (namespaces, hidden) = namespaces(&path);
        members.push(GroupMember { pid, name, namespaces, hidden });
    }
    members.sort_by_key(|member| member.pid);
    members
}

/// Whether a process runs the same program as PID 1.
fn is_program_of_init(process: &Path) -> bool {
    let program = |process: &Path| fs::metadata(process.join("exe")).map(|found| (found.dev(), found.ino()));
    matches!((program(process), program(Path::new("/proc/1"))), (Ok(one), Ok(init)) if one == init)
}

/// The unit of this process, if systemd has started it.
#[must_use]
pub fn own_unit() -> Option<String> {
    unit(&fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// Whether a process is in a group of systemd, or in a subgroup. `groups` are the lines of `/proc/PID/cgroup` (cgroups(7)).
fn is_in(groups: &str, group: &str) -> bool {
    systemd_paths(groups)
        .any(|path| path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// The paths in the hierarchies that systemd uses for units: the unified hierarchy, and `name=systemd` of cgroups version 1.
fn systemd_paths(groups: &str) -> impl Iterator<Item = &str> {
    let lines = groups.lines();
    lines.filter_map(|line| line.strip_prefix("0::").or_else(|| Some(line.split_once(":name=systemd:")?.1)))
}

/// The unit in `/proc/PID/cgroup`, as in `0::/system.slice/nginx.service`: the last part with the name of a unit. With both
/// hierarchies, the process can be in the root group of one of them.
fn unit(groups: &str) -> Option<String> {
    let is_unit = |part: &&str| [".service", ".scope", ".socket"].iter().any(|suffix| part.ends_with(suffix));
    systemd_paths(groups).find_map(|path| path.rsplit('/').find(is_unit)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_includes_the_processes_of_its_subgroups() {
        for (groups, is_member) in [
            ("0::/system.slice/a.service\n", true),
            ("0::/system.slice/a.service/sub/x\n", true),
            ("2:cpu:/\n1:name=systemd:/system.slice/a.service\n0::/\n", true),
            ("0::/system.slice/a.service2\n", false),
            ("2:cpu:/system.slice/a.service\n0::/\n", false),
            ("0::/system.slice\n", false),
        ] {
            assert_eq!(is_in(groups, "/system.slice/a.service"), is_member, "{groups}");
        }
    }

    #[test]
    fn the_unit_is_the_last_part_of_the_path_that_is_a_unit() {
        assert_eq!(unit("0::/system.slice/nginx.service\n").as_deref(), Some("nginx.service"));
        assert_eq!(
            unit("0::/user.slice/user-0.slice/session-1.scope/x\n").as_deref(),
            Some("session-1.scope")
        );
        assert_eq!(
            unit("2:cpu:/a\n1:name=systemd:/system.slice/a@b.service\n").as_deref(),
            Some("a@b.service")
        );
        for hybrid in [
            "0::/\n1:name=systemd:/system.slice/a.service\n",
            "1:name=systemd:/system.slice/a.service\n0::/\n",
        ] {
            assert_eq!(unit(hybrid).as_deref(), Some("a.service"));
        }
        assert_eq!(unit("0::/\n"), None);
    }
}
