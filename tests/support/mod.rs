//! Shared by the tests of all applets: the files of a machine below a temporary root, a call of an applet, and checks of its
//! exact output.

#![allow(dead_code)] // each test file is a separate program, and uses only a part of this module

pub mod init;
pub mod update;

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};

use tempfile::TempDir;
use walkdir::{DirEntry, WalkDir};

/// The binary of all applets. `argv[0]` selects the applet.
const BINARY: &str = env!("CARGO_BIN_EXE_netnsctl");

/// A user without privileges (`nobody` on Debian).
const NOBODY: u32 = 65534;

/// The files of a machine, and the applet that the test calls.
pub struct Test {
    directory: TempDir,
    root: PathBuf,
    applet: &'static str,
    environment: Vec<(OsString, OsString)>,
    nobody: bool,
}

impl Test {
    /// An empty machine.
    pub fn new(applet: &'static str) -> Self {
        Self::below(applet, "root")
    }

    /// An empty machine whose root directory has this name.
    pub fn below(applet: &'static str, name: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let root = directory.path().canonicalize().expect("the real path").join(name);
        fs::create_dir(&root).expect("a new directory");
        Self { directory, root, applet, environment: Vec::new(), nobody: false }
    }

    /// A path on the machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A path on the machine, whose parent directory is created.
    fn new_path(&self, path: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a path below the root")).expect("a parent directory");
        path
    }

    /// Creates a file.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(path, content);
        self
    }

    /// Writes a file, between two calls of the applet.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        fs::write(self.new_path(path), content).expect("a file is written");
    }

    /// Creates a directory.
    pub fn directory(self, path: &str) -> Self {
        fs::create_dir_all(self.path(path)).expect("a directory is created");
        self
    }

    /// Creates a symbolic link.
    pub fn link(self, path: &str, target: &str) -> Self {
        symlink(target, self.new_path(path)).expect("a link is created");
        self
    }

    /// Creates a FIFO.
    pub fn fifo(self, path: &str) -> Self {
        let status = Command::new("mkfifo").arg(self.new_path(path)).status().expect("mkfifo runs");
        assert!(status.success(), "mkfifo failed");
        self
    }

    /// Sets the mode of a file or directory.
    pub fn mode(self, path: &str, mode: u32) -> Self {
        fs::set_permissions(self.path(path), Permissions::from_mode(mode)).expect("a mode is set");
        self
    }

    /// Sets an environment variable. By default, only `PATH` and `LC_ALL=C` are set.
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Calls the applet as a user who is not root. If the user of the tests is not root, nothing changes.
    pub fn without_root(mut self) -> Self {
        if is_root(self.directory.path()) {
            self.nobody = true;
            // Other users may have no access to the build directory, so the binary is copied. Another process copies it: if
            // this process had the copy open for writing, a fork of another test could inherit it, and exec would fail with
            // ETXTBSY.
            let copied = Command::new("cp").arg(BINARY).arg(self.binary()).status().expect("cp runs");
            assert!(copied.success(), "cp failed");
            fs::set_permissions(self.directory.path(), Permissions::from_mode(0o755)).expect("a mode is set");
        }
        self
    }

    fn binary(&self) -> PathBuf {
        if self.nobody { self.directory.path().join("netnsctl") } else { BINARY.into() }
    }

    /// A command that calls the applet with these arguments.
    pub fn command<Arg: AsRef<OsStr>>(&self, arguments: &[Arg]) -> Command {
        let mut command = self.program(self.binary());
        command.arg0(self.applet).args(arguments);
        command
    }

    /// A command that calls another program like the applet: as the same user, in the same environment.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if self.nobody {
            command.uid(NOBODY).gid(NOBODY).current_dir("/");
        }
        command
    }

    /// A command that calls the applet with `--root` and these arguments.
    pub fn command_below_root<Arg: AsRef<OsStr>>(&self, arguments: &[Arg]) -> Command {
        let mut all = vec![OsString::from("--root"), self.root.clone().into()];
        all.extend(arguments.iter().map(|argument| argument.as_ref().to_owned()));
        self.command(&all)
    }

    /// Calls the applet on this machine.
    pub fn run<Arg: AsRef<OsStr>>(&self, arguments: &[Arg]) -> Ran {
        self.ran(&self.command_below_root(arguments).output().expect("the applet starts"))
    }

    /// Calls the applet without `--root`, so on the machine that runs the tests.
    pub fn run_live<Arg: AsRef<OsStr>>(&self, arguments: &[Arg]) -> Ran {
        self.ran(&self.command(arguments).output().expect("the applet starts"))
    }

    /// The result of a call. The path of the root is removed from the output: `/etc`, not `/tmp/x/root/etc`.
    pub fn ran(&self, output: &Output) -> Ran {
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(self.root.to_str().expect("UTF-8"), "");
        Ran { stdout: text(&output.stdout), stderr: text(&output.stderr), status: output.status }
    }

    /// The contents of a file.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Whether a path exists. A dangling link exists.
    pub fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// The entries below a directory, sorted by name: type and mode as in `100644`, path, and the target of a link.
    pub fn tree(&self, path: &str) -> Vec<String> {
        self.walk(path, |_| String::new())
    }

    /// Like `tree`, with inode and times, so that any write to a file is visible.
    pub fn state(&self, path: &str) -> Vec<String> {
        self.walk(path, |found| {
            let modified = (found.mtime(), found.mtime_nsec());
            format!(" {} {modified:?} {:?}", found.ino(), (found.ctime(), found.ctime_nsec()))
        })
    }

    fn walk(&self, path: &str, more: impl Fn(&Metadata) -> String) -> Vec<String> {
        let top = self.path(path);
        let line = |entry: DirEntry| {
            let found = entry.metadata().expect("metadata of the entry");
            let path = entry.path().strip_prefix(&top).expect("a path below the directory").display();
            let target = fs::read_link(entry.path());
            let target = target.map_or_else(|_| String::new(), |target| format!(" -> {}", target.display()));
            format!("{:06o} {path}{target}{}", found.mode(), more(&found))
        };
        let entries = WalkDir::new(&top).min_depth(1).sort_by_file_name();
        entries.into_iter().map(|entry| line(entry.expect("an entry"))).collect()
    }

    /// The names in a directory, sorted.
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// Whether root runs these tests: then root owns the files that they create.
fn is_root(created: &Path) -> bool {
    fs::metadata(created).expect("metadata of a directory").uid() == 0
}

/// An argument of any bytes, which need not be UTF-8.
pub fn bytes(argument: &[u8]) -> OsString {
    OsStr::from_bytes(argument).to_owned()
}

/// The result of a call of an applet.
#[must_use = "check the result"]
#[derive(Debug)]
pub struct Ran {
    /// The contents of stdout.
    pub stdout: String,
    /// The contents of stderr.
    pub stderr: String,
    /// The exit status.
    pub status: ExitStatus,
}

impl Ran {
    /// Checks that stdout is equal to a text.
    #[track_caller]
    pub fn stdout(self, expected: &str) -> Self {
        assert_eq!(self.stdout, expected, "stdout of {self:#?}");
        self
    }

    /// Checks that stderr is equal to a text.
    #[track_caller]
    pub fn stderr(self, expected: &str) -> Self {
        assert_eq!(self.stderr, expected, "stderr of {self:#?}");
        self
    }

    /// Checks that stdout contains a text.
    #[track_caller]
    pub fn stdout_has(self, expected: &str) -> Self {
        assert!(self.stdout.contains(expected), "no {expected:?} on stdout of {self:#?}");
        self
    }

    /// Checks that stderr contains a text.
    #[track_caller]
    pub fn stderr_has(self, expected: &str) -> Self {
        assert!(self.stderr.contains(expected), "no {expected:?} on stderr of {self:#?}");
        self
    }

    /// Checks that stderr is one line that contains a text.
    #[track_caller]
    pub fn stderr_line(self, expected: &str) -> Self {
        assert_eq!(self.stderr.lines().count(), 1, "one line is expected on stderr of {self:#?}");
        self.stderr_has(expected)
    }

    /// Checks the exit status.
    #[track_caller]
    pub fn status(self, expected: i32) {
        assert_eq!(self.status.code(), Some(expected), "status of {self:#?}");
    }

    /// Checks that a signal has terminated the applet.
    #[track_caller]
    pub fn signal(self, expected: i32) {
        assert_eq!(self.status.signal(), Some(expected), "signal of {self:#?}");
    }
}
