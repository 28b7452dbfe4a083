//! The supervisor of one daemon: starts it, starts it again when it ends, and stops it.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write, stdin};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill, killpg};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, chdir, getpid, setsid};
use rustix::process::{WaitOptions, wait};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stdout};

use super::super::record::Record;
use super::{Daemon, DaemonState, GRACE_PERIOD, find};
use crate::name::Instance;
use crate::netns::{etc, processes};
use crate::paths::Paths;
use crate::print;
use crate::sys::file::limit_log_size;
use crate::sys::process::{POLL_INTERVAL, Stat, close_descriptors, group_runs};
use crate::sys::user::User;
use crate::sys::wait::wait_until;
use crate::systemd::journal;

/// The delay before the daemon is started again. It doubles with each failure.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LAST_DELAY: Duration = Duration::from_secs(30);

/// A daemon that has run for this time is stable: earlier failures are forgotten.
const STABLE: Duration = Duration::from_secs(60);

/// The interval in which the size of a log is limited, and the stability is checked.
const INTERVAL: Duration = Duration::from_secs(10);

/// The socket of the journal for the output of programs (`STDOUT_SOCKET` in systemd's src/journal/journald-stream.c).
const JOURNAL: &str = "/run/systemd/journal/stdout";

/// Runs a recorded daemon until SIGTERM. Arguments: INSTANCE DAEMON. stdin is a socket to the hook that starts the daemon: a byte in it
/// lets the daemon start, and a failure of the start is written to it.
/// Errors: the daemon cannot be supervised. This is also written to the socket.
pub fn supervise(paths: &Paths, arguments: &[OsString]) -> Result<()> {
    close_descriptors()?;
    let mut socket = UnixStream::from(stdin().as_fd().try_clone_to_owned()?);
    if socket.read(&mut [0]).unwrap_or(0) == 0 {
        return Ok(()); // the hook was killed before it has recorded this process
    }
    let set_up = || {
        let [instance, name] = arguments else { bail!("expected INSTANCE DAEMON") };
        let (instance, name) = (instance.to_string_lossy(), name.to_string_lossy());
        let record = Record::read(paths, &instance.parse()?)?;
        let daemon = find(&record, &name).context("the daemon is not recorded")?.clone();
        Supervisor::new(paths, daemon, &instance.parse()?, socket.try_clone()?)
    };
    match set_up() {
        Ok(mut supervisor) => {
            drop(socket);
            supervisor.run()
        }
        Err(error) => {
            _ = socket.write_all(format!("{error:#}").as_bytes());
            Err(error)
        }
    }
}

struct Supervisor<'a> {
    paths: &'a Paths,
    daemon: Daemon,
    state: DaemonState,
    user: Option<User>,
    environment: Vec<(String, String)>,
    signals: SignalFd,
    /// Open until the hook knows that the daemon has started.
    socket: Option<UnixStream>,
}

/// The reason for the end of [`Supervisor::next`].
#[derive(PartialEq)]
enum Wakeup {
    /// The supervisor was asked to stop.
    Stop,
    /// A child may have ended.
    Child,
    /// The time is over, or the hook has closed its end of the socket.
    None,
}

impl<'a> Supervisor<'a> {
    /// Prepares this process.
    fn new(paths: &'a Paths, daemon: Daemon, instance: &Instance, socket: UnixStream) -> Result<Self> {
        let state = DaemonState::read(paths, &daemon).context("the daemon has no state")?;
        setsid().context("cannot start a session")?;
        chdir("/").context("cannot change the working directory")?;
        umask(Mode::from_bits_truncate(0o022));
        // Processes that the daemon leaves become children of this process, which can then end them.
        prctl::set_child_subreaper(true).context("cannot adopt processes")?;
        let null = File::open("/dev/null").context("cannot open /dev/null")?;
        dup2_stdin(&null).context("cannot replace stdin")?;
        if let Some(journal) = journal(&daemon.name) {
            dup2_stdout(&journal).and_then(|()| dup2_stderr(&journal)).context("cannot replace stdout")?;
        }
        // While this process still sees the users of the host.
        let user = daemon.options.user.as_deref().map(User::look_up).transpose()?;
        let environment = environment(user.as_ref());
        if !daemon.options.host_files {
            etc::replace_files(paths, &instance.name)?;
        }
        // A write to a closed socket must not end this process.
        let blocked: SigSet =
            [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD, Signal::SIGPIPE]
                .into_iter()
                .collect();
        blocked.thread_block().context("cannot block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&blocked, flags).context("cannot receive signals")?;
        Ok(Self { paths, daemon, state, user, environment, signals, socket: Some(socket) })
    }

    /// Starts the daemon again and again, until this process is asked to stop.
    fn run(&mut self) -> Result<()> {
        let mut delay = FIRST_DELAY;
        loop {
            let started = Instant::now();
            let last = match self.spawn() {
                Err(error) => format!("{error:#}"),
                Ok(child) => {
                    let ended = self.wait(child, started);
                    end(child);
                    match ended? {
                        None => return Ok(()),
                        Some(status) => ExitStatus::from_raw(status).to_string(),
                    }
                }
            };
            if let Some(socket) = &mut self.socket {
                // journald sorts lines by the time at which it reads them: the output must come before the error of the hook.
                _ = journal::synchronize();
                let message = format!("it has ended at once ({last}); a daemon must stay in the foreground");
                if socket.write_all(message.as_bytes()).is_ok() {
                    return Ok(());
                }
            }
            if started.elapsed() >= STABLE {
                delay = FIRST_DELAY;
            }
            // A hook may have forgotten earlier failures.
            let failures = DaemonState::read(self.paths, &self.daemon).map_or(0, |state| state.failures);
            self.state.failures = failures + 1;
            self.state.last = last;
            self.save();
            print::warn(&format!(
                "daemon '{}' has ended ({}); it is started again in {} s",
                self.daemon.name,
                self.state.last,
                delay.as_secs()
            ));
            let until = Instant::now() + delay;
            while Instant::now() < until {
                if self.next(until.saturating_duration_since(Instant::now()))? == Wakeup::Stop {
                    return Ok(());
                }
            }
            delay = (delay * 2).min(LAST_DELAY);
        }
    }

    fn spawn(&self) -> Result<Pid> {
        let (program, arguments) = self.daemon.options.command.split_first().context("no command")?;
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.environment.iter().cloned()).process_group(0);
        let user = self.user.clone();
        #[allow(unsafe_code)] // this process has one thread
        unsafe {
            command.pre_exec(move || {
                if let Some(user) = &user {
                    user.assume().map_err(std::io::Error::other)?;
                }
                SigSet::empty().thread_set_mask()?;
                // The kernel forgets this when the user changes, so it comes last.
                Ok(prctl::set_pdeathsig(Signal::SIGTERM)?)
            });
        }
        let child = command.spawn().with_context(|| format!("cannot run {program}"))?;
        Ok(Pid::from_raw(i32::try_from(child.id())?))
    }

    /// Waits for the end of the daemon. Returns its wait status, or `None` if this process is asked to stop.
    fn wait(&mut self, child: Pid, started: Instant) -> Result<Option<i32>> {
        loop {
            match self.next(INTERVAL)? {
                Wakeup::Stop => return Ok(None),
                Wakeup::Child => {
                    if let Some(status) = reap(child) {
                        return Ok(Some(status));
                    }
                }
                Wakeup::None => {}
            }
            if self.state.failures > 0 && started.elapsed() >= STABLE {
                self.state.failures = 0;
                self.save();
            }
        }
    }

    /// Waits for a signal.
    fn next(&mut self, timeout: Duration) -> Result<Wakeup> {
        limit_log_size(&File::from(stdout().try_clone_to_owned()?));
        if let Some(signal) = self.signals.read_signal().context("cannot read a signal")? {
            return Ok(match Signal::try_from(i32::try_from(signal.ssi_signo)?) {
                Ok(Signal::SIGCHLD) => Wakeup::Child,
                Ok(Signal::SIGPIPE) => Wakeup::None,
                _ => Wakeup::Stop,
            });
        }
        let mut descriptors = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        descriptors.extend(self.socket.iter().map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN)));
        match poll(&mut descriptors, PollTimeout::try_from(timeout)?) {
            Err(Errno::EINTR) => return Ok(Wakeup::None),
            polled => polled.context("cannot wait for the daemon")?,
        };
        let has_signal = descriptors[0].any().unwrap_or_default();
        let is_closed = descriptors.get(1).is_some_and(|socket| socket.any().unwrap_or_default());
        if has_signal {
            return self.next(Duration::ZERO);
        }
        if is_closed {
            self.socket = None;
        }
        Ok(Wakeup::None)
    }

    /// Writes the state, for `netnsctl check`. Without space in /run, the daemon runs nevertheless.
    fn save(&self) {
        _ = self.state.save(self.paths, &self.daemon);
    }
}

/// Ends all processes of the daemon: SIGTERM for its process group, then SIGKILL for all descendants of this process.
fn end(child: Pid) {
    // An error means that the group has ended.
    _ = killpg(child, Signal::SIGTERM);
    _ = killpg(child, Signal::SIGCONT);
    wait_until(GRACE_PERIOD, POLL_INTERVAL, || {
        reap(child);
        (!group_runs(child.as_raw())).then_some(())
    });
    wait_until(GRACE_PERIOD / 5, POLL_INTERVAL, || {
        reap(child);
        let own = getpid().as_raw();
        let children: Vec<Stat> = Stat::of_all().into_iter().filter(|stat| stat.parent == own).collect();
        for stat in &children {
            _ = kill(Pid::from_raw(stat.pid), Signal::SIGKILL);
        }
        children.is_empty().then_some(())
    });
}

/// Reaps all children that have ended. Returns the wait status of `child`, if it has ended now.
fn reap(child: Pid) -> Option<i32> {
    let mut found = None;
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == child.as_raw() {
            found = Some(status.as_raw());
        }
    }
    found
}

/// Opens a stream to the journal in which the lines have their own identifier, if stdout leads to the journal (systemd.exec(5),
/// `JOURNAL_STREAM`). The lines belong to the unit of this process.
fn journal(identifier: &str) -> Option<UnixStream> {
    let found = File::from(stdout().try_clone_to_owned().ok()?).metadata().ok()?;
    if env::var("JOURNAL_STREAM").ok()? != format!("{}:{}", found.dev(), found.ino()) {
        return None;
    }
    let mut stream = UnixStream::connect(JOURNAL).ok()?;
    // The header of the stream: identifier, unit, priority, whether lines can have a priority, and three targets for forwarding
    // (`connect_logger_as` in systemd's src/core/exec-invoke.c). journald uses this unit for the lines of a process that has ended before
    // journald reads them (`client_context_read_cgroup` in src/journal/journald-context.c).
    let unit = processes::own_unit().unwrap_or_default();
    stream.write_all(format!("{identifier}\n{unit}\n6\n1\n0\n0\n0\n").as_bytes()).ok()?;
    stream.shutdown(Shutdown::Read).ok()?;
    Some(stream)
}

/// The environment of the daemon: PATH and the language of the hook, and the variables of the user.
fn environment(user: Option<&User>) -> Vec<(String, String)> {
    let kept = ["PATH", "LANG", "LC_ALL"].into_iter();
    let mut environment: Vec<(String, String)> =
        kept.filter_map(|name| Some((name.to_owned(), env::var(name).ok()?))).collect();
    if let Some(user) = user {
        let of_user =
            [("HOME", &user.home), ("LOGNAME", &user.name), ("SHELL", &user.shell), ("USER", &user.name)];
        environment.extend(of_user.map(|(name, value)| (name.to_owned(), value.clone())));
    }
    environment
}
