//! The kernel's side of named network namespaces, in the way of iproute2 (ip/ipnetns.c, ip-netns(8)): a namespace is a
//! file in `/run/netns` that the namespace is bind-mounted on.

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

/// How long to wait for the lock on `/run/netns`, which iproute2 and we hold for a moment.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What has a name in `/run/netns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Nothing.
    Nothing,
    /// A namespace.
    Namespace(Id),
    /// A file that no namespace is bound on: what is left of an attempt that was broken off.
    Debris,
}

/// Looks what stands behind a name.
/// Errors: it cannot be looked at.
pub fn look(paths: &Paths, name: &NsName) -> Result<Named> {
    let path = paths.namespace(name);
    match Id::of(&path) {
        Ok(found) if found.device == own()?.device => Ok(Named::Namespace(found)),
        Ok(_) => Ok(Named::Debris),
        Err(_) if path.is_symlink() => Ok(Named::Debris), // to nothing, or in a circle
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Named::Nothing),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

/// The names of all namespaces that this program can have to do with, in their order.
/// Errors: `/run/netns` is there and cannot be read.
pub fn names(paths: &Paths) -> Result<Vec<NsName>> {
    if !paths.netns.exists() {
        return Ok(Vec::new());
    }
    let entries = crate::sys::file::entries(&paths.netns)?;
    Ok(entries.iter().filter_map(|entry| NsName::new(entry.file_name()).ok()).collect())
}

/// The files of a namespace that take the place of the host's in `/etc` (ip-netns(8)).
#[must_use]
pub fn files(paths: &Paths, name: &NsName) -> Vec<PathBuf> {
    let entries = crate::sys::file::entries(&paths.files(name)).unwrap_or_default();
    entries.into_iter().map(|entry| entry.path().to_owned()).collect()
}

/// The namespace that this thread is in.
pub(crate) fn own() -> Result<Id> {
    Id::of(OWN_NETNS.as_ref()).context("cannot tell the current namespace (is /proc mounted?)")
}

/// Creates a named namespace. `note` is told which one it will be before it has its name, so that whoever keeps a record
/// can tell it from somebody else's, wherever this is broken off.
/// Errors: there is one of that name (which is left alone), the kernel refuses, or `note` fails.
pub fn create(paths: &Paths, name: &NsName, note: impl FnOnce(Identity) -> Result<()>) -> Result<()> {
    let path = paths.namespace(name);
    let what = || format!("cannot create namespace `{name}`");
    let _lock = share(&paths.netns)?;
    if path.symlink_metadata().is_ok() {
        return Err(exists(paths, name)).with_context(what);
    }
    let home = File::open(OWN_NETNS).context("cannot tell the current namespace (is /proc mounted?)")?;
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

/// Removes the file of a creation that was broken off before a namespace was bound on it. Only for who knows that it was
/// their own.
/// Errors: it cannot be looked at, or the kernel refuses.
pub fn remove_leftover(paths: &Paths, name: &NsName) -> Result<()> {
    // Nobody is between the two steps while this is held.
    let _lock = share(&paths.netns)?;
    if look(paths, name)? == Named::Debris {
        delete(paths, name)?;
    }
    Ok(())
}

fn exists(paths: &Paths, name: &NsName) -> anyhow::Error {
    if matches!(look(paths, name), Ok(Named::Namespace(_))) {
        anyhow!(
            "there is one of that name, made by somebody else, which is left alone; remove it by `ip netns delete {name}`, \
             or use another name"
        )
    } else {
        anyhow!(
            "{} exists but is no namespace; look at it, and remove it by `rm`",
            paths.namespace(name).display()
        )
    }
}

/// Makes `/run/netns` a shared mount point, once, and holds the lock that iproute2 takes meanwhile (`netns_add` in
/// ip/ipnetns.c): namespaces then show in every mount namespace that shares it, and go from all of them.
/// Whoever can read the directory can hold it for ever: then this goes on without.
fn share(directory: &Path) -> Result<Option<Flock<File>>> {
    let what = || format!("cannot set up {}", directory.display());
    DirBuilder::new().recursive(true).mode(0o755).create(directory).with_context(what)?;
    let lock = match lock_within(File::open(directory).with_context(what)?, TIMEOUT) {
        Err(Errno::EAGAIN) => {
            let place = directory.display();
            print::warn(&format!(
                "another process keeps {place} locked; going on without the lock (`lslocks`, or `fuser {place}`, finds it)"
            ));
            None
        }
        lock => Some(lock.with_context(what)?),
    };
    // Not recursively: what is mounted in a shared place is shared by itself, and to look at all others takes longer the
    // more there are.
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

/// Deletes the name of a namespace; the kernel removes the namespace when its last process is gone. Returns whether
/// there was one of that name.
/// Errors: the kernel refuses.
pub fn delete(paths: &Paths, name: &NsName) -> Result<bool> {
    let path = paths.namespace(name);
    let what = || format!("cannot delete namespace `{name}`");
    // What a link leads to is somebody else's.
    match umount2(&path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(false),
        // Not a mount point: the file was left behind by a failed attempt.
        Ok(()) | Err(Errno::EINVAL) => {}
        Err(error) => return Err(error).with_context(what),
    }
    match fs::remove_file(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        done => done.map(|()| true).with_context(what),
    }
}

/// What became of the name of a namespace of ours that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Now,
    /// It was gone already.
    Before,
    /// It stands for a namespace that somebody else has made, which is left alone.
    NotOurs,
}

/// Deletes a name if it stands for a namespace of ours, or for none any more. Nobody makes one meanwhile: this holds the
/// lock that [`create`] and iproute2 take.
/// Errors: it cannot be looked at, or the kernel refuses.
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

/// This thread is in another namespace; it goes back when this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Entered {
    home: File,
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Failing is not possible for who came from there, and going on in the wrong namespace is worse than to stop.
        setns(&self.home, CloneFlags::CLONE_NEWNET).expect("the way back to the namespace that we came from");
    }
}

/// Enters a named namespace with this thread, and the processes that it starts.
/// Errors: there is none of that name, or entering it is not permitted.
pub fn enter(paths: &Paths, name: &NsName) -> Result<Entered> {
    let path = paths.namespace(name);
    match look(paths, name)? {
        Named::Namespace(_) => {}
        Named::Nothing => bail!(
            "there is no namespace `{name}`: {} does not exist; `ip netns` lists those that are there",
            path.display()
        ),
        Named::Debris => {
            bail!("{} exists but is no namespace; look at it, and remove it by `rm`", path.display())
        }
    }
    let wanted =
        File::open(&path).with_context(|| format!("cannot open {} (are you root?)", path.display()))?;
    enter_file(&wanted).with_context(|| format!("cannot enter namespace `{name}` (are you root?)"))
}

/// Enters a namespace that is open as a file; otherwise as [`enter`].
/// Errors: entering it is not permitted.
pub fn enter_file(wanted: &File) -> Result<Entered> {
    let home = File::open(OWN_NETNS).context("cannot tell the current namespace (is /proc mounted?)")?;
    setns(wanted, CloneFlags::CLONE_NEWNET)?;
    Ok(Entered { home })
}

/// The addresses in a namespace but for those of loopback and of single links, in the order of the interfaces; none where it
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
