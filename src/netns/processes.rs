//! Processes: those in each network namespace, and those in a control group.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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
}

/// All readable processes, by namespace.
#[must_use]
pub fn by_namespace() -> BTreeMap<Id, Vec<NamespaceProcess>> {
    let mut processes: BTreeMap<Id, Vec<NamespaceProcess>> = BTreeMap::new();
    for (pid, path) in all() {
        let Ok(namespace) = Id::of(&path.join("ns/net")) else { continue };
        let comm = fs::read(path.join("comm")).unwrap_or_default();
        let name = escape::text(comm.strip_suffix(b"\n").unwrap_or(&comm));
        let groups = fs::read(path.join("cgroup")).ok();
        let unit = groups.and_then(|groups| unit(&escape::text(&groups)));
        processes.entry(namespace).or_default().push(NamespaceProcess { pid, name, unit });
    }
    for group in processes.values_mut() {
        group.sort_by_key(|process| process.pid);
    }
    processes
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
        let (mut namespaces, mut hidden) = (BTreeSet::new(), false);
        for thread in fs::read_dir(path.join("task")).into_iter().flatten().flatten() {
            match Id::of(&thread.path().join("ns/net")) {
                Ok(id) => _ = namespaces.insert(id),
                Err(error) => hidden |= error.kind() == ErrorKind::PermissionDenied,
            }
        }
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

/// The unit in a line of `/proc/PID/cgroup`, as in `0::/system.slice/nginx.service`: the last part with the name of a unit.
fn unit(groups: &str) -> Option<String> {
    let path = systemd_paths(groups).next()?;
    path.rsplit('/')
        .find(|part| [".service", ".scope", ".socket"].iter().any(|suffix| part.ends_with(suffix)))
        .map(str::to_owned)
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
        assert_eq!(unit("0::/\n"), None);
    }
}
