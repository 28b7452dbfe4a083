//! The map as plain text, for terminals.

use std::fmt::{self, Write as _};

use super::{End, Graph, Place};
use crate::engine::Condition;

/// The map as text; `paint` has the styles of the terminal.
pub(crate) fn text(graph: &Graph, paint: impl Fn(&str, Condition) -> String) -> String {
    let mut text = String::new();
    write(graph, &paint, &mut text).expect("a String takes all");
    text
}

fn write(graph: &Graph, paint: &dyn Fn(&str, Condition) -> String, out: &mut String) -> fmt::Result {
    let shown = |place: &&Place| place.namespace.is_some() || !place.interfaces.is_empty();
    for place in graph.places.iter().filter(shown) {
        let gone = if place.exists { "" } else { " (not there)" };
        writeln!(out, "{}{gone}", place.title())?;
        for member in &place.instances {
            let state = paint(&member.state.to_string(), member.state);
            writeln!(out, "  {} {} {state}", sign(member.state), member.nstype)?;
        }
        for interface in &place.interfaces {
            let state = paint(&interface.state().to_string(), interface.state());
            let addresses: String =
                interface.addresses.iter().flat_map(|address| [" ", address.as_str()]).collect();
            writeln!(out, "  = {} {state}{addresses}", interface.name)?;
        }
        let here =
            graph.attached.iter().filter(|service| Some(&service.namespace) == place.namespace.as_ref());
        for service in here {
            let state = service.state.map(|state| format!(" {}", paint(&state.to_string(), state)));
            let sign = service.state.map_or('>', sign);
            writeln!(out, "  {sign} {}{}", service.unit, state.unwrap_or_default())?;
        }
    }
    heading(out, "links", graph.links.is_empty())?;
    for link in &graph.links {
        writeln!(out, "  {} --{}-- {}", at(&link.from), link.kind, at(&link.to))?;
    }
    heading(out, "requires", graph.requires.is_empty())?;
    for requires in &graph.requires {
        writeln!(out, "  {} -> {}", requires.instance, requires.needs)?;
    }
    heading(out, "attached", graph.attached.is_empty())?;
    for service in &graph.attached {
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
