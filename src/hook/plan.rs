//! Plans a hook: decides whether bash must run.

use anyhow::Result;

use super::location;
use super::wrapper::wrapper;
use super::{Bash, Caller, Hook};
use crate::config::layers::{Defined, Layers};
use crate::config::remembered;
use crate::firewall;
use crate::library;
use crate::name::{Phase, Side};
use crate::netns::Identity;
use crate::netns::ownership;
use crate::paths::Paths;
use crate::trust;

/// The plan of a hook.
#[derive(Debug)]
pub enum Planned {
    /// Nothing is run. Either the layers contain only definitions, but do not define the hook function, or the namespace is
    /// foreign.
    Nothing,
    /// bash runs this wrapper.
    Bash(Bash),
}

/// Plans a hook in the namespace of this process. `ours` is the recorded namespace, if a record exists.
/// Before `down outside`, removes the objects that the plugin library has made.
/// Errors: the namespace is wrong or foreign, the namespace cannot be closed for its firewall, an object cannot be removed, or a layer
/// is unusable or untrusted.
pub fn plan(paths: &Paths, hook: &Hook, caller: &Caller, ours: Option<&Identity>) -> Result<Planned> {
    // This comes before any file of the instance is read: errors in these files must not open the namespace.
    firewall::before_hook(paths, &hook.instance, (hook.phase, hook.side), ours)?;
    let name = &hook.instance.name;
    let location = match (hook.side, hook.phase) {
        (Side::Inside, phase) => match location::check_inside(paths, name, phase, ours)? {
            Some(location) => {
                if !location.has_name(name) {
                    // `down outside` cannot find this namespace.
                    library::remove_here(paths, &hook.instance)?;
                }
                location.assignments()
            }
            None => return Ok(Planned::Nothing),
        },
        (Side::Outside, Phase::Up) => {
            ours.map_or(Ok(()), |ours| ownership::require(paths, name, ours))?;
            location::outside(false)
        }
        // Resources on the host must be removed, whatever has happened to the namespace.
        (Side::Outside, Phase::Down) => {
            let lost = ours.is_some_and(|ours| !ours.has_name(paths, name).unwrap_or(false));
            // Before any file of the instance is read: they may have changed, or be missing.
            library::remove(paths, &hook.instance, lost)?;
            location::outside(lost)
        }
    };
    let layers = Layers::of(paths, &hook.instance)?;
    // Also on `down`: leftovers are less dangerous than running an untrusted file as root.
    trust::require(&paths.root, layers.paths_to_check(paths))?;
    let validates = hook.validation().is_some_and(|function| layers.mention(&function));
    let does_nothing = layers.define(&hook.function()) == Defined::No && !validates;
    // If an earlier instance has left remembered values, the wrapper cleans up first.
    let has_leftovers =
        (hook.phase, hook.side) == (Phase::Up, Side::Outside) && remembered::exists(paths, &hook.instance);
    let must_finish =
        (hook.phase, hook.side) == (Phase::Up, Side::Inside) && library::must_finish(paths, &hook.instance);
    // A trace shows how bash reads the files.
    if does_nothing && !has_leftovers && !must_finish && !caller.trace {
        return Ok(Planned::Nothing);
    }
    let text = wrapper(paths, hook, &layers, &location, caller, must_finish)?;
    Ok(Planned::Bash(Bash::of(hook, &text)?))
}

/// Completes a hook that runs nothing: an outside hook removes the remembered values.
/// Errors: the values cannot be removed.
pub fn skip(paths: &Paths, hook: &Hook) -> Result<()> {
    if hook.side == Side::Outside { remembered::forget(paths, &hook.instance) } else { Ok(()) }
}
