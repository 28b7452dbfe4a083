//! The processes of this machine by the network namespace that they are in, and those of a control group.

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
pub struct Resident {
    /// Its number.
    pub pid: i32,
    /// Its name, as `ps -o comm` shows it.
    pub name: String,
    /// The unit that it belongs to, where systemd has put it into one.
    pub unit: Option<String>,
}

/// All processes that may be looked at, by their namespaces.
#[must_use]
pub fn by_namespace() -> BTreeMap<Id, Vec<Resident>> {
    let mut processes: BTreeMap<Id, Vec<Resident>> = BTreeMap::new();
    for (pid, path) in all() {
        let Ok(namespace) = Id::of(&path.join("ns/net")) else { continue };
        let comm = fs::read(path.join("comm")).unwrap_or_default();
        let name = escape::text(comm.strip_suffix(b"\n").unwrap_or(&comm));
        let groups = fs::read(path.join("cgroup")).ok();
        let unit = groups.and_then(|groups| unit(&escape::text(&groups)));
        processes.entry(namespace).or_default().push(Resident { pid, name, unit });
    }
    for group in processes.values_mut() {
        group.sort_by_key(|process| process.pid);
    }
    processes
}

/// A process of a control group.
#[derive(Clone, Debug)]
pub struct GroupMember {
    /// Its number.
    pub pid: i32,
    /// Its name, as `ps -o comm` shows it.
    pub name: String,
    /// The network namespaces of its threads: each can enter one by itself (setns(2)).
    pub namespaces: BTreeSet<Id>,
    /// Whether this program may not see these.
    pub hidden: bool,
}

/// The processes of a control group, as systemd names it, and of all groups below it. `/proc` has the same names in each layout of
/// the hierarchies (cgroups(7)).
#[must_use]
pub fn of_group(group: &str) -> Vec<GroupMember> {
    if group.is_empty() || group == "/" {
        return Vec::new(); // a unit without processes has none
    }
    let mut members = Vec::new();
    for (pid, path) in all() {
        if !fs::read_to_string(path.join("cgroup")).is_ok_and(|groups| is_in(&groups, group)) {
            continue;
        }
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default().trim_end().to_owned();
        // systemd's own helper for PAMName=, which it starts before it enters the namespace. It uses no network. A process of a
        // service can take its name, but does not run its program.
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

/// Whether a process runs the program that PID 1 does.
fn is_program_of_init(process: &Path) -> bool {
    let program = |process: &Path| fs::metadata(process.join("exe")).map(|found| (found.dev(), found.ino()));
    matches!((program(process), program(Path::new("/proc/1"))), (Ok(one), Ok(init)) if one == init)
}

/// Whether a process with these lines of cgroups(7) is in a group of systemd's, or below it.
fn is_in(groups: &str, group: &str) -> bool {
    of_systemd(groups)
        .any(|path| path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// The paths in the hierarchies that systemd has its units in: the unified one, and its own beside those of cgroups version 1.
fn of_systemd(groups: &str) -> impl Iterator<Item = &str> {
    let lines = groups.lines();
    lines.filter_map(|line| line.strip_prefix("0::").or_else(|| Some(line.split_once(":name=systemd:")?.1)))
}

/// The unit in a line of cgroups(7), `0::/system.slice/nginx.service`: the last part that is one.
fn unit(groups: &str) -> Option<String> {
    let path = of_systemd(groups).next()?;
    path.rsplit('/')
        .find(|part| [".service", ".scope", ".socket"].iter().any(|suffix| part.ends_with(suffix)))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_the_processes_of_those_below_it() {
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
    fn the_unit_is_the_last_part_that_is_one() {
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
