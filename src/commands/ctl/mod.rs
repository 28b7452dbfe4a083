//! `netnsctl`: one file for each verb.

mod attach;
mod cat;
mod check;
pub mod completion;
mod gc;
mod graph;
mod leaktest;
mod lifecycle;
mod list;
mod new;
mod output;
mod run;
mod show;
mod status;
mod types;

use anyhow::Result;

use super::Status;
use crate::cli::{Ctl, Verb};
use crate::paths::Paths;

pub(super) fn run(options: &Ctl) -> Result<Status> {
    let live = Paths::under("/".as_ref());
    match &options.verb {
        Verb::Up(options) => lifecycle::run(&live, options, &lifecycle::UP, false),
        Verb::Down(options) => lifecycle::run(&live, &options.lifecycle, &lifecycle::DOWN, options.recursive),
        Verb::Restart(options) => lifecycle::run(&live, options, &lifecycle::RESTART, false),
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
        Verb::Update(options) => super::update::run(options),
        Verb::Save(options) => super::nft_save::run(options),
    }
}
