//! Whether other programs can see a namespace that this process names. The name is a mount in `/run/netns`, so a private mount
//! namespace hides it.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::Id;
use crate::name::NsName;

/// The error of a process whose mounts are hidden from PID 1.
#[derive(Debug)]
pub struct Hidden(NsName);

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.0;
        write!(
            f,
            "cannot create namespace `{name}`: this process has its own mount namespace, so other programs would not see \
             `{name}`; run this outside of `unshare`, `ip netns exec`, `netnsctl run`, and services with private mounts"
        )
    }
}

impl std::error::Error for Hidden {}

/// Checks that other programs will see the namespace `name` in `directory`.
/// Errors: [`Hidden`].
pub(super) fn require(directory: &Path, name: &NsName) -> Result<()> {
    ensure!(is_visible(directory), Hidden(name.clone()));
    Ok(())
}

/// Whether PID 1 sees a mount that this process makes in `directory`; also true if that is unknown.
fn is_visible(directory: &Path) -> bool {
    let is_shared = |file: &str| {
        let [own, first] = ["self", "1"].map(|pid| Id::of(format!("/proc/{pid}/{file}").as_ref()).ok());
        first.is_none() || own == first
    };
    // In a container that shares only its processes with the host, PID 1 has another root, and is not expected to see the mount.
    if is_shared("ns/mnt") || !is_shared("root") {
        return true;
    }
    let [own, first] = ["self", "1"].map(|pid| fs::read_to_string(format!("/proc/{pid}/mountinfo")));
    let (Ok(own), Ok(first)) = (own, first) else { return true };
    propagates(&own, &first, directory)
}

/// Whether a mount in `directory` propagates from one mount namespace to another. `own` and `other` are their mounts
/// (proc_pid_mountinfo(5), mount_namespaces(7)).
fn propagates(own: &str, other: &str, directory: &Path) -> bool {
    let group =
        |mounts, key| tags(mounts, directory).and_then(|mut tags| tags.find_map(|tag| tag.strip_prefix(key)));
    let shared = group(own, "shared:");
    shared.is_some() && [group(other, "shared:"), group(other, "master:")].contains(&shared)
}

/// The optional fields of the mount that `directory` is in: `shared:N`, `master:N`.
fn tags<'a>(mounts: &'a str, directory: &Path) -> Option<impl Iterator<Item = &'a str>> {
    let point = |line: &'a str| line.split(' ').nth(4).unwrap_or_default();
    // Of several mounts on one directory, the last one is visible.
    let mount = mounts
        .lines()
        .filter(|line| directory.starts_with(point(line)))
        .max_by_key(|line| point(line).len())?;
    Some(mount.split(' ').skip(6).take_while(|field| *field != "-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_propagates_to_its_peers_and_to_its_slaves() {
        let mounts = |tags: &str| {
            format!(
                "1 0 0:1 / / rw - tmpfs x rw\n2 1 0:2 / /run rw,nosuid {tags}- tmpfs x rw\n3 2 0:3 / /run/user rw shared:9 - a b rw\n"
            )
        };
        for (own, other, propagates_to_other) in [
            ("shared:5 ", "shared:5 ", true),
            ("shared:5 ", "master:5 ", true),
            ("shared:7 master:5 ", "shared:5 ", false),
            ("master:5 ", "shared:5 ", false),
            ("shared:7 ", "shared:5 ", false),
            ("", "", false),
        ] {
            let found = propagates(&mounts(own), &mounts(other), Path::new("/run/netns"));
            assert_eq!(found, propagates_to_other, "{own} {other}");
        }
    }

    #[test]
    fn the_last_mount_on_a_directory_counts() {
        let mounts = "1 0 0:1 / / rw shared:1 - a b rw\n2 1 0:2 / /run rw - a b rw\n3 2 0:2 / /run rw shared:3 - a b rw\n";
        assert!(propagates(mounts, "1 0 0:1 / / rw master:3 - a b rw\n", Path::new("/run/netns")));
    }
}
