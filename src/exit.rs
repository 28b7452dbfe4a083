//! How this process ends: its exit status, and the error for work that was not begun.

use std::fmt;

/// How a command ends, as its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Done = 0,
    /// Something failed, or was found to be wrong.
    Failed = 1,
    /// netnsctl alone: nothing was begun, since a word is wrong or something could not be looked at.
    NotStarted = 2,
    /// A command that was to be run cannot be executed; as shells have it (bash(1), "EXIT STATUS").
    NotExecutable = 126,
    /// A command that was to be run is not found.
    NotFound = 127,
}

/// An error that ends in [`Status::NotStarted`].
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
