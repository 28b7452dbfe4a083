//! Files that are whole at any moment, written beside their place, then renamed onto it; and the directories of them.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use tempfile::{Builder, NamedTempFile};
use walkdir::{DirEntry, WalkDir};

/// A new version of a file, complete, beside its place. Dropped, it is gone; [`put`](Self::put), it is the file.
#[derive(Debug)]
pub struct Draft {
    file: NamedTempFile,
    target: PathBuf,
}

impl Draft {
    /// Writes the new version of `target`, mode 0644.
    ///
    /// # Errors
    /// The directory is missing or cannot be written to, or the disk is full.
    pub fn of(target: &Path, content: &[u8]) -> Result<Self> {
        let what = || format!("cannot write {}", target.display());
        let directory = target.parent().with_context(what)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        // A dot in front: nothing that lists the directory takes it for a file of its own.
        let mut file = Builder::new()
            .prefix(&format!(".{name}."))
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(directory)
            .with_context(what)?;
        file.write_all(content).with_context(what)?;
        // Again, as the umask has had its say.
        file.as_file().set_permissions(Permissions::from_mode(0o644)).with_context(what)?;
        Ok(Self { file, target: target.to_owned() })
    }

    /// Sets the time of the last change.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn set_modified(&self, time: SystemTime) -> Result<()> {
        let what = || format!("cannot set the time of {}", self.target.display());
        self.file.as_file().set_modified(time).with_context(what)
    }

    /// Waits until the new version is on the disk.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn sync(&self) -> Result<()> {
        self.file.as_file().sync_all().with_context(|| format!("cannot write {}", self.target.display()))
    }

    /// Puts the new version into its place.
    ///
    /// # Errors
    /// The target is a directory, or the file system refuses.
    pub fn put(self) -> Result<()> {
        let Self { file, target } = self;
        file.persist(&target)
            .map(drop)
            .map_err(|failed| failed.error)
            .with_context(|| format!("cannot replace {}", target.display()))
    }
}

/// Waits until what was renamed in a directory is on the disk.
///
/// # Errors
/// The disk refuses.
pub fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .with_context(|| format!("cannot sync {}", directory.display()))
}

/// The entries of a directory, in the order of their names.
///
/// # Errors
/// It is none, or cannot be read.
pub fn entries(directory: &Path) -> Result<Vec<DirEntry>> {
    let what = || format!("cannot read {}", directory.display());
    fs::read_dir(directory).with_context(what)?; // walkdir takes a file for a directory with nothing in it
    let walk = WalkDir::new(directory).min_depth(1).max_depth(1).sort_by_file_name();
    walk.into_iter().collect::<Result<_, _>>().with_context(what)
}
