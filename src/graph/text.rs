//! Writes the map as plain text for terminals.

use std::fmt::{self, Write as _};

use super::{End, Map, Place};
use crate::engine::Condition;

/// Returns the map as text. `paint` adds the styles of the terminal.
pub(crate) fn text(map: &Map, paint: impl Fn(&str, Condition) -> String) -> String {
    let mut text = String::new();
    write(map, &paint, &mut text).expect("writing to a String cannot fail");
    text
}

fn write(map: &Map, paint: &dyn Fn(&str, Condition) -> String, out: &mut String) -> fmt::Result {
    let shown = |place: &&Place| place.namespace.is_some() || !place.interfaces.is_empty();
    for place in map.places.iter().filter(shown) {
        writeln!(out, "{}", place.label())?;
        for instance in &place.instances {
            let state = paint(&instance.state.to_string(), instance.state);
            let ways: String = instance.ways().flat_map(|way| [" ".to_owned(), way]).collect();
            writeln!(out, "  {} {} {state}{ways}", symbol(instance.state), instance.nstype)?;
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
            let symbol = service.state.map_or('>', symbol);
            writeln!(out, "  {symbol} {}{}", service.unit, state.unwrap_or_default())?;
        }
    }
    heading(out, "links", map.links.is_empty())?;
    for connection in &map.links {
        writeln!(out, "  {} --{}-- {}", at(&connection.from), connection.kind, at(&connection.to))?;
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

/// Writes the heading of a section, unless the section is empty.
fn heading(out: &mut String, title: &str, is_empty: bool) -> fmt::Result {
    if is_empty { Ok(()) } else { writeln!(out, "{title}") }
}

/// Returns the symbol of a state, so that a reader can scan the column.
pub(super) fn symbol(state: Condition) -> char {
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
