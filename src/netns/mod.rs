//! Named network namespaces, compatible with iproute2 (ip/ipnetns.c, ip-netns(8)): a namespace is bind-mounted on a file in
//! `/run/netns`.

pub mod etc;
mod identity;
pub mod mounts;
pub mod ownership;
pub mod processes;
pub mod resolver;
mod visibility;

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::errno::Errno;
use nix::fcntl::Flock;
use nix::ifaddrs::getifaddrs;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

pub use identity::{Id, Identity};
pub use visibility::Hidden;

use crate::name::NsName;
use crate::paths::{OWN_NETNS, Paths};
use crate::print;
use crate::sys::file::lock_within;

/// Timeout for the lock on `/run/netns`. iproute2 and this program hold it only for a moment.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The state of a name in `/run/netns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameState {
    /// The name does not exist.
    Missing,
    /// A namespace.
    Namespace(Id),
    /// A file that no namespace is mounted on: the leftover of an interrupted creation.
    Leftover,
}

/// Reads the state of a name.
/// Errors: the file in `/run/netns` cannot be read.
pub fn inspect(paths: &Paths, name: &NsName) -> Result<NameState> {
    let path = paths.namespace(name);
    match Id::of(&path) {
        Ok(found) if found.device == current()?.device => Ok(NameState::Namespace(found)),
        Ok(_) => Ok(NameState::Leftover),
        Err(_) if path.is_symlink() => Ok(NameState::Leftover), // dangling or circular
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(NameState::Missing),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Lists the names in `/run/netns`, sorted. Invalid names are left out.
/// Errors: `/run/netns` exists and cannot be read.
pub fn names(paths: &Paths) -> Result<Vec<NsName>> {
    if !paths.netns.exists() {
        return Ok(Vec::new());
    }
    let entries = crate::sys::file::entries(&paths.netns)?;
    Ok(entries.iter().filter_map(|entry| NsName::new(entry.file_name()).ok()).collect())
}

/// The files of a namespace that replace files of the host in `/etc` (ip-netns(8)).
#[must_use]
pub fn etc_files(paths: &Paths, name: &NsName) -> Vec<PathBuf> {
    let entries = crate::sys::file::entries(&paths.files(name)).unwrap_or_default();
    entries.into_iter().map(|entry| entry.path().to_owned()).collect()
}

/// Reads the ID of the namespace of this thread.
pub(crate) fn current() -> Result<Id> {
    Id::of(OWN_NETNS.as_ref()).context("cannot read the current namespace (is /proc mounted?)")
}

/// Creates a named namespace. Calls `record` with the identity of the new namespace before the namespace gets its name.
/// Errors: the name already exists (its namespace is not changed), the mount would be hidden from other programs ([`Hidden`]),
/// the kernel refuses, or `record` fails.
pub fn create(paths: &Paths, name: &NsName, record: impl FnOnce(Identity) -> Result<()>) -> Result<()> {
    let path = paths.namespace(name);
    let what = || format!("cannot create namespace `{name}`");
    visibility::require(&paths.netns, name)?;
    let _lock = share_and_lock(&paths.netns)?;
    if path.symlink_metadata().is_ok() {
        return Err(name_exists(paths, name)).with_context(what);
    }
    let _inside = enter_new().with_context(what)?;
    let record_and_bind = || -> Result<()> {
        record(Identity::of_current()?)?; // first, so that the namespace is recorded after any interruption
        match OpenOptions::new().write(true).create_new(true).mode(0o000).open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(name_exists(paths, name)),
            opened => opened.with_context(|| format!("cannot create {}", path.display()))?,
        };
        bind(OWN_NETNS.as_ref(), &path).inspect_err(|_| _ = fs::remove_file(&path))
    };
    record_and_bind().with_context(what)
}

/// Removes the file of an interrupted creation. Call this only if a record shows that the creation was ours.
/// Errors: the file cannot be read, or the kernel refuses.
pub fn remove_leftover(paths: &Paths, name: &NsName) -> Result<()> {
    // With the lock, no other creation is between its two steps.
    let _lock = share_and_lock(&paths.netns)?;
    if inspect(paths, name)? == NameState::Leftover {
        delete(paths, name)?;
    }
    Ok(())
}

fn name_exists(paths: &Paths, name: &NsName) -> anyhow::Error {
    if matches!(inspect(paths, name), Ok(NameState::Namespace(_))) {
        anyhow!("a foreign namespace of this name exists; fix: `ip netns delete {name}`, or use another name")
    } else {
        not_a_namespace(&paths.namespace(name))
    }
}

fn not_a_namespace(path: &Path) -> anyhow::Error {
    anyhow!("{} exists, but is not a namespace; check the file, and remove it with `rm`", path.display())
}

/// Makes `/run/netns` a shared mount point, so that a new network namespace appears there in all mount namespaces. Takes the
/// lock of iproute2 (`netns_add` in ip/ipnetns.c), if possible.
fn share_and_lock(directory: &Path) -> Result<Option<Flock<File>>> {
    let what = || format!("cannot set up {}", directory.display());
    DirBuilder::new().recursive(true).mode(0o755).create(directory).with_context(what)?;
    // Any user who can read the directory can hold the lock forever.
    let lock = match lock_within(File::open(directory).with_context(what)?, TIMEOUT) {
        Err(Errno::EAGAIN) => {
            let path = directory.display();
            print::warn(&format!(
                "another process keeps {path} locked; continuing without the lock; hint: find the process with `lslocks` or \
                 `fuser {path}`"
            ));
            None
        }
        lock => Some(lock.with_context(what)?),
    };
    // Not recursive: mounts in a shared mount point are shared anyway, and a recursive change takes longer with each mount.
    let share = || mount(None::<&str>, directory, None::<&str>, MsFlags::MS_SHARED, None::<&str>);
    match share() {
        // Not a mount point yet.
        Err(Errno::EINVAL) => {
            bind(directory, directory)?;
            share().with_context(what)?;
        }
        done => done.with_context(what)?,
    }
    Ok(lock)
}

fn bind(source: &Path, target: &Path) -> Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .with_context(|| format!("cannot mount {} on {}", source.display(), target.display()))
}

/// Deletes a name in `/run/netns`, even if no namespace is mounted on it. The kernel removes a namespace when its last
/// process has ended. Returns whether the name existed.
/// Errors: the kernel refuses.
pub fn delete(paths: &Paths, name: &NsName) -> Result<bool> {
    let path = paths.namespace(name);
    let what = || format!("cannot delete namespace `{name}`");
    // A link is removed, and its target is not changed.
    match umount2(&path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(false),
        // Not a mount point: a leftover of a failed attempt.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(error) => return Err(error).with_context(what),
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        done => done.map(|()| true).with_context(what),
    }
}

/// The result of deleting a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// The name was deleted.
    Done,
    /// The name did not exist.
    NotFound,
    /// The name belongs to a foreign namespace, which was not changed.
    Foreign,
}

/// Deletes a name if it belongs to the namespace `ours`, or to no namespace.
/// Errors: the name cannot be checked, or the kernel refuses.
pub fn delete_ours(paths: &Paths, name: &NsName, ours: &Identity) -> Result<Deletion> {
    if !paths.netns.exists() {
        return Ok(Deletion::NotFound);
    }
    // With the lock, no other program creates a namespace after the check.
    let _lock = share_and_lock(&paths.netns)?;
    if matches!(inspect(paths, name)?, NameState::Namespace(_)) && !ours.has_name(paths, name)? {
        return Ok(Deletion::Foreign);
    }
    Ok(if delete(paths, name)? { Deletion::Done } else { Deletion::NotFound })
}

/// Keeps this thread in another namespace. Dropping the value returns to the original namespace.
#[must_use]
#[derive(Debug)]
pub struct Entered {
    home: File,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // The thread came from there, so this cannot fail. If it did, continuing in the wrong namespace would be worse than a panic.
        setns(&self.home, CloneFlags::CLONE_NEWNET).expect("cannot return to the original namespace");
    }
}

/// The message about a namespace that does not exist.
#[must_use]
pub fn not_found(name: &NsName) -> String {
    format!("namespace `{name}` does not exist; hint: `netnsctl up {name}` brings it up")
}

/// Moves this thread into a named namespace. Processes that the thread starts are there too.
/// Errors: the namespace does not exist, or entering it is not permitted.
pub fn enter(paths: &Paths, name: &NsName) -> Result<Entered> {
    let path = paths.namespace(name);
    match inspect(paths, name)? {
        NameState::Namespace(_) => {}
        NameState::Missing => bail!("namespace `{name}` does not exist"),
        NameState::Leftover => return Err(not_a_namespace(&path)),
    }
    let wanted =
        File::open(&path).with_context(|| format!("cannot open {} (are you root?)", path.display()))?;
    enter_file(&wanted).with_context(|| format!("cannot enter namespace `{name}` (are you root?)"))
}

/// Moves this thread, and the threads that it starts, into a new namespace without a name. The kernel removes it with the last of
/// them.
/// Errors: the kernel refuses.
pub fn enter_new() -> Result<Entered> {
    let home = File::open(OWN_NETNS).context("cannot read the current namespace (is /proc mounted?)")?;
    unshare(CloneFlags::CLONE_NEWNET).context("cannot create a network namespace (are you root?)")?;
    Ok(Entered { home })
}

/// Moves this thread into the namespace of an open file. See [`enter`].
/// Errors: entering it is not permitted.
pub fn enter_file(wanted: &File) -> Result<Entered> {
    let home = File::open(OWN_NETNS).context("cannot read the current namespace (is /proc mounted?)")?;
    setns(wanted, CloneFlags::CLONE_NEWNET)?;
    Ok(Entered { home })
}

/// The addresses in a namespace, in the order of the names of the interfaces. Loopback addresses and link-local IPv6 addresses are left out.
/// Empty if the namespace cannot be entered.
#[must_use]
pub fn addresses(paths: &Paths, name: &NsName) -> Vec<String> {
    let Ok(_inside) = enter(paths, name) else { return Vec::new() };
    let Ok(found) = getifaddrs() else { return Vec::new() };
    let mut addresses = Vec::new();
    for interface in found {
        let Some(address) = interface.address else { continue };
        let prefix = |mask: Option<u32>| mask.unwrap_or_default();
        if let Some(four) = address.as_sockaddr_in() {
            let bits = interface
                .netmask
                .and_then(|mask| mask.as_sockaddr_in().map(|mask| mask.ip().to_bits().count_ones()));
            if !four.ip().is_loopback() {
                addresses.push((interface.interface_name, format!("{}/{}", four.ip(), prefix(bits))));
            }
        } else if let Some(six) = address.as_sockaddr_in6() {
            let bits = interface
                .netmask
                .and_then(|mask| mask.as_sockaddr_in6().map(|mask| mask.ip().to_bits().count_ones()));
            if !six.ip().is_loopback() && !six.ip().is_unicast_link_local() {
                addresses.push((interface.interface_name, format!("{}/{}", six.ip(), prefix(bits))));
            }
        }
    }
    // Interfaces of different types are created at the same time, in any order. The order of the addresses of one is kept.
    addresses.sort_by(|(one, _), (other, _)| one.cmp(other));
    addresses.into_iter().map(|(_, address)| address).collect()
}
