//! The processes of this machine, by the network namespace that they are in, the file that they print to, or their group.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{Pid, getpid};
use serde::Serialize;

use crate::foreign;
use crate::netns::Id;

/// A process.
#[derive(Clone, Debug, Serialize)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its name, as `ps -o comm` shows it.
    pub name: String,
    /// The unit that it belongs to, where systemd has put it into one.
    pub unit: Option<String>,
}

/// What proc_pid_stat(5) tells of a process.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Its number.
    pub pid: i32,
    /// The process that has started it.
    pub parent: i32,
    /// Whether nothing is left of it but its status.
    pub ended: bool,
    /// Its process group.
    pub group: i32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

impl Stat {
    /// Of the process of that pid, if there is one.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Field 2, its name, may have blanks and parentheses in it. After it: 3, the state; 4, the parent; 5, the group; 22, the
        // start.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let ended = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let started = fields.nth(16)?.parse().ok()?;
        Some(Self { pid, parent, ended, group, started })
    }

    /// Of all processes.
    #[must_use]
    pub fn of_all() -> Vec<Self> {
        all().filter_map(|(pid, _)| Self::of(pid)).collect()
    }

    /// Whether it still runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| !now.ended && now.started == self.started)
    }
}

/// Whether anything of a process group runs.
#[must_use]
pub fn group_runs(group: i32) -> bool {
    Stat::of_all().iter().any(|stat| stat.group == group && !stat.ended)
}

/// The pids of all processes, and where they are in `/proc`.
fn all() -> impl Iterator<Item = (i32, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

/// All processes that may be looked at, by their namespaces.
#[must_use]
pub fn by_namespace() -> BTreeMap<Id, Vec<Process>> {
    let mut processes: BTreeMap<Id, Vec<Process>> = BTreeMap::new();
    for (pid, path) in all() {
        let Ok(namespace) = Id::of(&path.join("ns/net")) else { continue };
        let comm = fs::read(path.join("comm")).unwrap_or_default();
        let name = foreign::text(comm.strip_suffix(b"\n").unwrap_or(&comm));
        let groups = fs::read(path.join("cgroup")).ok();
        let unit = groups.and_then(|groups| unit(&foreign::text(&groups)));
        processes.entry(namespace).or_default().push(Process { pid, name, unit });
    }
    for group in processes.values_mut() {
        group.sort_by_key(|process| process.pid);
    }
    processes
}

/// A process of a control group.
#[derive(Clone, Debug)]
pub struct Member {
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
pub fn of_group(group: &str) -> Vec<Member> {
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
        members.push(Member { pid, name, namespaces, hidden });
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
    let paths = groups
        .lines()
        .filter_map(|line| line.strip_prefix("0::").or_else(|| Some(line.split_once(":name=systemd:")?.1)));
    paths
        .into_iter()
        .any(|path| path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// The processes, but for this one, that have a file for their output or their errors.
#[must_use]
pub fn that_print_to(file: &Path) -> Vec<Pid> {
    let Ok(file) = fs::metadata(file) else { return Vec::new() };
    let is_it = |path: &Path| {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()))
    };
    let prints = |path: &Path| ["fd/1", "fd/2"].iter().any(|output| is_it(&path.join(output)));
    let found = all().map(|(pid, path)| (Pid::from_raw(pid), path));
    found.filter(|(pid, path)| *pid != getpid() && prints(path)).map(|(pid, _)| pid).collect()
}

/// The unit in a line of cgroups(7), `0::/system.slice/nginx.service`: the last part that is one.
fn unit(groups: &str) -> Option<String> {
    let path = groups.lines().find_map(|line| {
        line.strip_prefix("0::").or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
    })?;
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
