//! The mounts of a command in a namespace: a separate mount namespace, with `/sys` and the files of `/etc` of the namespace.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};

use crate::name::NsName;
use crate::netns;
use crate::netns::resolver;
use crate::paths::Paths;
use crate::print;

/// Mount flags of the tmpfs that hides a directory.
const HIDING: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// Source of this tmpfs, and of the sysfs of the namespace, in `/proc/PID/mountinfo`.
const SOURCE: &str = "netns";

/// Moves this thread, and the processes that it starts, to a new mount namespace; other threads stay (unshare(2)). New mounts of
/// the host appear in it, but its mounts do not appear on the host.
/// Errors: the kernel refuses.
pub fn separate() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot unshare the mounts")?;
    let all = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, all, None::<&str>).context("cannot keep the mounts apart")
}

/// Mounts a /sys with the interfaces of this namespace (ip-netns(8)). Containers may forbid this, and few programs need it.
pub fn show_own_interfaces() {
    let remounted = umount2("/sys", MntFlags::MNT_DETACH)
        .and_then(|()| mount(Some(SOURCE), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>));
    if let Err(error) = remounted {
        print::warn(&format!("/sys shows the host's interfaces: {}", error.desc()));
    }
}

/// Covers files in /etc by those of /etc/netns/NAME, and hides the directories of the host's resolvers. The directories come first:
/// /etc/resolv.conf may be a link into one of them, and mounts inside a hidden directory do not change when the host replaces its
/// files. Returns a line for each file that has no counterpart on the host.
/// Errors: a file or directory cannot be covered.
pub fn show_own_files(paths: &Paths, name: &NsName) -> Result<Vec<String>> {
    let directories = resolver::resolver_directories(paths, name, false);
    // These come first, because /etc/resolv.conf may be a link into a directory that does not exist yet.
    directories.iter().try_for_each(|directory| make_mount_point(directory))?;
    let (mut covers, mut left_out) = (Vec::new(), Vec::new());
    for file in netns::files(paths, name) {
        let target = Path::new("/etc").join(file.file_name().unwrap_or_default());
        match replaced(&target, &file, &directories)? {
            Some(found) => covers.push((file, found)),
            None => left_out.push(format!(
                "{} is not used: {} does not exist on the host",
                file.display(),
                target.display()
            )),
        }
    }
    for directory in &directories {
        let options = Some("mode=0755,size=64k");
        mount(Some(SOURCE), directory, Some("tmpfs"), HIDING, options)
            .with_context(|| format!("cannot hide {}", directory.display()))?;
    }
    for (file, target) in covers {
        if !target.exists() {
            File::create(&target).with_context(|| format!("cannot create {}", target.display()))?;
        }
        mount(Some(&file), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("cannot put {} over {}", file.display(), target.display()))?;
    }
    for directory in &directories {
        let flags = HIDING | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, directory, None::<&str>, flags, None::<&str>)
            .with_context(|| format!("cannot write-protect {}", directory.display()))?;
    }
    Ok(left_out)
}

/// The target of `target` in /etc, which `file` covers. `None` if it does not exist, and will not exist in a hidden directory.
fn replaced(target: &Path, file: &Path, directories: &[PathBuf]) -> Result<Option<PathBuf>> {
    let found = resolver::target(target).ok();
    let found = found
        .filter(|found| found.exists() || directories.iter().any(|directory| found.starts_with(directory)));
    if found.is_none() && target.is_symlink() {
        bail!(
            "{} is a dangling link, so {} cannot replace it, and the file of the host could appear later: remove the link, or create \
             its target",
            target.display(),
            file.display()
        );
    }
    Ok(found)
}

/// Hides a directory by an empty tmpfs. A missing directory is created.
/// Errors: the directory cannot be created or covered.
pub fn hide(directory: &Path) -> Result<()> {
    make_mount_point(directory)?;
    let flags = HIDING | MsFlags::MS_RDONLY;
    mount(Some("netns-bus"), directory, Some("tmpfs"), flags, Some("mode=0755,size=64k"))
        .with_context(|| format!("cannot hide {}", directory.display()))
}

/// Creates a mount point. A daemon of the host that starts later uses the directory too, so it must exist before. systemd does
/// the same for `TemporaryFileSystem=` of an attached service, and also leaves it (`apply_one_mount` in src/core/namespace.c).
/// Errors: the directory cannot be created.
pub fn make_mount_point(directory: &Path) -> Result<()> {
    let mask = umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
    umask(mask);
    made.with_context(|| {
        format!("cannot create {}, which hides a service of the host that starts later", directory.display())
    })
}

/// Whether a process has mounts of [`show_own_files`] or [`show_own_interfaces`]. The host can remove the former.
#[must_use]
pub fn are_of(pid: i32) -> bool {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    ["tmpfs", "sysfs"].iter().any(|kind| mounts.contains(&format!(" - {kind} {SOURCE} ")))
}
