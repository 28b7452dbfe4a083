//! Hooks as children of this process: started, waited for, ended when they must be, and what they print kept.

use std::env::{self, VarError};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::sync::{Arc, Once};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use duct::{Handle, cmd};
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, getpid, getppid};
use serde::{Deserialize, Serialize};

use super::Interrupt;
use crate::file;
use crate::firewall;
use crate::foreign;
use crate::hook::{self, Plan};
use crate::memory;
use crate::name::{Instance, Phase, Side};
use crate::netns::{self, Identity};
use crate::paths::{BASH, Paths};
use crate::process::{self, Stat};
use crate::wrapper::{Caller, CallerKind, Hook};

/// Where hooks find programs: that of systemd's own units (`DEFAULT_PATH` in src/basic/path-util.h).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long a hook that is asked to end has to clean up, unless it has less time for all.
const GRACE: Duration = Duration::from_secs(10);

/// How often a running hook is looked at for reasons to end it, and its log for its size. That it has ended by itself is
/// seen at once.
const GLANCE: Duration = Duration::from_millis(20);

/// What is kept of a log, its end; the log is in memory.
const KEPT: u64 = 1 << 20;

/// How many of the last lines of a failed hook are shown, and how far back they are looked for.
const LINES: usize = 10;
const LOOK_BACK: u64 = 1 << 16;

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
        let deadline = Instant::now() + grace;
        // That the group is gone by now is what is wanted.
        _ = killpg(group, Signal::SIGTERM);
        while process::group_runs(self.pid) {
            if Instant::now() > deadline {
                _ = killpg(group, Signal::SIGKILL);
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What starts hooks.
#[derive(Debug)]
pub struct Runner {
    paths: Paths,
    caller: Caller,
    interrupt: Interrupt,
    /// Takes the place of the time limits that hooks have under systemd.
    limit: Option<Duration>,
    /// How long a hook that is asked to end has to clean up.
    grace: Duration,
}

impl Runner {
    /// As systemd's units do it, from the directory `/` with umask 022.
    ///
    /// # Errors
    /// The path of this program is not known, the handlers of signals cannot be set, or `NETNS_HOOK_TIMEOUT` is no time.
    pub fn new(paths: &Paths) -> Result<Self> {
        let binary = env::current_exe().context("cannot tell the path of this program")?;
        umask(Mode::from_bits_truncate(0o022));
        let limit = match env::var("NETNS_HOOK_TIMEOUT") {
            Err(VarError::NotPresent) => None,
            value => {
                let seconds =
                    value.ok().and_then(|text| text.parse::<u32>().ok()).filter(|&seconds| seconds > 0);
                Some(
                    seconds
                        .context("NETNS_HOOK_TIMEOUT is no number of seconds: set it to one, or unset it")?,
                )
            }
        };
        let limit = limit.map(|seconds| Duration::from_secs(seconds.into()));
        let grace = limit.map_or(GRACE, |limit: Duration| limit.min(GRACE));
        let caller = Caller {
            program: binary.with_file_name("netnsinit"),
            binary,
            trace: env::var_os("NETNS_TRACE").is_some_and(|value| value == "1"),
            // The rest is for what it undoes.
            patience: grace / 2,
            kind: CallerKind::Engine,
        };
        Ok(Self { paths: paths.clone(), caller, interrupt: Interrupt::catch()?, limit, grace })
    }

    /// The time that a hook has.
    fn limit(&self, hook: (Phase, Side)) -> Duration {
        let seconds = if hook == (Phase::Down, Side::Inside) { 30 } else { 90 };
        self.limit.unwrap_or(Duration::from_secs(seconds))
    }

    /// Ends a hook that has no more time: it gets some to clean up.
    pub fn end(&self, process: &Process) {
        process.end(self.grace);
    }

    /// Ends all that a command which was killed has left running for an instance: the hook, of which it may not have come to
    /// note anything, and what that has started, which may outlive it. They all print to its log. Else the hook would undo its
    /// steps later, when the same have been taken again.
    pub fn end_left(&self, instance: &Instance, hook: Option<Process>) {
        if let Some(hook) = hook.filter(Process::runs) {
            self.end(&hook);
        }
        let left = || process::that_print_to(&self.paths.log(instance));
        let signal = |signal| left().into_iter().for_each(|pid| _ = kill(pid, signal));
        let deadline = Instant::now() + self.grace;
        signal(Signal::SIGTERM);
        while !left().is_empty() {
            if Instant::now() > deadline {
                signal(Signal::SIGKILL);
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether somebody has asked this process to end.
    pub fn interrupted(&self) -> bool {
        self.interrupt.is_set()
    }

    /// Runs one hook to its end. It is a process group of its own, which `note` is told of, dies with this process, and has
    /// the time that it has under systemd. `whatever_comes`: also after somebody has asked this process to end. `ours`: the
    /// namespace that it is about; in another one nothing is run.
    ///
    /// # Errors
    /// It could not be started, or failed; then the last lines that it printed are in the error.
    pub fn run(
        &self,
        instance: &Instance,
        (phase, side): (Phase, Side),
        whatever_comes: bool,
        ours: Option<&Identity>,
        mut note: impl FnMut(Option<Process>) -> Result<()>,
    ) -> Result<()> {
        if self.interrupted() && !whatever_comes {
            bail!("{phase} {side} was not begun: interrupted");
        }
        let (log, from) = self.open_log(instance)?;
        let bounded = log.try_clone().context("cannot watch the size of a log")?;
        let log = if whatever_comes { takes_output(log)? } else { log };
        let hook = Hook { instance: instance.clone(), extra: Vec::new(), phase, side };
        let Some(handle) = self.start(&hook, log, ours, || note(None))? else { return Ok(()) };
        let process = handle.pids().first().and_then(|&pid| Process::of(i32::try_from(pid).ok()?));
        note(process)?;

        let limit = self.limit((phase, side));
        let deadline = Instant::now() + limit;
        let mut ended = None;
        let status = loop {
            if let Some(output) = handle.wait_timeout(GLANCE).context("cannot wait for a hook")? {
                break output.status;
            }
            bound(&bounded);
            if ended.is_none() {
                if Instant::now() > deadline {
                    ended = Some(format!("took longer than {} seconds", limit.as_secs()));
                } else if self.interrupted() && !whatever_comes {
                    ended = Some("was interrupted".to_owned());
                }
                if ended.is_some() {
                    process.inspect(|process| self.end(process));
                }
            }
        };
        bound(&bounded);
        // Also if it came to its end just before it was asked to.
        if status.success() {
            return match (phase, side) {
                (Phase::Down, Side::Outside) => memory::forget(&self.paths, instance),
                _ => Ok(()),
            };
        }
        if status.signal().is_some() && ended.is_none() {
            // What it had started would take its step after that was undone.
            process.inspect(|process| self.end(process));
        }
        let why = ended.unwrap_or_else(|| format!("failed ({status})"));
        bail!("{phase} {side} {why}{}", super::quote(&last_words(&self.paths.log(instance), from)));
    }

    /// Starts a hook, and calls `note` before that; `None` where there is nothing to do.
    fn start(
        &self,
        hook: &Hook,
        log: File,
        ours: Option<&Identity>,
        note: impl FnOnce() -> Result<()>,
    ) -> Result<Option<Handle>> {
        let _inside = match hook.side {
            Side::Inside => Some(netns::enter(&self.paths, &hook.instance.name)?),
            Side::Outside => None,
        };
        let what = || format!("cannot run {} {}", hook.phase, hook.side);
        // Before any file of the instance is run, and whatever is wrong with them.
        firewall::before_hook(&self.paths, hook, ours).with_context(what)?;
        let bash = match hook::plan(&self.paths, hook, &self.caller, ours).with_context(what)? {
            Plan::Nothing => return hook::skip(&self.paths, hook).map(|()| None),
            Plan::Bash(bash) => bash,
        };
        note()?;
        let own = self.caller.program.parent().map(|place| place.display().to_string()).unwrap_or_default();
        let mut environment = vec![("PATH".to_owned(), format!("{own}:{PATH}"))];
        for name in ["LANG", "LC_ALL", "NETNS_TRACE"] {
            environment.extend(env::var(name).ok().map(|value| (name.to_owned(), value)));
        }
        let words = bash.words.clone();
        let parent = getpid();
        let bash = Arc::new(bash);
        let command = cmd(BASH, words)
            .dir("/")
            .full_env(environment)
            .stdin_null()
            .stderr_to_stdout()
            .stdout_file(log)
            .unchecked()
            .before_spawn(move |command| {
                let bash = Arc::clone(&bash);
                command.process_group(0);
                #[allow(unsafe_code)] // what it calls is safe after a fork (signal-safety(7))
                unsafe {
                    command.pre_exec(move || {
                        bash.hand_over()?;
                        // Nobody else would know of the hook. SIGTERM lets it undo its steps, as a rule: it comes again for each
                        // thread of this process that outlives the one before, and a second one may end bash at once.
                        prctl::set_pdeathsig(Signal::SIGTERM)?;
                        if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
                    });
                }
                Ok(())
            });
        command.start().with_context(what).map(Some)
    }

    /// The log of an instance, and how long it is already.
    fn open_log(&self, instance: &Instance) -> Result<(File, u64)> {
        let path = self.paths.log(instance);
        let what = || format!("cannot write {}", path.display());
        let mut options = OpenOptions::new();
        let log = file::open(&path, options.append(true).create(true).mode(0o600)).with_context(what)?;
        let length = log.metadata().with_context(what)?.len();
        Ok((log, length))
    }
}

/// Gives the memory of all but the end of a log back. It turns into a hole: whoever writes to the log does not notice, and
/// no line changes its place.
fn bound(log: &File) {
    let Ok(found) = log.metadata() else { return };
    let Ok(surplus) = found.len().saturating_sub(KEPT).try_into() else { return };
    if found.blocks() * 512 > 2 * KEPT {
        // A file system that has no holes keeps all of it, which is not worth a failure.
        _ = fallocate(
            log,
            FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE,
            0,
            surplus,
        );
    }
}

/// What a tear-down prints to: nothing where the disk is full. It would fail because it cannot say what it does.
fn takes_output(log: File) -> Result<File> {
    let Ok(end) = log.metadata().context("cannot look at a log")?.len().try_into() else { return Ok(log) };
    match fallocate(&log, FallocateFlags::FALLOC_FL_KEEP_SIZE, end, 1 << 16) {
        Err(Errno::ENOSPC) => {
            static TOLD: Once = Once::new();
            TOLD.call_once(|| crate::warn("there is no space for what hooks print, which is lost"));
            OpenOptions::new().write(true).open("/dev/null").context("cannot open /dev/null")
        }
        _ => Ok(log),
    }
}

/// The last lines of a log, from that byte on.
pub(super) fn last_words(log: &Path, from: u64) -> Vec<String> {
    let text = read_end(log, from).unwrap_or_default();
    let text = foreign::text(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(ToString::to_string).collect()
}

fn read_end(log: &Path, from: u64) -> io::Result<Vec<u8>> {
    let mut file = file::open(log, OpenOptions::new().read(true))?;
    let from = from.max(file.metadata()?.len().saturating_sub(LOOK_BACK));
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(LOOK_BACK).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use nix::unistd::getpid;

    use super::*;

    #[test]
    fn a_process_is_not_taken_for_a_later_one_of_the_same_pid() {
        let own = Process::of(getpid().as_raw()).unwrap();
        assert!(own.runs());
        assert!(!Process { started: own.started + 1, ..own }.runs());
    }
}
