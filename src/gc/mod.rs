//! Finds and removes leftovers of kills, crashes and manual deletions.
//!
//! Only recorded objects are removed. A record is an ownership record, the state of the direct engine, a file of remembered
//! values, the count of a sysctl, or a file with our name and header. All records are read before systemd is queried, so objects
//! that a unit creates later are not found. Each object is checked again before removal. A table of nftables on the host is
//! recognised by its comment, if its record was lost.

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

use crate::library::OrphanTable;
use crate::library::sysctl::KernelVariable;
use crate::name::{Instance, NsName};
use crate::netns::Identity;

/// A leftover, or an object that looks like one.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// The kind, with the data for the removal.
    pub kind: OrphanKind,
    /// The file of the object, or its record.
    pub path: PathBuf,
    /// The reason for the removal, or for leaving the object alone.
    pub reason: String,
}

/// The kind of an orphan, with the data for the removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrphanKind {
    /// A namespace of ours, with its recorded identity.
    Namespace(NsName, Identity),
    /// A file in `/run/netns` from an interrupted attempt to create a namespace.
    LeftoverFile(NsName),
    /// An ownership record of a deleted namespace, with the text of the record.
    OwnershipRecord(NsName, String),
    /// A namespace with unfinished work of the direct engine, or a deleted namespace, with the affected instances.
    PartiallyUp(NsName, Vec<Instance>),
    /// Objects on the host that an outside hook created for an instance. The instance is not up.
    Instance(Instance),
    /// A sysctl of the host that is counted for an instance which has no remembered values.
    Sysctl(KernelVariable, Instance),
    /// A table of an instance on the host.
    Table(OrphanTable),
    /// A lock that no process holds.
    Lock(NsName),
    /// A file.
    File,
    /// A foreign object, or an object that the administrator must check. It stays.
    Foreign,
    /// An invalid file in a directory of records. It stays, and gc fails.
    Unusable,
}

impl OrphanKind {
    /// Returns the kind for the JSON output.
    #[must_use]
    pub fn name(&self) -> KindName {
        match self {
            Self::Namespace(..) => KindName::Namespace,
            Self::LeftoverFile(_) => KindName::Debris,
            Self::OwnershipRecord(..) => KindName::Note,
            Self::PartiallyUp(..) => KindName::State,
            Self::Instance(_) => KindName::Instance,
            Self::Sysctl(..) => KindName::Sysctl,
            Self::Table(_) => KindName::Table,
            Self::Lock(_) => KindName::Lock,
            Self::File => KindName::File,
            Self::Foreign => KindName::Foreign,
            Self::Unusable => KindName::Odd,
        }
    }
}

/// The kinds in the JSON output.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // see `OrphanKind`
pub enum KindName {
    Namespace,
    Debris,
    Note,
    State,
    Instance,
    Sysctl,
    Table,
    Lock,
    File,
    Foreign,
    Odd,
}

impl Orphan {
    /// Returns an orphan for an object that cannot be read.
    fn unusable(path: &Path, error: impl fmt::Display) -> Self {
        Self { kind: OrphanKind::Unusable, path: path.to_owned(), reason: error.to_string() }
    }
}

impl fmt::Display for Orphan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            OrphanKind::Namespace(name, _) => write!(f, "namespace `{name}`")?,
            OrphanKind::PartiallyUp(name, _) => write!(f, "leftovers of namespace `{name}`")?,
            OrphanKind::Instance(instance) => write!(f, "leftovers of `{instance}` on the host")?,
            OrphanKind::Sysctl(variable, instance) => {
                write!(f, "sysctl '{variable}' of `{instance}` on the host")?;
            }
            OrphanKind::Table(table) => write!(f, "table `inet {}` on the host", table.name)?,
            _ => write!(f, "{path}")?,
        }
        write!(f, ": {}", self.reason)
    }
}
