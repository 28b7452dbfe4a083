//! One file for each applet. The one binary is called by several names (links to it), as busybox is: the last part of
//! `argv[0]` says which applet is meant, and netnsctl has those that people type as verbs too.

mod arguments;
mod attach;
mod candidates;
mod cat;
mod check;
mod completion;
mod gc;
mod graph;
mod leaktest;
mod lifecycle;
mod list;
mod netnsctl;
mod netnsinit;
mod new;
mod nft_save;
mod output;
mod run;
mod show;
mod status;
mod types;
mod update;

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

pub use netnsctl::Ctl;
pub use netnsinit::InitArgs;
pub use nft_save::NftSaveArgs;
pub use update::UpdateArgs;

use crate::argv::{applet, arguments};
use crate::exit::Status;
use crate::print::{self, escape};

/// Runs the applet that this process was called as.
/// Errors: whatever the applet could not do. `main` prints it.
pub fn run() -> Result<Status> {
    let arguments = arguments().iter().skip(1).cloned().collect();
    if applet() == "netnsinit" {
        return netnsinit::run(arguments);
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
            Ok(options) => netnsctl::dispatch(&options),
            // Scripts can tell this from work that failed.
            Err(status) => Ok(if status == Status::Done { status } else { Status::NotStarted }),
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
    if arguments().iter().all(|word| word.to_str().is_some_and(|word| escape::line(word) == word)) {
        _ = error.print();
    } else {
        print::stderr_lines(error.render().to_string().trim_end());
    }
    Status::Failed
}
