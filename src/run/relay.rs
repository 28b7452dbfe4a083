//! Relays between the user's terminal and that of the command, as `sudo` with `use_pty` does.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{ForkResult, Pid, fchown, read, write};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::login::{Login, fork};
use super::message::{Event, Order, receive, send};
use super::monitor;
use super::signals::Blocked;
use super::terminal::{self, Terminal};
use crate::print;

/// More than a terminal holds: what a command has printed by its end is read, and not what others print for ever.
const HELD: usize = 256 * 1024;

/// How long a command that reads in the background waits, where nobody can bring it to the foreground.
const AGAIN: Duration = Duration::from_millis(200);

#[allow(clippy::struct_excessive_bools)] // each is a state of its own
struct Relay {
    terminal: Terminal,
    /// The relay's end of the command's terminal, until that is gone.
    master: Option<OwnedFd>,
    monitor: UnixStream,
    signals: SignalFd,
    /// Typed, and not yet written to the command's terminal.
    input: Vec<u8>,
    /// Printed, and not yet written to the user's terminal.
    output: Vec<u8>,
    /// Whether the command needs the keys. In a pipe another program may: `… | less`.
    wanted: bool,
    /// Whether the command's terminal has not yet begun to translate line feeds.
    untranslated: bool,
    /// The user's terminal is gone.
    hung_up: bool,
    /// Another process sent a signal for the command.
    signalled: bool,
}

/// Runs a command on a terminal of its own, and ends as it ends.
/// Errors: it cannot be started.
pub fn run(plan: &Login, terminal: Terminal) -> Result<Infallible> {
    // The number of a child that has ended is needed, also where the caller ignores SIGCHLD.
    signal_hook::flag::register(signal_hook::consts::SIGCHLD, std::sync::Arc::default())
        .context("cannot set the disposition of SIGCHLD")?;
    let (master, slave) = terminal::create(&terminal)?;
    fchown(&slave, Some(plan.identity.uid), None).context("cannot give the terminal to the user")?;
    let (monitor, relay) = UnixStream::pair().context("cannot create a socket")?;
    let blocked = Blocked::new()?;
    let standard = terminal.standard;
    if let ForkResult::Child = fork()? {
        drop((terminal, master, monitor));
        let watched = monitor::run(plan, relay, slave, standard, &blocked);
        if let Err(error) = &watched {
            print::error(&format!("{error:#}"));
        }
        std::process::exit(i32::from(watched.is_err()));
    }
    drop((relay, slave));
    terminal::translate_output(&master, false);
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(blocked.set(), flags).context("cannot receive signals")?;
    let mut relay = Relay {
        wanted: standard[0] && standard[1],
        terminal,
        master: Some(master),
        monitor,
        signals,
        input: Vec::new(),
        output: Vec::new(),
        untranslated: true,
        hung_up: false,
        signalled: false,
    };
    relay.proceed();
    let end = relay.until_end();
    // While the keys are relayed, the kernel does not signal this process group at ^C.
    let typed = relay.terminal.is_raw() && relay.terminal.in_foreground() && !relay.signalled;
    relay.terminal.restore();
    drop(relay);
    match end? {
        Event::Killed(signal) => {
            if let Some(signal) = interrupt(signal).filter(|_| typed) {
                // It is blocked here until `end_by`.
                kill(Pid::from_raw(0), signal).context("cannot interrupt the job")?;
            }
            end_by(signal)
        }
        Event::Exited(status) | Event::Stopped(status) => std::process::exit(status.into()),
    }
}

impl Relay {
    /// Relays until the command has ended.
    fn until_end(&mut self) -> Result<Event> {
        loop {
            let (of_signals, of_monitor, of_master, of_terminal) = self.wait()?;
            if of_terminal.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
                self.hang_up();
            } else {
                if of_terminal.contains(PollFlags::POLLOUT) {
                    self.print();
                }
                if of_terminal.contains(PollFlags::POLLIN) {
                    self.read_keys();
                }
            }
            if of_master.contains(PollFlags::POLLOUT) {
                self.pass_keys();
            }
            if of_master.intersects(PollFlags::POLLIN | PollFlags::POLLHUP) {
                self.read_output();
            }
            if of_signals {
                while let Some(signal) = self.signals.read_signal().context("cannot read a signal")? {
                    self.take(i32::try_from(signal.ssi_signo)?);
                }
            }
            if of_monitor {
                match receive(&self.monitor).context("the monitor of the command is gone")? {
                    Event::Stopped(signal) => self.suspend(Signal::try_from(i32::from(signal)).ok())?,
                    end => {
                        self.drain();
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// Waits until there is something to do: signals, the monitor, the terminal of the command, that of the user.
    fn wait(&self) -> Result<(bool, bool, PollFlags, PollFlags)> {
        let when = |condition: bool, flag: PollFlags| if condition { flag } else { PollFlags::empty() };
        let master = when(self.output.is_empty(), PollFlags::POLLIN)
            | when(!self.input.is_empty(), PollFlags::POLLOUT);
        let keys = self.terminal.is_raw() && self.input.is_empty();
        let terminal = when(keys, PollFlags::POLLIN) | when(!self.output.is_empty(), PollFlags::POLLOUT);
        let mut ready = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.monitor.as_fd(), PollFlags::POLLIN),
        ];
        let at_master = self.master.as_ref().map(|end| {
            ready.push(PollFd::new(end.as_fd(), master));
            ready.len() - 1
        });
        let at_terminal = (!self.hung_up).then(|| {
            ready.push(PollFd::new(self.terminal.as_fd(), terminal));
            ready.len() - 1
        });
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for the command"),
        }
        let found = |at: usize| ready[at].revents().unwrap_or(PollFlags::empty());
        let of = |at: Option<usize>| at.map_or(PollFlags::empty(), found);
        Ok((!found(0).is_empty(), !found(1).is_empty(), of(at_master), of(at_terminal)))
    }

    fn copy_size(&self) {
        if let Some(master) = &self.master {
            self.terminal.copy_size(master);
        }
    }

    /// Handles a signal: the terminal's own are for this process alone, others for the command.
    fn take(&mut self, number: i32) {
        match Signal::try_from(number) {
            Ok(Signal::SIGWINCH) => self.copy_size(),
            Ok(Signal::SIGCONT) => self.proceed(),
            Ok(Signal::SIGCHLD | Signal::SIGTTOU) | Err(_) => {}
            Ok(signal) => {
                self.signalled = true;
                self.order(Order::Signal(u8::try_from(signal as i32).unwrap_or_default()));
            }
        }
    }

    fn order(&self, order: Order) {
        // If the monitor is gone, the next receive reports it.
        _ = send(&self.monitor, order);
    }

    /// Starts or continues the command, with the keys if it needs them and they are this process' to give.
    fn proceed(&mut self) {
        self.copy_size();
        let foreground = self.wanted && self.terminal.in_foreground();
        if foreground {
            self.terminal.make_raw();
            if let Some(master) = self.master.as_ref().filter(|_| std::mem::take(&mut self.untranslated)) {
                terminal::translate_output(master, true);
            }
        } else {
            self.terminal.restore();
        }
        self.order(if foreground { Order::Foreground } else { Order::Background });
    }

    /// The command was stopped: it needs the keys, or the user wants the shell back.
    fn suspend(&mut self, signal: Option<Signal>) -> Result<()> {
        let reads = matches!(signal, Some(Signal::SIGTTIN | Signal::SIGTTOU)) && !self.terminal.is_raw();
        self.wanted |= reads;
        if !(reads && self.terminal.in_foreground()) {
            self.drain();
            self.terminal.restore();
            stop(if reads { Signal::SIGTTIN } else { Signal::SIGTSTP })?;
            if reads && !self.terminal.in_foreground() {
                std::thread::sleep(AGAIN);
            }
        }
        self.proceed();
        Ok(())
    }

    /// Prints what the command has printed so far.
    fn drain(&mut self) {
        let mut left = HELD;
        while left > 0 && !self.hung_up {
            if self.output.is_empty() {
                let Some(master) = &self.master else { return };
                let mut ready = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
                // poll(2) has the kernel pass on what is under way (n_tty_poll in drivers/tty/n_tty.c).
                _ = poll(&mut ready, PollTimeout::ZERO);
                if ready[0].revents().is_none_or(|found| !found.contains(PollFlags::POLLIN)) {
                    return;
                }
                self.read_output();
                left = left.saturating_sub(self.output.len());
            } else {
                let mut ready = [PollFd::new(self.terminal.as_fd(), PollFlags::POLLOUT)];
                _ = poll(&mut ready, PollTimeout::NONE);
                let found = ready[0].revents().unwrap_or(PollFlags::empty());
                if found.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL) {
                    self.hang_up();
                } else {
                    self.print();
                }
            }
        }
    }

    fn read_output(&mut self) {
        let mut bytes = [0; 16 * 1024];
        let Some(master) = &self.master else { return };
        match read(master, &mut bytes) {
            Ok(0) | Err(Errno::EIO) => self.master = None,
            Ok(count) if !self.hung_up => self.output.extend_from_slice(&bytes[..count]),
            // It may say more.
            Ok(_) | Err(_) => {}
        }
    }

    fn print(&mut self) {
        match write(&self.terminal, &self.output) {
            Ok(count) => _ = self.output.drain(..count),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.hang_up(),
        }
    }

    fn read_keys(&mut self) {
        let mut bytes = [0; 1024];
        match read(&self.terminal, &mut bytes) {
            Ok(0) | Err(Errno::EIO) => self.hang_up(),
            Ok(count) => self.input.extend_from_slice(&bytes[..count]),
            Err(_) => {}
        }
    }

    fn pass_keys(&mut self) {
        let Some(master) = &self.master else { return };
        match write(master, &self.input) {
            Ok(count) => _ = self.input.drain(..count),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.master = None,
        }
    }

    /// The user's terminal is gone, and takes that of the command with it.
    fn hang_up(&mut self) {
        self.hung_up = true;
        self.output.clear();
        self.master = None;
        self.take(Signal::SIGHUP as i32);
        self.take(Signal::SIGCONT as i32);
    }
}

/// Stops the job that this process is part of, as the terminal would. The kernel ignores it where no shell could continue it.
fn stop(signal: Signal) -> Result<()> {
    let this = SigSet::from(signal);
    kill(Pid::from_raw(0), signal).context("cannot stop")?;
    let before = this.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_UNBLOCK).context("cannot stop")?;
    before.thread_set_mask().context("cannot go on")
}

/// The signal, if a key of the terminal sends it to end a job.
fn interrupt(number: u8) -> Option<Signal> {
    [Signal::SIGINT, Signal::SIGQUIT].into_iter().find(|signal| *signal as i32 == i32::from(number))
}

/// Ends this process by the signal that has ended the command, without a core of its own.
fn end_by(number: u8) -> Result<Infallible> {
    let number = i32::from(number);
    // With one there would be two.
    _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if number == Signal::SIGKILL as i32 {
        raise(Signal::SIGKILL).context("cannot end by SIGKILL")?;
    }
    _ = signal_hook::low_level::emulate_default_handler(number);
    // A signal that has no name: as shells have it.
    std::process::exit(128 + number)
}
