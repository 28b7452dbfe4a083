//! `netnsctl cat`: the wrapper of a hook.

use std::ffi::OsString;

use anyhow::Result;

use crate::cli::Cat;
use crate::commands::Status;
use crate::hook;
use crate::paths::Paths;

pub(super) fn run(paths: &Paths, options: &Cat) -> Result<Status> {
    let Cat { instance, hook } = options;
    let hook: Vec<&str> =
        if hook.is_empty() { vec!["up", "inside"] } else { hook.iter().map(String::as_str).collect() };
    let words = [
        vec![instance.nstype.to_string(), instance.name.to_string()],
        hook.iter().map(ToString::to_string).collect(),
    ]
    .concat();
    let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    let text = hook::print(paths, &hook::parse(&words)?, false)?;
    crate::commands::say(text.trim_end());
    Ok(Status::Done)
}
