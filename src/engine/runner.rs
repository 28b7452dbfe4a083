//! Runs hooks: starts each hook, waits for its end, and terminates it after a timeout or an interrupt.

use std::env::{self, VarError};
use std::fmt::Write;
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
use crate::sys::file::limit_log_size;
use crate::sys::interrupt::Interrupt;
use crate::sys::process::{self, POLL_INTERVAL, Process};
use crate::sys::wait::wait_until;

/// Time for the cleanup of a hook between SIGTERM and SIGKILL. If `NETNS_HOOK_TIMEOUT` is shorter, its value is used instead.
const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// Interval between two checks of the timeout, of interrupts and of the size of the log. The exit of a hook is noticed at once.
const HOOK_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Starts hooks and waits for them.
#[derive(Debug)]
pub struct Runner {
    paths: Paths,
    caller: Caller,
    interrupt: Interrupt,
    /// `NETNS_HOOK_TIMEOUT`, which replaces the default timeouts.
    timeout_override: Option<Duration>,
    /// Time for the cleanup of a hook after SIGTERM.
    grace: Duration,
}

impl Runner {
    /// Prepares this process for hooks: the umask and the signal handlers.
    /// Errors: the program path is unknown, a signal handler cannot be set, or `NETNS_HOOK_TIMEOUT` is invalid.
    pub fn new(paths: &Paths) -> Result<Self> {
        let binary = env::current_exe().context("cannot find the path of this program")?;
        umask(Mode::from_bits_truncate(0o022));
        let timeout_override = timeout_from_environment()?;
        let grace = timeout_override.map_or(GRACE_PERIOD, |timeout| timeout.min(GRACE_PERIOD));
        let caller = Caller {
            program: binary.with_file_name("netnsinit"),
            binary,
            trace: traced_by_environment(),
            // The other half is for the rollback.
            timeout: grace / 2,
            kind: CallerKind::Engine,
        };
        Ok(Self { paths: paths.clone(), caller, interrupt: Interrupt::catch()?, timeout_override, grace })
    }

    /// The timeout of a hook. The defaults are the ones of the units: 30 seconds for `down inside`, otherwise 90 seconds.
    fn timeout(&self, hook: (Phase, Side)) -> Duration {
        let seconds = if hook == (Phase::Down, Side::Inside) { 30 } else { 90 };
        self.timeout_override.unwrap_or(Duration::from_secs(seconds))
    }

    /// Terminates a hook with all its processes: SIGTERM, then SIGKILL after the time for the cleanup. Returns whether the hook
    /// had to be killed, so it has not undone its steps.
    pub fn terminate(&self, process: &Process) -> bool {
        process.terminate(self.grace)
    }

    /// Terminates the hook processes of an instance that still run after their command was killed. Otherwise such a hook could
    /// undo its steps while the next command runs.
    pub fn terminate_leftovers(&self, instance: &Instance, hook: Option<Process>) {
        if let Some(hook) = hook.filter(Process::runs) {
            _ = self.terminate(&hook);
        }
        // The killed command may not have recorded the hook, and processes of the hook may outlive it. All print to the log.
        let leftovers = || process::with_output_to(&self.paths.log(instance));
        let signal = |signal| leftovers().into_iter().for_each(|pid| _ = kill(pid, signal));
        signal(Signal::SIGTERM);
        signal(Signal::SIGCONT); // a stopped process would not end
        if wait_until(self.grace, POLL_INTERVAL, || leftovers().is_empty().then_some(())).is_none() {
            signal(Signal::SIGKILL);
        }
    }

    /// Whether this process has received SIGINT, SIGTERM or SIGHUP.
    pub fn interrupted(&self) -> bool {
        self.interrupt.is_set()
    }

    /// Runs one hook to its end. The hook has its own process group, and is terminated if this process dies. The timeout is
    /// `NETNS_HOOK_TIMEOUT`, or the default of the units.
    ///
    /// - `uninterruptible`: the hook starts and continues even if this process is interrupted.
    /// - `ours`: the expected namespace. The hook is not run in another namespace.
    /// - `record`: called with `None` before the start of the hook, and with the process of the hook after the start.
    ///
    /// Errors: the command was interrupted before the start; the log cannot be written; the hook cannot be started, fails, is
    /// interrupted or times out; `record` fails; the remembered values cannot be removed. After a failure, the message
    /// contains the last lines of output.
    pub fn run(
        &self,
        instance: &Instance,
        (phase, side): (Phase, Side),
        uninterruptible: bool,
        ours: Option<&Identity>,
        mut record: impl FnMut(Option<Process>) -> Result<()>,
    ) -> Result<()> {
        if self.interrupted() && !uninterruptible {
            bail!("{phase} {side} was not started: interrupted");
        }
        let (log, from) = log::open(&self.paths.log(instance))?;
        let bounded = log.try_clone().context("cannot open a log twice")?;
        let log = if uninterruptible { log::for_teardown(log)? } else { log };
        let hook = Hook { instance: instance.clone(), extra: Vec::new(), phase, side };
        let started = child::start(&self.paths, &hook, &self.caller, log, ours, || record(None))?;
        let Some(handle) = started else { return Ok(()) };
        let process = handle.pids().first().and_then(|&pid| Process::of(i32::try_from(pid).ok()?));
        record(process)?;
        let Ended { status, reason } = self.wait(&handle, &hook, process, uninterruptible, &bounded)?;
        // A hook can also succeed just before its termination.
        if status.success() {
            return match (phase, side) {
                (Phase::Down, Side::Outside) => remembered::forget(&self.paths, instance),
                _ => Ok(()),
            };
        }
        if status.signal().is_some() && reason.is_none() {
            // A remaining process of the hook could otherwise continue after the rollback.
            process.inspect(|process| _ = self.terminate(process));
        }
        let cause = reason.unwrap_or_else(|| format!("failed ({status})"));
        bail!("{phase} {side} {cause}{}", quoted(log::last_lines(&self.paths.log(instance), from)));
    }

    /// Waits for the end of a hook. Terminates it after the timeout or an interrupt.
    fn wait(
        &self,
        handle: &Handle,
        hook: &Hook,
        process: Option<Process>,
        uninterruptible: bool,
        output: &File,
    ) -> Result<Ended> {
        let timeout = self.timeout((hook.phase, hook.side));
        let deadline = Instant::now() + timeout;
        let mut reason = None;
        loop {
            let ended = handle.wait_timeout(HOOK_POLL_INTERVAL).context("cannot wait for a hook")?;
            limit_log_size(output);
            if let Some(ended) = ended {
                return Ok(Ended { status: ended.status, reason });
            }
            if reason.is_some() {
                continue;
            }
            if Instant::now() > deadline {
                reason = Some(format!("timed out after {} seconds", timeout.as_secs()));
            } else if self.interrupted() && !uninterruptible {
                reason = Some("was interrupted".to_owned());
            }
            if let Some(reason) = &mut reason
                && process.is_some_and(|process| self.terminate(&process))
            {
                _ = write!(
                    reason,
                    ", and was killed {} seconds after SIGTERM, so its steps may not be undone",
                    self.grace.as_secs()
                );
            }
        }
    }
}

/// The end of a hook.
struct Ended {
    status: ExitStatus,
    /// The reason of the termination by this process, if any.
    reason: Option<String>,
}

/// Reads `NETNS_HOOK_TIMEOUT`.
/// Errors: the value is not a positive number of seconds.
fn timeout_from_environment() -> Result<Option<Duration>> {
    let value = match env::var("NETNS_HOOK_TIMEOUT") {
        Err(VarError::NotPresent) => return Ok(None),
        value => value.ok(),
    };
    let seconds = value.and_then(|text| text.parse::<u32>().ok()).filter(|&seconds| seconds > 0);
    let seconds =
        seconds.context("NETNS_HOOK_TIMEOUT must be a positive number of seconds; correct it or unset it")?;
    Ok(Some(Duration::from_secs(seconds.into())))
}
