//! One file for each applet and verb. Links to the one binary select the applet by `argv[0]`, as with busybox. netnsctl also
//! has the applets as verbs.

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

/// Runs the applet that `argv[0]` selects.
/// Errors: any error of the applet. `main` prints it.
pub fn run() -> Result<Status> {
    let arguments = arguments().iter().skip(1).cloned().collect();
    if applet() == "netnsinit" {
        return netnsinit::run(arguments);
    }
    // netnsinit passes the disposition of SIGPIPE on to its hook. A closed stdout must not end any other applet.
    signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::new(AtomicBool::new(false)))
        .context("cannot set the disposition of SIGPIPE")?;
    if completion::answer()? {
        return Ok(Status::Done);
    }
    match applet().as_str() {
        "netns-update" => parse(arguments).map_or_else(Ok, |options| update::run(&options)),
        "netns-nft-save" => parse(arguments).map_or_else(Ok, |options| nft_save::run(&options)),
        _ => match parse(netnsctl::verb_first(arguments)) {
            Ok(options) => netnsctl::dispatch(&options),
            // Scripts can distinguish this status from failed work.
            Err(status) => Ok(if status == Status::Done { status } else { Status::NotStarted }),
        },
    }
}

/// Parses the arguments of an applet. `Err` is the status to exit with, after `--help` or a usage error.
fn parse<Options: clap::Parser>(arguments: Vec<OsString>) -> Result<Options, Status> {
    Options::try_parse_from([OsString::from(applet())].into_iter().chain(arguments))
        .map_err(|error| explain(&error))
}

/// Prints the help to stdout and returns status 0, or prints the usage error to stderr and returns status 1.
fn explain(error: &clap::Error) -> Status {
    if !error.use_stderr() {
        _ = error.print();
        return Status::Done;
    }
    // The error quotes arguments. Colours are used only if no argument has control characters.
    if arguments().iter().all(|argument| argument.to_str().is_some_and(|text| escape::line(text) == text)) {
        _ = error.print();
    } else {
        print::stderr_lines(error.render().to_string().trim_end());
    }
    Status::Failed
}
