//! Files that are whole at any moment, written beside their place, then renamed onto it; and the directories of them.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use nix::sys::memfd::{MFdFlags, memfd_create};
use tempfile::{Builder, TempPath};
use walkdir::{DirEntry, WalkDir};

use super::wait::wait_until;
use crate::print::{self, escape};

/// What stands between the name of a file and the random end of its draft. Nobody names a copy of their own like that, as they may by
/// `.backup` or `.before`.
const MARK: &str = ".netns-draft-";

/// A new version of a file, complete, beside its place. Dropped, it is gone; [`put`](Self::put), it is the file.
#[derive(Debug)]
pub struct Draft {
    path: TempPath, // there may be more of them than a process may have descriptors
    target: PathBuf,
}

impl Draft {
    /// Writes the new version of `target`, mode 0644.
    /// Errors: the directory is missing or cannot be written to, or the disk is full.
    pub fn of(target: &Path, content: &[u8]) -> Result<Self> {
        Self::write(target, content, |_| Ok(()))
    }

    /// The same, with this as the time of its last change.
    /// Errors: as for [`of`](Self::of).
    pub fn of_time(target: &Path, content: &[u8], modified: SystemTime) -> Result<Self> {
        Self::write(target, content, |file| file.set_modified(modified))
    }

    /// The same as [`of`](Self::of), and it is on the disk.
    /// Errors: as for [`of`](Self::of).
    pub fn on_disk(target: &Path, content: &[u8]) -> Result<Self> {
        Self::write(target, content, File::sync_all)
    }

    fn write(target: &Path, content: &[u8], finish: impl FnOnce(&File) -> io::Result<()>) -> Result<Self> {
        let what = || format!("cannot write {}", target.display());
        let directory = target.parent().with_context(what)?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let write = || -> io::Result<TempPath> {
            // A dot in front: nothing that lists the directory takes it for a file of its own.
            let mut draft = Builder::new()
                .prefix(&format!(".{name}{MARK}"))
                .permissions(Permissions::from_mode(0o644))
                .tempfile_in(directory)?;
            draft.write_all(content)?;
            let file = draft.as_file();
            // The umask has had its say.
            if file.metadata()?.permissions().mode() & 0o777 != 0o644 {
                file.set_permissions(Permissions::from_mode(0o644))?;
            }
            finish(file)?;
            Ok(draft.into_temp_path())
        };
        Ok(Self { path: write().with_context(what)?, target: target.to_owned() })
    }

    /// Puts the new version into its place.
    /// Errors: the target is a directory, or the file system refuses.
    pub fn put(self) -> Result<()> {
        let Self { path, target } = self;
        path.persist(&target)
            .map_err(|failed| failed.error)
            .with_context(|| format!("cannot replace {}", target.display()))
    }
}

/// A file in memory, without a name, at its beginning.
/// Errors: there is no memory, or no descriptor.
pub fn in_memory(content: &[u8]) -> io::Result<File> {
    let mut file: File = memfd_create(c"netns", MFdFlags::MFD_CLOEXEC)?.into();
    if !content.is_empty() {
        file.write_all(content)?;
        file.rewind()?;
    }
    Ok(file)
}

/// Opens a file of ours. No link is followed, and nobody is waited for: what is there may be a pipe.
/// Errors: it cannot be opened, or is something else than a file: then it is [`ErrorKind::InvalidInput`].
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let opened = options.custom_flags(O_NOFOLLOW | O_NONBLOCK).open(path);
    let is_odd = match &opened {
        Ok(file) => !file.metadata()?.is_file(),
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        // Each kind of them fails in its own way.
        Err(_) => path.symlink_metadata().is_ok_and(|found| !found.is_file()),
    };
    if is_odd {
        let what = "it is no regular file; move it out of the way";
        return Err(io::Error::new(ErrorKind::InvalidInput, what));
    }
    opened
}

/// Reads a file of ours; see [`open`].
/// Errors: as for [`open`].
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    open(path, OpenOptions::new().read(true))?.read_to_end(&mut text)?;
    Ok(text)
}

/// Reads the first bytes of a file, in one call, at most as many as `head` has. A link is followed; a pipe is not waited for.
/// Errors: it cannot be opened or read.
pub fn read_head<'a>(path: &Path, head: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let length = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?.read(head)?;
    Ok(&head[..length])
}

/// The same as [`read`] of a text.
/// Errors: as for [`open`]; or it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    io::read_to_string(open(path, OpenOptions::new().read(true))?)
}

/// Removes a file, if there is one.
/// Errors: it cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.with_context(|| format!("cannot remove {}", path.display())),
    }
}

/// Warns of something that is not taken into account, once.
pub fn warn_skipped(path: &Path, why: impl Display) {
    static TOLD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if TOLD.lock().is_ok_and(|mut told| told.insert(path.to_owned())) {
        print::warn(&format!("{}: {why}; it is passed over", printable(path)));
    }
}

/// A path for a message, which has to stay on one line.
#[must_use]
pub fn printable(path: &Path) -> String {
    escape::line(&escape::text(path.as_os_str().as_bytes())).into_owned()
}

/// Waits until what was renamed in a directory is on the disk.
/// Errors: the disk refuses.
pub fn sync_directory(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .with_context(|| format!("cannot sync {}", directory.display()))
}

/// Waits for the right to write into a directory. The lock is on the directory itself, so nothing is left behind; but then
/// whoever can read it can lock it, so nobody waits for that for ever.
/// Errors: there is no such directory, or it is locked for that long.
pub fn lock_directory(directory: &Path, timeout: Duration) -> Result<Flock<File>> {
    let what = || format!("cannot lock {}", directory.display());
    let opened = File::open(directory).with_context(what)?;
    let opened = match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => return Ok(lock),
        Err((opened, _)) => opened,
    };
    print::warn(&format!("waiting for another run to be done with {}", directory.display()));
    match lock_within(opened, timeout) {
        Ok(lock) => Ok(lock),
        Err(Errno::EAGAIN) => {
            Err(anyhow!("another process holds it; `lslocks` (or `fuser {}`) finds it", directory.display()))
        }
        Err(error) => Err(error.into()),
    }
    .with_context(what)
}

/// Tries to lock a file again and again, for that long.
/// Errors: `EAGAIN`, if somebody else has locked it all the time.
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

/// Removes the drafts, of files whose names are `ours`, that runs which were killed have left. Nobody else may be writing:
/// see [`lock_directory`].
/// Errors: the directory cannot be read, or not be written to.
pub fn remove_drafts(directory: &Path, ours: impl Fn(&str) -> bool) -> Result<()> {
    for entry in entries(directory)? {
        if entry.file_type().is_file() && entry.file_name().to_str().and_then(drafted).is_some_and(&ours) {
            let what = || format!("cannot remove {}", entry.path().display());
            fs::remove_file(entry.path()).with_context(what)?;
        }
    }
    Ok(())
}

/// The name of the file that another one, by its name, is a [`Draft`] of.
#[must_use]
pub fn drafted(name: &str) -> Option<&str> {
    let (target, random) = name.strip_prefix('.')?.rsplit_once(MARK)?;
    // As the crate `tempfile` makes it up.
    let is_random = random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_random.then_some(target)
}

/// The entries of a directory, in the order of their names.
/// Errors: it is none, or cannot be read.
pub fn entries(directory: &Path) -> Result<Vec<DirEntry>> {
    let what = || format!("cannot read {}", directory.display());
    // Their paths differ in the names alone, and are compared faster as a whole.
    let walk = WalkDir::new(directory)
        .min_depth(1)
        .max_depth(1)
        .sort_by(|one, other| one.path().as_os_str().cmp(other.path().as_os_str()));
    let entries: Result<Vec<_>, _> = walk.into_iter().collect();
    // For walkdir a file is an empty directory, and its errors repeat the path.
    if entries.as_ref().map_or(true, Vec::is_empty) {
        fs::read_dir(directory).with_context(what)?;
    }
    entries.with_context(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_is_told_by_its_name_and_is_no_backup_of_somebody_elses() {
        let directory = tempfile::tempdir().unwrap();
        let draft = Draft::of(&directory.path().join("nft-a.rules"), b"").unwrap();
        let name = draft.path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(drafted(&name), Some("nft-a.rules"), "{name}");
        for end in
            ["backup", "before", "broken", "orig01", "Backup", "201125", "aB3xYz", "netns-backup", "swp"]
        {
            for dot in ["", "."] {
                assert_eq!(drafted(&format!("{dot}nft-a.rules.{end}")), None, "{dot} {end}");
            }
        }
        for other in
            ["nft-a.rules.netns-draft-aB3xYz", ".nft-a.rules.netns-draft-aB3xY", ".a.netns-draft-aB3x-z"]
        {
            assert_eq!(drafted(other), None, "{other}");
        }
    }
}
