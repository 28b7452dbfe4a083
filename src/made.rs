//! Which namespaces the units have made: `netnsinit --create` notes each, since by hand one can be deleted, and another one
//! be put in its place, without anybody telling.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::file;
use crate::name::NsName;
use crate::netns::{self, Named};
use crate::paths::Paths;

/// What stands behind a name, by the note of its making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// The namespace that was made.
    Ours,
    /// Nothing.
    Gone,
    /// Another namespace than the one that was made.
    Other,
    /// A namespace that nobody has noted.
    Unknown,
}

/// Where the note on a namespace stands.
#[must_use]
pub fn note(paths: &Paths, name: &NsName) -> PathBuf {
    paths.made.join(name.to_string())
}

/// Looks what stands behind a name.
///
/// # Errors
/// It cannot be looked at.
pub fn look(paths: &Paths, name: &NsName) -> Result<Made> {
    let Named::Namespace(id) = netns::look(paths, name)? else { return Ok(Made::Gone) };
    Ok(match file::read_text(&note(paths, name)) {
        Ok(noted) if noted == id.to_string() => Made::Ours,
        Ok(_) => Made::Other,
        Err(_) => Made::Unknown,
    })
}

/// Makes sure that a namespace is the one that was made: another one has neither its interfaces nor its firewall.
///
/// # Errors
/// It is not.
pub fn verify(paths: &Paths, name: &NsName) -> Result<()> {
    match look(paths, name)? {
        Made::Ours => Ok(()),
        Made::Gone => bail!("{}", gone(name)),
        Made::Other => bail!("{}", other(name)),
        Made::Unknown => bail!(
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
         what was set up; `ip netns delete {name}`, then `netnsctl restart {name}`, make it anew"
    )
}
