//! What the tests of all applets use: a machine's files below a temporary root, one call of an applet, and what is
//! expected of it, to the letter.

#![allow(dead_code)] // each test file is a program of its own, and none uses all of this

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

/// The one binary; which applet it is, it is told by `argv[0]`.
const BINARY: &str = env!("CARGO_BIN_EXE_netnsctl");

/// The user that may do nothing (`nobody` on Debian).
const NOBODY: u32 = 65534;

/// A machine's files and an applet to be called on them.
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
        let root = directory.path().canonicalize().expect("it is there").join(name);
        fs::create_dir(&root).expect("it is new");
        Self { directory, root, applet, environment: Vec::new(), nobody: false }
    }

    /// A place on the machine.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn make_room(&self, path: &str) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a path below the root")).expect("room for a file");
        path
    }

    /// Puts a file there.
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.write(path, content);
        self
    }

    /// Puts a file there, between two calls.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        fs::write(self.make_room(path), content).expect("a file is written");
    }

    /// Puts a directory there.
    pub fn directory(self, path: &str) -> Self {
        fs::create_dir_all(self.path(path)).expect("a directory is made");
        self
    }

    /// Puts a symbolic link there.
    pub fn link(self, path: &str, target: &str) -> Self {
        symlink(target, self.make_room(path)).expect("a link is made");
        self
    }

    /// Puts a FIFO there.
    pub fn fifo(self, path: &str) -> Self {
        let made = Command::new("mkfifo").arg(self.make_room(path)).status().expect("mkfifo runs");
        assert!(made.success(), "mkfifo failed");
        self
    }

    /// Sets the mode of what is there.
    pub fn mode(self, path: &str, mode: u32) -> Self {
        fs::set_permissions(self.path(path), Permissions::from_mode(mode)).expect("a mode is set");
        self
    }

    /// Sets an environment variable. There are no others but `PATH` and `LC_ALL=C`.
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Calls the applet as a user who is not root. A plain user is one already.
    pub fn by_nobody(mut self) -> Self {
        if is_root(self.directory.path()) {
            self.nobody = true;
            // The place where it was built may be root's alone. Copied by another process: were the file open for
            // writing in this one, a fork of some other test could take that along, and nobody could execute it.
            let copied = Command::new("cp").arg(BINARY).arg(self.binary()).status().expect("cp runs");
            assert!(copied.success(), "cp failed");
            fs::set_permissions(self.directory.path(), Permissions::from_mode(0o755)).expect("a mode is set");
        }
        self
    }

    fn binary(&self) -> PathBuf {
        if self.nobody { self.directory.path().join("netnsctl") } else { BINARY.into() }
    }

    /// The applet, about to be called with these words.
    pub fn command<Word: AsRef<OsStr>>(&self, words: &[Word]) -> Command {
        let mut command = self.program(self.binary());
        command.arg0(self.applet).args(words);
        command
    }

    /// Another program, about to be called as the applet would be: by the same user, in the same environment.
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

    /// The applet, about to be called with `--root` and these words.
    pub fn command_below_root<Word: AsRef<OsStr>>(&self, words: &[Word]) -> Command {
        let mut all = vec![OsString::from("--root"), self.root.clone().into()];
        all.extend(words.iter().map(|word| word.as_ref().to_owned()));
        self.command(&all)
    }

    /// Calls the applet with these words on this machine.
    pub fn run<Word: AsRef<OsStr>>(&self, words: &[Word]) -> Ran {
        self.ran(&self.command_below_root(words).output().expect("the applet starts"))
    }

    /// Calls the applet with these words and no `--root`: on the machine that the tests run on.
    pub fn run_live<Word: AsRef<OsStr>>(&self, words: &[Word]) -> Ran {
        self.ran(&self.command(words).output().expect("the applet starts"))
    }

    /// What a call came to. The root is left out of all that was printed: `/etc`, not `/tmp/x/root/etc`.
    pub fn ran(&self, output: &Output) -> Ran {
        let text =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(self.root.to_str().expect("UTF-8"), "");
        Ran { stdout: text(&output.stdout), stderr: text(&output.stderr), status: output.status }
    }

    /// The content of a file.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Whether there is anything of that name, be it a link to nothing.
    pub fn has(&self, path: &str) -> bool {
        self.path(path).symlink_metadata().is_ok()
    }

    /// All that is below a directory, in order: type and mode as in `100644`, path, and where a link points to.
    pub fn tree(&self, path: &str) -> Vec<String> {
        self.walk(path, |_| String::new())
    }

    /// As `tree`, with whatever shows that a file was so much as touched.
    pub fn state(&self, path: &str) -> Vec<String> {
        self.walk(path, |found| {
            let modified = (found.mtime(), found.mtime_nsec());
            format!(" {} {modified:?} {:?}", found.ino(), (found.ctime(), found.ctime_nsec()))
        })
    }

    fn walk(&self, path: &str, more: impl Fn(&Metadata) -> String) -> Vec<String> {
        let top = self.path(path);
        let tell = |entry: DirEntry| {
            let found = entry.metadata().expect("it is there");
            let path = entry.path().strip_prefix(&top).expect("it is below").display();
            let target = fs::read_link(entry.path());
            let target = target.map_or_else(|_| String::new(), |target| format!(" -> {}", target.display()));
            format!("{:06o} {path}{target}{}", found.mode(), more(&found))
        };
        let entries = WalkDir::new(&top).min_depth(1).sort_by_file_name();
        entries.into_iter().map(|entry| tell(entry.expect("an entry"))).collect()
    }

    /// The names in a directory, in order.
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

/// Whether these tests are run by root: it owns what they make.
fn is_root(made: &Path) -> bool {
    fs::metadata(made).expect("it is there").uid() == 0
}

/// A word of bytes that need not be UTF-8.
pub fn bytes(word: &[u8]) -> OsString {
    OsStr::from_bytes(word).to_owned()
}

/// What a call of an applet came to.
#[must_use = "say what is expected"]
#[derive(Debug)]
pub struct Ran {
    /// What it printed on stdout.
    pub stdout: String,
    /// What it printed on stderr.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl Ran {
    /// Exactly this on stdout.
    #[track_caller]
    pub fn stdout(self, expected: &str) -> Self {
        assert_eq!(self.stdout, expected, "stdout of {self:#?}");
        self
    }

    /// Exactly this on stderr.
    #[track_caller]
    pub fn stderr(self, expected: &str) -> Self {
        assert_eq!(self.stderr, expected, "stderr of {self:#?}");
        self
    }

    /// This among other things on stdout.
    #[track_caller]
    pub fn stdout_has(self, expected: &str) -> Self {
        assert!(self.stdout.contains(expected), "no {expected:?} on stdout of {self:#?}");
        self
    }

    /// This among other things on stderr.
    #[track_caller]
    pub fn stderr_has(self, expected: &str) -> Self {
        assert!(self.stderr.contains(expected), "no {expected:?} on stderr of {self:#?}");
        self
    }

    /// One line on stderr, which has this in it.
    #[track_caller]
    pub fn stderr_line(self, expected: &str) -> Self {
        assert_eq!(self.stderr.lines().count(), 1, "one line is expected on stderr of {self:#?}");
        self.stderr_has(expected)
    }

    /// It exited with this status.
    #[track_caller]
    pub fn status(self, expected: i32) {
        assert_eq!(self.status.code(), Some(expected), "status of {self:#?}");
    }

    /// It was ended by this signal.
    #[track_caller]
    pub fn signal(self, expected: i32) {
        assert_eq!(self.status.signal(), Some(expected), "signal of {self:#?}");
    }
}
