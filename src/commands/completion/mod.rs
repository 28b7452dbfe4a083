//! `netnsctl completion`: prints the completion script for a shell. The script then queries netnsctl for candidates, and this
//! file also answers these queries.

use std::env;
use std::io::{Write, stdout};

use anyhow::{Context, Result};
use clap::Args;
use clap::{CommandFactory, ValueEnum};
use clap_complete::env::{CompleteEnv, EnvCompleter, Fish, Zsh};

use super::netnsctl::Ctl;
use crate::argv::arguments;
use crate::exit::Status;

/// The environment variable that is set if a completion script runs netnsctl for a query.
const VARIABLE: &str = "NETNSCTL_COMPLETE";

/// The arguments of `completion`.
#[derive(Debug, Args)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// The supported shells.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// The completion script for bash. The script of clap_complete is not used, because bash splits arguments at `@`.
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

/// Answers the query of a shell. Returns false if this process was not started for a query.
pub(super) fn answer() -> Result<bool> {
    let here = env::current_dir().ok();
    CompleteEnv::with_factory(Ctl::command)
        .var(VARIABLE)
        .try_complete(arguments(), here.as_deref())
        .context("cannot write the completions for the shell")
}
