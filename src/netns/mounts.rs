//! The mounts of a command in a namespace: a mount namespace of its own, with the namespace's `/sys` and files of `/etc`.

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

/// Source of that tmpfs, and of the sysfs of the namespace, in `/proc/PID/mountinfo`.
const SOURCE: &str = "netns";

/// Moves this thread, and the processes that it starts, to a mount namespace of its own; other threads stay (unshare(2)). It
/// still sees new mounts of the host, which sees none of its.
/// Errors: the kernel refuses.
pub fn separate() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot unshare the mounts")?;
    let all = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, all, None::<&str>).context("cannot keep the mounts apart")
}

/// Has /sys show the interfaces of this namespace (ip-netns(8)). Containers may not allow it, and few programs look there.
pub fn show_own_interfaces() {
    let remounted = umount2("/sys", MntFlags::MNT_DETACH)
        .and_then(|()| mount(Some(SOURCE), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>));
    if let Err(error) = remounted {
        print::warn(&format!("/sys shows the host's interfaces: {}", error.desc()));
    }
}

/// Puts the files of /etc/netns/NAME over those in /etc, and something empty over where the host's resolvers are asked. The
/// latter come first: /etc/resolv.conf may be a link into one of them, and what is mounted in there stays, whatever the host
/// does to its own. Returns a line for each file that is left out, since the host has none that it could replace.
/// Errors: a file or directory cannot be covered.
pub fn show_own_files(paths: &Paths, name: &NsName) -> Result<Vec<String>> {
    let directories = resolver::resolver_directories(paths, name, false);
    // First, since /etc/resolv.conf may be a link into one that does not exist yet.
    directories.iter().try_for_each(|directory| make_mount_point(directory))?;
    let (mut covers, mut left_out) = (Vec::new(), Vec::new());
    for file in netns::files(paths, name) {
        let target = Path::new("/etc").join(file.file_name().unwrap_or_default());
        match replaced(&target, &file, &directories)? {
            Some(found) => covers.push((file, found)),
            None => left_out.push(format!(
                "{} is left out: there is no {} that it could replace",
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

/// The file that `target` in /etc stands for, which `file` is to cover; `None` where there is none, and will be none in what is
/// mounted on the `doors`.
fn replaced(target: &Path, file: &Path, directories: &[PathBuf]) -> Result<Option<PathBuf>> {
    let found = resolver::target(target).ok();
    let found = found
        .filter(|found| found.exists() || directories.iter().any(|directory| found.starts_with(directory)));
    if found.is_none() && target.is_symlink() {
        bail!(
            "{} is a link to nothing, so {} cannot take its place, and the host's could come back meanwhile: remove the link, or make \
             what it points to",
            target.display(),
            file.display()
        );
    }
    Ok(found)
}

/// Mounts an empty directory over another one, which is created where nothing has used it yet.
/// Errors: it cannot be created or covered.
pub fn hide(directory: &Path) -> Result<()> {
    make_mount_point(directory)?;
    let flags = HIDING | MsFlags::MS_RDONLY;
    mount(Some("netns-bus"), directory, Some("tmpfs"), flags, Some("mode=0755,size=64k"))
        .with_context(|| format!("cannot hide {}", directory.display()))
}

/// Creates a directory to mount on. A daemon of the host that starts later uses it too, so it must exist before. systemd does
/// the same for `TemporaryFileSystem=` of an attached service, and also leaves it (`apply_one_mount` in src/core/namespace.c).
/// Errors: it cannot be created.
pub fn make_mount_point(directory: &Path) -> Result<()> {
    let mask = umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let made = DirBuilder::new().recursive(true).mode(0o755).create(directory);
    umask(mask);
    made.with_context(|| {
        format!("cannot create {}, which hides a service of the host that starts later", directory.display())
    })
}

/// Whether a process has mounts that [`show_own_files`] or [`show_own_interfaces`] made. The host can take the former away.
#[must_use]
pub fn are_of(pid: i32) -> bool {
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    ["tmpfs", "sysfs"].iter().any(|kind| mounts.contains(&format!(" - {kind} {SOURCE} ")))
}
