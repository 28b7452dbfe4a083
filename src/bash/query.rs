//! Queries about an instance that bash answers. Bash reads the layers as it does for a hook, but calls no hook function.

use std::collections::BTreeMap;
use std::env;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::run::run;
use super::runtime::RUNTIME;
use super::{CHECK, PARSER, REQUIRES, SHOW, SYNTAX, quote};
use crate::config::layers::Layers;
use crate::name::{Instance, Side};
use crate::paths::Paths;
use crate::sys::program::Output;
use crate::trust;

/// The timeout for reading the files of an instance.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout for an instance that is only compared with others. A file that hangs must not delay the result for the others.
pub const TIMEOUT_OF_OTHERS: Duration = Duration::from_secs(2);

/// The instances whose files have timed out in this process, with the timeouts. A command can have several queries about an instance, but waits once.
static TIMED_OUT: Mutex<BTreeMap<Instance, Duration>> = Mutex::new(BTreeMap::new());

/// What a plugin validates (`configure_TYPE_validate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validation {
    /// Nothing.
    None,
    /// The settings, also against the sockets of the host. The network of the instance is going to change.
    Settings,
    /// The settings, also against the network of an instance that is up.
    Network,
}

/// A query about an instance.
#[derive(Clone, Copy, Debug)]
pub enum Query<'a> {
    /// The variables and functions that the layers set, with their places (`show.sh`).
    Values(Validation),
    /// The requirements of the instance (`requires.sh`), including the values of these settings.
    Requirements(&'a [String]),
    /// The drift on one side: differences from the state after `up` (`check.sh`).
    Check(Side),
}

impl Query<'_> {
    /// The part of the bash text that depends on the query.
    fn text(self, instance: &Instance) -> String {
        match self {
            Self::Values(validation) => {
                let word = match validation {
                    Validation::None => "",
                    Validation::Settings => "settings",
                    Validation::Network => "network",
                };
                format!("__netns_validates={word}\n{SHOW}")
            }
            Self::Requirements(settings) => format!("__netns_settings=({})\n{REQUIRES}", settings.join(" ")),
            Self::Check(side) => {
                format!("__netns_function={}\n{CHECK}", check_function(instance, side))
            }
        }
    }
}

/// The name of the check function of a plugin, which finds drift on one side.
#[must_use]
pub fn check_function(instance: &Instance, side: Side) -> String {
    format!("configure_{}_check_{side}", instance.nstype)
}

/// Checks that a hook would read the layers.
/// Errors: other users can write a file ([`trust::Refused`]), or a file cannot be read.
pub fn require_readable(paths: &Paths, layers: &Layers) -> Result<()> {
    trust::require(&paths.root, layers.paths_to_check(paths))?;
    layers.present().try_for_each(|layer| layer.is_usable().map(drop))
}

/// Lets bash read the layers and answer a query, in the network namespace of this thread. All commands in the layers are
/// executed.
/// Errors: other users can write a file ([`trust::Refused`]); or a file cannot be read; or bash cannot be run, or times out, or has
/// already timed out for this instance.
pub fn query(
    paths: &Paths,
    instance: &Instance,
    layers: &Layers,
    query: Query,
    timeout: Duration,
) -> Result<Output> {
    require_readable(paths, layers)?;
    let Instance { nstype, name } = instance;
    let files: Vec<String> = layers.present().map(|layer| quote(layer.path.as_os_str())).collect();
    // The functions of the runtime call netnsinit by `$0`, as in a hook.
    let program = env::current_exe().context("cannot find the path of this program")?;
    let text = format!(
        "BASH_ARGV0={}\nNSTYPE={nstype} NSNAME={name} UPDOWN=up INOUT=outside\n\
         __netns_root={} __netns_dir={} __netns_state={} __netns_layers=({})\n{RUNTIME}\n{PARSER}{SYNTAX}\
         remember() {{ :; }} # the values of the active instance do not change\n{}",
        quote(program.with_file_name("netnsinit").as_os_str()),
        quote(paths.root.as_os_str()),
        quote(paths.netns.as_os_str()),
        quote(paths.remembered(instance).as_os_str()),
        files.join(" "),
        query.text(instance),
    );
    let timed_out = || TIMED_OUT.lock().unwrap_or_else(PoisonError::into_inner);
    let earlier = timed_out().get(instance).copied();
    if earlier.is_none() {
        if let Some(output) = run(&text, &[nstype.as_ref(), name.as_ref(), "up", "outside"], timeout)? {
            return Ok(output);
        }
        timed_out().insert(instance.clone(), timeout);
    }
    bail!("timed out after {} seconds", earlier.unwrap_or(timeout).as_secs())
}
