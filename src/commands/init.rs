//! `netnsinit`: one hook.

use std::env;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::unistd::geteuid;

use super::Status;
use crate::cli::Init;
use crate::name::NsName;
use crate::netns::{Deleted, etc};
use crate::paths::Paths;
use crate::{firewall, foreground, hook, made, memory, trust};

pub(super) fn run(arguments: Vec<OsString>) -> Result<Status> {
    let options = match Init::read(arguments) {
        Ok(options) => options,
        Err(error) => return Ok(super::explain(&error)),
    };
    let paths = Paths::under(&options.root);
    if options.create || options.delete || options.verify || options.close || options.open {
        return namespace(&paths, &options);
    }
    if options.judge {
        trust::require(&paths.root, &options.words)?;
        return Ok(Status::Done);
    }
    if let Some(milliseconds) = options.end_command {
        let mut jobs = Vec::new();
        std::io::stdin().read_to_end(&mut jobs).context("cannot read the list of jobs")?;
        let patience = Duration::from_millis(milliseconds.into());
        foreground::end(&String::from_utf8_lossy(&jobs), patience);
        return Ok(Status::Done);
    }
    if options.with_files {
        let (name, command) = options.words.split_first().context("no NAME")?;
        return etc::run(&paths, &NsName::new(name)?, command).map(|never| match never {});
    }
    let trace = options.trace || env::var_os("NETNS_TRACE").is_some_and(|value| value == "1");
    let hook = hook::parse(&options.words).map_err(|error| match options.words.len() {
        ..4 => anyhow!("{error:#}\n{}", Init::usage()),
        _ => error,
    })?;
    if options.print_wrapper {
        let text = hook::print(&paths, &hook, trace)?;
        #[allow(clippy::disallowed_methods)] // all words in it are quoted
        let mut stdout = std::io::stdout();
        stdout.write_all(text.as_bytes()).context("cannot print the wrapper")?;
        return Ok(Status::Done);
    }
    hook::run(&paths, &hook, trace)?;
    Ok(Status::Done)
}

/// `--create NAME` and `--delete NAME`, the two commands of netns_name@.service, `--verify NAME`, that of netns_made@.service, and
/// `--close NAME`, that of netns_closed@.service; `--open NAME` is called by hooks.
fn namespace(paths: &Paths, options: &Init) -> Result<Status> {
    let [name] = options.words.as_slice() else { bail!("one namespace name is needed\n{}", Init::usage()) };
    let name = NsName::new(name)?;
    if options.verify {
        made::verify(paths, &name)?;
        return Ok(Status::Done);
    }
    ensure!(geteuid().is_root(), "only root may configure namespaces: run this with sudo");
    if options.close {
        made::noted(paths, &name)?.map_or(Ok(()), |ours| made::require(paths, &name, &ours))?;
        firewall::close(paths, &name)?;
        return Ok(Status::Done);
    }
    if options.open {
        firewall::open(paths, &name, options.unsure)?;
        return Ok(Status::Done);
    }
    if options.create {
        made::create(paths, &name)?;
        return Ok(Status::Done);
    }
    match made::delete(paths, &name)? {
        Deleted::Now => {}
        Deleted::Before => crate::warn(&format!("namespace `{name}` was gone already")),
        Deleted::NotOurs => {
            crate::warn(&format!(
                "namespace `{name}` was made by somebody else meanwhile, and is left alone"
            ));
        }
    }
    // Their `down outside` has not come to its end, or has not run at all.
    for instance in memory::on(paths, &name)? {
        if let Err(error) = memory::mark(paths, &instance) {
            crate::warn(&format!("{error:#}"));
        }
    }
    Ok(Status::Done)
}
