//! The map as plain text, for terminals.

use std::fmt::{self, Write as _};

use super::{End, Map, Place};
use crate::engine::Condition;

/// The map as text; `paint` has the styles of the terminal.
pub(crate) fn text(map: &Map, paint: impl Fn(&str, Condition) -> String) -> String {
    let mut text = String::new();
    write(map, &paint, &mut text).expect("a String takes all");
    text
}

fn write(map: &Map, paint: &dyn Fn(&str, Condition) -> String, out: &mut String) -> fmt::Result {
    let shown = |place: &&Place| place.namespace.is_some() || !place.interfaces.is_empty();
    for place in map.places.iter().filter(shown) {
        let gone = if place.exists { "" } else { " (not there)" };
        writeln!(out, "{}{gone}", place.title())?;
        for placed in &place.instances {
            let state = paint(&placed.state.to_string(), placed.state);
            writeln!(out, "  {} {} {state}", sign(placed.state), placed.nstype)?;
        }
        for interface in &place.interfaces {
            let state = paint(&interface.state().to_string(), interface.state());
            let addresses: String =
                interface.addresses.iter().flat_map(|address| [" ", address.as_str()]).collect();
            writeln!(out, "  = {} {state}{addresses}", interface.name)?;
        }
        let here = map.attached.iter().filter(|service| Some(&service.namespace) == place.namespace.as_ref());
        for service in here {
            let state = service.state.map(|state| format!(" {}", paint(&state.to_string(), state)));
            let sign = service.state.map_or('>', sign);
            writeln!(out, "  {sign} {}{}", service.unit, state.unwrap_or_default())?;
        }
    }
    heading(out, "links", map.links.is_empty())?;
    for joint in &map.links {
        writeln!(out, "  {} --{}-- {}", at(&joint.from), joint.kind, at(&joint.to))?;
    }
    heading(out, "requires", map.requires.is_empty())?;
    for dependency in &map.requires {
        writeln!(out, "  {} -> {}", dependency.instance, dependency.needs)?;
    }
    heading(out, "attached", map.attached.is_empty())?;
    for service in &map.attached {
        let instances: Vec<String> = service.instances.iter().map(ToString::to_string).collect();
        writeln!(out, "  {} -> {}", service.unit, instances.join(" "))?;
    }
    Ok(())
}

/// A line above what follows, if anything does.
fn heading(out: &mut String, word: &str, nothing: bool) -> fmt::Result {
    if nothing { Ok(()) } else { writeln!(out, "{word}") }
}

/// A state as one character, for a look down the column.
pub(super) fn sign(state: Condition) -> char {
    match state {
        Condition::Up => '●',
        Condition::Changing => '◐',
        Condition::Failed => '✗',
        Condition::Down => '○',
    }
}

fn at(end: &End) -> String {
    match &end.namespace {
        Some(namespace) => format!("{} in {namespace}", end.interface),
        None => format!("{} on the host", end.interface),
    }
}
