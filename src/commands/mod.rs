//! One file for each applet. The one binary is called by several names (links to it), as busybox is: the last part of
//! `argv[0]` says which applet is meant, and netnsctl has those that people type as verbs too.

mod ctl;
mod init;
mod nft_save;
mod update;

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

pub(crate) use ctl::completion;

use crate::foreign;
use crate::words::words;

/// How a command ends, as its exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Done = 0,
    /// Something failed, or was found to be wrong.
    Failed = 1,
    /// netnsctl alone: nothing was begun, since a word is wrong or something could not be looked at.
    NotBegun = 2,
    /// A command that was to be run cannot be executed; as shells have it (bash(1), "EXIT STATUS").
    NotExecutable = 126,
    /// A command that was to be run is not found.
    NotFound = 127,
}

/// An error that ends in [`Status::NotBegun`].
#[derive(Debug)]
pub struct NotBegun(anyhow::Error);

impl From<anyhow::Error> for NotBegun {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for NotBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

impl std::error::Error for NotBegun {}

/// The name that this process was called by.
#[must_use]
pub fn applet() -> String {
    let called = words().first().map_or(Path::new(""), Path::new);
    called.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Runs the applet that this process was called as.
///
/// # Errors
/// Whatever the applet could not do. `main` prints it.
pub fn run() -> Result<Status> {
    let arguments = words().iter().skip(1).cloned().collect();
    if applet() == "netnsinit" {
        return init::run(arguments);
    }
    // netnsinit hands SIGPIPE on as it came. All others must not die half way because nobody reads what they print.
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::new(AtomicBool::new(false)))
        .context("cannot set the disposition of SIGPIPE")?;
    if applet() == "netnsctl" && completion::answer()? {
        return Ok(Status::Done);
    }
    match applet().as_str() {
        "netns-update" => parse(arguments).map_or_else(Ok, |options| update::run(&options)),
        "netns-nft-save" => parse(arguments).map_or_else(Ok, |options| nft_save::run(&options)),
        _ => match parse(arguments) {
            Ok(options) => ctl::run(&options),
            // Scripts can tell this from work that failed.
            Err(status) => Ok(if status == Status::Done { status } else { Status::NotBegun }),
        },
    }
}

/// Reads the arguments of an applet; what is left to do after `--help` or an error is to exit.
fn parse<Options: clap::Parser>(arguments: Vec<OsString>) -> Result<Options, Status> {
    Options::try_parse_from([OsString::from(applet())].into_iter().chain(arguments))
        .map_err(|error| explain(&error))
}

/// Prints clap's answer. Help goes to stdout with status 0; an error to stderr with 1, as scripts know it.
fn explain(error: &clap::Error) -> Status {
    if !error.use_stderr() {
        _ = error.print();
        return Status::Done;
    }
    // It quotes words. clap's own colours are only for those that are harmless.
    if words().iter().all(|word| word.to_str().is_some_and(|word| foreign::line(word) == word)) {
        _ = error.print();
    } else {
        crate::remark(error.render().to_string().trim_end());
    }
    Status::Failed
}

/// Prints lines on stdout.
#[allow(clippy::disallowed_methods)] // through `foreign`
fn say(lines: &str) {
    foreign::print(std::io::stdout(), lines);
}
