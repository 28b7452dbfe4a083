//! Runs hooks to their end: started, waited for, ended when they must be.

use std::env::{self, VarError};
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use duct::Handle;
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};

use super::log;
use crate::config::remembered;
use crate::hook::{Caller, CallerKind, Hook, child, traced_by_environment};
use crate::name::{Instance, Phase, Side};
use crate::netns::Identity;
use crate::paths::Paths;
use crate::print::quoted;
use crate::sys::interrupt::Interrupt;
use crate::sys::process::{self, POLL_INTERVAL, Process};
use crate::sys::wait::wait_until;

/// How long a hook that is asked to end has to clean up, unless it has less time for all.
const GRACE: Duration = Duration::from_secs(10);

/// How often a running hook is looked at for reasons to end it, and its log for its size. That it has ended by itself is
/// seen at once.
const INTERVAL: Duration = Duration::from_millis(20);

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
    /// Errors: the path of this program is not known, the handlers of signals cannot be set, or `NETNS_HOOK_TIMEOUT` is no time.
    pub fn new(paths: &Paths) -> Result<Self> {
        let binary = env::current_exe().context("cannot tell the path of this program")?;
        umask(Mode::from_bits_truncate(0o022));
        let limit = limit()?;
        let grace = limit.map_or(GRACE, |limit| limit.min(GRACE));
        let caller = Caller {
            program: binary.with_file_name("netnsinit"),
            binary,
            trace: traced_by_environment(),
            // The rest is for what it undoes.
            timeout: grace / 2,
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
        process.terminate(self.grace);
    }

    /// Ends all that a command which was killed has left running for an instance: the hook, of which it may not have come to
    /// note anything, and what that has started, which may outlive it. They all print to its log. Else the hook would undo its
    /// steps later, when the same have been taken again.
    pub fn end_left(&self, instance: &Instance, hook: Option<Process>) {
        if let Some(hook) = hook.filter(Process::runs) {
            self.end(&hook);
        }
        let left = || process::with_output_to(&self.paths.log(instance));
        let signal = |signal| left().into_iter().for_each(|pid| _ = kill(pid, signal));
        signal(Signal::SIGTERM);
        if wait_until(self.grace, POLL_INTERVAL, || left().is_empty().then_some(())).is_none() {
            signal(Signal::SIGKILL);
        }
    }

    /// Whether somebody has asked this process to end.
    pub fn interrupted(&self) -> bool {
        self.interrupt.is_set()
    }

    /// Runs one hook to its end. It is a process group of its own, which `note` is told of, dies with this process, and has
    /// the time that it has under systemd. `whatever_comes`: also after somebody has asked this process to end. `ours`: the
    /// namespace that it is about; in another one nothing is run.
    /// Errors: it could not be started, or failed; then the last lines that it printed are in the error.
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
        let (log, from) = log::open(&self.paths.log(instance))?;
        let bounded = log.try_clone().context("cannot watch the size of a log")?;
        let log = if whatever_comes { log::takes_output(log)? } else { log };
        let hook = Hook { instance: instance.clone(), extra: Vec::new(), phase, side };
        let started = child::start(&self.paths, &hook, &self.caller, log, ours, || note(None))?;
        let Some(handle) = started else { return Ok(()) };
        let process = handle.pids().first().and_then(|&pid| Process::of(i32::try_from(pid).ok()?));
        note(process)?;
        let Ended { status, early } = self.wait(&handle, &hook, process, whatever_comes, &bounded)?;
        // Also if it came to its end just before it was asked to.
        if status.success() {
            return match (phase, side) {
                (Phase::Down, Side::Outside) => remembered::forget(&self.paths, instance),
                _ => Ok(()),
            };
        }
        if status.signal().is_some() && early.is_none() {
            // What it had started would take its step after that was undone.
            process.inspect(|process| self.end(process));
        }
        let why = early.unwrap_or_else(|| format!("failed ({status})"));
        bail!("{phase} {side} {why}{}", quoted(log::last_words(&self.paths.log(instance), from)));
    }

    /// Waits for the end of a hook, and brings it about where it takes too long or is not wanted any more.
    fn wait(
        &self,
        handle: &Handle,
        hook: &Hook,
        process: Option<Process>,
        whatever_comes: bool,
        output: &File,
    ) -> Result<Ended> {
        let limit = self.limit((hook.phase, hook.side));
        let deadline = Instant::now() + limit;
        let mut early = None;
        loop {
            let ended = handle.wait_timeout(INTERVAL).context("cannot wait for a hook")?;
            log::bound(output);
            if let Some(ended) = ended {
                return Ok(Ended { status: ended.status, early });
            }
            if early.is_some() {
                continue;
            }
            if Instant::now() > deadline {
                early = Some(format!("took longer than {} seconds", limit.as_secs()));
            } else if self.interrupted() && !whatever_comes {
                early = Some("was interrupted".to_owned());
            }
            if early.is_some() {
                process.inspect(|process| self.end(process));
            }
        }
    }
}

/// How a hook has ended.
struct Ended {
    status: ExitStatus,
    /// Why it was asked to end, if it was.
    early: Option<String>,
}

/// The time that hooks have by `NETNS_HOOK_TIMEOUT`.
fn limit() -> Result<Option<Duration>> {
    let value = match env::var("NETNS_HOOK_TIMEOUT") {
        Err(VarError::NotPresent) => return Ok(None),
        value => value.ok(),
    };
    let seconds = value.and_then(|text| text.parse::<u32>().ok()).filter(|&seconds| seconds > 0);
    let seconds =
        seconds.context("NETNS_HOOK_TIMEOUT is no number of seconds: set it to one, or unset it")?;
    Ok(Some(Duration::from_secs(seconds.into())))
}
