//! What is ours and nobody needs any more, after kills, crashes and deletions by hand: found, then removed.
//!
//! A thing is ours if there is a record of it: a note of `netnsinit --create`, the state of the direct engine, what a plugin
//! remembers, a name and a header that only this program writes. All else is left alone. The records are read before systemd
//! is asked what it needs, so what a unit makes meanwhile is not among them, and each is looked at again before it goes.
//! Nothing of ours is in the host's own rules: tables are made in namespaces alone, and go with them.

mod apply;
mod drop_ins;
mod files;
mod find;
mod records;
mod used;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use apply::Collector;
pub use find::find;

use crate::name::{Instance, NsName};
use crate::netns::Identity;

/// Something that nobody needs.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// What has to be done about it.
    pub what: What,
    /// The file that shows it.
    pub path: PathBuf,
    /// Why nobody needs it.
    pub reason: String,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A namespace of ours, with what has been noted of it.
    Namespace(NsName, Identity),
    /// What an attempt to make a namespace of ours has left in `/run/netns`.
    Debris(NsName),
    /// A note of a namespace of ours that is gone, with what stands in it.
    Note(NsName, String),
    /// What the direct engine has left half-way, or has lost its namespace. These are its instances.
    PartiallyUp(NsName, Vec<Instance>),
    /// What a hook outside has made for an instance that is not up.
    Instance(Instance),
    /// A lock that nobody holds.
    Lock(NsName),
    /// A file.
    File,
    /// Somebody else's, or for people to look at: it stays.
    Foreign,
    /// Where a record of ours would be, and none: so it is not known what is ours. It stays.
    Odd,
}

impl What {
    /// The kind, as JSON has it.
    #[must_use]
    pub fn kind(&self) -> OrphanKind {
        match self {
            Self::Namespace(..) => OrphanKind::Namespace,
            Self::Debris(_) => OrphanKind::Debris,
            Self::Note(..) => OrphanKind::Note,
            Self::PartiallyUp(..) => OrphanKind::State,
            Self::Instance(_) => OrphanKind::Instance,
            Self::Lock(_) => OrphanKind::Lock,
            Self::File => OrphanKind::File,
            Self::Foreign => OrphanKind::Foreign,
            Self::Odd => OrphanKind::Odd,
        }
    }
}

/// The kinds of things that are found.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // as in `What`
pub enum OrphanKind {
    Namespace,
    Debris,
    Note,
    State,
    Instance,
    Lock,
    File,
    Foreign,
    Odd,
}

impl Orphan {
    /// Something that cannot be looked at.
    fn odd(path: &Path, why: impl fmt::Display) -> Self {
        Self { what: What::Odd, path: path.to_owned(), reason: why.to_string() }
    }
}

impl fmt::Display for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.what {
            What::Namespace(name, _) => write!(f, "namespace `{name}`")?,
            What::PartiallyUp(name, _) => write!(f, "what is left on namespace `{name}`")?,
            What::Instance(instance) => write!(f, "what `{instance}` has made outside")?,
            _ => write!(f, "{path}")?,
        }
        write!(f, ": {}", self.reason)
    }
}
