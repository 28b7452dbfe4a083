//! Which namespaces the units have made: `netnsinit --create` notes each, since by hand one can be deleted, and another one
//! be put in its place, without anybody telling.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};

use anyhow::{Context, Result, bail};

use crate::name::NsName;
use crate::netns::{self, Deleted, Identity, Named};
use crate::paths::Paths;
use crate::print;
use crate::sys::file::{self, Draft};

/// What stands behind a name, by the note of its making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The namespace that was made.
    Ours,
    /// Nothing.
    Gone,
    /// Another namespace than the one that was made.
    Other,
    /// A namespace that nobody has noted.
    Unknown,
}

/// Makes a namespace, and notes which one it is: by the time that it goes, somebody may have put another in its place.
/// Errors: there is one of that name, or it cannot be made or noted.
pub fn create(paths: &Paths, name: &NsName) -> Result<()> {
    let note = paths.ownership(name);
    if note.exists() {
        // An earlier attempt was killed, be it to remove it.
        if look(paths, name).is_ok_and(|made| made == Ownership::Ours) {
            bail!(
                "namespace `{name}` was made earlier, and is still there; if nothing needs it any more, `netnsinit --delete {name}` removes it"
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

/// The service that this process is a part of. systemd tells what it starts its invocation (systemd.exec(5)); where it has not, there
/// is no need to ask.
fn maker() -> Option<String> {
    env::var_os("INVOCATION_ID")?;
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.split(['/', '\n']).find(|part| part.ends_with(".service")).map(str::to_owned)
}

/// What a note says: which namespace it is, and the service that has made it, if it was one.
/// Errors: it is damaged.
pub fn read(note: &str) -> Result<(Identity, Option<&str>)> {
    let (identity, maker) =
        note.split_once(' ').map_or((note, None), |(identity, maker)| (identity, Some(maker)));
    Ok((identity.parse()?, maker))
}

/// Deletes a namespace, unless it is another than the one that was made, and what was noted of it.
/// Errors: it cannot be deleted, or the note not be removed.
pub fn delete(paths: &Paths, name: &NsName) -> Result<Deleted> {
    let deleted = match noted(paths, name) {
        Ok(Some(ours)) => netns::delete_ours(paths, name, &ours)?,
        // Ownership by an earlier version, or by hand for this unit.
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

/// What has been noted of a namespace; `None` where nobody has, or for others to read.
/// Errors: the note cannot be read, or is damaged.
pub fn noted(paths: &Paths, name: &NsName) -> Result<Option<Identity>> {
    let note = paths.ownership(name);
    let what = || format!("cannot use {}", note.display());
    // Three numbers at most, then what may be cut off: each hook asks, and so it does with one read(2).
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

/// Looks what stands behind a name.
/// Errors: it cannot be looked at, or the note on it is damaged.
pub fn look(paths: &Paths, name: &NsName) -> Result<Ownership> {
    let Named::Namespace(_) = netns::look(paths, name)? else { return Ok(Ownership::Gone) };
    Ok(match noted(paths, name)? {
        None => Ownership::Unknown,
        Some(ours) if ours.has_name(paths, name)? => Ownership::Ours,
        Some(_) => Ownership::Other,
    })
}

/// What is said of the namespace of something that is up, if that is not the one that was made, which systemd does not notice.
/// Errors: as for [`look`].
pub fn lost(paths: &Paths, name: &NsName) -> Result<Option<String>> {
    Ok(match look(paths, name)? {
        Ownership::Ours | Ownership::Unknown => None,
        Ownership::Gone => Some(gone(name)),
        Ownership::Other => Some(other(name)),
    })
}

/// Makes sure that a name stands for a namespace of ours.
/// Errors: it is gone, or another one; or it cannot be looked at.
pub fn require(paths: &Paths, name: &NsName, ours: &Identity) -> Result<()> {
    if ours.has_name(paths, name)? {
        return Ok(());
    }
    match netns::look(paths, name)? {
        Named::Namespace(_) => bail!("{}", other(name)),
        Named::Nothing | Named::Debris => bail!("{}", gone(name)),
    }
}

/// Makes sure that a namespace is the one that was made: another one has neither its interfaces nor its firewall.
/// Errors: it is not.
pub fn verify(paths: &Paths, name: &NsName) -> Result<()> {
    match look(paths, name)? {
        Ownership::Ours => Ok(()),
        Ownership::Gone => bail!("{}", gone(name)),
        Ownership::Other => bail!("{}", other(name)),
        Ownership::Unknown => bail!(
            "namespace `{name}` was made by somebody else, or by an older version: `netnsctl down {name}`, then `up`, make it anew"
        ),
    }
}

/// What is said of a namespace that is gone.
#[must_use]
pub fn gone(name: &NsName) -> String {
    format!("namespace `{name}` was deleted by hand: `netnsctl restart {name}` makes it anew")
}

/// What is said of another one of its name.
#[must_use]
pub fn other(name: &NsName) -> String {
    format!(
        "namespace `{name}` is not the one that was made: that was deleted by hand, and somebody has made another one, without \
         what was set up; `ip netns delete {name}`, then `netnsctl restart {name}`, make it reread"
    )
}
