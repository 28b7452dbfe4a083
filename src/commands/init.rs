//! `netnsinit`: one hook.

use std::env;
use std::ffi::OsString;
use std::io::Write;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::unistd::geteuid;

use super::Status;
use crate::cli::Init;
use crate::name::NsName;
use crate::paths::Paths;
use crate::{hook, netns};

pub(super) fn run(arguments: Vec<OsString>) -> Result<Status> {
    let options = match Init::read(arguments) {
        Ok(options) => options,
        Err(error) => return Ok(super::explain(&error)),
    };
    let paths = Paths::under(&options.root);
    if options.create || options.delete {
        return namespace(&paths, &options);
    }
    let trace = options.trace || env::var_os("NETNS_TRACE").is_some_and(|value| value == "1");
    let hook = hook::parse(&options.words).map_err(|error| match options.words.len() {
        ..4 => anyhow!("{error:#}\n{}", Init::usage()),
        _ => error,
    })?;
    if options.print_wrapper {
        let text = hook::print(&paths, &hook, trace)?;
        std::io::stdout().write_all(text.as_bytes()).context("cannot print the wrapper")?;
        return Ok(Status::Done);
    }
    hook::tie_to_parent()?;
    match hook::run(&paths, &hook, trace)? {}
}

/// `--create NAME` and `--delete NAME`: the two commands of netns_name@.service.
fn namespace(paths: &Paths, options: &Init) -> Result<Status> {
    let [name] = options.words.as_slice() else { bail!("one namespace name is needed\n{}", Init::usage()) };
    let name = NsName::new(name)?;
    ensure!(geteuid().is_root(), "only root may create and delete namespaces: run it by sudo");
    if options.create {
        netns::create(paths, &name, |_| Ok(()))?;
    } else if !netns::delete(paths, &name)? {
        crate::warn(&format!("namespace `{name}` was gone already"));
    }
    Ok(Status::Done)
}
