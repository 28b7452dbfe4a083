//! Ownership records. `netnsinit --create` records the identity of each namespace, because another program can delete the
//! namespace and create a new one of the same name.

use std::env;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};

use anyhow::{Context, Result, bail};

use crate::name::NsName;
use crate::netns::{self, Deletion, Identity, NameState};
use crate::paths::Paths;
use crate::print;
use crate::sys::file::{self, Draft};

/// The result of the comparison of a named namespace with its ownership record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The namespace that systemd-netns created.
    Ours,
    /// No namespace has the name.
    Missing,
    /// A foreign namespace, in place of the recorded one.
    Foreign,
    /// A namespace without an ownership record.
    Unrecorded,
}

/// Creates a namespace with an ownership record.
/// Errors: the name exists, or the namespace or record cannot be created.
pub fn create(paths: &Paths, name: &NsName) -> Result<()> {
    let record = paths.ownership(name);
    if record.exists() {
        // An earlier creation or deletion was killed.
        if inspect(paths, name).is_ok_and(|found| found == Ownership::Ours) {
            bail!(
                "namespace `{name}` exists already, created by an earlier run of systemd-netns; if it is not needed any more, \
                 run `netnsinit --delete {name}`"
            );
        }
        netns::remove_leftover(paths, name)?;
    }
    file::remove(&paths.closed(name))?;
    let creator = creator().map_or(String::new(), |unit| format!(" {unit}"));
    netns::create(paths, name, |id| {
        fs::create_dir_all(&paths.ownership)
            .with_context(|| format!("cannot create {}", paths.ownership.display()))?;
        Draft::of(&record, format!("{id}{creator}").as_bytes())?.commit()
    })
}

/// The service that this process belongs to. systemd sets an invocation ID for its processes (systemd.exec(5)). If there is
/// no such ID, the result is `None`.
fn creator() -> Option<String> {
    env::var_os("INVOCATION_ID")?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.split(['/', '\n']).find(|part| part.ends_with(".service")).map(str::to_owned)
}

/// Parses an ownership record: the identity, and the service that created the namespace, if there was one.
/// Errors: the record is damaged.
pub fn parse(record: &str) -> Result<(Identity, Option<&str>)> {
    let (identity, creator) =
        record.split_once(' ').map_or((record, None), |(identity, creator)| (identity, Some(creator)));
    Ok((identity.parse()?, creator))
}

/// Deletes the ownership record, and the namespace unless it is foreign.
/// Errors: the namespace or the record cannot be deleted.
pub fn delete(paths: &Paths, name: &NsName) -> Result<Deletion> {
    let deleted = match recorded(paths, name) {
        Ok(Some(ours)) => netns::delete_ours(paths, name, &ours)?,
        // Created by an older version, or manually for this unit.
        Ok(None) if netns::delete(paths, name)? => Deletion::Done,
        Ok(None) => Deletion::NotFound,
        // With a damaged record, the namespace may be foreign.
        Err(error) => {
            print::warn(&format!("{error:#}"));
            Deletion::Foreign
        }
    };
    file::remove(&paths.closed(name))?;
    file::remove(&paths.ownership(name))?;
    Ok(deleted)
}

/// Reads the identity in an ownership record. `None` if the record does not exist, or permission is denied.
/// Errors: the record cannot be read, or is damaged.
pub fn recorded(paths: &Paths, name: &NsName) -> Result<Option<Identity>> {
    let record = paths.ownership(name);
    let what = || format!("cannot read {}", record.display());
    // The identity has at most three numbers, and the rest is not needed. Each hook reads a record, so this is one read(2).
    let mut text = [0; 64];
    let read =
        match file::open(&record, OpenOptions::new().read(true)).and_then(|mut file| file.read(&mut text)) {
            Err(error) if [ErrorKind::NotFound, ErrorKind::PermissionDenied].contains(&error.kind()) => {
                return Ok(None);
            }
            read => read.with_context(what)?,
        };
    let text = String::from_utf8_lossy(&text[..read]);
    parse(&text).map(|(identity, _)| Some(identity)).with_context(what)
}

/// Compares the namespace that has a name with the ownership record.
/// Errors: the namespace or the record cannot be read, or the record is damaged.
pub fn inspect(paths: &Paths, name: &NsName) -> Result<Ownership> {
    let NameState::Namespace(_) = netns::inspect(paths, name)? else { return Ok(Ownership::Missing) };
    Ok(match recorded(paths, name)? {
        None => Ownership::Unrecorded,
        Some(ours) if ours.has_name(paths, name)? => Ownership::Ours,
        Some(_) => Ownership::Foreign,
    })
}

/// The finding about an active instance whose namespace was deleted or replaced. systemd does not notice this.
/// Errors: as for [`inspect`].
pub fn problem(paths: &Paths, name: &NsName) -> Result<Option<String>> {
    Ok(match inspect(paths, name)? {
        Ownership::Ours | Ownership::Unrecorded => None,
        Ownership::Missing => Some(deleted(name)),
        Ownership::Foreign => Some(replaced(name)),
    })
}

/// Checks that the namespace `ours` has the name.
/// Errors: the name does not exist, it belongs to a foreign namespace, or the namespace cannot be read.
pub fn require(paths: &Paths, name: &NsName, ours: &Identity) -> Result<()> {
    if ours.has_name(paths, name)? {
        return Ok(());
    }
    match netns::inspect(paths, name)? {
        NameState::Namespace(_) => bail!("{}", replaced(name)),
        NameState::Missing | NameState::Leftover => Err(Deleted(name.clone()).into()),
    }
}

/// Checks that systemd-netns created the namespace. A foreign one has neither our interfaces nor our firewall.
/// Errors: the namespace is missing, foreign or unrecorded, or cannot be read.
pub fn verify(paths: &Paths, name: &NsName) -> Result<()> {
    match inspect(paths, name)? {
        Ownership::Ours => Ok(()),
        Ownership::Missing => Err(Deleted(name.clone()).into()),
        Ownership::Foreign => bail!("{}", replaced(name)),
        Ownership::Unrecorded => bail!(
            "namespace `{name}` was created by another program or by an older version; fix: `netnsctl down {name}`, then `netnsctl up {name}`"
        ),
    }
}

/// The message about a foreign namespace that is not deleted.
#[must_use]
pub fn not_deleted(name: &NsName) -> String {
    format!("namespace `{name}` was re-created by another program, and is not deleted")
}

/// The error about a recorded namespace that does not exist.
#[derive(Debug)]
pub struct Deleted(NsName);

impl fmt::Display for Deleted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&deleted(&self.0))
    }
}

impl std::error::Error for Deleted {}

/// The finding about a namespace that was deleted.
#[must_use]
pub fn deleted(name: &NsName) -> String {
    format!("namespace `{name}` was deleted manually; fix: `netnsctl restart {name}`")
}

/// The finding about a foreign namespace in place of the recorded one.
#[must_use]
pub fn replaced(name: &NsName) -> String {
    format!(
        "namespace `{name}` was deleted and re-created by another program, without our interfaces and rules; fix: \
         `ip netns delete {name}`, then `netnsctl restart {name}`"
    )
}
