//! Ownership records: `netnsinit --create` records the identity of each namespace, because another program can delete a namespace and
//! create another one of the same name.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};

use anyhow::{Context, Result, bail};

use crate::name::NsName;
use crate::netns::{self, Deleted, Identity, Named};
use crate::paths::Paths;
use crate::print;
use crate::sys::file::{self, Draft};

/// The owner of a name, according to the ownership record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The namespace that systemd-netns created.
    Ours,
    /// The name does not exist.
    Gone,
    /// A foreign namespace.
    Other,
    /// A namespace without an ownership record.
    Unknown,
}

/// Creates a namespace and its ownership record. The record protects foreign namespaces from a later deletion.
/// Errors: the name exists, or the namespace or the record cannot be created.
pub fn create(paths: &Paths, name: &NsName) -> Result<()> {
    let note = paths.ownership(name);
    if note.exists() {
        // An earlier creation or deletion was killed.
        if look(paths, name).is_ok_and(|made| made == Ownership::Ours) {
            bail!(
                "namespace `{name}` exists since an earlier creation; if it is not needed any more, run `netnsinit --delete {name}`"
            );
        }
        netns::remove_leftover(paths, name)?;
    }
    file::remove(&paths.closed(name))?;
    let maker = maker().map_or(String::new(), |unit| format!(" {unit}"));
    netns::create(paths, name, |id| {
        fs::create_dir_all(&paths.ownership)
            .with_context(|| format!("cannot create {}", paths.ownership.display()))?;
        Draft::of(&note, format!("{id}{maker}").as_bytes())?.commit()
    })
}

/// The service of this process. systemd sets its invocation ID (systemd.exec(5)); without the ID, the process is not part of a
/// service.
fn maker() -> Option<String> {
    env::var_os("INVOCATION_ID")?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.split(['/', '\n']).find(|part| part.ends_with(".service")).map(str::to_owned)
}

/// Parses an ownership record: the identity, and the service that created the namespace, if there was one.
/// Errors: the record is damaged.
pub fn read(note: &str) -> Result<(Identity, Option<&str>)> {
    let (identity, maker) =
        note.split_once(' ').map_or((note, None), |(identity, maker)| (identity, Some(maker)));
    Ok((identity.parse()?, maker))
}

/// Deletes a namespace, unless it is foreign, and its ownership record.
/// Errors: the namespace or the record cannot be deleted.
pub fn delete(paths: &Paths, name: &NsName) -> Result<Deleted> {
    let deleted = match noted(paths, name) {
        Ok(Some(ours)) => netns::delete_ours(paths, name, &ours)?,
        // Created by an older version, or manually for this unit.
        Ok(None) if netns::delete(paths, name)? => Deleted::Now,
        Ok(None) => Deleted::Before,
        Err(error) => {
            print::warn(&format!("{error:#}"));
            Deleted::NotOurs
        }
    };
    file::remove(&paths.closed(name))?;
    file::remove(&paths.ownership(name))?;
    Ok(deleted)
}

/// Reads the identity in an ownership record. `None` if the record does not exist, or permission is denied.
/// Errors: the record cannot be read, or is damaged.
pub fn noted(paths: &Paths, name: &NsName) -> Result<Option<Identity>> {
    let note = paths.ownership(name);
    let what = || format!("cannot use {}", note.display());
    // Three numbers at most, then a part that may be cut off. Each hook reads a record, so this is one read(2).
    let mut text = [0; 64];
    let read =
        match file::open(&note, OpenOptions::new().read(true)).and_then(|mut file| file.read(&mut text)) {
            Err(error) if [ErrorKind::NotFound, ErrorKind::PermissionDenied].contains(&error.kind()) => {
                return Ok(None);
            }
            read => read.with_context(what)?,
        };
    let text = String::from_utf8_lossy(&text[..read]);
    self::read(&text).map(|(identity, _)| Some(identity)).with_context(what)
}

/// Returns the owner of a name.
/// Errors: the namespace cannot be read, or the record is damaged.
pub fn look(paths: &Paths, name: &NsName) -> Result<Ownership> {
    let Named::Namespace(_) = netns::look(paths, name)? else { return Ok(Ownership::Gone) };
    Ok(match noted(paths, name)? {
        None => Ownership::Unknown,
        Some(ours) if ours.has_name(paths, name)? => Ownership::Ours,
        Some(_) => Ownership::Other,
    })
}

/// The message about a deleted or foreign namespace of an active instance. systemd does not notice this.
/// Errors: as for [`look`].
pub fn lost(paths: &Paths, name: &NsName) -> Result<Option<String>> {
    Ok(match look(paths, name)? {
        Ownership::Ours | Ownership::Unknown => None,
        Ownership::Gone => Some(gone(name)),
        Ownership::Other => Some(other(name)),
    })
}

/// Checks that a name belongs to the namespace `ours`.
/// Errors: the name does not exist, or belongs to another namespace; or the namespace cannot be read.
pub fn require(paths: &Paths, name: &NsName, ours: &Identity) -> Result<()> {
    if ours.has_name(paths, name)? {
        return Ok(());
    }
    match netns::look(paths, name)? {
        Named::Namespace(_) => bail!("{}", other(name)),
        Named::Nothing | Named::Debris => bail!("{}", gone(name)),
    }
}

/// Checks that systemd-netns created the namespace. Errors: the namespace is missing, foreign, without a record, or unreadable.
pub fn verify(paths: &Paths, name: &NsName) -> Result<()> {
    match look(paths, name)? {
        Ownership::Ours => Ok(()),
        Ownership::Gone => bail!("{}", gone(name)),
        Ownership::Other => bail!("{}", other(name)),
        Ownership::Unknown => bail!(
            "namespace `{name}` was created by another program or by an older version; fix: `netnsctl down {name}`, then `netnsctl up {name}`"
        ),
    }
}

/// The message about a missing namespace.
#[must_use]
pub fn gone(name: &NsName) -> String {
    format!("namespace `{name}` was deleted manually; fix: `netnsctl restart {name}`")
}

/// The message about a foreign namespace in place of ours.
#[must_use]
pub fn other(name: &NsName) -> String {
    format!(
        "namespace `{name}` was deleted and re-created by another program, without our interfaces and rules; fix: \
         `ip netns delete {name}`, then `netnsctl restart {name}`"
    )
}
