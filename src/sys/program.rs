//! Other programs that are run for what they say: found in PATH, with no terminal, and with an end that does not depend on what they
//! leave behind. What they are given and what they print are files in memory: a pipe stays open as long as any process that they have
//! started has it, and one that is not read ends the writer by SIGPIPE.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use duct::{Expression, Handle, cmd};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::file::in_memory;
use crate::print::escape;

/// A program that is about to be run.
#[derive(Debug)]
pub struct Program {
    name: String,
    called: String,
    package: Option<&'static str>,
    words: Vec<OsString>,
    set: Vec<(OsString, OsString)>,
    removed: Vec<String>,
    directory: Option<PathBuf>,
    input: Vec<u8>,
    on_disk: bool,
    leads_group: bool,
}

impl Program {
    /// A program in PATH, or by its path.
    #[must_use]
    pub fn new(program: &str) -> Self {
        Self {
            name: program.to_owned(),
            called: program.to_owned(),
            package: None,
            words: Vec::new(),
            set: Vec::new(),
            removed: Vec::new(),
            directory: None,
            input: Vec::new(),
            on_disk: false,
            leads_group: false,
        }
    }

    /// The Debian package that has it, for the error where it is missing.
    #[must_use]
    pub fn package(mut self, package: &'static str) -> Self {
        self.package = Some(package);
        self
    }

    /// What it is called in errors: the program and the words that matter. By default the program alone.
    #[must_use]
    pub fn called(mut self, called: impl Into<String>) -> Self {
        self.called = called.into();
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn words<Word: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = Word>) -> Self {
        self.words.extend(words.into_iter().map(|word| word.as_ref().to_owned()));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.set.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Keeps variables from it.
    #[must_use]
    pub fn without(mut self, names: &[&str]) -> Self {
        self.removed.extend(names.iter().map(ToString::to_string));
        self
    }

    /// Its working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// What it reads on stdin. By default that is empty.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Keeps what it prints in temporary files on the disk: for what may print without end, which would use up the memory.
    #[must_use]
    pub fn on_disk(mut self) -> Self {
        self.on_disk = true;
        self
    }

    /// Makes it a process group of its own, all of which is killed at its end.
    #[must_use]
    pub fn with_all_it_starts(mut self) -> Self {
        self.leads_group = true;
        self
    }

    /// Runs it to its end.
    /// Errors: it is not installed, or cannot be run.
    pub fn run(self) -> Result<Answer> {
        self.start()?.wait()
    }

    /// Runs it to its end; `None` where it is not installed.
    /// Errors: it cannot be run.
    pub fn run_if_installed(self) -> Result<Option<Answer>> {
        match self.spawn()? {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            spawned => self.running(spawned)?.wait().map(Some),
        }
    }

    /// Runs it to its end; `None` where that is not reached in time: then it is killed.
    /// Errors: it is not installed, or cannot be run.
    pub fn run_within(self, limit: Duration) -> Result<Option<Answer>> {
        self.start()?.wait_within(limit)
    }

    /// Starts it.
    /// Errors: it is not installed, or cannot be run.
    pub fn start(self) -> Result<Running> {
        let spawned = self.spawn()?;
        self.running(spawned)
    }

    /// The inner error is that of the program.
    fn spawn(&self) -> Result<io::Result<Spawned>> {
        let files = || -> io::Result<_> {
            let (stdout, stderr) = (self.anonymous_file()?, self.anonymous_file()?);
            let copies = (stdout.try_clone()?, stderr.try_clone()?);
            let stdin = if self.input.is_empty() { None } else { Some(in_memory(&self.input)?) };
            Ok((stdin, copies, stdout, stderr))
        };
        let what = || format!("cannot create the files for what `{}` prints", self.called);
        let (stdin, copies, stdout, stderr) = files().with_context(what)?;
        let command = self.command().stdout_file(copies.0).stderr_file(copies.1);
        let command = match stdin {
            Some(stdin) => command.stdin_file(stdin),
            None => command.stdin_null(),
        };
        Ok(command.start().map(|handle| Spawned { handle, stdout, stderr }))
    }

    fn command(&self) -> Expression {
        let mut command = cmd(&self.name, &self.words).unchecked();
        for (name, value) in &self.set {
            command = command.env(name, value);
        }
        for name in &self.removed {
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
        if self.on_disk { tempfile::tempfile() } else { in_memory(b"") }
    }

    fn running(self, spawned: io::Result<Spawned>) -> Result<Running> {
        let Self { name, called, package, leads_group, .. } = self;
        let spawned = spawned.map_err(|error| match (error.kind(), package) {
            (ErrorKind::NotFound, Some(package)) => {
                anyhow!("`{name}` is not installed, or not in PATH: on Debian `apt install {package}`")
            }
            _ => anyhow!("cannot run `{name}`: {error}"),
        })?;
        Ok(Running { called, leads_group, spawned })
    }
}

#[derive(Debug)]
struct Spawned {
    handle: Handle,
    stdout: File,
    stderr: File,
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    called: String,
    leads_group: bool,
    spawned: Spawned,
}

impl Running {
    /// Waits for its end.
    /// Errors: what it has printed cannot be read.
    pub fn wait(self) -> Result<Answer> {
        let status = self.spawned.handle.wait().map(|output| output.status);
        let status = status.with_context(|| format!("cannot wait for `{}`", self.called))?;
        self.kill_group();
        self.answer(status)
    }

    /// Waits for its end; `None` where that is not reached in time: then it is killed.
    /// Errors: what it has printed cannot be read.
    pub fn wait_within(self, limit: Duration) -> Result<Option<Answer>> {
        let status = self.spawned.handle.wait_timeout(limit).map(|output| output.map(|output| output.status));
        let status = status.with_context(|| format!("cannot wait for `{}`", self.called))?;
        self.kill_group();
        let Some(status) = status else {
            self.spawned.handle.kill().with_context(|| format!("cannot end `{}`", self.called))?;
            return Ok(None);
        };
        self.answer(status).map(Some)
    }

    fn kill_group(&self) {
        let pids = self.spawned.handle.pids();
        let leader = pids.first().filter(|_| self.leads_group).and_then(|&pid| i32::try_from(pid).ok());
        if let Some(leader) = leader {
            // That the group is gone by now is what is wanted.
            _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
        }
    }

    fn answer(self, status: ExitStatus) -> Result<Answer> {
        let Self { called, spawned: Spawned { stdout, stderr, .. }, .. } = self;
        let read = |file| content(file).with_context(|| format!("cannot read what `{called}` has printed"));
        let (stdout, stderr) = (read(&stdout)?, read(&stderr)?);
        Ok(Answer { called, status, stdout, stderr })
    }
}

/// What is in a file now, wherever the writers are in it.
fn content(file: &File) -> io::Result<Vec<u8>> {
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut content = vec![0; length];
    let mut read = 0;
    while let Some(part) = content.get_mut(read..).filter(|part| !part.is_empty()) {
        match file.read_at(part, read as u64)? {
            0 => break, // somebody has cut it off
            more => read += more,
        }
    }
    content.truncate(read);
    Ok(content)
}

/// What a program has printed, and how it has ended.
#[derive(Debug)]
pub struct Answer {
    called: String,
    /// How it has ended.
    pub status: ExitStatus,
    /// What it has printed.
    pub stdout: Vec<u8>,
    /// Its messages.
    pub stderr: Vec<u8>,
}

impl Answer {
    /// Itself, if the program was successful.
    /// Errors: it was not; its messages are in the error.
    pub fn success(self) -> Result<Self> {
        let (called, status, message) = (&self.called, self.status, self.message());
        let end = if message.is_empty() { String::new() } else { format!(": {message}") };
        ensure!(status.success(), "`{called}` failed ({status}){end}");
        Ok(self)
    }

    /// What it has printed, as text.
    #[must_use]
    pub fn text(&self) -> String {
        escape::text(&self.stdout)
    }

    /// Its messages, as text.
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

    const SOON: Duration = Duration::from_millis(100);
    const LATE: Duration = Duration::from_secs(60);

    fn bash(text: &str) -> Program {
        Program::new("bash").words(["-c", text])
    }

    #[test]
    fn a_program_gets_its_input_and_is_asked_for_all_that_it_prints() {
        let answer = bash("cat; pwd; echo a >&2; exit 3").input("in\n").directory("/").run().unwrap();
        assert_eq!((answer.text().as_str(), answer.message().as_str()), ("in\n/\n", "a"));
        assert_eq!(answer.status.code(), Some(3));
        assert!(bash("read").run().unwrap().success().is_err(), "stdin is not empty");
        assert_eq!(bash("echo a").on_disk().run().unwrap().text(), "a\n");
    }

    #[test]
    fn input_that_is_not_read_ends_nobody() {
        let answer = bash("exit 0").input(vec![b' '; 1 << 20]).run().unwrap();
        assert!(answer.success().is_ok());
    }

    #[test]
    fn an_error_has_the_status_and_the_message() {
        let failed = bash(r"printf 'a\xff\n' >&2; exit 3").called("bash it").run().unwrap().success();
        assert_eq!(failed.unwrap_err().to_string(), r"`bash it` failed (exit status: 3): a\xff");
        let silent = bash("exit 1").run().unwrap().success();
        assert_eq!(silent.unwrap_err().to_string(), "`bash` failed (exit status: 1)");
    }

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let nosuch = || Program::new("no-such-program").package("nosuch");
        assert!(nosuch().run_if_installed().unwrap().is_none());
        let error = nosuch().run().unwrap_err().to_string();
        assert_eq!(
            error,
            "`no-such-program` is not installed, or not in PATH: on Debian `apt install nosuch`"
        );
    }

    #[test]
    fn nobody_waits_for_what_a_program_leaves_behind_and_a_group_goes_with_it() {
        let accepted = Instant::now();
        let left = bash("sleep 10 & echo $!").run().unwrap();
        assert!(accepted.elapsed() < Duration::from_secs(5));
        let runs = |answer: &Answer| {
            let pid: i32 = answer.text().trim().parse().unwrap();
            crate::sys::process::Process::of(pid).is_some()
        };
        assert!(runs(&left));
        let gone = bash("sleep 10 & echo $!").with_all_it_starts().run().unwrap();
        let ended = super::super::wait::wait_until(LATE, POLL_INTERVAL, || (!runs(&gone)).then_some(()));
        assert!(ended.is_some());
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended() {
        assert!(bash("sleep 60").run_within(SOON).unwrap().is_none());
        assert!(bash("sleep 60").with_all_it_starts().run_within(SOON).unwrap().is_none());
        assert!(bash("exit 0").run_within(LATE).unwrap().unwrap().status.success());
    }
}
