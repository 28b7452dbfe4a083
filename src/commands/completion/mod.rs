//! `netnsctl completion`: what the shell is told, and what it asks for then.

use std::env;
use std::io::{Write, stdout};

use anyhow::{Context, Result};
use clap::Args;
use clap::{CommandFactory, ValueEnum};
use clap_complete::env::{CompleteEnv, EnvCompleter, Fish, Zsh};

use super::netnsctl::Ctl;
use crate::argv::arguments;
use crate::exit::Status;

/// The variable by which the shell asks.
const VARIABLE: &str = "NETNSCTL_COMPLETE";

/// What `completion` takes.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// The shells that there is completion for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// bash is told by a text of ours, since it takes a word apart at `@`.
const BASH: &str = include_str!("netnsctl.bash");

#[allow(clippy::disallowed_methods)] // the text is ours
pub(super) fn run(options: &CompletionArgs) -> Result<Status> {
    let printed = match options.shell {
        Shell::Bash => stdout().write_all(BASH.as_bytes()),
        Shell::Zsh => Zsh.write_registration(VARIABLE, "netnsctl", "netnsctl", "netnsctl", &mut stdout()),
        Shell::Fish => Fish.write_registration(VARIABLE, "netnsctl", "netnsctl", "netnsctl", &mut stdout()),
    };
    printed.context("cannot print the completion")?;
    Ok(Status::Done)
}

/// Answers the shell, if this process was started by it to be asked; whether it was.
pub(super) fn answer() -> Result<bool> {
    let here = env::current_dir().ok();
    CompleteEnv::with_factory(Ctl::command)
        .var(VARIABLE)
        .try_complete(arguments(), here.as_deref())
        .context("cannot answer the shell")
}
