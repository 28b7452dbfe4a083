//! Atomic file writes, and the directories of these files. A new version is written beside the file, and then renamed to it.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, Flock, FlockArg, fallocate};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use nix::sys::memfd::{MFdFlags, memfd_create};
use tempfile::{Builder, TempPath};
use walkdir::{DirEntry, WalkDir};

use super::wait::wait_until;
use crate::print::{self, escape};

/// Bytes at the end of a log that are kept.
const LOG_SIZE_MAX: u64 = 1 << 20;

/// Separates the name of a file from the random end of its draft's name. A user would not choose such a name.
const DRAFT_MARK: &str = ".netns-draft-";

/// A complete new version of a file, in the same directory. [`commit`](Self::commit) replaces the file by it. Otherwise the
/// draft is deleted when it is dropped.
#[derive(Debug)]
pub struct Draft {
    path: TempPath, // not an open file: one process may have more drafts than file descriptors
    target: PathBuf,
}

impl Draft {
    /// Writes the new version of `target`, with mode 0644.
    /// Errors: the directory is missing or not writable, or the disk is full.
    pub fn of(target: &Path, content: &[u8]) -> Result<Self> {
        Self::write(target, content, |_| Ok(()))
    }

    /// Like [`of`](Self::of), and sets the time of the last change.
    /// Errors: as for [`of`](Self::of); or the time cannot be set.
    pub fn with_mtime(target: &Path, content: &[u8], modified: SystemTime) -> Result<Self> {
        Self::write(target, content, |file| file.set_modified(modified))
    }

    /// Like [`of`](Self::of), and waits until the draft is on the disk (fsync).
    /// Errors: as for [`of`](Self::of); or the disk reports an error.
    pub fn synced(target: &Path, content: &[u8]) -> Result<Self> {
        Self::write(target, content, File::sync_all)
    }

    fn write(target: &Path, content: &[u8], finish: impl FnOnce(&File) -> io::Result<()>) -> Result<Self> {
        let what = || format!("cannot write {}", target.display());
        let directory = target.parent().with_context(what)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let write = || -> io::Result<TempPath> {
            // The dot hides the draft from programs that read all files of the directory.
            let mut draft = Builder::new()
                .prefix(&format!(".{name}{DRAFT_MARK}"))
                .permissions(Permissions::from_mode(0o644))
                .tempfile_in(directory)?;
            draft.write_all(content)?;
            let file = draft.as_file();
            // The umask may have narrowed the mode.
            if file.metadata()?.permissions().mode() & 0o777 != 0o644 {
                file.set_permissions(Permissions::from_mode(0o644))?;
            }
            finish(file)?;
            Ok(draft.into_temp_path())
        };
        Ok(Self { path: write().with_context(what)?, target: target.to_owned() })
    }

    /// Renames the draft to its target.
    /// Errors: the target is a directory, or the file system refuses.
    pub fn commit(self) -> Result<()> {
        let Self { path, target } = self;
        path.persist(&target)
            .map_err(|failed| failed.error)
            .with_context(|| format!("cannot replace {}", target.display()))
    }
}

/// Creates an unnamed file in memory. Its offset is at the beginning.
/// Errors: there is not enough memory, or no free file descriptor.
pub fn in_memory(content: &[u8]) -> io::Result<File> {
    let mut file: File = memfd_create(c"netns", MFdFlags::MFD_CLOEXEC)?.into();
    if !content.is_empty() {
        file.write_all(content)?;
        file.rewind()?;
    }
    Ok(file)
}

/// Frees the memory of a log except for the end. The freed part becomes a hole: writers are not affected, and offsets do not
/// change.
pub fn limit_log_size(log: &File) {
    let Ok(found) = log.metadata() else { return };
    let Ok(surplus) = found.len().saturating_sub(LOG_SIZE_MAX).try_into() else { return };
    if found.blocks() * 512 > 2 * LOG_SIZE_MAX {
        // On a file system without holes the log keeps its size, which is not an error.
        _ = fallocate(
            log,
            FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE,
            0,
            surplus,
        );
    }
}

/// Opens one of our own files, without following links or waiting for a FIFO.
/// Errors: the file cannot be opened; [`ErrorKind::InvalidInput`] if it is not a regular file.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let opened = options.custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path);
    let is_unusable = match &opened {
        Ok(file) => !file.metadata()?.is_file(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        // Each file type fails with another errno.
        Err(_) => path.symlink_metadata().is_ok_and(|found| !found.is_file()),
    };
    if is_unusable {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "it is not a regular file; move it out of the way",
        ));
    }
    opened
}

/// Reads one of our own files; see [`open`].
/// Errors: as for [`open`]; or it cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open(path, OpenOptions::new().read(true))?.read_to_end(&mut text)?;
    Ok(text)
}

/// Reads the beginning of a file into `head`, by one system call. Symbolic links are followed. A FIFO does not block.
/// Errors: the file cannot be opened or read.
pub fn read_head<'a>(path: &Path, head: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let length = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?.read(head)?;
    Ok(&head[..length])
}

/// Reads one of our own files as text; see [`open`].
/// Errors: as for [`read`]; or the contents are not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    io::read_to_string(open(path, OpenOptions::new().read(true))?)
}

/// Removes a file, if it exists.
/// Errors: the file cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// Warns that a file is skipped, once for each file.
pub fn warn_skipped(path: &Path, why: impl Display) {
    static WARNED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if WARNED.lock().is_ok_and(|mut warned| warned.insert(path.to_owned())) {
        print::warn(&format!("{}: {why}; skipped", printable(path)));
    }
}

/// Escapes a path for a message, so that the message is one line.
#[must_use]
pub fn printable(path: &Path) -> String {
    escape::line(&escape::text(path.as_os_str().as_bytes())).into_owned()
}

/// Waits until the changed entries of a directory are on the disk (fsync).
/// Errors: the directory cannot be opened, or the disk reports an error.
pub fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .with_context(|| format!("cannot sync {}", directory.display()))
}

/// Locks a directory, so that this process alone writes to it. If another process holds the lock, a warning is printed.
///
/// The directory itself is locked, so no lock file remains. Any user who can read the directory can lock it, so there is a
/// timeout.
/// Errors: the directory cannot be opened, or another process still holds the lock after the timeout.
pub fn lock_directory(directory: &Path, timeout: Duration) -> Result<Flock<File>> {
    let what = || format!("cannot lock {}", directory.display());
    let opened = File::open(directory).with_context(what)?;
    let opened = match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => return Ok(lock),
        Err((opened, _)) => opened,
    };
    print::warn(&format!("waiting for another process that has locked {}", directory.display()));
    match lock_within(opened, timeout) {
        Ok(lock) => Ok(lock),
        Err(Errno::EAGAIN) => Err(anyhow!(
            "another process holds the lock; find it by `lslocks` or `fuser {}`",
            directory.display()
        )),
        Err(error) => Err(error.into()),
    }
    .with_context(what)
}

/// Locks a directory that only root can open, and creates it if it is missing. So no other user can hold the lock.
/// Errors: the directory cannot be created, or another process holds the lock for too long.
pub fn lock_private(directory: &Path, timeout: Duration) -> Result<Flock<File>> {
    let what = || format!("cannot lock {}", directory.display());
    DirBuilder::new().recursive(true).mode(0o700).create(directory).with_context(what)?;
    let opened = File::open(directory).with_context(what)?;
    let lock = lock_within(opened, timeout).map_err(|errno| match errno {
        Errno::EAGAIN => anyhow!("another process holds the lock; `lslocks` lists it"),
        errno => errno.into(),
    });
    lock.with_context(what)
}

/// Locks a file. Retries until the timeout.
/// Errors: `EAGAIN` if another process held the lock until the timeout; any other errno at once.
pub fn lock_within(file: File, timeout: Duration) -> Result<Flock<File>, Errno> {
    let mut unlocked = Some(file);
    let locked = wait_until(timeout, Duration::from_micros(500), || {
        match Flock::lock(unlocked.take()?, FlockArg::LockExclusiveNonblock) {
            Err((file, Errno::EAGAIN)) => {
                unlocked = Some(file);
                None
            }
            done => Some(done.map_err(|(_, error)| error)),
        }
    });
    locked.unwrap_or(Err(Errno::EAGAIN))
}

/// Removes the drafts that killed processes have left, if `ours` returns true for the name of the target. No other process
/// may write to the directory at the same time: see [`lock_directory`].
/// Errors: the directory cannot be read, or a draft cannot be removed.
pub fn remove_drafts(directory: &Path, ours: impl Fn(&str) -> bool) -> Result<()> {
    for entry in entries(directory)? {
        if entry.file_type().is_file() && entry.file_name().to_str().and_then(draft_target).is_some_and(&ours)
        {
            let what = || format!("cannot remove {}", entry.path().display());
            fs::remove_file(entry.path()).with_context(what)?;
        }
    }
    Ok(())
}

/// The name of the target, if `name` is the name of a [`Draft`].
#[must_use]
pub fn draft_target(name: &str) -> Option<&str> {
    let (target, random) = name.strip_prefix('.')?.rsplit_once(DRAFT_MARK)?;
    // The format of the crate `tempfile`.
    let is_random = random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_random.then_some(target)
}

/// The entries of a directory, sorted by name.
/// Errors: the path is not a directory, or cannot be read.
pub fn entries(directory: &Path) -> Result<Vec<DirEntry>> {
    let what = || format!("cannot read {}", directory.display());
    // The paths differ only in the names. To compare whole paths is faster.
    let walk = WalkDir::new(directory)
        .min_depth(1)
        .max_depth(1)
        .sort_by(|one, other| one.path().as_os_str().cmp(other.path().as_os_str()));
    let entries: Result<Vec<_>, _> = walk.into_iter().collect();
    // walkdir treats a file as an empty directory, and its errors repeat the path.
    if entries.as_ref().map_or(true, Vec::is_empty) {
        fs::read_dir(directory).with_context(what)?;
    }
    entries.with_context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_recognized_by_its_name_and_a_backup_is_not_a_draft() {
        let directory = tempfile::tempdir().unwrap();
        let draft = Draft::of(&directory.path().join("nft-a.rules"), b"").unwrap();
        let name = draft.path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(draft_target(&name), Some("nft-a.rules"), "{name}");
        for end in
            ["backup", "before", "broken", "orig01", "Backup", "201125", "aB3xYz", "netns-backup", "swp"]
        {
            for dot in ["", "."] {
                assert_eq!(draft_target(&format!("{dot}nft-a.rules.{end}")), None, "{dot} {end}");
            }
        }
        for other in
            ["nft-a.rules.netns-draft-aB3xYz", ".nft-a.rules.netns-draft-aB3xY", ".a.netns-draft-aB3x-z"]
        {
            assert_eq!(draft_target(other), None, "{other}");
        }
    }
}
