//! Named network namespaces, compatible with iproute2 (ip/ipnetns.c, ip-netns(8)): a namespace is bind-mounted on a file in
//! `/run/netns`.

pub mod etc;
mod identity;
pub mod mounts;
pub mod ownership;
pub mod processes;
pub mod resolver;

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

use crate::name::NsName;
use crate::paths::{OWN_NETNS, Paths};
use crate::print;
use crate::sys::file::lock_within;

/// Timeout for the lock on `/run/netns`. iproute2 and this program hold it only for a moment.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The kind of a name in `/run/netns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The name does not exist.
    Nothing,
    /// A namespace.
    Namespace(Id),
    /// A file without a namespace: the leftover of an interrupted creation.
    Debris,
}

/// Returns the kind of a name.
/// Errors: the file cannot be read.
pub fn look(paths: &Paths, name: &NsName) -> Result<Named> {
    let path = paths.namespace(name);
    match Id::of(&path) {
        Ok(found) if found.device == own()?.device => Ok(Named::Namespace(found)),
        Ok(_) => Ok(Named::Debris),
        Err(_) if path.is_symlink() => Ok(Named::Debris), // dangling or circular
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Named::Nothing),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The valid names of all namespaces, sorted.
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
pub fn files(paths: &Paths, name: &NsName) -> Vec<PathBuf> {
    let entries = crate::sys::file::entries(&paths.files(name)).unwrap_or_default();
    entries.into_iter().map(|entry| entry.path().to_owned()).collect()
}

/// Reads the ID of the namespace of this thread.
pub(crate) fn own() -> Result<Id> {
    Id::of(OWN_NETNS.as_ref()).context("cannot read the current namespace (is /proc mounted?)")
}

/// Creates a named namespace. `note` gets the identity before the namespace gets its name. So an ownership record identifies it also
/// after an interruption.
/// Errors: the name exists (and is not changed), the kernel refuses, or `note` fails.
pub fn create(paths: &Paths, name: &NsName, note: impl FnOnce(Identity) -> Result<()>) -> Result<()> {
    let path = paths.namespace(name);
    let what = || format!("cannot create namespace `{name}`");
    let _lock = share(&paths.netns)?;
    if path.symlink_metadata().is_ok() {
        return Err(exists(paths, name)).with_context(what);
    }
    let home = File::open(OWN_NETNS).context("cannot read the current namespace (is /proc mounted?)")?;
    unshare(CloneFlags::CLONE_NEWNET)
        .context("cannot create a network namespace (are you root?)")
        .with_context(what)?;
    let _inside = Entered { home };
    let make = || -> Result<()> {
        note(Identity::of_own()?)?;
        match OpenOptions::new().write(true).create_new(true).mode(0o000).open(&path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(paths, name)),
            opened => opened.with_context(|| format!("cannot create {}", path.display()))?,
        };
        bind(OWN_NETNS.as_ref(), &path).inspect_err(|_| _ = fs::remove_file(&path))
    };
    make().with_context(what)
}

/// Removes the file of an interrupted creation. Call it only if an ownership record exists.
/// Errors: the file cannot be read, or the kernel refuses.
pub fn remove_leftover(paths: &Paths, name: &NsName) -> Result<()> {
    // The lock covers the check and the removal.
    let _lock = share(&paths.netns)?;
    if look(paths, name)? == Named::Debris {
        delete(paths, name)?;
    }
    Ok(())
}

fn exists(paths: &Paths, name: &NsName) -> anyhow::Error {
    if matches!(look(paths, name), Ok(Named::Namespace(_))) {
        anyhow!(
            "a foreign namespace of this name exists; to remove it, run `ip netns delete {name}`, \
             or use another name"
        )
    } else {
        anyhow!(
            "{} exists, but is not a namespace; check the file, and remove it with `rm`",
            paths.namespace(name).display()
        )
    }
}

/// Makes `/run/netns` a shared mount point, and takes the lock of iproute2 (`netns_add` in ip/ipnetns.c). In a shared mount
/// point, namespaces appear in and disappear from every mount namespace. Any user who can read the directory can hold the lock,
/// so after the timeout the function continues without it.
fn share(directory: &Path) -> Result<Option<Flock<File>>> {
    let what = || format!("cannot set up {}", directory.display());
    DirBuilder::new().recursive(true).mode(0o755).create(directory).with_context(what)?;
    let lock = match lock_within(File::open(directory).with_context(what)?, TIMEOUT) {
        Err(Errno::EAGAIN) => {
            let place = directory.display();
            print::warn(&format!(
                "another process keeps {place} locked; continuing without the lock (find the process with `lslocks` or `fuser {place}`)"
            ));
            None
        }
        lock => Some(lock.with_context(what)?),
    };
    // Not recursive: mounts in a shared mount point are shared by default, and a recursive change takes longer with more
    // mounts.
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

fn bind(what: &Path, target: &Path) -> Result<()> {
    mount(Some(what), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .with_context(|| format!("cannot mount {} on {}", what.display(), target.display()))
}

/// Deletes the name of a namespace. The kernel removes the namespace when its last process has ended. Returns whether the name
/// existed.
/// Errors: the kernel refuses.
pub fn delete(paths: &Paths, name: &NsName) -> Result<bool> {
    let path = paths.namespace(name);
    let what = || format!("cannot delete namespace `{name}`");
    // Only a link itself is removed, not its target.
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

/// The result of deleting the name of an own namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The name was deleted.
    Now,
    /// The name did not exist.
    Before,
    /// The name belongs to a foreign namespace, which was not changed.
    NotOurs,
}

/// Deletes a name if it belongs to the namespace `ours`, or to none. The lock prevents a creation in between.
/// Errors: the name cannot be checked, or the kernel refuses.
pub fn delete_ours(paths: &Paths, name: &NsName, ours: &Identity) -> Result<Deleted> {
    if !paths.netns.exists() {
        return Ok(Deleted::Before);
    }
    let _lock = share(&paths.netns)?;
    if matches!(look(paths, name)?, Named::Namespace(_)) && !ours.has_name(paths, name)? {
        return Ok(Deleted::NotOurs);
    }
    Ok(if delete(paths, name)? { Deleted::Now } else { Deleted::Before })
}

/// Keeps this thread in another namespace. Dropping it returns to the first namespace.
#[must_use]
#[derive(Debug)]
pub struct Entered {
    home: File,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // This cannot fail, because the thread came from there. Continuing in the wrong namespace would be worse than a panic.
        setns(&self.home, CloneFlags::CLONE_NEWNET).expect("returning to the first namespace");
    }
}

/// The message about a namespace that does not exist.
#[must_use]
pub fn not_found(name: &NsName) -> String {
    format!(
        "namespace `{name}` does not exist; hint: bring it up with `netnsctl up {name}`; `ip netns` lists the namespaces"
    )
}

/// Enters a named namespace with this thread, and the processes that it starts later.
/// Errors: the namespace does not exist, or entering it is not permitted.
pub fn enter(paths: &Paths, name: &NsName) -> Result<Entered> {
    let path = paths.namespace(name);
    match look(paths, name)? {
        Named::Namespace(_) => {}
        Named::Nothing => bail!("{}", not_found(name)),
        Named::Debris => {
            bail!(
                "{} exists, but is not a namespace; check the file, and remove it with `rm`",
                path.display()
            )
        }
    }
    let wanted =
        File::open(&path).with_context(|| format!("cannot open {} (are you root?)", path.display()))?;
    enter_file(&wanted).with_context(|| format!("cannot enter namespace `{name}` (are you root?)"))
}

/// Enters the namespace of an open file, like [`enter`].
/// Errors: entering it is not permitted.
pub fn enter_file(wanted: &File) -> Result<Entered> {
    let home = File::open(OWN_NETNS).context("cannot read the current namespace (is /proc mounted?)")?;
    setns(wanted, CloneFlags::CLONE_NEWNET)?;
    Ok(Entered { home })
}

/// The addresses in a namespace, except loopback and link-local addresses, in the order of the interfaces. Empty if the namespace
/// cannot be entered.
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
                addresses.push(format!("{}/{}", four.ip(), prefix(bits)));
            }
        } else if let Some(six) = address.as_sockaddr_in6() {
            let bits = interface
                .netmask
                .and_then(|mask| mask.as_sockaddr_in6().map(|mask| mask.ip().to_bits().count_ones()));
            if !six.ip().is_loopback() && !six.ip().is_unicast_link_local() {
                addresses.push(format!("{}/{}", six.ip(), prefix(bits)));
            }
        }
    }
    addresses
}
