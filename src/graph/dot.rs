//! Writes the map in the language of Graphviz (dot(1), graphviz.org/doc/info/lang.html).

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::{End, Map, Place};
use crate::engine::Condition;
use crate::print::escape;
use crate::requires::Requirement;

/// The attributes of the graph. The background is always white, because dot cannot adapt the colours to a dark page.
const HEAD: &str = r##"  rankdir=LR; compound=true; bgcolor=white; fontname=monospace; labeljust=l;
  node [shape=box, style=filled, fillcolor=white, fontname=monospace, fontsize=12];
  edge [color="#2563eb", fontcolor="#2563eb", fontname="sans-serif", fontsize=11];
"##;

/// The colours of an edge between two interfaces.
const CONNECTION_STYLE: &str = r##"color="#c2410c", fontcolor="#c2410c""##;

/// Returns the map as input of dot.
pub(crate) fn dot(map: &Map) -> String {
    let mut text = String::new();
    write(map, &mut text).expect("writing to a String cannot fail");
    text
}

fn write(map: &Map, out: &mut String) -> fmt::Result {
    // An edge to an undeclared node would create the node, labelled with the id. So `edges` skips these edges.
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

/// Writes a namespace, or the host, with its interfaces, instances and services.
fn cluster(map: &Map, place: &Place, drawn: &mut BTreeSet<String>, out: &mut String) -> fmt::Result {
    let (style, fill, border) = match (&place.namespace, place.exists) {
        (None, _) => ("rounded,filled", "#f3f4f6", "#9ca3af"),
        (Some(_), true) => ("rounded,filled", "#e3f1e6", "#4b9560"),
        (Some(_), false) => ("rounded,filled,dashed", "#ffffff", "#9ca3af"),
    };
    writeln!(out, "  subgraph {} {{", cluster_id(place.title()))?;
    writeln!(out, "    label={}; style=\"{style}\";", quote(&place.label()))?;
    writeln!(out, "    fillcolor=\"{fill}\"; color=\"{border}\";")?;
    let mut node = |node: String, attributes: &str| {
        writeln!(out, "    {node} [{attributes}];")?;
        drawn.insert(node);
        Ok(())
    };
    // An edge can only lead to a node. An edge to the namespace leads to this invisible node, and ends at the border (`lhead`).
    node(id("place", place.title()), "shape=point, style=invis, width=0, height=0")?;
    for interface in &place.interfaces {
        let end = End { namespace: place.namespace.clone(), interface: interface.name.clone() };
        let state = interface.state();
        let first = format!("{} {state}", interface.name);
        let label = lines([&first].into_iter().chain(&interface.addresses));
        node(interface_id(&end), &format!("label={label}, {}", style_of(state)))?;
    }
    for instance in &place.instances {
        let first = format!("{} {}", instance.nstype, instance.state);
        let ways: Vec<String> = instance.ways().collect();
        let label = match ways.as_slice() {
            [] => quote(&first),
            ways => lines([&first].into_iter().chain(ways)),
        };
        let name = format!("{}@{}", instance.nstype, place.title());
        let style = style_of(instance.state);
        node(id("instance", &name), &format!("shape=ellipse, label={label}, {style}"))?;
    }
    for service in map.attached.iter().filter(|service| Some(&service.namespace) == place.namespace.as_ref())
    {
        let (suffix, style) = service
            .state
            .map_or_else(Default::default, |state| (format!(" {state}"), format!(", {}", style_of(state))));
        let label = quote(&format!("{}{suffix}", service.unit));
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
    for connection in &map.links {
        // The ends of a veth pair are equal. Other connections lead to a parent interface or to a bridge.
        let style = if connection.kind == "veth" { "dir=none, penwidth=2.5" } else { "arrowhead=dot" };
        let attributes = format!("{style}, {CONNECTION_STYLE}, label={}", quote(&connection.kind));
        edge(&interface_id(&connection.from), &interface_id(&connection.to), &attributes)?;
    }
    for dependency in &map.requires {
        let from = id("instance", &dependency.instance.to_string());
        match &dependency.needs {
            Requirement::Namespace(name) => {
                // dot ignores `lhead` when it places a plain label, so the label is put at the tail.
                let attributes =
                    format!("taillabel=requires, labeldistance=3, lhead={}", cluster_id(name.as_ref()));
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

/// Returns the id of a node. The kind is part of the id, because an instance, a namespace and a unit can have the same name.
fn id(kind: &str, name: &str) -> String {
    quote(&format!("{kind} {name}"))
}

fn cluster_id(title: &str) -> String {
    id("cluster", title)
}

fn interface_id(end: &End) -> String {
    let place = end.namespace.as_ref().map_or("", AsRef::as_ref);
    id("interface", &format!("{}@{place}", end.interface))
}

/// Returns the style of a node in this state. The label shows the state as text, too.
fn style_of(state: Condition) -> &'static str {
    match state {
        Condition::Up => r##"color="#15803d""##,
        Condition::Changing => r##"color="#a16207", style="filled,dashed""##,
        Condition::Failed => r##"color="#b91c1c", fontcolor="#b91c1c", peripheries=2, penwidth=2"##,
        Condition::Down => r##"color="#6b7280", style="filled,dotted""##,
    }
}

/// Returns a quoted string of dot, on one line.
fn quote(text: &str) -> String {
    format!("\"{}\"", escape(text))
}

/// Returns a label of several left-aligned lines.
fn lines<'a>(lines: impl Iterator<Item = &'a String>) -> String {
    format!("\"{}\"", lines.map(|line| escape(line) + "\\l").collect::<String>())
}

/// Escapes text for a string of dot. In a label, a backslash begins an escape sequence, and `&` begins an HTML entity, which dot
/// copies unchanged into the SVG.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in escape::line(text).chars() {
        match character {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            '&' => escaped.push_str("&amp;"),
            // XML forbids these characters.
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
    fn a_name_cannot_end_its_quotes_or_contain_an_entity() {
        assert_eq!(quote("a\"\\b\nc\t&#1;\u{fffe}"), r#""a\"\\b\\nc\\t&amp;#1;\\ufffe""#);
        let text = dot(&example::hostile());
        assert!(text.contains(r#"label="<script>\"&amp;]`# up\l192.0.2.1/30\l""#), "{text}");
    }

    #[test]
    fn a_state_is_shown_as_text_and_as_style() {
        let text = dot(&example::all_states());
        for (state, style) in
            [("up", "#15803d"), ("changing", "dashed"), ("failed", "peripheries=2"), ("down", "dotted")]
        {
            let instance =
                text.lines().find(|line| line.contains(&format!(" {state}\"")) && line.contains("ellipse"));
            assert!(instance.is_some_and(|line| line.contains(style)), "{state}:\n{text}");
            let service = text.lines().find(|line| line.contains(&format!(".service {state}\"")));
            assert!(service.is_some_and(|line| line.contains(style)), "{state}:\n{text}");
        }
    }

    #[test]
    fn links_requirements_and_services_are_edges() {
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
    fn a_required_attached_unit_is_one_node_and_an_edge_to_a_hidden_node_is_skipped() {
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
