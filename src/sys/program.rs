//! Runs other programs and reads their output. They are found in PATH and have no terminal.
//!
//! Input and output are files in memory, not pipes. With a pipe, a background process of the program could keep the pipe
//! open, and this process would wait for it. If this process closed the pipe, SIGPIPE would kill the program.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use duct::{Expression, Handle, cmd};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::file::in_memory;
use super::package;
use crate::print::escape;

/// A program to run, with its arguments and environment.
#[derive(Debug)]
pub struct Program {
    name: String,
    label: String,
    package: Option<&'static str>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    removed_env: Vec<String>,
    directory: Option<PathBuf>,
    input: Vec<u8>,
    output_on_disk: bool,
    leads_group: bool,
}

impl Program {
    /// Takes the name of a program in PATH, or a path.
    #[must_use]
    pub fn new(program: &str) -> Self {
        Self {
            name: program.to_owned(),
            label: program.to_owned(),
            package: None,
            args: Vec::new(),
            env: Vec::new(),
            removed_env: Vec::new(),
            directory: None,
            input: Vec::new(),
            output_on_disk: false,
            leads_group: false,
        }
    }

    /// Sets the Debian package that contains the program, for the error if it is missing.
    #[must_use]
    pub fn package(mut self, package: &'static str) -> Self {
        self.package = Some(package);
        self
    }

    /// Sets the name in errors: the program with its important arguments. The default is the program without arguments.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<Arg: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = Arg>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Removes variables from the environment.
    #[must_use]
    pub fn env_remove(mut self, names: &[&str]) -> Self {
        self.removed_env.extend(names.iter().map(ToString::to_string));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// Sets the contents of stdin. By default stdin is empty.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Stores the output in temporary files on the disk, because unlimited output in memory would use up the memory.
    #[must_use]
    pub fn output_on_disk(mut self) -> Self {
        self.output_on_disk = true;
        self
    }

    /// Gives the program its own process group, and kills the group when the program has exited or timed out.
    #[must_use]
    pub fn kill_group_at_end(mut self) -> Self {
        self.leads_group = true;
        self
    }

    /// Runs the program and waits until it has exited.
    /// Errors: as for [`start`](Self::start) and [`Running::wait`].
    pub fn run(self) -> Result<Output> {
        self.start()?.wait()
    }

    /// Like [`run`](Self::run); `None` if the program is not installed.
    /// Errors: as for [`run`](Self::run), except for a missing program.
    pub fn run_if_installed(self) -> Result<Option<Output>> {
        match self.spawn()? {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            spawned => self.running(spawned)?.wait().map(Some),
        }
    }

    /// Like [`run`](Self::run), with a timeout. After the timeout, the program is killed and the result is `None`.
    /// Errors: as for [`start`](Self::start) and [`Running::wait_within`].
    pub fn run_within(self, timeout: Duration) -> Result<Option<Output>> {
        self.start()?.wait_within(timeout)
    }

    /// Starts the program.
    /// Errors: the program is not installed or cannot be run, or the files for its input and output cannot be created.
    pub fn start(self) -> Result<Running> {
        let spawned = self.spawn()?;
        self.running(spawned)
    }

    /// Starts the program. The outer result is an error if the files cannot be created, the inner one if the program cannot
    /// be run.
    fn spawn(&self) -> Result<io::Result<Spawned>> {
        let files = || -> io::Result<_> {
            let (stdout, stderr) = (self.anonymous_file()?, self.anonymous_file()?);
            let copies = (stdout.try_clone()?, stderr.try_clone()?);
            let stdin = if self.input.is_empty() { None } else { Some(in_memory(&self.input)?) };
            Ok((stdin, copies, stdout, stderr))
        };
        let what = || format!("cannot create the files for the input and output of `{}`", self.label);
        let (stdin, copies, stdout, stderr) = files().with_context(what)?;
        let command = self.command().stdout_file(copies.0).stderr_file(copies.1);
        let command = match stdin {
            Some(stdin) => command.stdin_file(stdin),
            None => command.stdin_null(),
        };
        Ok(command.start().map(|handle| Spawned { handle, stdout, stderr }))
    }

    fn command(&self) -> Expression {
        let mut command = cmd(&self.name, &self.args).unchecked();
        for (name, value) in &self.env {
            command = command.env(name, value);
        }
        for name in &self.removed_env {
            command = command.env_remove(name);
        }
        if let Some(directory) = &self.directory {
            command = command.dir(directory);
        }
        if !self.leads_group {
            return command;
        }
        command.before_spawn(|command| {
            command.process_group(0);
            Ok(())
        })
    }

    fn anonymous_file(&self) -> io::Result<File> {
        if self.output_on_disk { tempfile::tempfile() } else { in_memory(b"") }
    }

    fn running(self, spawned: io::Result<Spawned>) -> Result<Running> {
        let Self { name, label, package, leads_group, .. } = self;
        let spawned = spawned.map_err(|error| match (error.kind(), package) {
            (ErrorKind::NotFound, Some(package)) => {
                anyhow!("`{name}` is not installed, or not in PATH; {}", package::hint(package))
            }
            _ => anyhow!("cannot run `{name}`: {error}"),
        })?;
        Ok(Running { label, leads_group, spawned })
    }
}

#[derive(Debug)]
struct Spawned {
    handle: Handle,
    stdout: File,
    stderr: File,
}

/// Whether a directory of `path`, a value of PATH, has a program of this name.
#[must_use]
pub fn is_in(path: &OsStr, program: &str) -> bool {
    let is_executable = |path: &Path| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(path).any(|directory| is_executable(&directory.join(program)))
}

/// A running program.
#[derive(Debug)]
pub struct Running {
    label: String,
    leads_group: bool,
    spawned: Spawned,
}

impl Running {
    /// Waits until the program has exited.
    /// Errors: the kernel refuses to wait, or the output cannot be read.
    pub fn wait(self) -> Result<Output> {
        let status = self.spawned.handle.wait().map(|output| output.status);
        let status = status.with_context(|| format!("cannot wait for `{}`", self.label))?;
        self.kill_group();
        self.output(status)
    }

    /// Like [`wait`](Self::wait), but kills the program after the timeout, and then returns `None`.
    /// Errors: the kernel refuses to wait or to kill, or the output cannot be read.
    pub fn wait_within(self, timeout: Duration) -> Result<Option<Output>> {
        let status =
            self.spawned.handle.wait_timeout(timeout).map(|output| output.map(|output| output.status));
        let status = status.with_context(|| format!("cannot wait for `{}`", self.label))?;
        self.kill_group();
        let Some(status) = status else {
            self.spawned.handle.kill().with_context(|| format!("cannot kill `{}`", self.label))?;
            return Ok(None);
        };
        self.output(status).map(Some)
    }

    fn kill_group(&self) {
        let pids = self.spawned.handle.pids();
        let leader = pids.first().filter(|_| self.leads_group).and_then(|&pid| i32::try_from(pid).ok());
        if let Some(leader) = leader {
            // An error means that the group has already exited.
            _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
    }

    fn output(self, status: ExitStatus) -> Result<Output> {
        let Self { label, spawned: Spawned { stdout, stderr, .. }, .. } = self;
        let read = |file| read_all(file).with_context(|| format!("cannot read the output of `{label}`"));
        let (stdout, stderr) = (read(&stdout)?, read(&stderr)?);
        Ok(Output { label, status, stdout, stderr })
    }
}

/// Reads the present contents of a file from its beginning. The offset, which background processes share, does not change.
fn read_all(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut content = vec![0; length];
    let mut read = 0;
    while let Some(part) = content.get_mut(read..).filter(|part| !part.is_empty()) {
        match file.read_at(part, read as u64)? {
            0 => break, // a process has truncated the file
            more => read += more,
        }
    }
    content.truncate(read);
    Ok(content)
}

/// The output and the exit status of a program.
#[derive(Debug)]
pub struct Output {
    label: String,
    /// The exit status.
    pub status: ExitStatus,
    /// The contents of stdout.
    pub stdout: Vec<u8>,
    /// The contents of stderr.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Checks that the program was successful, and returns the output.
    /// Errors: the program has failed. Its messages are in the error.
    pub fn success(self) -> Result<Self> {
        let (label, status, message) = (&self.label, self.status, self.message());
        let end = if message.is_empty() { String::new() } else { format!(": {message}") };
        ensure!(status.success(), "`{label}` failed ({status}){end}");
        Ok(self)
    }

    /// The contents of stdout, as text.
    #[must_use]
    pub fn text(&self) -> String {
        escape::text(&self.stdout)
    }

    /// The contents of stderr, as text.
    #[must_use]
    pub fn message(&self) -> String {
        escape::text(&self.stderr).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::super::process::POLL_INTERVAL;
    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(60);

    fn bash(text: &str) -> Program {
        Program::new("bash").args(["-c", text])
    }

    #[test]
    fn a_program_gets_its_input_and_its_output_is_returned() {
        let output = bash("cat; pwd; echo a >&2; exit 3").input("in\n").directory("/").run().unwrap();
        assert_eq!((output.text().as_str(), output.message().as_str()), ("in\n/\n", "a"));
        assert_eq!(output.status.code(), Some(3));
        assert!(bash("read").run().unwrap().success().is_err(), "stdin is not empty");
        assert_eq!(bash("echo a").output_on_disk().run().unwrap().text(), "a\n");
    }

    #[test]
    fn a_program_that_does_not_read_its_input_succeeds() {
        let output = bash("exit 0").input(vec![b' '; 1 << 20]).run().unwrap();
        assert!(output.success().is_ok());
    }

    #[test]
    fn an_error_has_the_status_and_the_message_of_the_program() {
        let failed = bash(r"printf 'a\xff\n' >&2; exit 3").label("bash it").run().unwrap().success();
        assert_eq!(failed.unwrap_err().to_string(), r"`bash it` failed (exit status: 3): a\xff");
        let silent = bash("exit 1").run().unwrap().success();
        assert_eq!(silent.unwrap_err().to_string(), "`bash` failed (exit status: 1)");
    }

    #[test]
    fn the_error_for_a_missing_program_has_its_package() {
        let nosuch = || Program::new("no-such-program").package("nosuch");
        assert!(nosuch().run_if_installed().unwrap().is_none());
        let error = nosuch().run().unwrap_err().to_string();
        assert_eq!(
            error,
            format!("`no-such-program` is not installed, or not in PATH; {}", package::hint("nosuch"))
        );
    }

    #[test]
    fn a_background_process_does_not_delay_the_result_and_is_killed_with_the_group() {
        let started = Instant::now();
        let left = bash("sleep 10 & echo $!").run().unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));
        let runs = |output: &Output| {
            let pid: i32 = output.text().trim().parse().unwrap();
            crate::sys::process::Process::of(pid).is_some()
        };
        assert!(runs(&left));
        let killed = bash("sleep 10 & echo $!").kill_group_at_end().run().unwrap();
        let ended = super::super::wait::wait_until(LONG, POLL_INTERVAL, || (!runs(&killed)).then_some(()));
        assert!(ended.is_some());
    }

    #[test]
    fn a_program_is_killed_after_the_timeout() {
        assert!(bash("sleep 60").run_within(SHORT).unwrap().is_none());
        assert!(bash("sleep 60").kill_group_at_end().run_within(SHORT).unwrap().is_none());
        assert!(bash("exit 0").run_within(LONG).unwrap().unwrap().status.success());
    }
}
