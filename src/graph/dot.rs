//! The map in the language of Graphviz (dot(1), graphviz.org/doc/info/lang.html).

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::{End, Map, Place};
use crate::engine::Condition;
use crate::print::escape;
use crate::requires::Requirement;

/// The page is white, also where a dark one shows it: dot has no colours for both.
const HEAD: &str = r##"  rankdir=LR; compound=true; bgcolor=white; fontname=monospace; labeljust=l;
  node [shape=box, style=filled, fillcolor=white, fontname=monospace, fontsize=12];
  edge [color="#2563eb", fontcolor="#2563eb", fontname="sans-serif", fontsize=11];
"##;

/// The colours of what joins two interfaces.
const WIRE: &str = r##"color="#c2410c", fontcolor="#c2410c""##;

/// The map as dot.
pub(crate) fn dot(map: &Map) -> String {
    let mut text = String::new();
    write(map, &mut text).expect("a String takes all");
    text
}

fn write(map: &Map, out: &mut String) -> fmt::Result {
    // An edge to what is not drawn would draw it, by its id.
    let mut drawn = BTreeSet::new();
    write!(out, "digraph netns {{\n{HEAD}")?;
    let shown = |place: &&Place| place.namespace.is_some() || !place.interfaces.is_empty();
    for place in map.places.iter().filter(shown) {
        cluster(map, place, &mut drawn, out)?;
    }
    for dependency in &map.requires {
        if let Requirement::Unit(unit) = &dependency.needs {
            let node = id("unit", unit);
            if drawn.insert(node.clone()) {
                writeln!(out, "  {node} [shape=component, label={}];", quote(unit))?;
            }
        }
    }
    edges(map, &drawn, out)?;
    writeln!(out, "}}")
}

/// A namespace, or the host, with what is in it.
fn cluster(map: &Map, place: &Place, drawn: &mut BTreeSet<String>, out: &mut String) -> fmt::Result {
    let (style, fill, border) = match (&place.namespace, place.exists) {
        (None, _) => ("rounded,filled", "#f3f4f6", "#9ca3af"),
        (Some(_), true) => ("rounded,filled", "#e3f1e6", "#4b9560"),
        (Some(_), false) => ("rounded,filled,dashed", "#ffffff", "#9ca3af"),
    };
    let word = if place.exists { "" } else { " (not there)" };
    writeln!(out, "  subgraph {} {{", frame(place.title()))?;
    writeln!(out, "    label={}; style=\"{style}\";", quote(&format!("{}{word}", place.title())))?;
    writeln!(out, "    fillcolor=\"{fill}\"; color=\"{border}\";")?;
    let mut node = |node: String, attributes: &str| {
        writeln!(out, "    {node} [{attributes}];")?;
        drawn.insert(node);
        Ok(())
    };
    // Edges lead to nodes only; those to the namespace itself lead to this one, and end at the border.
    node(id("place", place.title()), "shape=point, style=invis, width=0, height=0")?;
    for interface in &place.interfaces {
        let end = End { namespace: place.namespace.clone(), interface: interface.name.clone() };
        let state = interface.state();
        let first = format!("{} {state}", interface.name);
        let label = lines([&first].into_iter().chain(&interface.addresses));
        node(at(&end), &format!("label={label}, {}", style_of(state)))?;
    }
    for placed in &place.instances {
        let label = quote(&format!("{} {}", placed.nstype, placed.state));
        let name = format!("{}@{}", placed.nstype, place.title());
        let style = style_of(placed.state);
        node(id("instance", &name), &format!("shape=ellipse, label={label}, {style}"))?;
    }
    for service in map.attached.iter().filter(|service| Some(&service.namespace) == place.namespace.as_ref())
    {
        let (word, style) = service
            .state
            .map_or_else(Default::default, |state| (format!(" {state}"), format!(", {}", style_of(state))));
        let label = quote(&format!("{}{word}", service.unit));
        node(id("unit", &service.unit), &format!("shape=component, label={label}{style}"))?;
    }
    writeln!(out, "  }}")
}

fn edges(map: &Map, drawn: &BTreeSet<String>, out: &mut String) -> fmt::Result {
    let mut edge = |from: &str, to: &str, attributes: &str| {
        if drawn.contains(from) && drawn.contains(to) {
            writeln!(out, "  {from} -> {to} [{attributes}];")?;
        }
        Ok(())
    };
    for joint in &map.links {
        // The ends of a pair are equal; all else is made on another one, or a port of it.
        let style = if joint.kind == "veth" { "dir=none, penwidth=2.5" } else { "arrowhead=dot" };
        let attributes = format!("{style}, {WIRE}, label={}", quote(&joint.kind));
        edge(&at(&joint.from), &at(&joint.to), &attributes)?;
    }
    for dependency in &map.requires {
        let from = id("instance", &dependency.instance.to_string());
        match &dependency.needs {
            Requirement::Namespace(name) => {
                // A plain label would stand where the edge would be if it did not end at the border.
                let attributes =
                    format!("taillabel=requires, labeldistance=3, lhead={}", frame(name.as_ref()));
                edge(&from, &id("place", name.as_ref()), &attributes)?;
            }
            Requirement::Instance(instance) => {
                edge(&from, &id("instance", &instance.to_string()), "label=requires")?;
            }
            Requirement::Unit(unit) => edge(&from, &id("unit", unit), "label=requires")?,
        }
    }
    for service in &map.attached {
        for instance in &service.instances {
            let (from, to) = (id("unit", &service.unit), id("instance", &instance.to_string()));
            edge(&from, &to, "style=dashed, label=\"is attached to\"")?;
        }
    }
    Ok(())
}

/// What a node is called: the same name may be an instance's, a namespace's and a unit's.
fn id(kind: &str, name: &str) -> String {
    quote(&format!("{kind} {name}"))
}

/// What the frame around a place is called.
fn frame(title: &str) -> String {
    id("cluster", title)
}

fn at(end: &End) -> String {
    let place = end.namespace.as_ref().map_or("", AsRef::as_ref);
    id("interface", &format!("{}@{place}", end.interface))
}

/// A word in the label says the same as the style.
fn style_of(state: Condition) -> &'static str {
    match state {
        Condition::Up => r##"color="#15803d""##,
        Condition::Changing => r##"color="#a16207", style="filled,dashed""##,
        Condition::Failed => r##"color="#b91c1c", fontcolor="#b91c1c", peripheries=2, penwidth=2"##,
        Condition::Down => r##"color="#6b7280", style="filled,dotted""##,
    }
}

/// A string of dot, on one line.
fn quote(text: &str) -> String {
    format!("\"{}\"", escape(text))
}

/// A label of several lines, each on the left.
fn lines<'a>(lines: impl Iterator<Item = &'a String>) -> String {
    format!("\"{}\"", lines.map(|line| escape(line) + "\\l").collect::<String>())
}

/// Text for a string of dot. In labels a backslash begins an escape, and `&` an entity of HTML, which dot also copies into XML
/// as it is.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in escape::line(text).chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '&' => escaped.push_str("&amp;"),
            // No characters of XML.
            '\u{fffe}' => escaped.push_str("\\\\ufffe"),
            '\u{ffff}' => escaped.push_str("\\\\uffff"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Dependency, example};

    #[test]
    fn nothing_in_a_name_ends_its_quotes_or_is_an_entity() {
        assert_eq!(quote("a\"\\b\nc\t&#1;\u{fffe}"), r#""a\"\\b\\nc\\t&amp;#1;\\ufffe""#);
        let text = dot(&example::hostile());
        assert!(text.contains(r#"label="<script>\"&amp;]`# up\l192.0.2.1/30\l""#), "{text}");
    }

    #[test]
    fn states_are_told_in_words_and_by_line() {
        let text = dot(&example::all_states());
        for (word, line) in
            [("up", "#15803d"), ("changing", "dashed"), ("failed", "peripheries=2"), ("down", "dotted")]
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
            r#""interface macvlan0@nstor" -> "interface eth0@" [arrowhead=dot"#,
            r#""instance nft@nstor" -> "instance macvlan@nstor" [label=requires]"#,
            r#""instance veth@nsbrowser" -> "place nstor" [taillabel=requires, labeldistance=3, lhead="cluster nstor"]"#,
            r#""instance veth@nsbrowser" -> "unit network.target" [label=requires]"#,
            r#""unit browser.service" -> "instance veth@nsbrowser" [style=dashed, label="is attached to"]"#,
        ] {
            assert!(text.contains(edge), "{edge}:\n{text}");
        }
    }

    #[test]
    fn an_attached_unit_that_is_required_is_one_node_and_what_is_not_drawn_has_no_edge() {
        let mut map = example::pair();
        let needs = |text: &str, needs| Dependency { instance: text.parse().unwrap(), needs };
        map.requires.push(needs("nft@nstor", Requirement::Unit("browser.service".to_owned())));
        map.requires.push(needs("nft@nstor", Requirement::Namespace("gone".parse().unwrap())));
        let text = dot(&map);
        assert_eq!(text.matches(r#"label="browser.service"#).count(), 1, "{text}");
        assert!(text.contains(r#"label="browser.service up""#), "{text}");
        assert!(!text.contains("gone"), "{text}");
    }
}
