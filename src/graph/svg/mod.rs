//! The map as a picture: SVG that needs no other program, for light and dark pages. [`layout`] and [`lines`] say where everything
//! is, this file draws it.

mod layout;
mod lines;

use std::fmt::{self, Write as _};

use layout::{Cell, Layout, Line, Shape};

use super::Map;
use crate::engine::Condition;
use crate::foreign;

/// Colours of both pages, and fonts that every machine has. What a colour says, a word or a shape says as well.
const HEAD: &str = r"  <style>
    .host { fill: #f3f4f6; stroke: #9ca3af }
    .inside { fill: #e3f1e6; stroke: #4b9560 }
    .gone { fill: none; stroke: #9ca3af; stroke-dasharray: 5 4 }
    .cell { fill: #ffffff; stroke: #4b5563 }
    .cell.failed { stroke: #b91c1c; stroke-width: 2 }
    .cell.down { stroke-dasharray: 3 3 }
    text { fill: #1f2937 }
    .dim { fill: #59616e }
    .mono { font-family: ui-monospace, monospace }
    .name { font-family: ui-monospace, monospace; font-weight: 600 }
    .wire { stroke: #c2410c; stroke-width: 2.5; fill: none }
    .shared { stroke-width: 1.3 }
    .joint { fill: #c2410c }
    .arrow { stroke: #2563eb; stroke-width: 1.6; fill: none }
    .bound { stroke-dasharray: 4 3 }
    .tip { fill: #2563eb }
    .sign { fill: none; stroke-width: 2 }
    .sign .solid { stroke: none }
    .sign.up { stroke: #15803d } .sign.up .solid { fill: #15803d }
    .sign.changing { stroke: #a16207 } .sign.changing .solid { fill: #a16207 }
    .sign.failed { stroke: #b91c1c } text.failed { fill: #b91c1c; font-weight: 600 }
    .sign.down { stroke: #6b7280 }
    @media (prefers-color-scheme: dark) {
      .host { fill: #1f242c; stroke: #6b7280 }
      .inside { fill: #1c2f23; stroke: #5fae76 }
      .gone { stroke: #6b7280 }
      .cell { fill: #0f141a; stroke: #9ca3af }
      .cell.failed { stroke: #f87171 }
      text { fill: #e5e7eb }
      .dim { fill: #a3adbb }
      .wire { stroke: #fb923c } .joint { fill: #fb923c }
      .arrow { stroke: #7aa7ff } .tip { fill: #7aa7ff }
      .sign.up { stroke: #4ade80 } .sign.up .solid { fill: #4ade80 }
      .sign.changing { stroke: #facc15 } .sign.changing .solid { fill: #facc15 }
      .sign.failed { stroke: #f87171 } text.failed { fill: #f87171 }
      .sign.down { stroke: #9ca3af }
    }
  </style>
";

/// The map as SVG.
pub(crate) fn svg(graph: &Map) -> String {
    let mut text = String::new();
    draw(graph, &layout::layout(graph), &mut text).expect("a String takes all");
    text
}

fn draw(graph: &Map, layout: &Layout, out: &mut String) -> fmt::Result {
    let Layout { width, height, .. } = layout;
    let below = height + LEGEND + 8;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {below}\" width=\"{width}\" height=\"{below}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\" aria-labelledby=\"title\">"
    )?;
    writeln!(out, "  <title id=\"title\">{}</title>", escape(&summary(graph)))?;
    out.push_str(HEAD);
    frame(out, "host", 8, 8, width - 16, height - 8, 10)?;
    writeln!(out, "  <text class=\"dim\" x=\"24\" y=\"30\">the host</text>")?;
    for place in &layout.frames {
        frame(
            out,
            if place.exists { "inside" } else { "gone" },
            place.x,
            place.y,
            place.width,
            place.height,
            10,
        )?;
        let (x, y) = (place.x + layout::PAD, place.y + 22);
        let gone = if place.exists { "" } else { " <tspan class=\"dim\">not there</tspan>" };
        writeln!(
            out,
            "  <text x=\"{x}\" y=\"{y}\"><tspan class=\"name\">{}</tspan>{gone}</text>",
            short(&place.title)
        )?;
    }
    for line in &layout.lines {
        path(out, line)?;
    }
    for cell in &layout.cells {
        draw_cell(out, cell)?;
    }
    for label in &layout.labels {
        writeln!(
            out,
            "  <text class=\"dim\" font-size=\"12\" text-anchor=\"{}\" x=\"{}\" y=\"{}\">{}</text>",
            label.anchor,
            label.x,
            label.y,
            escape(&label.text)
        )?;
    }
    legend(out, layout)?;
    writeln!(out, "</svg>")
}

/// What the picture shows, for those who do not see it.
fn summary(graph: &Map) -> String {
    let names: Vec<&str> =
        graph.places.iter().filter_map(|place| place.namespace.as_ref()?.as_ref().into()).collect();
    let links: Vec<String> = graph
        .links
        .iter()
        .map(|link| {
            let place =
                |end: &super::End| end.namespace.as_ref().map_or("the host".to_owned(), ToString::to_string);
            format!("{} from {} to {}", link.kind, place(&link.from), place(&link.to))
        })
        .collect();
    format!("Network namespaces: {}. Links: {}.", names.join(", "), links.join(", "))
}

fn frame(out: &mut String, class: &str, x: i32, y: i32, width: i32, height: i32, radius: i32) -> fmt::Result {
    writeln!(
        out,
        "  <rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\"/>"
    )
}

fn draw_cell(out: &mut String, cell: &Cell) -> fmt::Result {
    let state = cell.state.map(|state| state.to_string()).unwrap_or_default();
    let radius = if cell.shape == Shape::Unit { 14 } else { 6 };
    frame(out, &format!("cell {state}"), cell.x, cell.y, cell.width, cell.height, radius)?;
    let (mut x, mut y) = (cell.x + 12, cell.y + 18);
    if let Some(state) = cell.state {
        sign(out, state, x + 4, y - 5)?;
        x += layout::SIGN;
    }
    write!(
        out,
        "  <text x=\"{x}\" y=\"{y}\" font-size=\"12.5\"><tspan class=\"name\">{}</tspan>",
        short(&cell.name)
    )?;
    writeln!(out, "</text>")?;
    if let Some(word) = cell.word() {
        let right = cell.x + cell.width - 12;
        let class = if cell.state == Some(Condition::Failed) { "failed" } else { "dim" };
        writeln!(
            out,
            "  <text class=\"{class}\" font-size=\"12\" text-anchor=\"end\" x=\"{right}\" y=\"{y}\">{word}</text>"
        )?;
    }
    for line in &cell.lines {
        y += layout::LINE;
        writeln!(
            out,
            "  <text class=\"mono dim\" font-size=\"12\" x=\"{x}\" y=\"{y}\">{}</text>",
            short(line)
        )?;
    }
    Ok(())
}

/// A state as a shape: a disk, half a disk, a cross, a ring.
fn sign(out: &mut String, state: Condition, x: i32, y: i32) -> fmt::Result {
    let shape = match state {
        Condition::Up => "<circle class=\"solid\" r=\"5\"/>",
        Condition::Changing => "<circle r=\"4\"/><path class=\"solid\" d=\"M0-4A4 4 0 0 1 0 4z\"/>",
        Condition::Failed => "<path d=\"M-4-4 4 4M4-4-4 4\"/>",
        Condition::Down => "<circle r=\"4\"/>",
    };
    writeln!(out, "  <g class=\"sign {state}\" transform=\"translate({x} {y})\">{shape}</g>")
}

/// A line with round corners, and what is at its end.
fn path(out: &mut String, line: &Line) -> fmt::Result {
    const RADIUS: i32 = 7;
    let points = &line.points;
    let (class, end) = match line.shape {
        Shape::Pair => ("wire", ""),
        Shape::Shared => ("wire shared", "joint"),
        Shape::Bound => ("arrow bound", "tip"),
        _ => ("arrow", "tip"),
    };
    write!(out, "  <path class=\"{class}\" d=\"M{} {}", points[0].0, points[0].1)?;
    for corner in points.windows(3) {
        let [before, (x, y), after] = [corner[0], corner[1], corner[2]];
        let toward = |other: (i32, i32)| {
            let far = (other.0 - x).abs().max((other.1 - y).abs());
            let step = RADIUS.min(far / 2);
            (x + (other.0 - x).signum() * step, y + (other.1 - y).signum() * step)
        };
        let ((ax, ay), (bx, by)) = (toward(before), toward(after));
        write!(out, "L{ax} {ay}Q{x} {y} {bx} {by}")?;
    }
    let (x, y) = points[points.len() - 1];
    writeln!(out, "L{x} {y}\"/>")?;
    match end {
        "joint" => writeln!(out, "  <circle class=\"joint\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>"),
        "tip" => {
            // The line ends level.
            let back = if points[points.len() - 2].0 > x { 8 } else { -8 };
            writeln!(out, "  <path class=\"tip\" d=\"M{x} {y}l{back}-3.5v7z\"/>")
        }
        _ => Ok(()),
    }
}

/// The height of the explanation at the foot.
const LEGEND: i32 = 34;

fn legend(out: &mut String, layout: &Layout) -> fmt::Result {
    let (top, mut x) = (layout.height + 8, 28);
    let middle = top + LEGEND / 2 - 4;
    let word = |out: &mut String, x: &mut i32, text: &str| -> fmt::Result {
        writeln!(out, "  <text class=\"dim\" font-size=\"12\" x=\"{x}\" y=\"{}\">{text}</text>", middle + 4)?;
        *x += layout::label_width(text) + 22;
        Ok(())
    };
    for state in [Condition::Up, Condition::Changing, Condition::Failed, Condition::Down] {
        if layout.cells.iter().any(|cell| cell.state == Some(state)) {
            sign(out, state, x, middle)?;
            x += 10;
            word(out, &mut x, &state.to_string())?;
        }
    }
    for (shape, text) in [(Shape::Arrow, "requires"), (Shape::Bound, "is attached to")] {
        if layout.lines.iter().any(|line| line.shape == shape) {
            path(out, &Line { points: vec![(x - 4, middle), (x + 28, middle)], shape })?;
            x += 36;
            word(out, &mut x, text)?;
        }
    }
    Ok(())
}

/// The longest text that is shown whole.
const LONGEST: usize = 44;

/// Text for XML; what is too long for a box is cut, and whole where the pointer rests.
fn short(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return escape(text);
    }
    let start: String = text.chars().take(LONGEST - 1).collect();
    format!("{}…<title>{}</title>", escape(&start), escape(text))
}

/// Text for XML (which has no control characters).
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for character in foreign::line(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('?'),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
