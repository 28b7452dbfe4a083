//! The mounts of a command in a network namespace. The command gets its own mount namespace. There `/sys` and files in `/etc`
//! are replaced by those of the network namespace.

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

/// The mount source in `/proc/PID/mountinfo`: for each tmpfs of [`mount_files`], and for the sysfs of [`mount_sys`].
const SOURCE: &str = "netns";

/// Moves this thread to a new mount namespace (unshare(2)). New mounts of the host appear there. New mounts in there do not appear
/// on the host.
/// Errors: the kernel refuses.
pub fn separate() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot unshare the mounts")?;
    let all = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, all, None::<&str>)
        .context("cannot separate the mounts from the host")
}

/// Mounts a /sys with the interfaces of this namespace (ip-netns(8)). A failure is only a warning: a container may forbid the
/// mount, and few programs need it.
pub fn mount_sys() {
    let remounted = umount2("/sys", MntFlags::MNT_DETACH)
        .and_then(|()| mount(Some(SOURCE), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>));
    if let Err(error) = remounted {
        print::warn(&format!(
            "cannot replace /sys, which still shows the host's interfaces: {}",
            error.desc()
        ));
    }
}

/// Hides the host's resolvers, and mounts the files of /etc/netns/NAME in /etc. Returns a line for each file that is missing on the
/// host.
/// Errors: a mount fails, or a link in /etc is dangling.
pub fn mount_files(paths: &Paths, name: &NsName) -> Result<Vec<String>> {
    let directories = resolver::resolver_directories(paths, name, false);
    // /etc/resolv.conf may be a link into a directory that does not exist yet.
    directories.iter().try_for_each(|directory| create_mount_point(directory))?;
    let (mut covers, mut unused) = (Vec::new(), Vec::new());
    for file in netns::etc_files(paths, name) {
        let target = Path::new("/etc").join(file.file_name().unwrap_or_default());
        match file_to_cover(&target, &file, &directories)? {
            Some(found) => covers.push((file, found)),
            None => unused.push(format!(
                "{} is not used: {} does not exist on the host",
                file.display(),
                target.display()
            )),
        }
    }
    // The directories are hidden before the files are mounted, because /etc/resolv.conf may be a link into one of them. A file
    // mounted in a hidden directory stays when the host replaces its own file.
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
            .with_context(|| format!("cannot mount {} on {}", file.display(), target.display()))?;
    }
    for directory in &directories {
        let flags = HIDING | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        mount(None::<&str>, directory, None::<&str>, flags, None::<&str>)
            .with_context(|| format!("cannot write-protect {}", directory.display()))?;
    }
    Ok(unused)
}

/// Follows the links of `target`, and returns the file on which `file` is mounted. `None` if the found file does not exist.
/// In a hidden directory the found file may be missing, because it is created later.
fn file_to_cover(target: &Path, file: &Path, directories: &[PathBuf]) -> Result<Option<PathBuf>> {
    let found = resolver::resolve(target).ok();
    let found = found
        .filter(|found| found.exists() || directories.iter().any(|directory| found.starts_with(directory)));
    if found.is_none() && target.is_symlink() {
        bail!(
            "{} is a dangling link, so {} cannot be mounted on it; if the target is created later, the file of the host would be \
             used: remove the link, or create its target now",
            target.display(),
            file.display()
        );
    }
    Ok(found)
}

/// Hides a directory with an empty tmpfs. A missing directory is created.
/// Errors: the directory cannot be created or hidden.
pub fn hide(directory: &Path) -> Result<()> {
    create_mount_point(directory)?;
    let flags = HIDING | MsFlags::MS_RDONLY;
    mount(Some("netns-bus"), directory, Some("tmpfs"), flags, Some("mode=0755,size=64k"))
        .with_context(|| format!("cannot hide {}", directory.display()))
}

/// Creates a directory if it is missing, so that a mount can hide it. Otherwise a daemon that starts later could create the
/// directory with its sockets, which would not be hidden.
/// Errors: the directory cannot be created.
pub fn create_mount_point(directory: &Path) -> Result<()> {
    // The directory stays on the host. systemd does the same for `TemporaryFileSystem=` of an attached service (`apply_one_mount` in
    // src/core/namespace.c).
    let mask = umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let created = DirBuilder::new().recursive(true).mode(0o755).create(directory);
    umask(mask);
    created.with_context(|| {
        format!(
            "cannot create {}, a directory that is needed to hide a service of the host",
            directory.display()
        )
    })
}

/// Whether a process has mounts of [`mount_files`] or [`mount_sys`]. A change on the host can remove mounts of
/// [`mount_files`].
#[must_use]
pub fn exist_for(pid: i32) -> bool {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    ["tmpfs", "sysfs"].iter().any(|kind| mounts.contains(&format!(" - {kind} {SOURCE} ")))
}
