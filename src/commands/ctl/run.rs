//! `netnsctl run`: a command in a namespace, as `ip netns exec` does it.

use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::lifecycle;
use crate::cli::Run;
use crate::commands::Status;
use crate::mounts;
use crate::netns::{self, Named};
use crate::paths::Paths;
use crate::privilege::{self, Capability};
use crate::resolver::{self, Mutable};
use crate::warn;

pub(super) fn run(paths: &Paths, options: &Run) -> Result<Status> {
    let name = &options.name;
    privilege::need(Capability::SysAdmin, "to enter namespaces")?;
    if options.up {
        lifecycle::up_quietly(paths, name)?;
    }
    if !matches!(netns::look(paths, name)?, Named::Namespace(_)) {
        bail!(
            "there is no namespace `{name}`: bring it up by `netnsctl up {name}`, or let this do so by --up"
        );
    }
    if resolver::has_own(paths, name) {
        if let Some(line) = Mutable::of(paths).warning("the command") {
            warn(&line);
        }
    }
    // For good: this process becomes the command.
    std::mem::forget(netns::enter(paths, name)?);
    mounts::separate()?;
    mounts::show_own_interfaces();
    mounts::show_own_files(paths, name)?;
    execute(options)
}

fn execute(options: &Run) -> Result<Status> {
    // Users and their groups may come from anywhere (nsswitch.conf(5)): runuser asks the system, and starts no shell.
    let prefix: Vec<&str> = match &options.user {
        Some(user) => vec!["runuser", "-u", user, "--"],
        None => Vec::new(),
    };
    let mut words = prefix.into_iter().map(Into::into).chain(options.command.iter().cloned());
    let program = words.next().context("no command")?;
    let error = Command::new(&program).args(words).exec();
    let status = if error.kind() == ErrorKind::NotFound { Status::NotFound } else { Status::NotExecutable };
    eprintln!("{}: cannot run {}: {error}", crate::commands::applet(), program.to_string_lossy());
    Ok(status)
}
