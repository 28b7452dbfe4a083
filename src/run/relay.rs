//! Relays data between the terminal of the user and the terminal of the command, as `sudo` with `use_pty` does.

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

/// Maximum number of bytes that [`Relay::drain`] reads. This is more than a terminal buffers. Without a limit, a process that
/// keeps printing could delay the exit of this process.
const DRAIN_LIMIT: usize = 256 * 1024;

/// A command that reads in the background is stopped. If no shell can bring it to the foreground, the relay continues it
/// after this pause.
const RETRY_DELAY: Duration = Duration::from_millis(200);

#[allow(clippy::struct_excessive_bools)] // they are independent of each other
struct Relay {
    terminal: Terminal,
    /// The relay's end of the terminal of the command; `None` once the terminal is closed.
    master: Option<OwnedFd>,
    monitor: UnixStream,
    signals: SignalFd,
    /// Typed input that is not yet written to the terminal of the command.
    input: Vec<u8>,
    /// Output of the command that is not yet written to the terminal of the user.
    output: Vec<u8>,
    /// Whether the command needs the keys. In a pipeline another program can need them: `… | less`.
    needs_keys: bool,
    /// `true` until the terminal of the command translates line feeds.
    untranslated: bool,
    /// Whether the terminal of the user is closed.
    hung_up: bool,
    /// Whether another process sent a signal for the command.
    signalled: bool,
}

/// Runs a command on a separate terminal, then ends with the same exit status or signal.
/// Errors: the terminal or the monitor cannot be set up, or the relay fails.
pub fn run(plan: &Login, terminal: Terminal) -> Result<Infallible> {
    // If the caller ignores SIGCHLD, the kernel discards the exit status of each child, and the monitor cannot read it.
    signal_hook::flag::register(signal_hook::consts::SIGCHLD, std::sync::Arc::default())
        .context("cannot set the disposition of SIGCHLD")?;
    let (master, slave) = terminal::create(&terminal)?;
    fchown(&slave, Some(plan.user.uid), None).context("cannot give the terminal to the user")?;
    let (monitor, relay) = UnixStream::pair().context("cannot create a socket")?;
    let blocked = Blocked::new()?;
    let standard = terminal.standard;
    if let ForkResult::Child = fork()? {
        drop((terminal, master, monitor));
        let result = monitor::run(plan, relay, slave, standard, &blocked);
        if let Err(error) = &result {
            print::error(&format!("{error:#}"));
        }
        std::process::exit(i32::from(result.is_err()));
    }
    drop((relay, slave));
    terminal::translate_output(&master, false);
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    let signals = SignalFd::with_flags(blocked.set(), flags).context("cannot receive signals")?;
    let mut relay = Relay {
        needs_keys: standard[0] && standard[1],
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
    relay.start_or_continue();
    let end = relay.until_end();
    // While the keys are relayed, ^C makes the kernel signal the command, but not the process group of this process.
    let was_typed = relay.terminal.is_raw() && relay.terminal.in_foreground() && !relay.signalled;
    relay.terminal.restore();
    drop(relay);
    match end? {
        Event::Killed(signal) => {
            if let Some(signal) = keyboard_signal(signal).filter(|_| was_typed) {
                // The signal stays blocked in this process until `die_by`.
                kill(Pid::from_raw(0), signal).context("cannot interrupt the job")?;
            }
            die_by(signal)
        }
        Event::Exited(status) | Event::Stopped(status) => std::process::exit(status.into()),
    }
}

impl Relay {
    /// Relays data and signals until the command has ended. Returns how the command has ended.
    fn until_end(&mut self) -> Result<Event> {
        loop {
            let (has_signal, has_event, of_master, of_terminal) = self.wait()?;
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
            if has_signal {
                while let Some(signal) = self.signals.read_signal().context("cannot read a signal")? {
                    self.handle_signal(i32::try_from(signal.ssi_signo)?);
                }
            }
            if has_event {
                match receive(&self.monitor).context("lost the connection to the monitor of the command")? {
                    Event::Stopped(signal) => self.suspend(Signal::try_from(i32::from(signal)).ok())?,
                    end => {
                        self.drain();
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// Waits for events. Returns whether a signal is pending, whether a report of the monitor is pending, the events of the
    /// command's terminal, and the events of the user's terminal.
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

    /// Handles a signal. SIGWINCH and SIGCONT are for this process; SIGCHLD and SIGTTOU are ignored; all others are sent to the
    /// command.
    fn handle_signal(&mut self, number: i32) {
        match Signal::try_from(number) {
            Ok(Signal::SIGWINCH) => self.copy_size(),
            Ok(Signal::SIGCONT) => self.start_or_continue(),
            Ok(Signal::SIGCHLD | Signal::SIGTTOU) | Err(_) => {}
            Ok(signal) => {
                self.signalled = true;
                self.send_order(Order::Signal(u8::try_from(signal as i32).unwrap_or_default()));
            }
        }
    }

    fn send_order(&self, order: Order) {
        // If the monitor has ended, the next receive reports it.
        _ = send(&self.monitor, order);
    }

    /// Starts or continues the command. It runs in the foreground if it needs the keys and this process can read them.
    fn start_or_continue(&mut self) {
        self.copy_size();
        let foreground = self.needs_keys && self.terminal.in_foreground();
        if foreground {
            self.terminal.make_raw();
            if let Some(master) = self.master.as_ref().filter(|_| std::mem::take(&mut self.untranslated)) {
                terminal::translate_output(master, true);
            }
        } else {
            self.terminal.restore();
        }
        self.send_order(if foreground { Order::Foreground } else { Order::Background });
    }

    /// Handles a stop of the command. If this process can read the keys that the command needs, the command is continued.
    /// Otherwise this process stops, too.
    fn suspend(&mut self, signal: Option<Signal>) -> Result<()> {
        let reads = matches!(signal, Some(Signal::SIGTTIN | Signal::SIGTTOU)) && !self.terminal.is_raw();
        self.needs_keys |= reads;
        if !(reads && self.terminal.in_foreground()) {
            self.drain();
            self.terminal.restore();
            stop_job(if reads { Signal::SIGTTIN } else { Signal::SIGTSTP })?;
            if reads && !self.terminal.in_foreground() {
                std::thread::sleep(RETRY_DELAY);
            }
        }
        self.start_or_continue();
        Ok(())
    }

    /// Relays the output that the command has printed so far.
    fn drain(&mut self) {
        let mut left = DRAIN_LIMIT;
        while left > 0 && !self.hung_up {
            if self.output.is_empty() {
                let Some(master) = &self.master else { return };
                let mut ready = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
                // poll(2) makes the kernel deliver output that is still buffered (n_tty_poll in drivers/tty/n_tty.c).
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
            // After a hangup the output is discarded. EAGAIN and EINTR: there can be more output later.
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

    /// Handles the hangup of the terminal of the user: closes the terminal of the command, and sends SIGHUP to the command.
    fn hang_up(&mut self) {
        self.hung_up = true;
        self.output.clear();
        self.master = None;
        self.handle_signal(Signal::SIGHUP as i32);
        self.handle_signal(Signal::SIGCONT as i32);
    }
}

/// Stops the job of this process, as the terminal would do. The kernel ignores the signal if no shell could continue the job.
fn stop_job(signal: Signal) -> Result<()> {
    let set = SigSet::from(signal);
    kill(Pid::from_raw(0), signal).context("cannot stop the job")?;
    let before =
        set.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_UNBLOCK).context("cannot stop the job")?;
    before.thread_set_mask().context("cannot continue the job")
}

/// Returns the signal with this number, if it is one that a key of the terminal sends to end a job (SIGINT or SIGQUIT).
fn keyboard_signal(number: u8) -> Option<Signal> {
    [Signal::SIGINT, Signal::SIGQUIT].into_iter().find(|signal| *signal as i32 == i32::from(number))
}

/// Kills this process with the signal that has killed the command. This process writes no core dump.
fn die_by(number: u8) -> Result<Infallible> {
    let number = i32::from(number);
    // The command has already written its own core dump.
    _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    if number == Signal::SIGKILL as i32 {
        raise(Signal::SIGKILL).context("cannot raise SIGKILL")?;
    }
    _ = signal_hook::low_level::emulate_default_handler(number);
    // For a signal without a name (a real-time signal): the status that shells report.
    std::process::exit(128 + number)
}
