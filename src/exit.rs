//! The exit status of this process, and the error that leads to status 2.

use std::fmt;

/// The exit status of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Success.
    Done = 0,
    /// Something failed, or `check` has findings.
    Failed = 1,
    /// Only for netnsctl: a usage error, or the command could not begin its work. Nothing was changed.
    NotStarted = 2,
    /// The command of `run` cannot be executed. The same status as in shells (bash(1), "EXIT STATUS").
    NotExecutable = 126,
    /// The command of `run` is not found.
    NotFound = 127,
}

/// An error that leads to [`Status::NotStarted`].
#[derive(Debug)]
pub struct NotStarted(anyhow::Error);

impl From<anyhow::Error> for NotStarted {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for NotStarted {}
