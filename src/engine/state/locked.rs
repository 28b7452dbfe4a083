//! The lock on a namespace. Only its holder changes the state file.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{process, thread};

use anyhow::{Context, Result};
use jiff::Timestamp;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::{Entry, Stage, State, StateFile, VERSION, read};
use crate::name::{Instance, NsName, NsType};
use crate::paths::Paths;
use crate::print;
use crate::requires::Requirement;
use crate::sys::file::{self, Draft, remove_drafts};
use crate::sys::process::Process;

/// A process that waits longer than this for the lock prints a warning.
const WARNING_DELAY: Duration = Duration::from_secs(1);
/// Pause between two attempts to get the lock. After the warning, the process waits for the lock without further attempts.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The state of a namespace that this process has locked.
#[derive(Debug)]
pub struct LockedState {
    paths: Paths,
    /// The namespace.
    pub name: NsName,
    /// The contents of the state file.
    pub state: State,
    /// The requirements of the instance that comes up next.
    pub required: Vec<Requirement>,
    /// The instances that an earlier command has left partially up, and this one has taken down.
    pub undone: Vec<NsType>,
    lock: Flock<File>,
}

/// Locks a namespace, waiting if needed, and reads the state file. Renames an unusable file, with a warning.
/// Errors: `/run/systemd-netns` cannot be written to, or a file cannot be opened.
pub fn lock(paths: &Paths, name: &NsName) -> Result<LockedState> {
    let lock = acquire(paths, name)?;
    let mut locked = LockedState {
        paths: paths.clone(),
        name: name.clone(),
        state: State::default(),
        required: Vec::new(),
        undone: Vec::new(),
        lock,
    };
    let path = paths.state(name);
    let why = match read(paths, name)? {
        None => return Ok(locked),
        Some(StateFile::Valid(state)) => {
            locked.state = state;
            return Ok(locked);
        }
        Some(StateFile::Unusable(error)) => format!("{error:#}"),
        Some(StateFile::Unreadable(_)) => {
            format!("cannot read {}: not a regular file, or permission denied", path.display())
        }
    };
    let renamed = path.with_extension(format!("json.{}", Timestamp::now().as_second()));
    fs::rename(&path, &renamed).with_context(|| format!("cannot rename {}", path.display()))?;
    print::warn(&format!(
        "{why}; the file is renamed to {}, and the state is rebuilt from the kernel",
        renamed.display()
    ));
    Ok(locked)
}

/// Locks a namespace; returns `None` if another process holds the lock.
/// Errors: `/run/systemd-netns` cannot be written to, the lock cannot be opened, or the state file is unusable.
pub fn try_lock(paths: &Paths, name: &NsName) -> Result<Option<LockedState>> {
    if is_locked(paths, name)? {
        return Ok(None);
    }
    match read(paths, name)? {
        Some(StateFile::Unusable(error)) => return Err(error),
        Some(StateFile::Unreadable(error)) => {
            return Err(error).with_context(|| format!("cannot read {}", paths.state(name).display()));
        }
        Some(StateFile::Valid(_)) | None => {}
    }
    lock(paths, name).map(Some)
}

/// Whether a process holds the lock on a namespace.
/// Errors: the lock file cannot be opened.
pub fn is_locked(paths: &Paths, name: &NsName) -> Result<bool> {
    let path = paths.lock(name);
    let file = match file::open(&path, OpenOptions::new().read(true)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened.with_context(|| format!("cannot open {}", path.display()))?,
    };
    Ok(matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EAGAIN))))
}

fn acquire(paths: &Paths, name: &NsName) -> Result<Flock<File>> {
    let path = paths.lock(name);
    let context = || format!("cannot lock {}", path.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&paths.direct)
        .with_context(|| format!("cannot create {}", paths.direct.display()))?;
    let start = Instant::now();
    let mut warned = false;
    loop {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file::open(&path, options).with_context(context)?;
        let mode = if warned { FlockArg::LockExclusive } else { FlockArg::LockExclusiveNonblock };
        match Flock::lock(file, mode) {
            // The previous holder removes the file. A lock on a removed file does not exclude other processes.
            Ok(lock) if lock.metadata().with_context(context)?.nlink() > 0 => {
                prepare(paths, name, &lock)?;
                return Ok(lock);
            }
            Ok(_) => {}
            Err((file, Errno::EAGAIN)) if start.elapsed() >= WARNING_DELAY => {
                let holder = io::read_to_string(file).unwrap_or_default();
                print::warn(&format!("namespace `{name}` is locked by process {}; waiting", holder.trim()));
                warned = true;
            }
            Err((_, Errno::EAGAIN)) => thread::sleep(POLL_INTERVAL),
            Err((_, error)) => return Err(error).with_context(context),
        }
    }
}

/// Removes the drafts of the state file that a killed holder has left, and writes the pid of this process into the lock file.
fn prepare(paths: &Paths, name: &NsName, lock: &Flock<File>) -> Result<()> {
    if lock.metadata().is_ok_and(|found| found.len() > 0) {
        let target = paths.state(name);
        remove_drafts(&paths.direct, |file| target.file_name().is_some_and(|name| name == file))?;
    }
    // Waiting processes print the pid. On a full disk the pid is missing.
    _ = lock.set_len(0).and_then(|()| (&**lock).write_all(format!("{}\n", process::id()).as_bytes()));
    Ok(())
}

impl LockedState {
    /// The instance of a type on this namespace.
    #[must_use]
    pub fn instance(&self, nstype: &NsType) -> Instance {
        Instance { nstype: nstype.clone(), name: self.name.clone() }
    }

    /// The stage of the instance of a type; `None` if the instance is down.
    #[must_use]
    pub fn stage(&self, nstype: &NsType) -> Option<Stage> {
        self.state.instances.iter().find(|entry| entry.nstype == *nstype).map(|entry| entry.stage)
    }

    /// Records the stage of the instance of a type, and the hook that runs.
    /// Errors: the file cannot be written.
    pub fn record(&mut self, nstype: &NsType, stage: Stage, hook: Option<Process>) -> Result<()> {
        let since = Timestamp::now();
        match self.state.instances.iter_mut().find(|entry| entry.nstype == *nstype) {
            // The same stage keeps its time.
            Some(entry) if entry.stage == stage => entry.hook = hook,
            Some(entry) => (entry.stage, entry.since, entry.hook) = (stage, since, hook),
            None => {
                let (nstype, requires) = (nstype.clone(), self.required.clone());
                self.state.instances.push(Entry { nstype, stage, since, hook, requires });
            }
        }
        self.save()
    }

    /// Removes the entry of the instance of a type.
    /// Errors: the file cannot be written or removed.
    pub fn forget(&mut self, nstype: &NsType) -> Result<()> {
        self.state.instances.retain(|entry| entry.nstype != *nstype);
        self.save()
    }

    /// Writes the state file. Removes the file if the state is empty.
    /// Errors: `/run/systemd-netns` cannot be written to.
    pub fn save(&mut self) -> Result<()> {
        let path = self.paths.state(&self.name);
        if self.state.namespace.is_none() && self.state.instances.is_empty() {
            return file::remove(&path);
        }
        self.state.version = VERSION;
        let text =
            serde_json::to_string_pretty(&self.state).context("cannot write the state as JSON")? + "\n";
        Draft::of(&path, text.as_bytes()).and_then(Draft::commit).or_else(|error| {
            // On a full disk there is no space for a draft.
            if overwrite(&path, text.as_bytes()) { Ok(()) } else { Err(error) }
        })
    }
}

/// Overwrites a file in place if the allocated blocks are sufficient. Returns whether the file was written.
fn overwrite(path: &Path, text: &[u8]) -> bool {
    let write = || -> io::Result<bool> {
        let mut file = file::open(path, OpenOptions::new().write(true))?;
        if file.metadata()?.blocks() * 512 < text.len() as u64 {
            return Ok(false);
        }
        file.write_all(text)?;
        file.set_len(text.len() as u64)?;
        Ok(true)
    };
    write().unwrap_or(false)
}

impl Drop for LockedState {
    fn drop(&mut self) {
        // The file is removed before the lock is released; see `acquire`. A leftover file does no harm.
        _ = fs::remove_file(self.paths.lock(&self.name));
        let _ = &self.lock;
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::getpid;

    use super::*;

    fn test_paths() -> (tempfile::TempDir, Paths, NsName) {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::under(directory.path());
        (directory, paths, "a".parse().unwrap())
    }

    #[test]
    fn a_recorded_state_is_read_again_and_an_empty_state_leaves_no_file() {
        let (_directory, paths, name) = test_paths();
        let veth = NsType::new("veth".as_ref()).unwrap();
        let mut locked = lock(&paths, &name).unwrap();
        locked.record(&veth, Stage::UpInside, Process::of(getpid().as_raw())).unwrap();
        let recorded = locked.state.clone();
        drop(locked);

        let mut locked = lock(&paths, &name).unwrap();
        assert_eq!(locked.state, recorded);
        assert_eq!(locked.stage(&veth), Some(Stage::UpInside));
        assert!(locked.state.instances[0].hook.unwrap().runs());
        locked.forget(&veth).unwrap();
        drop(locked);
        assert_eq!(fs::read_dir(&paths.direct).unwrap().count(), 0);
    }

    #[test]
    fn an_unusable_state_file_is_renamed_and_not_changed() {
        for text in [&b"{"[..], b"", b"\xff", b"{\"version\": 2, \"more\": 1}", b"{\"version\": 1}"] {
            let (_directory, paths, name) = test_paths();
            fs::create_dir_all(&paths.direct).unwrap();
            fs::write(paths.state(&name), text).unwrap();
            assert!(matches!(read(&paths, &name).unwrap(), Some(StateFile::Unusable(_))));
            drop(lock(&paths, &name).unwrap());
            let files: Vec<_> =
                fs::read_dir(&paths.direct).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(files.len(), 1);
            assert_eq!(fs::read(&files[0]).unwrap(), text);
        }
    }

    #[test]
    fn a_namespace_has_one_lock_holder_at_a_time() {
        let (_directory, paths, name) = test_paths();
        let locked = lock(&paths, &name).unwrap();
        let second = thread::spawn({
            let (paths, name) = (paths.clone(), name.clone());
            move || lock(&paths, &name).map(drop)
        });
        thread::sleep(Duration::from_millis(50));
        assert!(!second.is_finished());
        drop(locked);
        second.join().unwrap().unwrap();
    }
}
