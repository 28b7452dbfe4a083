//! What a hook comes to, once all is known that can be known in advance.

use anyhow::Result;

use super::location;
use super::wrapper::wrapper;
use super::{Bash, Caller, Hook};
use crate::config::layers::{Defined, Layers};
use crate::config::remembered;
use crate::firewall;
use crate::name::{Phase, Side};
use crate::netns::Identity;
use crate::netns::ownership;
use crate::paths::Paths;
use crate::trust;

/// What a hook comes to, once all is known that can be known in advance.
#[derive(Debug)]
pub enum Planned {
    /// No layer does anything, or defines the function.
    Nothing,
    /// This is for bash to run.
    Bash(Bash),
}

/// Looks what a hook comes to, in the namespace that it is to run in. Where it is known which one is `ours`, nothing is done to
/// another one that somebody has made in its place.
/// Errors: the wrong namespace, an unusable layer, or one that others can write.
pub fn plan(paths: &Paths, hook: &Hook, caller: &Caller, ours: Option<&Identity>) -> Result<Planned> {
    // Before any file of the instance is run, and whatever is wrong with these files.
    firewall::before_hook(paths, &hook.instance, (hook.phase, hook.side), ours)?;
    let name = &hook.instance.name;
    let location = match (hook.side, hook.phase) {
        (Side::Inside, phase) => match location::check_inside(paths, name, phase, ours)? {
            Some(location) => location.assignments(),
            None => return Ok(Planned::Nothing),
        },
        (Side::Outside, Phase::Up) => {
            ours.map_or(Ok(()), |ours| ownership::require(paths, name, ours))?;
            location::outside(false)
        }
        // What is on the host has to go, wherever the namespace is.
        (Side::Outside, Phase::Down) => {
            location::outside(ours.is_some_and(|ours| !ours.has_name(paths, name).unwrap_or(false)))
        }
    };
    let layers = Layers::of(paths, &hook.instance)?;
    // On `down`, too: what stays then is less than what a stranger's file could do as root.
    trust::require(&paths.root, layers.paths_to_check(paths))?;
    let does_nothing = layers.define(&hook.function()) == Defined::No;
    // What an earlier instance has left goes first.
    let left =
        (hook.phase, hook.side) == (Phase::Up, Side::Outside) && remembered::exists(paths, &hook.instance);
    // Who traces wants to see bash read the files.
    if does_nothing && !left && !caller.trace {
        return Ok(Planned::Nothing);
    }
    let text = wrapper(paths, hook, &layers, &location, caller)?;
    Ok(Planned::Bash(Bash::of(hook, &text)?))
}

/// Does what is left of a hook that is not for bash to run: the outside ones begin and end what an instance remembers.
/// Errors: that cannot be removed.
pub fn skip(paths: &Paths, hook: &Hook) -> Result<()> {
    if hook.side == Side::Outside { remembered::forget(paths, &hook.instance) } else { Ok(()) }
}
