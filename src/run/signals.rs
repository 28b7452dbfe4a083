//! Blocks the signals that the relay and the monitor read from a signalfd(2).

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

/// The blocked signals. SIGTTOU is blocked only so that a process in the background can change the settings of a terminal.
const BLOCKED: [Signal; 12] = [
    Signal::SIGALRM,
    Signal::SIGCHLD,
    Signal::SIGCONT,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGTSTP,
    Signal::SIGTTOU,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// Blocked signals, which stay pending until they are read.
#[derive(Debug)]
pub struct Blocked {
    set: SigSet,
    before: SigSet,
}

impl Blocked {
    /// Blocks the signals.
    /// Errors: the signal mask cannot be changed.
    pub fn new() -> Result<Self> {
        let set: SigSet = BLOCKED.into_iter().collect();
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before)).context("cannot block signals")?;
        Ok(Self { set, before })
    }

    /// The blocked signals.
    #[must_use]
    pub fn set(&self) -> &SigSet {
        &self.set
    }

    /// Restores the previous signal mask, for a command.
    /// Errors: the signal mask cannot be changed.
    pub fn restore(&self) -> Result<()> {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None)
            .context("cannot restore the signal mask")
    }
}
