//! Files that are whole at any moment, written beside their place, then renamed onto it; and the directories of them.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
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

/// Waits for the right to write into a directory. The lock is on the directory itself, so nothing is left behind.
///
/// # Errors
/// There is no such directory.
pub fn lock_directory(directory: &Path) -> Result<Flock<File>> {
    let what = || format!("cannot lock {}", directory.display());
    let opened = File::open(directory).with_context(what)?;
    let opened = match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => return Ok(lock),
        Err((opened, _)) => opened,
    };
    crate::warn(&format!("waiting for another run to be done with {}", directory.display()));
    Flock::lock(opened, FlockArg::LockExclusive).map_err(|(_, error)| error).with_context(what)
}

/// Removes the drafts, of files whose names are `ours`, that runs which were killed have left. Nobody else may be writing:
/// see [`lock_directory`].
///
/// # Errors
/// The directory cannot be read, or not be written to.
pub fn remove_drafts(directory: &Path, ours: impl Fn(&str) -> bool) -> Result<()> {
    for entry in entries(directory)? {
        // `.NAME.123456`, see `Draft::of`.
        let draft = entry.file_name().to_str().and_then(|file| file.strip_prefix('.')?.rsplit_once('.'));
        if draft.is_some_and(|(name, random)| random.len() == 6 && ours(name)) && entry.file_type().is_file()
        {
            let what = || format!("cannot remove {}", entry.path().display());
            fs::remove_file(entry.path()).with_context(what)?;
        }
    }
    Ok(())
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
