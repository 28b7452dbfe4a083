//! The right to change what is known of a namespace: a lock, which one process at a time has.

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

use super::{Entry, Known, Stage, State, VERSION, read};
use crate::name::{Instance, NsName, NsType};
use crate::paths::Paths;
use crate::print;
use crate::requires::Requirement;
use crate::sys::file::{self, Draft, remove_drafts};
use crate::sys::process::Process;

/// After this long a wait is worth a message.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Pause between two attempts before that.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The state of a namespace, with the right to change it: one process at a time has it.
#[derive(Debug)]
pub struct LockedState {
    paths: Paths,
    /// The namespace.
    pub name: NsName,
    /// What is known of it.
    pub state: State,
    /// What is required by the instance that is to come up next.
    pub required: Vec<Requirement>,
    lock: Flock<File>,
}

/// Waits for the right to change a namespace, and reads its state. What cannot be used is put aside, under a name that a warning
/// tells.
/// Errors: `/run/systemd-netns` cannot be written to.
pub fn hold(paths: &Paths, name: &NsName) -> Result<LockedState> {
    let lock = lock(paths, name)?;
    let mut held = LockedState {
        paths: paths.clone(),
        name: name.clone(),
        state: State::default(),
        required: Vec::new(),
        lock,
    };
    let path = paths.state(name);
    let why = match read(paths, name)? {
        None => return Ok(held),
        Some(Known::State(state)) => {
            held.state = state;
            return Ok(held);
        }
        Some(Known::Unusable(error)) => format!("{error:#}"),
        Some(Known::Odd(_)) => format!("{} is no file that can be read", path.display()),
    };
    let aside = path.with_extension(format!("json.{}", Timestamp::now().as_second()));
    fs::rename(&path, &aside).with_context(|| format!("cannot rename {}", path.display()))?;
    print::warn(&format!("{why}; going by what the kernel shows; it is kept as {}", aside.display()));
    Ok(held)
}

/// Takes the right to change a namespace, if nobody has it. What is known of it has to be usable.
/// Errors: `/run/systemd-netns` cannot be written to, or the file cannot be used.
pub fn try_hold(paths: &Paths, name: &NsName) -> Result<Option<LockedState>> {
    if is_held(paths, name)? {
        return Ok(None);
    }
    match read(paths, name)? {
        Some(Known::Unusable(error)) => return Err(error),
        Some(Known::Odd(error)) => {
            return Err(error).with_context(|| format!("cannot read {}", paths.state(name).display()));
        }
        Some(Known::State(_)) | None => {}
    }
    hold(paths, name).map(Some)
}

/// Whether somebody has the right to change a namespace now.
/// Errors: the lock cannot be looked at.
pub fn is_held(paths: &Paths, name: &NsName) -> Result<bool> {
    let path = paths.lock(name);
    let file = match file::open(&path, OpenOptions::new().read(true)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened.with_context(|| format!("cannot look at {}", path.display()))?,
    };
    Ok(matches!(Flock::lock(file, FlockArg::LockSharedNonblock), Err((_, Errno::EAGAIN))))
}

fn lock(paths: &Paths, name: &NsName) -> Result<Flock<File>> {
    let path = paths.lock(name);
    let what = || format!("cannot lock {}", path.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(&paths.direct)
        .with_context(|| format!("cannot create {}", paths.direct.display()))?;
    let accepted = Instant::now();
    let mut told = false;
    loop {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = file::open(&path, options).with_context(what)?;
        let how = if told { FlockArg::LockExclusive } else { FlockArg::LockExclusiveNonblock };
        match Flock::lock(file, how) {
            // Whoever had it before may have removed the file: then this lock is on nothing that others can find.
            Ok(lock) if lock.metadata().with_context(what)?.nlink() > 0 => {
                take_over(paths, name, &lock)?;
                return Ok(lock);
            }
            Ok(_) => {}
            Err((file, Errno::EAGAIN)) if accepted.elapsed() >= TIMEOUT => {
                let holder = io::read_to_string(file).unwrap_or_default();
                print::warn(&format!(
                    "namespace `{name}` is being worked on by process {}; waiting for it",
                    holder.trim()
                ));
                told = true;
            }
            Err((_, Errno::EAGAIN)) => thread::sleep(POLL_INTERVAL),
            Err((_, error)) => return Err(error).with_context(what),
        }
    }
}

/// Removes what a holder that was killed, perhaps while it wrote the state, has left, and writes who holds it now.
fn take_over(paths: &Paths, name: &NsName, lock: &Flock<File>) -> Result<()> {
    if lock.metadata().is_ok_and(|found| found.len() > 0) {
        let ours = paths.state(name);
        remove_drafts(&paths.direct, |file| ours.file_name().is_some_and(|name| name == file))?;
    }
    // For who waits to read; on a full disk they have to do without.
    _ = lock.set_len(0).and_then(|()| (&**lock).write_all(format!("{}\n", process::id()).as_bytes()));
    Ok(())
}

impl LockedState {
    /// The instance of that type.
    #[must_use]
    pub fn instance(&self, nstype: &NsType) -> Instance {
        Instance { nstype: nstype.clone(), name: self.name.clone() }
    }

    /// How far the instance of that type is; `None` where nothing of it is there.
    #[must_use]
    pub fn stage(&self, nstype: &NsType) -> Option<Stage> {
        self.state.instances.iter().find(|entry| entry.nstype == *nstype).map(|entry| entry.stage)
    }

    /// Notes how far the instance of that type is.
    /// Errors: the file cannot be written.
    pub fn note(&mut self, nstype: &NsType, stage: Stage, hook: Option<Process>) -> Result<()> {
        let since = Timestamp::now();
        match self.state.instances.iter_mut().find(|entry| entry.nstype == *nstype) {
            // Between two stages it was up all the time, as far as anybody is concerned.
            Some(entry) if entry.stage == stage => entry.hook = hook,
            Some(entry) => (entry.stage, entry.since, entry.hook) = (stage, since, hook),
            None => {
                let (nstype, requires) = (nstype.clone(), self.required.clone());
                self.state.instances.push(Entry { nstype, stage, since, hook, requires });
            }
        }
        self.save()
    }

    /// Nothing of the instance of that type is there any more.
    /// Errors: the file cannot be written.
    pub fn forget(&mut self, nstype: &NsType) -> Result<()> {
        self.state.instances.retain(|entry| entry.nstype != *nstype);
        self.save()
    }

    /// Writes the state; where there is nothing to know, removes the file.
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
            // A disk that is full has no room for a second version of the file.
            if overwrite(&path, text.as_bytes()) { Ok(()) } else { Err(error) }
        })
    }
}

/// Writes into a file, if it has the space that this takes already. Returns whether it has.
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
        // While it is still locked; see `lock`. A file that is left costs nothing but its name.
        _ = fs::remove_file(self.paths.lock(&self.name));
        let _ = &self.lock;
    }
}

#[cfg(test)]
mod tests {
    use nix::unistd::getpid;

    use super::*;

    fn place() -> (tempfile::TempDir, Paths, NsName) {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::under(directory.path());
        (directory, paths, "a".parse().unwrap())
    }

    #[test]
    fn what_is_noted_is_read_again_and_nothing_is_left_of_nothing() {
        let (_directory, paths, name) = place();
        let veth = NsType::new("veth".as_ref()).unwrap();
        let mut held = hold(&paths, &name).unwrap();
        held.note(&veth, Stage::UpInside, Process::of(getpid().as_raw())).unwrap();
        let noted = held.state.clone();
        drop(held);

        let mut held = hold(&paths, &name).unwrap();
        assert_eq!(held.state, noted);
        assert_eq!(held.stage(&veth), Some(Stage::UpInside));
        assert!(held.state.instances[0].hook.unwrap().runs());
        held.forget(&veth).unwrap();
        drop(held);
        assert_eq!(fs::read_dir(&paths.direct).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_put_aside_whole() {
        for text in [&b"{"[..], b"", b"\xff", b"{\"version\": 2, \"more\": 1}", b"{\"version\": 1}"] {
            let (_directory, paths, name) = place();
            fs::create_dir_all(&paths.direct).unwrap();
            fs::write(paths.state(&name), text).unwrap();
            assert!(matches!(read(&paths, &name).unwrap(), Some(Known::Unusable(_))));
            drop(hold(&paths, &name).unwrap());
            let left: Vec<_> =
                fs::read_dir(&paths.direct).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert_eq!(left.len(), 1);
            assert_eq!(fs::read(&left[0]).unwrap(), text);
        }
    }

    #[test]
    fn one_at_a_time_has_the_right_to_change_a_namespace() {
        let (_directory, paths, name) = place();
        let held = hold(&paths, &name).unwrap();
        let second = thread::spawn({
            let (paths, name) = (paths.clone(), name.clone());
            move || hold(&paths, &name).map(drop)
        });
        thread::sleep(Duration::from_millis(50));
        assert!(!second.is_finished());
        drop(held);
        second.join().unwrap().unwrap();
    }
}
