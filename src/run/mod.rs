//! Runs a command in a namespace: [`enter`] moves this process into the namespace, [`login`] runs the command as another user.

mod environment;
pub mod login;
mod message;
mod monitor;
mod relay;
mod signals;
mod terminal;

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
use crate::netns::resolver::{self, ResolvConf};
use crate::netns::{self, NameState, mounts};
use crate::paths::Paths;
use crate::print;

/// Moves this process permanently into a namespace, with its `/sys` and its `/etc` files. `hide_bus` hides the host's system bus.
/// Errors: the namespace is missing or cannot be entered, or a mount fails.
pub fn enter(paths: &Paths, name: &NsName, hide_bus: bool) -> Result<()> {
    if !matches!(netns::inspect(paths, name)?, NameState::Namespace(_)) {
        bail!("{}, and so does `netnsctl run --up`", netns::not_found(name));
    }
    if resolver::has_own(paths, name)
        && let Some(line) = ResolvConf::of(paths).warning("the command")
    {
        print::warn(&line);
    }
    mem::forget(netns::enter(paths, name)?);
    mounts::separate()?;
    mounts::mount_sys();
    for line in mounts::mount_files(paths, name)? {
        print::warn(&line);
    }
    if hide_bus { mounts::hide(Path::new(bus::DIRECTORY)) } else { Ok(()) }
}

/// Replaces this process with a command. Returns only on failure, after the reason was printed.
pub fn exec(command: &[OsString], set_up: impl FnOnce(&mut Command) -> &mut Command) -> Status {
    let Some((program, arguments)) = command.split_first() else { return Status::NotStarted };
    let error = set_up(Command::new(program).args(arguments)).exec();
    print::error(&format!("cannot run {}: {error}", program.to_string_lossy()));
    if error.kind() == ErrorKind::NotFound { Status::NotFound } else { Status::NotExecutable }
}
