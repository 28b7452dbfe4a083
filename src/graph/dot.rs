//! The map in the language of Graphviz (dot(1), graphviz.org/doc/info/lang.html).

use std::fmt::{self, Write as _};

use super::{End, Map, Place};
use crate::engine::Condition;
use crate::foreign;
use crate::requires::Requirement;

/// The map as dot.
pub(crate) fn dot(map: &Map) -> String {
    let mut text = String::new();
    write(map, &mut text).expect("a String takes all");
    text
}

fn write(map: &Map, out: &mut String) -> fmt::Result {
    writeln!(out, "digraph netns {{")?;
    writeln!(out, "  rankdir=LR; node [shape=box, fontname=\"monospace\"]; edge [fontname=\"sans-serif\"];")?;
    let shown = |place: &&Place| place.namespace.is_some() || !place.interfaces.is_empty();
    for place in map.places.iter().filter(shown) {
        let word = if place.exists { "" } else { " (not there)" };
        let border = if place.exists { "rounded" } else { "rounded,dashed" };
        // The node is what arrows to the namespace itself point at.
        writeln!(out, "  subgraph {} {{", quote(&format!("cluster {}", place.title())))?;
        writeln!(out, "    label=\"\"; style=\"{border}\";")?;
        let label = quote(&format!("{}{word}", place.title()));
        writeln!(out, "    {} [shape=plaintext, label={label}];", quote(&id("place", place.title())))?;
        for interface in &place.interfaces {
            let end = End { namespace: place.namespace.clone(), interface: interface.name.clone() };
            let mut lines = vec![format!("{} {}", interface.name, interface.state())];
            lines.extend(interface.addresses.iter().cloned());
            let style = style_of(interface.state());
            writeln!(out, "    {} [label={}, {style}];", at(&end), quote(&lines.join("\n")))?;
        }
        for placed in &place.instances {
            let node = quote(&id("instance", &format!("{}@{}", placed.nstype, place.title())));
            let label = quote(&format!("{} {}", placed.nstype, placed.state));
            writeln!(out, "    {node} [shape=ellipse, label={label}, {}];", style_of(placed.state))?;
        }
        for service in
            map.attached.iter().filter(|service| Some(&service.namespace) == place.namespace.as_ref())
        {
            let node = quote(&id("unit", &service.unit));
            let (word, style) =
                service.state.map_or((String::new(), ""), |state| (format!(" {state}"), style_of(state)));
            let label = quote(&format!("{}{word}", service.unit));
            writeln!(out, "    {node} [shape=component, label={label}, {style}];")?;
        }
        writeln!(out, "  }}")?;
    }
    edges(map, out)?;
    writeln!(out, "}}")
}

fn edges(map: &Map, out: &mut String) -> fmt::Result {
    for joint in &map.links {
        let kind = quote(&joint.kind);
        writeln!(out, "  {} -> {} [dir=none, penwidth=2, label={kind}];", at(&joint.from), at(&joint.to))?;
    }
    for dependency in &map.requires {
        let from = quote(&id("instance", &dependency.instance.to_string()));
        let to = quote(&match &dependency.needs {
            Requirement::Namespace(name) => id("place", name.as_ref()),
            Requirement::Instance(instance) => id("instance", &instance.to_string()),
            Requirement::Unit(unit) => id("unit", unit),
        });
        if let Requirement::Unit(unit) = &dependency.needs {
            writeln!(out, "  {to} [shape=component, label={}];", quote(unit))?;
        }
        writeln!(out, "  {from} -> {to} [label=requires];")?;
    }
    for service in &map.attached {
        for instance in &service.instances {
            let from = quote(&id("unit", &service.unit));
            let to = quote(&id("instance", &instance.to_string()));
            writeln!(out, "  {from} -> {to} [style=dashed, label=attached];")?;
        }
    }
    Ok(())
}

/// What a node is called: the same name may be an instance's, a namespace's and a unit's.
fn id(kind: &str, name: &str) -> String {
    format!("{kind} {name}")
}

fn at(end: &End) -> String {
    let place = end.namespace.as_ref().map_or("", AsRef::as_ref);
    quote(&id("interface", &format!("{}@{place}", end.interface)))
}

fn style_of(state: Condition) -> &'static str {
    match state {
        Condition::Up => "style=solid",
        Condition::Changing => "style=dashed",
        Condition::Failed => "peripheries=2, penwidth=2",
        Condition::Down => "style=dotted",
    }
}

/// A string of dot. In labels a backslash begins an escape, so it is doubled; a line ends in `\n`.
fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in foreign::escape(text, &['\n']).chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            _ => quoted.push(character),
        }
    }
    quoted + "\""
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::example;

    #[test]
    fn nothing_in_a_name_ends_its_quotes() {
        assert_eq!(quote("a\"\\b\nc\t"), r#""a\"\\b\nc\\t""#);
        let text = dot(&example::hostile());
        assert!(text.contains(r#"label="<script>\"&]`# up\n"#), "{text}");
    }

    #[test]
    fn states_are_told_in_words_and_by_line() {
        let text = dot(&example::all_states());
        for (word, line) in
            [("up", "solid"), ("changing", "dashed"), ("failed", "peripheries=2"), ("down", "dotted")]
        {
            let found =
                text.lines().find(|shown| shown.contains(&format!(" {word}\"")) && shown.contains("ellipse"));
            assert!(found.is_some_and(|shown| shown.contains(line)), "{word}:\n{text}");
            let service = text.lines().find(|shown| shown.contains(&format!(".service {word}\"")));
            assert!(service.is_some_and(|shown| shown.contains(line)), "{word}:\n{text}");
        }
    }

    #[test]
    fn links_needs_and_services_are_edges() {
        let text = dot(&example::pair());
        for edge in [
            r#""interface ve-nsbrowser1@nsbrowser" -> "interface ve-nsbrowser0@nstor" [dir=none"#,
            r#""instance nft@nstor" -> "instance macvlan@nstor" [label=requires]"#,
            r#""unit browser.service" -> "instance veth@nsbrowser" [style=dashed, label=attached]"#,
        ] {
            assert!(text.contains(edge), "{edge}:\n{text}");
        }
    }
}
