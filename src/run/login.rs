//! Runs a command as another, untrusted user. The command gets a separate terminal, a new environment, and only the file
//! descriptors 0, 1 and 2.
//!
//! ```text
//! user's terminal <-> relay (this process) <-> monitor (leads the session) <-> command
//! ```
//!
//! [`Login`] looks up the user while this process still sees the files and resolvers of the host. [`relay`] creates a
//! separate terminal. On the user's terminal, the command could insert input as if the user had typed it (`TIOCSTI`,
//! ioctl_tty(2)). If this process has no terminal at all, it becomes the command.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};
use nix::unistd::ForkResult;

use super::terminal::Terminal;
use super::{environment, exec, relay};
use crate::exit::Status;
use crate::print;
use crate::sys::process::close_descriptors;
use crate::sys::user::User;

/// A command with its user and its environment.
#[derive(Debug)]
pub struct Login {
    pub(super) user: User,
    environment: BTreeMap<OsString, OsString>,
    command: Vec<OsString>,
}

impl Login {
    /// Looks up the user. The command keeps the `preserved` variables. `login_defs` is the path of login.defs(5).
    /// Errors: the user is invalid or unknown, or cannot be looked up.
    pub fn new(user: &str, preserved: &[String], command: &[OsString], login_defs: &Path) -> Result<Self> {
        let user = User::look_up(user)?;
        // Not every system has the file.
        let login_defs = std::fs::read(login_defs).unwrap_or_default();
        let inherited = |name: &str| std::env::var_os(name);
        let environment = environment::of(&user, preserved, inherited, &String::from_utf8_lossy(&login_defs));
        Ok(Self { user, environment, command: command.to_vec() })
    }

    /// Runs the command, then ends with the same exit status or signal. If the command cannot be executed, returns a status.
    /// Errors: the terminal or the relay fails.
    pub fn run(&self) -> Result<Status> {
        let Some(terminal) = Terminal::find()? else { return Ok(self.become_command()) };
        let never: Infallible = relay::run(self, terminal)?;
        match never {}
    }

    /// Replaces this process with the command. Returns only on failure, after the reason was printed.
    pub(super) fn become_command(&self) -> Status {
        if let Err(error) = close_descriptors().and_then(|()| self.user.assume()) {
            print::error(&format!("cannot run as `{}`: {error:#}", self.user.name));
            return Status::Failed;
        }
        exec(&self.command, |command| command.env_clear().envs(&self.environment))
    }
}

pub(super) fn fork() -> Result<ForkResult> {
    #[allow(unsafe_code)] // no other thread runs, so no other thread holds a lock
    unsafe { nix::unistd::fork() }.context("cannot start a process")
}
