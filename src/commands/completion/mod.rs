//! `netnsctl completion`: prints the completion script for a shell. The script then queries netnsctl for candidates, and this
//! file also answers these queries.

use std::env;
use std::ffi::OsString;
use std::io::{Write, stdout};

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, Parser, ValueEnum};
use clap_complete::env::CompleteEnv;

use super::netnsctl::{self, Ctl, Verb};
use super::{NftSaveArgs, UpdateArgs};
use crate::argv::{applet, arguments};
use crate::exit::Status;
use crate::print::say;

/// The environment variable that is set if a completion script runs netnsctl for a query: to the name of the shell for the candidates
/// of the last word, or to [`COMMAND`].
const VARIABLE: &str = "NETNSCTL_COMPLETE";

/// The query for the number of words before COMMAND of `netnsctl run`, if the last word is in COMMAND.
const COMMAND: &str = "command";

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

#[allow(clippy::disallowed_methods)] // the text is ours
pub(super) fn run(options: &CompletionArgs) -> Result<Status> {
    // The scripts of clap_complete do not complete COMMAND of `run`, and bash splits arguments at `@`.
    let script = match options.shell {
        Shell::Bash => include_str!("netnsctl.bash"),
        Shell::Zsh => include_str!("_netnsctl"),
        Shell::Fish => include_str!("netnsctl.fish"),
    };
    stdout().write_all(script.as_bytes()).context("cannot print the completion")?;
    Ok(Status::Done)
}

/// Answers the query of a shell. Returns false if this process was not started for a query.
pub(super) fn answer() -> Result<bool> {
    if env::var_os(VARIABLE).is_some_and(|query| query == COMMAND) {
        // The query is `PROGRAM -- WORD...`.
        if let Some(before) = arguments().get(2..).and_then(before_command) {
            say(&before.to_string());
        }
        return Ok(true);
    }
    let here = env::current_dir().ok();
    let command = match applet().as_str() {
        "netns-update" => UpdateArgs::command,
        "netns-nft-save" => NftSaveArgs::command,
        _ => Ctl::command,
    };
    CompleteEnv::with_factory(command)
        .var(VARIABLE)
        .try_complete(arguments(), here.as_deref())
        .context("cannot write the completions for the shell")
}

/// The number of words before COMMAND of `netnsctl run`, if the last word is in COMMAND. It can be empty.
fn before_command(words: &[OsString]) -> Option<usize> {
    let (program, rest) = words.split_first()?;
    let line = [program.clone()].into_iter().chain(netnsctl::verb_first(rest.to_vec()));
    let Verb::Run(run) = Ctl::try_parse_from(line).ok()?.verb else { return None };
    let before = words.len() - run.command.len();
    // Such as an incomplete option of netnsctl, which clap takes for COMMAND.
    let is_option = run.command.len() == 1 && run.command[0].as_encoded_bytes().starts_with(b"-");
    (!is_option || words[before - 1] == "--").then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_before_command_are_counted_if_the_last_word_is_in_it() {
        let count = |line: &str| before_command(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for (line, before) in [
            ("netnsctl run shop ", Some(3)),
            ("netnsctl run shop pi", Some(3)),
            ("netnsctl run shop -- ", Some(4)),
            ("netnsctl run shop -- -", Some(4)),
            ("netnsctl run --user bob --up shop -- ping -", Some(7)),
            ("netnsctl --up run shop ping -c 1", Some(4)),
            ("netnsctl run", None),
            ("netnsctl run ", None),
            ("netnsctl run sh", None),
            ("netnsctl run --user ", None),
            ("netnsctl run shop --", None),
            ("netnsctl run shop --up", None),
            ("netnsctl run shop --us", None),
            ("netnsctl up run ping", None),
            ("netnsctl", None),
        ] {
            assert_eq!(count(line), before, "{line:?}");
        }
    }
}
