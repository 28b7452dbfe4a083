//! Runs a command in a namespace: [`enter`] gives this process the namespace and its files, [`login`] makes another user of it.

mod environment;
pub mod login;
mod message;
mod monitor;
mod relay;
mod signals;
mod terminal;
mod user;

use std::ffi::OsString;
use std::io::ErrorKind;
use std::mem;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::attach::bus;
use crate::exit::Status;
use crate::name::NsName;
use crate::netns::resolver::{self, Mutable};
use crate::netns::{self, Named, mounts};
use crate::paths::Paths;
use crate::print;

/// Moves this process into a namespace, for good, with its `/sys` and its files of `/etc`. `hide_bus`: without the system bus of the
/// host.
/// Errors: there is no such namespace, or the kernel refuses.
pub fn enter(paths: &Paths, name: &NsName, hide_bus: bool) -> Result<()> {
    if !matches!(netns::look(paths, name)?, Named::Namespace(_)) {
        bail!(
            "there is no namespace `{name}`: bring it up by `netnsctl up {name}`, or let this do so by --up"
        );
    }
    if resolver::has_own(paths, name)
        && let Some(line) = Mutable::of(paths).warning("the command")
    {
        print::warn(&line);
    }
    mem::forget(netns::enter(paths, name)?);
    mounts::separate()?;
    mounts::show_own_interfaces();
    for line in mounts::show_own_files(paths, name)? {
        print::warn(&line);
    }
    if hide_bus { mounts::hide(Path::new(bus::DIRECTORY)) } else { Ok(()) }
}

/// Becomes a command. If it returns, that has failed, and the reason was printed.
pub fn exec(words: &[OsString], set_up: impl FnOnce(&mut Command) -> &mut Command) -> Status {
    let Some((program, words)) = words.split_first() else { return Status::NotStarted };
    let error = set_up(Command::new(program).args(words)).exec();
    print::error(&format!("cannot run {}: {error}", program.to_string_lossy()));
    if error.kind() == ErrorKind::NotFound { Status::NotFound } else { Status::NotExecutable }
}
