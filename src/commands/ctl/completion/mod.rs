//! `netnsctl completion`: what the shell is told, and what it asks for then.

use std::env;
use std::io::{Write, stdout};

use anyhow::{Context, Result};
use clap::{CommandFactory, ValueEnum};
use clap_complete::CompletionCandidate;
use clap_complete::env::{CompleteEnv, EnvCompleter, Fish, Zsh};

use crate::cli::{Completion, Ctl};
use crate::commands::Status;
use crate::paths::Paths;
use crate::words::words;
use crate::{attach, engine, netns, plugin};

/// The variable by which the shell asks.
const VARIABLE: &str = "NETNSCTL_COMPLETE";

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
pub(super) fn run(options: &Completion) -> Result<Status> {
    let printed = match options.shell {
        Shell::Bash => stdout().write_all(BASH.as_bytes()),
        Shell::Zsh => Zsh.write_registration(VARIABLE, "netnsctl", "netnsctl", "netnsctl", &mut stdout()),
        Shell::Fish => Fish.write_registration(VARIABLE, "netnsctl", "netnsctl", "netnsctl", &mut stdout()),
    };
    printed.context("cannot print the completion")?;
    Ok(Status::Done)
}

/// Answers the shell, if this process was started by it to be asked; whether it was.
pub(crate) fn answer() -> Result<bool> {
    let here = env::current_dir().ok();
    CompleteEnv::with_factory(Ctl::command)
        .var(VARIABLE)
        .try_complete(words(), here.as_deref())
        .context("cannot answer the shell")
}

/// Every instance that is configured or up, and every name; what cannot be looked at is not offered.
pub(crate) fn targets() -> Vec<CompletionCandidate> {
    let mut words: Vec<String> = instances_of(&live()).collect();
    words.extend(names_of(&live()));
    candidates(words)
}

/// Every instance that is configured or up.
pub(crate) fn instances() -> Vec<CompletionCandidate> {
    candidates(instances_of(&live()).collect())
}

/// Every namespace that is there or configured.
pub(crate) fn names() -> Vec<CompletionCandidate> {
    candidates(names_of(&live()))
}

/// Every type.
pub(crate) fn types() -> Vec<CompletionCandidate> {
    candidates(types_of(&live()))
}

/// Every type and every instance.
pub(crate) fn subjects() -> Vec<CompletionCandidate> {
    let mut words = types_of(&live());
    words.extend(instances_of(&live()));
    candidates(words)
}

/// Every service and socket that systemd has loaded.
pub(crate) fn units() -> Vec<CompletionCandidate> {
    let listing = duct::cmd!(
        "systemctl",
        "list-units",
        "--all",
        "--plain",
        "--no-legend",
        "--no-pager",
        "--type=service,socket"
    );
    let text = listing.stdin_null().stderr_null().unchecked().read().unwrap_or_default();
    let units = text.lines().filter_map(|line| line.split_whitespace().next());
    candidates(units.filter(|unit| unit.parse::<attach::Unit>().is_ok()).map(str::to_owned).collect())
}

/// Every unit that is attached.
pub(crate) fn attached() -> Vec<CompletionCandidate> {
    candidates(attach::attached(&live()).unwrap_or_default().into_iter().map(|one| one.unit).collect())
}

fn live() -> Paths {
    Paths::under("/".as_ref())
}

fn instances_of(paths: &Paths) -> impl Iterator<Item = String> {
    let configured = plugin::configured(paths).unwrap_or_default();
    let active = engine::active(paths).unwrap_or_default().into_iter().map(|active| active.instance);
    configured.into_iter().chain(active).map(|instance| instance.to_string())
}

fn names_of(paths: &Paths) -> Vec<String> {
    let mut names: Vec<String> =
        netns::names(paths).unwrap_or_default().iter().map(ToString::to_string).collect();
    names.extend(
        plugin::configured(paths).unwrap_or_default().iter().map(|instance| instance.name.to_string()),
    );
    names
}

fn types_of(paths: &Paths) -> Vec<String> {
    plugin::list(paths).unwrap_or_default().types.iter().map(ToString::to_string).collect()
}

fn candidates(mut words: Vec<String>) -> Vec<CompletionCandidate> {
    words.sort();
    words.dedup();
    words.into_iter().map(CompletionCandidate::new).collect()
}
