//! The leader of the command's session. A process group whose parent is outside its session is orphaned, and no key stops it
//! (setpgid(2)): so the command has this process between itself and the relay. It runs until the relay closes the socket.

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
    /// The process group to bring to the foreground.
    front: Pid,
}

/// Starts the command in a session of its own, on its terminal, and reports to the relay what becomes of it.
/// Errors: the session cannot be set up.
pub fn run(
    plan: &Login,
    relay: UnixStream,
    terminal: OwnedFd,
    standard: [bool; 3],
    blocked: &Blocked,
) -> Result<()> {
    setsid().context("cannot start a session")?;
    rustix::process::ioctl_tiocsctty(&terminal).context("cannot make the terminal that of the session")?;
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
    // Whoever of the two is first. It has gone on to the command where this fails.
    _ = setpgid(command, command);
    Monitor { relay, terminal, command, front: command }.watch(&signals)
}

/// Becomes the command.
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
    fn watch(mut self, signals: &SignalFd) -> Result<()> {
        let mut ended = false;
        loop {
            let mut ready = [
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.relay.as_fd(), PollFlags::POLLIN),
            ];
            poll(&mut ready, PollTimeout::NONE).context("cannot wait for the command")?;
            let [of_signals, of_relay] = ready.map(|one| one.any().unwrap_or_default());
            if of_signals {
                while let Some(signal) = signals.read_signal().context("cannot read a signal")? {
                    match Signal::try_from(i32::try_from(signal.ssi_signo)?) {
                        Ok(Signal::SIGCHLD) => ended = ended || self.look()?,
                        Ok(Signal::SIGCONT | Signal::SIGWINCH | Signal::SIGTTOU) | Err(_) => {}
                        Ok(signal) => self.signal(signal),
                    }
                }
            }
            if of_relay {
                match receive(&self.relay) {
                    Ok(_) if ended => {}
                    Ok(order) => self.obey(order),
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

    /// Reports what has become of the command; whether it has ended.
    fn look(&self) -> Result<bool> {
        let flags = WaitPidFlag::WNOHANG | WaitPidFlag::WUNTRACED;
        let (event, ended) =
            match waitpid(self.command, Some(flags)).context("cannot wait for the command")? {
                WaitStatus::Exited(_, status) => (Event::Exited(byte(status)), true),
                WaitStatus::Signaled(_, signal, _) => (Event::Killed(byte(signal as i32)), true),
                WaitStatus::Stopped(_, signal) => (Event::Stopped(byte(signal as i32)), false),
                _ => return Ok(false),
            };
        // That the relay is gone shows by its socket.
        _ = send(&self.relay, event);
        Ok(ended)
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Signal(number) => {
                if let Ok(signal) = Signal::try_from(i32::from(number)) {
                    self.signal(signal);
                }
            }
            Order::Foreground => {
                if self.foreground() == Some(getpgrp()) {
                    // The group may be gone, or the terminal.
                    if set_foreground(&self.terminal, self.front).is_err() {
                        _ = set_foreground(&self.terminal, self.command);
                    }
                }
                self.signal(Signal::SIGCONT);
                if self.front != self.command {
                    _ = killpg(self.front, Signal::SIGCONT);
                }
            }
            Order::Background => {
                if let Some(group) = self.foreground().filter(|group| *group != getpgrp()) {
                    self.front = group;
                    _ = set_foreground(&self.terminal, getpgrp());
                }
                self.signal(Signal::SIGCONT);
            }
        }
    }

    /// Sends a signal to the command's process group, unless that is gone.
    fn signal(&self, signal: Signal) {
        _ = killpg(self.command, signal);
    }

    fn foreground(&self) -> Option<Pid> {
        tcgetpgrp(&self.terminal).ok().map(|group| Pid::from_raw(group.as_raw_nonzero().get()))
    }
}

fn set_foreground(terminal: &OwnedFd, group: Pid) -> rustix::io::Result<()> {
    tcsetpgrp(terminal, rustix::process::Pid::from_raw(group.as_raw()).ok_or(rustix::io::Errno::SRCH)?)
}

/// A status or a signal, which have a byte each (wait(2)).
fn byte(number: i32) -> u8 {
    u8::try_from(number & 0xff).unwrap_or_default()
}
