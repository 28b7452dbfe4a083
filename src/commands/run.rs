//! `netnsctl run`: a command in a namespace, as `ip netns exec` does it.

use std::path::Path;

use anyhow::{Result, bail};

use super::candidates;
use crate::attach::bus;
use crate::exit::{NotBegun, Status};
use crate::lifecycle;
use crate::name::NsName;
use crate::netns::mounts;
use crate::netns::resolver::{self, Mutable};
use crate::netns::{self, Named};
use crate::paths::Paths;
use crate::print::warn;
use crate::run::{self, Login};
use crate::sys::capability::{self, Capability};
use clap::Args;
use clap_complete::ArgValueCandidates;
use std::ffi::OsString;

/// What `run` takes.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The namespace
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(candidates::names))]
    pub name: NsName,
    /// Run it as this user, with the environment of a login; by default as root
    #[arg(long)]
    pub user: Option<String>,
    /// With --user: keep these variables, separated by commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "user")]
    pub preserve_env: Vec<String>,
    /// Bring up what is configured for the namespace first
    #[arg(long)]
    pub up: bool,
    /// Hide the system bus of the host from the command
    #[arg(long)]
    pub hide_bus: bool,
    /// The command and its words
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

pub(super) fn run(paths: &Paths, options: &RunArgs) -> Result<Status> {
    let name = &options.name;
    capability::need(Capability::SysAdmin, "to enter namespaces")?;
    // The system may ask the network for users, and has to do so from the host.
    let plan = |user: &String| {
        Login::new(user, &options.preserve_env, &options.command, &paths.login_defs).map_err(NotBegun::from)
    };
    let plan = options.user.as_ref().map(plan).transpose()?;
    if options.up {
        lifecycle::up(paths, name)?;
    }
    if !matches!(netns::look(paths, name)?, Named::Namespace(_)) {
        bail!(
            "there is no namespace `{name}`: bring it up by `netnsctl up {name}`, or let this do so by --up"
        );
    }
    if resolver::has_own(paths, name)
        && let Some(line) = Mutable::of(paths).warning("the command")
    {
        warn(&line);
    }
    // For good: this process becomes the command.
    std::mem::forget(netns::enter(paths, name)?);
    mounts::separate()?;
    mounts::show_own_interfaces();
    mounts::show_own_files(paths, name)?.iter().for_each(|line| warn(line));
    if options.hide_bus {
        mounts::hide(Path::new(bus::DIRECTORY))?;
    }
    execute(options, plan)
}

/// Becomes the command, or runs it as another user and ends as it ends.
fn execute(options: &RunArgs, plan: Option<Login>) -> Result<Status> {
    match plan {
        Some(plan) => plan.run(),
        None => Ok(run::exec(&options.command, |command| command)),
    }
}
