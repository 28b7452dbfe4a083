//! The monitor leads the session of the command and is the parent of the command. A process group whose parent is outside the
//! session is orphaned, and the keys of the terminal cannot stop it (setpgid(2)). The monitor runs until the relay closes the
//! socket.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, getpgrp, getpid, setpgid, setsid};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

use super::login::{Login, fork};
use super::message::{Event, Order, receive, send};
use super::signals::Blocked;
use crate::print;

struct Monitor {
    relay: UnixStream,
    terminal: OwnedFd,
    command: Pid,
    /// The process group that [`Order::Foreground`] brings to the foreground.
    foreground_group: Pid,
}

/// Starts the command in a new session. Reports to the relay when the command stops or ends.
/// Errors: the session cannot be set up, or a system call fails.
pub fn run(
    plan: &Login,
    relay: UnixStream,
    terminal: OwnedFd,
    standard: [bool; 3],
    blocked: &Blocked,
) -> Result<()> {
    setsid().context("cannot start a session")?;
    rustix::process::ioctl_tiocsctty(&terminal).context("cannot set the controlling terminal")?;
    let signals = SignalFd::with_flags(blocked.set(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .context("cannot receive signals")?;
    let Ok(first) = receive::<Order>(&relay) else { return Ok(()) };
    let command = match fork()? {
        ForkResult::Child => {
            let status = start(plan, &terminal, standard, first == Order::Foreground, blocked);
            std::process::exit(status as i32)
        }
        ForkResult::Parent { child } => child,
    };
    // Both processes set the group, because either can run first. EACCES means that the child already executes the command.
    _ = setpgid(command, command);
    Monitor { relay, terminal, command, foreground_group: command }.watch(&signals)
}

/// Prepares the child process and replaces it with the command. Returns only on failure.
fn start(
    plan: &Login,
    terminal: &OwnedFd,
    standard: [bool; 3],
    foreground: bool,
    blocked: &Blocked,
) -> crate::exit::Status {
    let prepared = (|| -> Result<()> {
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).context("cannot start a process group")?;
        if foreground {
            set_foreground(terminal, getpid()).context("cannot bring the command to the foreground")?;
        }
        let connect = [rustix::stdio::dup2_stdin, rustix::stdio::dup2_stdout, rustix::stdio::dup2_stderr];
        for (connect, _) in connect.iter().zip(standard).filter(|(_, is_terminal)| *is_terminal) {
            connect(terminal.as_fd()).context("cannot connect the command to its terminal")?;
        }
        blocked.restore()
    })();
    match prepared {
        Ok(()) => plan.become_command(),
        Err(error) => {
            print::error(&format!("{error:#}"));
            crate::exit::Status::Failed
        }
    }
}

impl Monitor {
    /// Forwards signals and executes orders until the relay closes the socket.
    fn watch(mut self, signals: &SignalFd) -> Result<()> {
        let mut ended = false;
        loop {
            let mut ready = [
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.relay.as_fd(), PollFlags::POLLIN),
            ];
            poll(&mut ready, PollTimeout::NONE).context("cannot wait for the command")?;
            let [has_signal, has_order] = ready.map(|descriptor| descriptor.any().unwrap_or_default());
            if has_signal {
                while let Some(signal) = signals.read_signal().context("cannot read a signal")? {
                    match Signal::try_from(i32::try_from(signal.ssi_signo)?) {
                        Ok(Signal::SIGCHLD) => ended = ended || self.report()?,
                        Ok(Signal::SIGCONT | Signal::SIGWINCH | Signal::SIGTTOU) | Err(_) => {}
                        Ok(signal) => self.signal(signal),
                    }
                }
            }
            if has_order {
                match receive(&self.relay) {
                    Ok(_) if ended => {}
                    Ok(order) => self.execute(order),
                    Err(_) => {
                        if !ended {
                            self.signal(Signal::SIGHUP);
                            self.signal(Signal::SIGCONT);
                        }
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Reports to the relay that the command has stopped or ended. Returns whether the command has ended.
    fn report(&self) -> Result<bool> {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
        let (event, ended) =
            match waitpid(self.command, Some(flags)).context("cannot wait for the command")? {
                WaitStatus::Exited(_, status) => (Event::Exited(byte(status)), true),
                WaitStatus::Signaled(_, signal, _) => (Event::Killed(byte(signal as i32)), true),
                WaitStatus::Stopped(_, signal) => (Event::Stopped(byte(signal as i32)), false),
                _ => return Ok(false),
            };
        // If the relay is gone, `watch` finds the socket closed.
        _ = send(&self.relay, event);
        Ok(ended)
    }

    fn execute(&mut self, order: Order) {
        match order {
            Order::Signal(number) => {
                if let Ok(signal) = Signal::try_from(i32::from(number)) {
                    self.signal(signal);
                }
            }
            Order::Foreground => {
                if self.foreground() == Some(getpgrp()) {
                    // The group or the terminal may no longer exist.
                    if set_foreground(&self.terminal, self.foreground_group).is_err() {
                        _ = set_foreground(&self.terminal, self.command);
                    }
                }
                self.signal(Signal::SIGCONT);
                if self.foreground_group != self.command {
                    _ = killpg(self.foreground_group, Signal::SIGCONT);
                }
            }
            Order::Background => {
                if let Some(group) = self.foreground().filter(|group| *group != getpgrp()) {
                    self.foreground_group = group;
                    _ = set_foreground(&self.terminal, getpgrp());
                }
                self.signal(Signal::SIGCONT);
            }
        }
    }

    /// Sends a signal to the process group of the command. A group without processes is not an error.
    fn signal(&self, signal: Signal) {
        _ = killpg(self.command, signal);
    }

    /// Returns the foreground process group of the terminal.
    fn foreground(&self) -> Option<Pid> {
        tcgetpgrp(&self.terminal).ok().map(|group| Pid::from_raw(group.as_raw_nonzero().get()))
    }
}

fn set_foreground(terminal: &OwnedFd, group: Pid) -> rustix::io::Result<()> {
    tcsetpgrp(terminal, rustix::process::Pid::from_raw(group.as_raw()).ok_or(rustix::io::Errno::SRCH)?)
}

/// Encodes an exit status or a signal number, which have one byte each (wait(2)).
fn byte(number: i32) -> u8 {
    u8::try_from(number & 0xff).unwrap_or_default()
}
