//! `netnsctl cat`: prints the wrapper of a hook.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use clap_complete::ArgValueCandidates;

use super::candidates;
use crate::exit::Status;
use crate::hook;
use crate::name::Instance;
use crate::paths::Paths;
use crate::print;

/// The arguments of `cat`.
#[derive(Debug, Args)]
pub struct CatArgs {
    /// The instance
    #[arg(value_parser = Instance::from_argument, value_name = "TYPE@NAME", add = ArgValueCandidates::new(candidates::instances))]
    pub instance: Instance,
    /// The hook: `up` or `down`, `outside` or `inside`; by default `up inside`
    #[arg(value_names = ["up|down", "outside|inside"], num_args = 2)]
    pub hook: Vec<String>,
}

pub(super) fn run(paths: &Paths, options: &CatArgs) -> Result<Status> {
    let CatArgs { instance, hook } = options;
    let hook: Vec<&str> =
        if hook.is_empty() { vec!["up", "inside"] } else { hook.iter().map(String::as_str).collect() };
    let words = [
        vec![instance.nstype.to_string(), instance.name.to_string()],
        hook.iter().map(ToString::to_string).collect(),
    ]
    .concat();
    let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    let text = hook::print(paths, &hook::parse(&words)?, false)?;
    print::say(text.trim_end());
    Ok(Status::Done)
}
