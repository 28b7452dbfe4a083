//! The signals that the relay and the monitor take, one at a time, from a descriptor.

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

/// What is taken. SIGTTOU only has to be blocked: a process in the background sets up a terminal.
const TAKEN: [Signal; 12] = [
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

/// Signals that wait until they are read.
#[derive(Debug)]
pub struct Blocked {
    set: SigSet,
    before: SigSet,
}

impl Blocked {
    /// Blocks them.
    /// Errors: the kernel refuses it.
    pub fn new() -> Result<Self> {
        let set: SigSet = TAKEN.into_iter().collect();
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before)).context("cannot block signals")?;
        Ok(Self { set, before })
    }

    /// Which ones.
    #[must_use]
    pub fn set(&self) -> &SigSet {
        &self.set
    }

    /// Blocks what was blocked before, for a command.
    /// Errors: the kernel refuses it.
    pub fn restore(&self) -> Result<()> {
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None).context("cannot unblock signals")
    }
}
