//! `netnsctl run`: a command in a namespace, as `ip netns exec` does it.

use std::path::Path;

use anyhow::{Result, bail};

use super::lifecycle;
use crate::attach::bus;
use crate::cli::Run;
use crate::commands::{NotBegun, Status};
use crate::mounts;
use crate::netns::{self, Named};
use crate::paths::Paths;
use crate::privilege::{self, Capability};
use crate::resolver::{self, Mutable};
use crate::run_as::{self, Plan};
use crate::warn;

pub(super) fn run(paths: &Paths, options: &Run) -> Result<Status> {
    let name = &options.name;
    privilege::need(Capability::SysAdmin, "to enter namespaces")?;
    // The system may ask the network for users, and has to do so from the host.
    let plan = |user: &String| {
        Plan::new(user, &options.preserve_env, &options.command, &paths.login_defs).map_err(NotBegun::from)
    };
    let plan = options.user.as_ref().map(plan).transpose()?;
    if options.up {
        lifecycle::up_quietly(paths, name)?;
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
fn execute(options: &Run, plan: Option<Plan>) -> Result<Status> {
    match plan {
        Some(plan) => plan.run(),
        None => Ok(run_as::exec(&options.command, |command| command)),
    }
}
