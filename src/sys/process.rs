//! The processes of this machine, as proc(5) shows them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getpid};
use serde::{Deserialize, Serialize};

use super::wait::wait_until;

/// Pause between two looks at processes that are about to end.
pub const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// What proc_pid_stat(5) tells of a process.
#[derive(Clone, Copy, Debug)]
pub struct Stat {
    /// Its number.
    pub pid: i32,
    /// The process that has started it.
    pub parent: i32,
    /// Whether nothing is left of it but its status.
    pub ended: bool,
    /// Its process group.
    pub group: i32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

impl Stat {
    /// Of the process of that pid, if there is one.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // Field 2, its name, may have blanks and parentheses in it. After it: 3, the state; 4, the parent; 5, the group; 22, the
        // start.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let ended = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let started = fields.nth(16)?.parse().ok()?;
        Some(Self { pid, parent, ended, group, started })
    }

    /// Of all processes.
    #[must_use]
    pub fn of_all() -> Vec<Self> {
        all().filter_map(|(pid, _)| Self::of(pid)).collect()
    }

    /// Whether it still runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        Self::of(self.pid).is_some_and(|now| !now.ended && now.started == self.started)
    }
}

/// Whether anything of a process group runs.
#[must_use]
pub fn group_runs(group: i32) -> bool {
    Stat::of_all().iter().any(|stat| stat.group == group && !stat.ended)
}

/// The pids of all processes, and where they are in `/proc`.
pub fn all() -> impl Iterator<Item = (i32, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

/// The processes, but for this one, that have a file for their output or their errors.
#[must_use]
pub fn that_print_to(file: &Path) -> Vec<Pid> {
    let Ok(file) = fs::metadata(file) else { return Vec::new() };
    let is_it = |path: &Path| {
        fs::metadata(path).is_ok_and(|found| (found.dev(), found.ino()) == (file.dev(), file.ino()))
    };
    let prints = |path: &Path| ["fd/1", "fd/2"].iter().any(|output| is_it(&path.join(output)));
    let found = all().map(|(pid, path)| (Pid::from_raw(pid), path));
    found.filter(|(pid, path)| *pid != getpid() && prints(path)).map(|(pid, _)| pid).collect()
}

/// A process, told apart from a later one of the same pid by when it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// It leads a process group of its own.
    pub pid: i32,
    started: u64,
}

impl Process {
    /// The process of that pid, if it runs.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = Stat::of(pid).filter(|stat| !stat.ended)?;
        Some(Self { pid, started: stat.started })
    }

    /// Whether it still runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Ends it and all that it has started: asked first, so that it can undo its steps, killed when it does not listen
    /// within that time.
    pub fn end(&self, grace: Duration) {
        let group = Pid::from_raw(self.pid);
        // That the group is gone by now is what is wanted.
        _ = killpg(group, Signal::SIGTERM);
        if wait_until(grace, POLL_INTERVAL, || (!group_runs(self.pid)).then_some(())).is_none() {
            _ = killpg(group, Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_not_taken_for_a_later_one_of_the_same_pid() {
        let own = Process::of(getpid().as_raw()).unwrap();
        assert!(own.runs());
        assert!(!Process { started: own.started + 1, ..own }.runs());
    }
}
