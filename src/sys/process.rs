//! The processes of this machine, from proc(5).

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, close, getpid};
use serde::{Deserialize, Serialize};

use super::wait::wait_until;

/// Poll interval while processes are about to exit.
pub const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The fields of proc_pid_stat(5) that this program uses.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// The process id.
    pub pid: i32,
    /// The process id of the parent.
    pub parent: i32,
    /// Whether the process has exited: it is a zombie or dead.
    pub ended: bool,
    /// The process group.
    pub group: i32,
    /// The session.
    pub session: i32,
    /// The start time, in clock ticks since boot.
    pub started: u64,
}

impl Stat {
    /// Reads the state of a process; `None` if it does not exist.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Field 2, the name, may contain blanks and parentheses. The fields after it: 3 is the state, 4 the parent, 5 the
        // group, 6 the session, 22 the start time.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let ended = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        let started = fields.nth(15)?.parse().ok()?;
        Some(Self { pid, parent, ended, group, session, started })
    }

    /// Reads the state of all processes.
    #[must_use]
    pub fn of_all() -> Vec<Self> {
        all().filter_map(|(pid, _)| Self::of(pid)).collect()
    }

    /// Whether the process still runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| !now.ended && now.started == self.started)
    }
}

/// Whether any process of a group runs.
#[must_use]
pub fn group_runs(group: i32) -> bool {
    Stat::of_all().iter().any(|stat| stat.group == group && !stat.ended)
}

/// The pids of all processes, with their directories in `/proc`.
pub fn all() -> impl Iterator<Item = (i32, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

/// The other processes whose stdout or stderr is this file.
#[must_use]
pub fn with_output_to(file: &Path) -> Vec<Pid> {
    let Ok(file) = fs::metadata(file) else { return Vec::new() };
    let is_same = |path: &Path| {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()))
    };
    let prints = |path: &Path| ["fd/1", "fd/2"].iter().any(|output| is_same(&path.join(output)));
    let found = all().map(|(pid, path)| (Pid::from_raw(pid), path));
    found.filter(|(pid, path)| *pid != getpid() && prints(path)).map(|(pid, _)| pid).collect()
}

/// Closes all file descriptors except stdin, stdout and stderr, because root can have opened any file.
/// Errors: `/proc` is not mounted.
pub fn close_descriptors() -> Result<()> {
    let open =
        fs::read_dir("/proc/self/fd").context("cannot list the open descriptors (is /proc mounted?)")?;
    let open: Vec<i32> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The descriptor that the list was read from is already closed.
        _ = close(descriptor);
    }
    Ok(())
}

/// A process that leads its own process group. The start time distinguishes it from a later process with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The process id, and the id of the process group.
    pub pid: i32,
    started: u64,
}

impl Process {
    /// Finds a running process by its pid.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = Stat::of(pid).filter(|stat| !stat.ended)?;
        Some(Self { pid, started: stat.started })
    }

    /// Whether the process still runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Terminates the process group. SIGTERM lets the process undo its steps, also if it was stopped: SIGCONT continues it.
    /// SIGKILL follows if the group still runs after `grace`. Returns whether SIGKILL was necessary for the process itself.
    pub fn terminate(&self, grace: Duration) -> bool {
        let group = Pid::from_raw(self.pid);
        // An error means that the group has already exited.
        _ = killpg(group, Signal::SIGTERM);
        _ = killpg(group, Signal::SIGCONT);
        if wait_until(grace, POLL_INTERVAL, || (!group_runs(self.pid)).then_some(())).is_some() {
            return false;
        }
        let runs = self.runs();
        _ = killpg(group, Signal::SIGKILL);
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_process_with_the_same_pid_is_another_process() {
        let own = Process::of(getpid().as_raw()).unwrap();
        assert!(own.runs());
        assert!(!Process { started: own.started + 1, ..own }.runs());
    }
}
