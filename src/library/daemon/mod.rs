//! Daemons of an instance: start, stop, restart, compare.
//!
//! Each daemon has a supervisor, which is a process of this program in its own session ([`supervise`]). Under systemd both stay in the
//! control group of the unit whose hook has started the daemon. So a restart of the unit restarts the daemon.

mod supervisor;

use std::env;
use std::fs::DirBuilder;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

pub use supervisor::supervise;

use super::Call;
use super::record::{Object, Record};
use crate::name::{NsName, Side};
use crate::paths::{BASH, Paths};
use crate::print;
use crate::sys::file::{self, Draft};
use crate::sys::process::{POLL_INTERVAL, Process, Stat};
use crate::sys::program::Program;
use crate::sys::wait::wait_until;

/// A daemon that ends within this time has failed to start.
const START_TIME: Duration = Duration::from_millis(200);

/// The timeout of `--ready`, and the interval between two calls of its command.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const READY_INTERVAL: Duration = Duration::from_millis(50);

/// The time for a daemon to end between SIGTERM and SIGKILL.
const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// A daemon of an instance.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Daemon {
    /// `TYPE@NAME`
    instance: String,
    name: String,
    /// The hook that has started it. Another hook does not stop it after a failure.
    started_by: String,
    /// Whether an inside hook has started it, so that a restart starts it again.
    inside: bool,
    /// Whether it makes an interface, which a restart repairs.
    #[serde(default)]
    of_link: bool,
    options: Options,
}

/// The arguments of `daemon_start` after the name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Options {
    /// In the network of the host, not of the namespace.
    outside: bool,
    /// In the network of another namespace.
    #[serde(default)]
    network: Option<NsName>,
    /// With the files of the host, not of the namespace.
    host_files: bool,
    user: Option<String>,
    ready: Option<String>,
    /// At least one word.
    command: Vec<String>,
}

/// The state of a running daemon, in its own file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct DaemonState {
    supervisor: Process,
    options: Options,
    /// How often the daemon has ended since it was last stable.
    failures: u32,
    /// How it has ended the last time: `exit status: 1`.
    last: String,
}

impl Options {
    /// Parses the arguments.
    /// Errors: an option is unknown or has no value, or there is no command.
    fn parse(arguments: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = arguments.iter().map(|word| (*word).to_owned());
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--outside" => (options.outside, options.host_files) = (true, true),
                "--host-files" => options.host_files = true,
                "--user" => options.user = Some(value()?),
                "--ready" => options.ready = Some(value()?),
                "--" => options.command = words.by_ref().collect(),
                option if option.starts_with('-') => bail!("unknown option {option}"),
                _ => options.command = [word].into_iter().chain(words.by_ref()).collect(),
            }
        }
        ensure!(
            !options.command.is_empty(),
            "expected NAME [--outside] [--host-files] [--user USER] [--ready COMMAND] COMMAND [ARGUMENT...]"
        );
        Ok(options)
    }
}

impl DaemonState {
    /// Whether the daemon runs now: its supervisor has a process, or the daemon has not ended since it was started.
    fn runs(&self) -> bool {
        let is_child = |stat: &Stat| stat.parent == self.supervisor.pid && !stat.ended;
        self.supervisor.runs() && (self.failures == 0 || Stat::of_all().iter().any(is_child))
    }

    /// Reads the state; `None` if the daemon was never started, or was stopped.
    fn read(paths: &Paths, daemon: &Daemon) -> Option<Self> {
        serde_json::from_slice(&file::read(&paths.daemon(&daemon.instance, &daemon.name)).ok()?).ok()
    }

    /// Writes the state.
    /// Errors: the file cannot be written.
    fn save(&self, paths: &Paths, daemon: &Daemon) -> Result<()> {
        // Arguments may be secret.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&paths.daemons)
            .with_context(|| format!("cannot create {}", paths.daemons.display()))?;
        Draft::of(&paths.daemon(&daemon.instance, &daemon.name), &serde_json::to_vec(self)?)?.commit()
    }
}

impl Daemon {
    /// A daemon that makes an interface, on the host or in the namespace `network`.
    pub(super) fn of_link(call: &Call, name: String, network: Option<NsName>, command: Vec<String>) -> Self {
        Self {
            instance: call.instance.to_string(),
            name,
            started_by: call.hook.clone(),
            inside: false,
            of_link: true,
            options: Options { outside: true, host_files: true, network, command, ..Options::default() },
        }
    }

    /// Whether the daemon was started, and would be started again after its end.
    pub(super) fn is_supervised(&self, paths: &Paths) -> bool {
        DaemonState::read(paths, self).is_some_and(|state| state.supervisor.runs())
    }

    /// Whether a hook has started the daemon.
    pub(super) fn is_of(&self, hook: &str) -> bool {
        self.started_by == hook
    }

    /// Whether the daemon ends with the namespace.
    pub(super) fn is_inside(&self) -> bool {
        self.inside
    }

    /// Whether a restart starts the daemon again.
    pub(super) fn is_made_by_restart(&self) -> bool {
        self.inside || self.of_link
    }

    /// Stops the daemon with all its processes, if it runs.
    /// Errors: the file of its state cannot be removed.
    pub(super) fn stop(&self, paths: &Paths) -> Result<()> {
        if let Some(DaemonState { supervisor, .. }) = DaemonState::read(paths, self) {
            terminate(&supervisor);
        }
        file::remove(&paths.daemon(&self.instance, &self.name))
    }

    /// Reports a daemon that does not run.
    pub(super) fn drift(&self, paths: &Paths) -> Vec<String> {
        let name = &self.name;
        match DaemonState::read(paths, self).filter(|state| state.supervisor.runs()) {
            None => vec![format!("daemon '{name}' is not running")],
            Some(state) if state.runs() => Vec::new(),
            Some(DaemonState { failures, last, .. }) => {
                vec![format!(
                    "daemon '{name}' has ended ({last}), and is started again soon; restarts: {failures}"
                )]
            }
        }
    }

    /// Returns a note about a daemon that runs again after it has ended.
    pub(super) fn note(&self, paths: &Paths) -> Option<String> {
        let state = DaemonState::read(paths, self).filter(|state| state.failures > 0 && state.runs())?;
        let DaemonState { failures, last, .. } = state;
        Some(format!("daemon '{}' has ended ({last}), and runs again; restarts: {failures}", self.name))
    }
}

/// Terminates a supervisor, which terminates its daemon. Kills what remains in its session, also if the supervisor itself was killed.
fn terminate(supervisor: &Process) {
    let pid = Pid::from_raw(supervisor.pid);
    if supervisor.runs() {
        // An error means that it has ended in the meantime.
        _ = kill(pid, Signal::SIGTERM);
        _ = kill(pid, Signal::SIGCONT);
        // The supervisor itself needs some time to kill a daemon that ignores SIGTERM.
        wait_until(GRACE_PERIOD * 3 / 2, POLL_INTERVAL, || (!supervisor.runs()).then_some(()));
    } else if Process::of(supervisor.pid).is_some() {
        return; // the process ID is free again only after all processes of the session have ended
    }
    for stat in Stat::of_all().iter().filter(|stat| stat.session == supervisor.pid && !stat.ended) {
        _ = kill(Pid::from_raw(stat.pid), Signal::SIGKILL);
    }
}

/// `daemon_start`: starts a daemon, or keeps it if it runs with the same arguments, and forgets how often it has ended. Arguments: NAME, then those of [`Options`].
/// Errors: an argument is invalid, or the daemon ends at once or does not get ready.
pub fn start(call: &Call, arguments: &[&str]) -> Result<()> {
    let (name, rest) = arguments.split_first().context("expected the NAME of the daemon")?;
    ensure!(
        (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)),
        "invalid name of a daemon '{name}': use letters, digits, `_` and `-`, at most 64 characters"
    );
    let options = Options::parse(rest).with_context(|| format!("cannot start daemon '{name}'"))?;
    let mut record = call.record()?;
    let daemon = Daemon {
        instance: call.instance.to_string(),
        name: (*name).to_owned(),
        started_by: call.hook.clone(),
        inside: call.side == Side::Inside,
        of_link: false,
        options,
    };
    let running = DaemonState::read(call.paths, &daemon)
        .filter(|running| running.options == daemon.options && running.runs());
    if let Some(running) = running {
        print::say(&format!("daemon '{name}' runs already"));
        if running.failures > 0 {
            DaemonState { failures: 0, ..running }.save(call.paths, &daemon)?;
        }
        if find(&record, name).is_none() {
            record.push(Object::Daemon(daemon));
            record.save(call.paths)?;
        }
        return Ok(());
    }
    run(call, &mut record, &daemon)
}

/// Starts the daemon that makes an interface, unless it has a supervisor: one that an inside hook starts would end with the next restart. Forgets
/// how often the daemon has ended.
/// Errors: the daemon ends at once.
pub(super) fn start_for_link(call: &Call, record: &mut Record, daemon: &Daemon) -> Result<()> {
    let state = DaemonState::read(call.paths, daemon)
        .filter(|state| state.options == daemon.options && state.supervisor.runs());
    let Some(state) = state else { return run(call, record, daemon) };
    if state.failures > 0 && state.runs() {
        DaemonState { failures: 0, ..state }.save(call.paths, daemon)?;
    }
    if find(record, &daemon.name).is_none() {
        record.push(Object::Daemon(daemon.clone()));
        record.save(call.paths)?;
    }
    Ok(())
}

/// `daemon_stop`: stops a daemon. Arguments: NAME.
/// Errors: as for [`Daemon::stop`], or the record cannot be written.
pub fn stop(call: &Call, arguments: &[&str]) -> Result<()> {
    let [name] = arguments else { bail!("expected the NAME of the daemon") };
    let mut record = call.record()?;
    let Some(daemon) = find(&record, name).cloned() else { return Ok(()) };
    daemon.stop(call.paths)?;
    forget(&mut record, name);
    record.save(call.paths)
}

/// `daemon_restart`: restarts a daemon. Arguments: NAME.
/// Errors: it was not started, or as for [`start`].
pub fn restart(call: &Call, arguments: &[&str]) -> Result<()> {
    let [name] = arguments else { bail!("expected the NAME of the daemon") };
    let mut record = call.record()?;
    let daemon = find(&record, name).cloned();
    let daemon = daemon.with_context(|| format!("daemon '{name}' was not started with daemon_start"))?;
    run(call, &mut record, &daemon)
}

/// Whether `daemon_start` has started this daemon.
pub(super) fn is_started(record: &Record, name: &str) -> bool {
    find(record, name).is_some()
}

fn find<'a>(record: &'a Record, name: &str) -> Option<&'a Daemon> {
    record.objects().iter().find_map(|object| match object {
        Object::Daemon(daemon) if daemon.name == name => Some(daemon),
        _ => None,
    })
}

fn forget(record: &mut Record, name: &str) {
    record.retain(|object| !matches!(object, Object::Daemon(daemon) if daemon.name == name));
}

/// Starts a daemon in place of an earlier one. After a failure it is stopped and forgotten.
fn run(call: &Call, record: &mut Record, daemon: &Daemon) -> Result<()> {
    daemon.stop(call.paths)?;
    forget(record, &daemon.name);
    // First, because a signal may end this process at any moment.
    record.push(Object::Daemon(daemon.clone()));
    record.save(call.paths)?;
    let started = start_supervisor(call, daemon);
    if started.is_err() {
        daemon.stop(call.paths)?;
        forget(record, &daemon.name);
        record.save(call.paths)?;
    }
    started.with_context(|| format!("cannot start daemon '{}'", daemon.name))
}

/// Starts the supervisor, and waits until the daemon runs and is ready. The supervisor reports a failure over a socket, which is open
/// until both agree that the daemon has started.
fn start_supervisor(call: &Call, daemon: &Daemon) -> Result<()> {
    let Options { outside, network, ready, command, .. } = &daemon.options;
    let (_there, place) = match network {
        None if *outside => (call.enter_host()?, None),
        None => (call.enter_namespace()?, Some(&call.instance.name)),
        Some(name) => (call.enter_named(name)?, Some(name)),
    };
    let place = place.map_or_else(String::new, |name| format!("ip netns exec {name} "));
    call.trace(&format!("{place}{} &", shell_words::join(command)));
    let (mut socket, other) = UnixStream::pair().context("cannot create a socket")?;
    let program = env::current_exe().context("cannot find the path of this program")?;
    let supervisor = Command::new(program)
        .arg0("netnsinit")
        .arg("--supervise")
        .arg(&call.paths.root)
        .args([&daemon.instance, &daemon.name])
        .stdin(OwnedFd::from(other))
        .spawn()
        .context("cannot start a process")?;
    let supervisor = i32::try_from(supervisor.id()).ok().and_then(Process::of);
    let supervisor = supervisor.context("the supervisor has ended")?;
    let options = daemon.options.clone();
    DaemonState { supervisor, options, failures: 0, last: String::new() }.save(call.paths, daemon)?;
    // Until now, the supervisor waits: without this byte it ends, and nothing unrecorded has been started.
    socket.write_all(b"\n").context("the supervisor has ended")?;
    let has_ended = !wait_until_ready(&socket, ready.as_deref())?;
    if !has_ended {
        // The supervisor closes its end now, unless the daemon has ended in the meantime.
        socket.shutdown(Shutdown::Write).context("cannot write to the supervisor")?;
    }
    let mut failure = String::new();
    socket.read_to_string(&mut failure).context("cannot read the report of the supervisor")?;
    ensure!(failure.is_empty(), "{failure}");
    ensure!(!has_ended, "its supervisor was killed");
    Ok(())
}

/// Waits until the daemon has run for [`START_TIME`] and is ready. Returns `false` if the supervisor reports the end of the daemon.
/// Errors: the daemon does not get ready in time.
fn wait_until_ready(socket: &UnixStream, ready: Option<&str>) -> Result<bool> {
    let has_report = |timeout: Duration| -> Result<bool> {
        let mut descriptors = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut descriptors, PollTimeout::try_from(timeout)?)? > 0)
    };
    if has_report(START_TIME)? {
        return Ok(false);
    }
    let Some(command) = ready else { return Ok(true) };
    let started = Instant::now();
    loop {
        let query = Program::new(BASH).args(["-c", command]).kill_group_at_end().run_within(READY_TIMEOUT)?;
        if query.is_some_and(|output| output.status.success()) {
            return Ok(true);
        }
        let seconds = READY_TIMEOUT.as_secs();
        ensure!(started.elapsed() < READY_TIMEOUT, "`{command}` has not succeeded within {seconds} seconds");
        if has_report(READY_INTERVAL)? {
            return Ok(false);
        }
    }
}
