//! Plans a hook: decides whether bash must run.

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

/// The plan of a hook.
#[derive(Debug)]
pub enum Planned {
    /// Nothing is run: no layer runs commands, or defines the function.
    Nothing,
    /// bash runs this wrapper.
    Bash(Bash),
}

/// Plans a hook in the namespace of this process. If `ours` is known, a foreign namespace of the same name is not changed.
/// Errors: the wrong namespace, an unusable layer, or a layer that other users can write.
pub fn plan(paths: &Paths, hook: &Hook, caller: &Caller, ours: Option<&Identity>) -> Result<Planned> {
    // Before any file of the instance is run, also if these files have errors.
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
        // Resources on the host must be removed for any state of the namespace.
        (Side::Outside, Phase::Down) => {
            location::outside(ours.is_some_and(|ours| !ours.has_name(paths, name).unwrap_or(false)))
        }
    };
    let layers = Layers::of(paths, &hook.instance)?;
    // Also on `down`: a leftover is less dangerous than running an untrusted file as root.
    trust::require(&paths.root, layers.paths_to_check(paths))?;
    let does_nothing = layers.define(&hook.function()) == Defined::No;
    // Leftovers of an earlier instance are removed first.
    let left =
        (hook.phase, hook.side) == (Phase::Up, Side::Outside) && remembered::exists(paths, &hook.instance);
    // A trace must show how bash reads the files.
    if does_nothing && !left && !caller.trace {
        return Ok(Planned::Nothing);
    }
    let text = wrapper(paths, hook, &layers, &location, caller)?;
    Ok(Planned::Bash(Bash::of(hook, &text)?))
}

/// Does the remaining work of a hook without bash: outside hooks remove the remembered values.
/// Errors: the values cannot be removed.
pub fn skip(paths: &Paths, hook: &Hook) -> Result<()> {
    if hook.side == Side::Outside { remembered::forget(paths, &hook.instance) } else { Ok(()) }
}
