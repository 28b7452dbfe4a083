//! `netnsctl run`: runs a command in a namespace, as `ip netns exec` does.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;
use clap_complete::ArgValueCandidates;

use super::candidates;
use crate::exit::{NotStarted, Status};
use crate::lifecycle;
use crate::name::NsName;
use crate::paths::Paths;
use crate::run::{self, login::Login};
use crate::sys::capability::{self, Capability};

/// The arguments of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The namespace
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(candidates::names))]
    pub name: NsName,
    /// Run the command as this user, in a login environment; by default as root
    #[arg(long)]
    pub user: Option<String>,
    /// With --user: keep these variables (separated by commas)
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "user")]
    pub preserve_env: Vec<String>,
    /// Bring up the configured instances of the namespace first
    #[arg(long)]
    pub up: bool,
    /// Hide the system bus of the host from the command
    #[arg(long)]
    pub hide_bus: bool,
    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<OsString>,
}

pub(super) fn run(paths: &Paths, options: &RunArgs) -> Result<Status> {
    let RunArgs { name, user, preserve_env, up, hide_bus, command } = options;
    capability::require(Capability::SysAdmin, "to enter namespaces")?;
    // Looked up before entering the namespace: the lookup may need the network of the host.
    let login = user.as_ref().map(|user| Login::new(user, preserve_env, command, &paths.login_defs));
    let login = login.transpose().map_err(NotStarted::from)?;
    if *up {
        lifecycle::up(paths, name)?;
    }
    run::enter(paths, name, *hide_bus)?;
    match login {
        Some(login) => login.run(),
        None => Ok(run::exec(command, |command| command)),
    }
}
