//! One file for each applet. The one binary is called by several names (links to it), as busybox is: the last part of
//! `argv[0]` says which applet is meant, and netnsctl has those that people type as verbs too.

mod ctl;
mod init;
mod nft_save;
mod update;

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

/// The name that this process was called by.
#[must_use]
pub fn applet() -> String {
    let called = env::args_os().next().unwrap_or_default();
    Path::new(&called).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Runs the applet that this process was called as.
///
/// # Errors
/// Whatever the applet could not do. `main` prints it.
pub fn run() -> Result<ExitCode> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if applet() == "netnsinit" {
        return init::run(arguments);
    }
    // netnsinit hands SIGPIPE on as it came. All others must not die half way because nobody reads what they print.
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::new(AtomicBool::new(false)))
        .context("cannot set the disposition of SIGPIPE")?;
    match applet().as_str() {
        "netns-update" => parse(arguments).map_or_else(Ok, |options| update::run(&options)),
        "netns-nft-save" => parse(arguments).map_or_else(Ok, |options| nft_save::run(&options)),
        _ => parse(arguments).map_or_else(Ok, |options| ctl::run(&options)),
    }
}

/// Reads the arguments of an applet; what is left to do after `--help` or an error is to exit.
fn parse<Options: clap::Parser>(arguments: Vec<OsString>) -> Result<Options, ExitCode> {
    Options::try_parse_from([OsString::from(applet())].into_iter().chain(arguments))
        .map_err(|error| explain(&error))
}

/// Prints clap's answer. Help goes to stdout with status 0; an error to stderr with 1, as scripts know it.
fn explain(error: &clap::Error) -> ExitCode {
    _ = error.print();
    ExitCode::from(u8::from(error.use_stderr()))
}

/// Prints a line on stdout; that nobody reads it is no reason to stop.
fn say(line: &str) {
    _ = writeln!(std::io::stdout(), "{line}");
}
