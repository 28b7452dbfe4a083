//! What netnsctl accepts, and which file has which verb.

use anyhow::Result;
use clap::{Parser, Subcommand};

use super::{
    attach, cat, check, completion, gc, graph, leaktest, lifecycle, list, new, nft_save, run, show, status,
    types, update,
};
use crate::exit::Status;
use crate::paths::Paths;

/// Network namespaces for services: see them, bring them up, find out what is wrong.
///
/// An instance is a namespace type on a namespace, TYPE@NAME. Where systemd is PID 1, its units do the work; elsewhere
/// netnsctl does it itself.
#[derive(Debug, Parser)]
#[command(
    name = "netnsctl",
    version,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 1 something failed or was found, 2 not begun: a word is wrong, or it could not be checked."
)]
pub struct Ctl {
    /// What to do
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs of netnsctl.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Bring instances up
    Up(lifecycle::LifecycleArgs),
    /// Take instances down, and their namespaces with the last one
    Down(lifecycle::DownArgs),
    /// Run the inside hooks of instances again; what is not up is brought up
    Restart(lifecycle::LifecycleArgs),
    /// List what is configured or up
    List(list::ListArgs),
    /// Show a namespace with all that is in it
    Status(status::StatusArgs),
    /// Draw namespaces, what is in them, what joins them and what needs what
    Graph(graph::GraphArgs),
    /// Find out what is wrong, without changing anything
    Check(check::CheckArgs),
    /// Remove what is left of kills, crashes and deletions by hand
    Gc(gc::GcArgs),
    /// Show the files of an instance, what they set, and where
    Show(show::ShowArgs),
    /// Run a command in a namespace, with its files of /etc
    Run(run::RunArgs),
    /// Measure what gets out of a namespace
    Leaktest(leaktest::LeaktestArgs),
    /// Put a service or socket into a namespace, by a drop-in of its unit
    Attach(attach::AttachArgs),
    /// Take it out again
    Detach(attach::DetachArgs),
    /// Write a plugin to begin with
    New(new::NewArgs),
    /// Print the wrapper of a hook, the bash text that would be run
    Cat(cat::CatArgs),
    /// List the namespace types
    Types(types::TypesArgs),
    /// Print what gives a shell the completion of netnsctl
    Completion(completion::CompletionArgs),
    /// Keep one pair of systemd units for each namespace type (netns-update)
    Update(update::UpdateArgs),
    /// Save the nftables rules of a namespace (netns-nft-save)
    Save(nft_save::NftSaveArgs),
}

/// Does what a verb says.
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
