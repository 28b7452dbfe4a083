//! Writes the map as a flowchart of Mermaid (mermaid.js.org/syntax/flowchart.html). Web sites such as GitHub show Mermaid text in
//! Markdown as a picture.

use std::fmt::{self, Write as _};

use super::{End, Map, Place};
use crate::name::{Instance, NsName};
use crate::print::escape;
use crate::requires::Requirement;

/// Returns the map as Mermaid text.
pub(crate) fn mermaid(map: &Map) -> String {
    let mut text = String::new();
    write(map, &mut text).expect("writing to a String cannot fail");
    text
}

fn write(map: &Map, out: &mut String) -> fmt::Result {
    writeln!(out, "flowchart LR")?;
    for (number, place) in map.places.iter().enumerate() {
        if place.namespace.is_none() && place.interfaces.is_empty() {
            continue;
        }
        writeln!(out, "  subgraph p{number}[\"{}\"]", escape(&place.label()))?;
        for (row, interface) in place.interfaces.iter().enumerate() {
            let state = interface.state();
            let first = format!("{} {state}", escape(&interface.name));
            let lines: Vec<String> = [first]
                .into_iter()
                .chain(interface.addresses.iter().map(|address| escape(address)))
                .collect();
            writeln!(out, "    p{number}i{row}[\"{}\"]:::{}", lines.join("<br>"), state)?;
        }
        for (row, instance) in place.instances.iter().enumerate() {
            let (nstype, state) = (escape(instance.nstype.as_ref()), instance.state);
            let first = format!("{nstype} {state}");
            let ways = instance.ways().map(|way| escape(&way));
            let lines: Vec<String> = [first].into_iter().chain(ways).collect();
            writeln!(out, "    p{number}t{row}([\"{}\"]):::{state}", lines.join("<br>"))?;
        }
        for (row, service) in map.attached.iter().enumerate() {
            if Some(&service.namespace) == place.namespace.as_ref() {
                let (suffix, style) = service.state.map_or((String::new(), String::new()), |state| {
                    (format!(" {state}"), format!(":::{state}"))
                });
                writeln!(out, "    s{row}{{{{\"{}{suffix}\"}}}}{style}", escape(&service.unit))?;
            }
        }
        writeln!(out, "  end")?;
    }
    edges(map, out)?;
    writeln!(out, "  classDef up stroke-width:2px")?;
    writeln!(out, "  classDef changing stroke-dasharray:8 3")?;
    writeln!(out, "  classDef failed stroke-width:4px,stroke:#b91c1c")?;
    writeln!(out, "  classDef down stroke-dasharray:2 3")
}

fn edges(map: &Map, out: &mut String) -> fmt::Result {
    for connection in &map.links {
        if let (Some(from), Some(to)) = (interface(map, &connection.from), interface(map, &connection.to)) {
            writeln!(out, "  {from} ---|\"{}\"| {to}", escape(&connection.kind))?;
        }
    }
    for (number, dependency) in map.requires.iter().enumerate() {
        let Some(from) = instance(map, &dependency.instance) else { continue };
        let to = match &dependency.needs {
            Requirement::Namespace(name) => namespace(map, name),
            Requirement::Instance(required) => instance(map, required),
            Requirement::Unit(unit) => Some(format!("u{number}{{{{\"{}\"}}}}", escape(unit))),
        };
        if let Some(to) = to {
            writeln!(out, "  {from} -->|requires| {to}")?;
        }
    }
    for (row, service) in map.attached.iter().enumerate() {
        for to in service.instances.iter().filter_map(|bound| instance(map, bound)) {
            writeln!(out, "  s{row} -.->|attached| {to}")?;
        }
    }
    Ok(())
}

fn place<'a>(map: &'a Map, namespace: Option<&NsName>) -> Option<(usize, &'a Place)> {
    map.places.iter().enumerate().find(|(_, place)| place.namespace.as_ref() == namespace)
}

fn namespace(map: &Map, name: &NsName) -> Option<String> {
    place(map, Some(name)).map(|(number, _)| format!("p{number}"))
}

fn interface(map: &Map, end: &End) -> Option<String> {
    let (number, place) = place(map, end.namespace.as_ref())?;
    let row = place.interfaces.iter().position(|interface| interface.name == end.interface)?;
    Some(format!("p{number}i{row}"))
}

fn instance(map: &Map, instance: &Instance) -> Option<String> {
    let (number, place) = place(map, Some(&instance.name))?;
    let row = place.instances.iter().position(|other| other.nstype == instance.nstype)?;
    Some(format!("p{number}t{row}"))
}

/// Escapes text between quotes. Characters with a special meaning in Mermaid, HTML or Markdown are replaced by numeric entities.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in escape::line(text).chars() {
        match character {
            '-' | '.' | ':' | '/' | '@' | '_' | ' ' => escaped.push(character),
            _ if character.is_alphanumeric() => escaped.push(character),
            _ => write!(escaped, "#{};", u32::from(character)).expect("writing to a String cannot fail"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example;

    #[test]
    fn a_name_cannot_end_its_quotes() {
        assert_eq!(escape("a\"];b<i>`#1"), "a#34;#93;#59;b#60;i#62;#96;#35;1");
        let text = mermaid(&example::hostile());
        let names: Vec<&str> = text.lines().filter(|line| line.contains("script")).collect();
        assert!(!names.is_empty(), "{text}");
        assert!(
            names.iter().all(|line| !line.contains("<script") && line.matches('"').count() == 2),
            "{text}"
        );
    }

    #[test]
    fn a_state_is_shown_as_text_and_as_style() {
        let text = mermaid(&example::all_states());
        for state in ["up", "changing", "failed", "down"] {
            assert!(text.contains(&format!(" {state}\"]):::{state}")), "{text}");
            assert!(text.contains(&format!(".service {state}\"}}}}:::{state}")), "{text}");
        }
    }

    #[test]
    fn links_requirements_and_services_are_edges() {
        let text = mermaid(&example::pair());
        for edge in [
            "p1i0 ---|\"veth\"| p2i1",
            "p2i0 ---|\"macvlan\"| p0i0",
            "p2t1 -->|requires| p2t0",
            "s0 -.->|attached| p1t1",
        ] {
            assert!(text.lines().any(|line| line.trim() == edge), "{edge}:\n{text}");
        }
    }
}
