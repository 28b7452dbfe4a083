//! The processes of this machine, by the network namespace that they are in, or the file that they print to.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Pid, getpid};
use serde::Serialize;

use crate::netns::Id;

/// A process.
#[derive(Clone, Debug, Serialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its name, as `ps -o comm` shows it.
    pub name: String,
    /// The unit that it belongs to, where systemd has put it into one.
    pub unit: Option<String>,
}

/// All processes that may be looked at, by their namespaces.
#[must_use]
pub fn by_namespace() -> BTreeMap<Id, Vec<Process>> {
    let mut processes: BTreeMap<Id, Vec<Process>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(namespace) = Id::of(&entry.path().join("ns/net")) else { continue };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default().trim_end().to_owned();
        let unit = fs::read_to_string(entry.path().join("cgroup")).ok().and_then(|groups| unit(&groups));
        processes.entry(namespace).or_default().push(Process { pid, name, unit });
    }
    for group in processes.values_mut() {
        group.sort_by_key(|process| process.pid);
    }
    processes
}

/// The processes, but for this one, that have a file for their output or their errors.
#[must_use]
pub fn that_print_to(file: &Path) -> Vec<Pid> {
    let Ok(file) = fs::metadata(file) else { return Vec::new() };
    let is_it = |path: &Path| {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()))
    };
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let pid = Pid::from_raw(pid);
        if pid != getpid() && ["fd/1", "fd/2"].iter().any(|output| is_it(&entry.path().join(output))) {
            pids.push(pid);
        }
    }
    pids
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
