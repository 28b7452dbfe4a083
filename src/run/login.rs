//! A command as another user, who is not trusted: with a terminal, an environment and descriptors of their own.
//!
//! ```text
//! user's terminal <-> relay (this process) <-> monitor (leads the session) <-> command
//! ```
//!
//! [`Login`] finds out all that is needed, while the host's files and resolvers are still there. [`relay`] gives the command a
//! terminal of its own, since whoever has a terminal for the controlling one can type on it (`TIOCSTI`, ioctl_tty(2)). Without
//! any terminal, this process becomes the command.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};
use nix::unistd::{ForkResult, close};

use super::terminal::Terminal;
use super::user::User;
use super::{environment, exec, relay};
use crate::exit::Status;
use crate::print;

/// A command, and who runs it with what.
#[derive(Debug)]
pub struct Login {
    pub(super) identity: User,
    environment: BTreeMap<OsString, OsString>,
    words: Vec<OsString>,
}

impl Login {
    /// Looks the user up. `preserved` names variables that the command keeps, `login_defs` is the file of login.defs(5).
    /// Errors: there is no such user, or the system cannot answer.
    pub fn new(user: &str, preserved: &[String], words: &[OsString], login_defs: &Path) -> Result<Self> {
        let identity = User::look_up(user)?;
        // Not every system has the file.
        let login_defs = std::fs::read(login_defs).unwrap_or_default();
        let inherited = |name: &str| std::env::var_os(name);
        let environment =
            environment::of(&identity, preserved, inherited, &String::from_utf8_lossy(&login_defs));
        Ok(Self { identity, environment, words: words.to_vec() })
    }

    /// Runs the command, and ends as it ends.
    /// Errors: it cannot be started; where it cannot be executed, that is a status.
    pub fn run(&self) -> Result<Status> {
        let Some(terminal) = Terminal::find()? else { return Ok(self.become_command()) };
        let never: Infallible = relay::run(self, terminal)?;
        match never {}
    }

    /// Becomes the command. If it returns, that has failed, and the reason was printed.
    pub(super) fn become_command(&self) -> Status {
        if let Err(error) = close_descriptors().and_then(|()| self.identity.assume()) {
            print::error(&format!("cannot run as `{}`: {error:#}", self.identity.name));
            return Status::Failed;
        }
        exec(&self.words, |command| command.env_clear().envs(&self.environment))
    }
}

/// Closes all descriptors but stdin, stdout and stderr: root's may lead anywhere.
fn close_descriptors() -> Result<()> {
    let open =
        std::fs::read_dir("/proc/self/fd").context("cannot list the open descriptors (is /proc mounted?)")?;
    let open: Vec<i32> = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // The one that the list was read from is closed already.
        _ = close(descriptor);
    }
    Ok(())
}

pub(super) fn fork() -> Result<ForkResult> {
    #[allow(unsafe_code)] // no other thread runs that could hold a lock
    unsafe { nix::unistd::fork() }.context("cannot start a process")
}
