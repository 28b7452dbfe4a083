//! The verbs of netnsctl, and the file of each.

use std::ffi::OsString;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use super::{
    attach, cat, check, completion, gc, graph, leaktest, lifecycle, list, new, nft_save, run, show, status,
    types, update,
};
use crate::exit::Status;
use crate::paths::Paths;

/// Manage network namespaces for services.
///
/// An instance, TYPE@NAME, is a namespace type on a namespace. If systemd is PID 1, netnsctl starts and stops its units.
/// Otherwise netnsctl runs the hooks itself.
#[derive(Debug, Parser)]
#[command(
    name = "netnsctl",
    version,
    arg_required_else_help = true,
    after_help = "Exit status:\n  0  success\n  1  an instance failed, or there are findings\n  2  usage error, or the check could not run; nothing was changed"
)]
pub struct Ctl {
    /// The verb
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs of netnsctl.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Bring instances up
    Up(lifecycle::LifecycleArgs),
    /// Take instances down; delete a namespace after its last instance
    Down(lifecycle::DownArgs),
    /// Run the inside hooks of instances again
    Restart(lifecycle::LifecycleArgs),
    /// List the instances that are configured or up
    List(list::ListArgs),
    /// Show interfaces, routes, rules and processes
    Status(status::StatusArgs),
    /// Draw namespaces, their links and requirements
    Graph(graph::GraphArgs),
    /// Find mistakes and drift; change nothing
    Check(check::CheckArgs),
    /// Remove leftovers of crashes and manual deletions
    Gc(gc::GcArgs),
    /// Show the files and settings of an instance
    Show(show::ShowArgs),
    /// Run a command in a namespace
    Run(run::RunArgs),
    /// Test which traffic leaves a namespace
    Leaktest(leaktest::LeaktestArgs),
    /// Put a service or socket into a namespace
    Attach(attach::AttachArgs),
    /// Take a service or socket out of its namespace
    Detach(attach::DetachArgs),
    /// Create a plugin from a template
    New(new::NewArgs),
    /// Print the wrapper of a hook
    Cat(cat::CatArgs),
    /// List the namespace types
    Types(types::TypesArgs),
    /// Print a completion script for a shell
    Completion(completion::CompletionArgs),
    /// Update the systemd units of all types
    Update(update::UpdateArgs),
    /// Save the nftables rules of a namespace
    Save(nft_save::NftSaveArgs),
}

/// Moves the options before the verb behind it, because they are options of the verb: `netnsctl --engine direct up x`.
#[must_use]
pub(super) fn verb_first(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if !arguments.first().is_some_and(|first| first.as_encoded_bytes().starts_with(b"-")) {
        return arguments; // without the cost of the command below
    }
    let command = Ctl::command();
    let takes_value = |text: &str| {
        let mut options = command.get_subcommands().flat_map(clap::Command::get_arguments);
        options.any(|option| {
            let name = option.get_long().map(|long| format!("--{long}"));
            option.get_action().takes_values() && name.as_deref() == Some(text)
        })
    };
    let mut verb = 0;
    while let Some(text) =
        arguments.get(verb).and_then(|text| text.to_str()).filter(|text| text.starts_with('-'))
    {
        if ["-h", "--help", "-V", "--version"].contains(&text) {
            return arguments;
        }
        verb += if takes_value(text) { 2 } else { 1 };
    }
    if let Some(behind) = arguments.get_mut(..=verb) {
        behind.rotate_right(1);
    }
    arguments
}

/// Runs a verb.
pub(super) fn dispatch(options: &Ctl) -> Result<Status> {
    let live = Paths::under("/".as_ref());
    match &options.verb {
        Verb::Up(options) => lifecycle::up(&live, options),
        Verb::Down(options) => lifecycle::down(&live, options),
        Verb::Restart(options) => lifecycle::restart(&live, options),
        Verb::List(options) => list::run(&live, options),
        Verb::Status(options) => status::run(&live, options),
        Verb::Graph(options) => graph::run(&live, options),
        Verb::Show(options) => show::run(options),
        Verb::Run(options) => run::run(&live, options),
        Verb::Leaktest(options) => leaktest::run(&live, options),
        Verb::Attach(options) => attach::attach(&live, options),
        Verb::Detach(options) => attach::detach(&live, options),
        Verb::New(options) => new::run(options),
        Verb::Check(options) => check::run(options),
        Verb::Gc(options) => gc::run(&live, options),
        Verb::Cat(options) => cat::run(&live, options),
        Verb::Types(options) => types::run(options),
        Verb::Completion(options) => completion::run(options),
        Verb::Update(options) => update::run(options),
        Verb::Save(options) => nft_save::run(options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_can_precede_the_verb() {
        for (given, expected) in [
            ("up x", "up x"),
            ("--engine direct up x", "up --engine direct x"),
            ("--engine=direct --json down --recursive x", "down --engine=direct --json --recursive x"),
            ("--json list", "list --json"),
            ("-n gc", "gc -n"),
            ("run --up x -- ls -l", "run --up x -- ls -l"),
            ("--help up", "--help up"),
            ("--engine", "--engine"),
            ("--json", "--json"),
            ("", ""),
        ] {
            let arguments = given.split_whitespace().map(OsString::from).collect();
            let found: Vec<String> =
                verb_first(arguments).into_iter().map(|text| text.into_string().unwrap()).collect();
            assert_eq!(found.join(" "), expected);
        }
    }
}
