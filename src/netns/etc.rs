//! A private /etc for a command of a hook: if the command writes /etc/resolv.conf, the file in /etc/netns/NAME changes.

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::name::NsName;
use crate::netns::mounts;
use crate::netns::resolver;
use crate::paths::Paths;

/// Mount flags of the tmpfs that replaces a directory of the host.
const TMPFS_FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

/// The directories of D-Bus and resolvconf(8), by which a command would change the name resolution of the host.
const HIDDEN: [&str; 2] = ["/run/dbus", "/run/resolvconf"];

/// This directory is mounted read-only, because systemd-resolved on the host reads files in it. The sockets for notifications
/// and logs in this directory also work on a read-only mount.
const SYSTEMD: &str = "/run/systemd";

/// Replaces this process by a command with a private /etc, in the current network namespace.
/// Errors: the private /etc cannot be created (for example without CAP_SYS_ADMIN), or the command cannot be run.
pub fn run(paths: &Paths, name: &NsName, command: &[OsString]) -> Result<Infallible> {
    replace_files(paths, name)?;
    let (program, arguments) = command.split_first().context("no command")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", program.to_string_lossy()))
}

/// Gives this process a private /etc, and its own host name.
/// Errors: the private /etc cannot be created (for example without CAP_SYS_ADMIN).
pub fn replace_files(paths: &Paths, name: &NsName) -> Result<()> {
    let own = paths.files(name);
    fs::create_dir_all(&own).with_context(|| format!("cannot create {}", own.display()))?;
    mounts::separate().context("cannot create a mount namespace (are you root?)")?;
    unshare(CloneFlags::CLONE_NEWUTS).context("cannot unshare the host name")?;
    hide_resolvers(paths, name).context("cannot hide the host's resolvers")?;
    replace_etc(&own)
}

/// Hides the resolvers of the host.
fn hide_resolvers(paths: &Paths, name: &NsName) -> Result<()> {
    let hidden = resolver::resolver_directories(paths, name, true);
    let directories: Vec<PathBuf> = HIDDEN.into_iter().map(PathBuf::from).chain(hidden).collect();
    // A missing directory is created: otherwise the command could create it on the host, or see a service that starts later.
    directories.iter().try_for_each(|directory| mounts::create_mount_point(directory))?;
    if Path::new(SYSTEMD).is_dir() {
        bind_read_only(Path::new(SYSTEMD))?;
    }
    for directory in directories {
        mount(Some("netns-hook"), &directory, Some("tmpfs"), TMPFS_FLAGS, Some("mode=0755,size=1m"))
            .with_context(|| format!("cannot hide {}", directory.display()))?;
    }
    Ok(())
}

/// Replaces /etc by a read-only directory with the same entries. But resolv.conf and all files of `own` are links into `own`.
fn replace_etc(own: &Path) -> Result<()> {
    // A program that resolves a link first can write the file, and also replace it. Under a bind mount, as ip-netns(8) creates it, a
    // file cannot be replaced.
    let etc = Path::new("/etc");
    let writable = open(own)?;
    let links: Vec<OsString> = names(own)?.into_iter().chain(["resolv.conf".into()]).collect();
    bind_read_only(etc)?;
    let host = open(etc)?;
    mount(Some("netns-hook"), etc, Some("tmpfs"), TMPFS_FLAGS, Some("mode=0755,size=1m"))
        .context("cannot mount a private /etc")?;
    for name in names(&by_descriptor(&host))? {
        let (from, to) = (by_descriptor(&host).join(&name), etc.join(&name));
        if !links.contains(&name) {
            copy_entry(&from, &to)
                .with_context(|| format!("cannot create {} in the private /etc", to.display()))?;
        }
    }
    for name in &links {
        let link = etc.join(name);
        if !link.is_symlink() {
            symlink(own.join(name), &link).with_context(|| format!("cannot create {}", link.display()))?;
        }
    }
    bind(&by_descriptor(&writable), own)?;
    let flags = TMPFS_FLAGS | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(None::<&str>, etc, None::<&str>, flags, None::<&str>).context("cannot write-protect /etc")
}

/// Creates an entry of the private /etc. A bind mount keeps the mounts below `from`, and is read-only like `from`.
fn copy_entry(from: &Path, to: &Path) -> Result<()> {
    let kind = from.symlink_metadata()?.file_type();
    if kind.is_symlink() {
        return Ok(symlink(from.read_link()?, to)?);
    }
    if kind.is_dir() {
        fs::create_dir(to)?;
    } else {
        File::create(to)?;
    }
    bind(from, to)
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(from), to, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("cannot mount {}", to.display()))
}

/// Makes a directory read-only. In a user namespace, a remount must keep the flags of the mount (mount_namespaces(7)). The kernel
/// itself keeps those about access times, if a remount sets none of them (`path_mount` in fs/namespace.c).
fn bind_read_only(directory: &Path) -> Result<()> {
    bind(directory, directory)?;
    let found = statvfs(directory)?.flags();
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    for (flag, mount_flag) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
    ] {
        if found.contains(flag) {
            flags |= mount_flag;
        }
    }
    mount(None::<&str>, directory, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("cannot write-protect {}", directory.display()))
}

/// Opens a directory. The descriptor refers to this directory even after something is mounted on the directory.
fn open(directory: &Path) -> Result<File> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    let options = OpenOptions::new().read(true).custom_flags(flags).open(directory);
    options.with_context(|| format!("cannot open {}", directory.display()))
}

fn by_descriptor(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn names(directory: &Path) -> Result<Vec<OsString>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    Ok(entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<std::io::Result<_>>()?)
}
