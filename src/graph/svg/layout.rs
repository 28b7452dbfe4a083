//! Where everything is: the host's interfaces on the left, the namespaces below each other, lines in lanes of their own
//! between them and to the right of them ([`super::lines`]).

use std::collections::BTreeMap;

use super::lines::{ASIDE, Lanes, Port, arrows, wires};
use crate::engine::Condition;
use crate::graph::{End, Map, Place};
use crate::requires::Requirement;

/// The distance between a box and what is in it.
pub const PAD: i32 = 16;
/// From one line of text to the next one.
pub const LINE: i32 = 16;
/// What the sign of a state takes before a name.
pub const SIGN: i32 = 16;
/// Between cells.
const GAP: i32 = 10;
/// Between two lanes.
const LANE: i32 = 13;
/// The title of a box.
pub(super) const TITLE: i32 = 34;
/// Between the columns of a box.
const BETWEEN: i32 = 24;

/// The whole picture.
pub struct Layout {
    pub width: i32,
    pub height: i32,
    pub frames: Vec<Frame>,
    pub cells: Vec<Cell>,
    pub lines: Vec<Line>,
    pub labels: Vec<Label>,
}

/// The box of a namespace.
pub struct Frame {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
    pub title: String,
    pub exists: bool,
}

/// An interface, an instance or a unit.
pub struct Cell {
    pub x: i32,
    pub y: i32,
    pub width: i32,
    pub height: i32,
    pub name: String,
    pub state: Option<Condition>,
    pub lines: Vec<String>,
    pub shape: Shape,
}

/// What something looks like.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// A box: an interface.
    Interface,
    /// A box: an instance.
    Instance,
    /// A box with round ends.
    Unit,
    /// A wire with two equal ends.
    Pair,
    /// A wire to what something is made on.
    Shared,
    /// An arrow: requires.
    Arrow,
    /// A dashed arrow: is attached to.
    Bound,
}

/// A line, its corners.
pub struct Line {
    pub points: Vec<(i32, i32)>,
    pub shape: Shape,
}

/// A word beside a line.
pub struct Label {
    pub x: i32,
    pub y: i32,
    pub anchor: &'static str,
    pub text: String,
}

impl Cell {
    fn new(name: &str, state: Option<Condition>, lines: &[String], shape: Shape) -> Self {
        let height = 28 + i32::try_from(lines.len()).unwrap_or_default() * LINE;
        let mut cell =
            Self { x: 0, y: 0, width: 0, height, name: name.to_owned(), state, lines: lines.to_vec(), shape };
        let sign = if state.is_some() { SIGN } else { 0 };
        let word = cell.word().map_or(0, |word| 14 + label_width(word));
        let lines = lines.iter().map(|line| text_width(line)).max().unwrap_or_default();
        cell.width = 24 + sign + (text_width(name) + word).max(lines);
        cell
    }

    /// The state as a word; an interface that is up has none.
    pub fn word(&self) -> Option<&'static str> {
        match self.state? {
            Condition::Up if self.shape == Shape::Interface => None,
            Condition::Up => Some("up"),
            Condition::Changing => Some("changing"),
            Condition::Failed => Some("failed"),
            Condition::Down => Some("down"),
        }
    }

    pub(super) fn middle(&self) -> i32 {
        self.y + self.height / 2
    }
}

/// The width of a text in the font of names, which is cut where it is too long.
fn text_width(text: &str) -> i32 {
    i32::try_from(text.chars().count().min(super::LONGEST)).unwrap_or_default() * 78 / 10 + 2
}

/// The width of a text in the font of labels.
pub fn label_width(text: &str) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or_default() * 7
}

/// A namespace with its cells: interfaces on the left, instances and units on the right.
pub(super) struct Block<'a> {
    pub(super) place: &'a Place,
    pub(super) left: Vec<Cell>,
    pub(super) right: Vec<Cell>,
    pub(super) y: i32,
}

impl Block<'_> {
    fn height(&self) -> i32 {
        let tall = |cells: &[Cell]| cells.iter().map(|cell| cell.height + GAP).sum::<i32>();
        TITLE + tall(&self.left).max(tall(&self.right)) - GAP + PAD
    }
}

/// Says where everything is.
pub fn layout(graph: &Map) -> Layout {
    let mut blocks = blocks(graph);
    let mut y = 44;
    for block in &mut blocks {
        block.y = y;
        for cells in [&mut block.left, &mut block.right] {
            let mut next = y + TITLE;
            for cell in cells {
                cell.y = next;
                next += cell.height + GAP;
            }
        }
        y += block.height() + 18;
    }

    let mut host = host(graph, &blocks);
    let (wires, host_width) = (wires(graph, &blocks, &host), widest(&host));
    let lanes = Lanes::of(&wires);
    let gutter = 20 + graph.links.iter().map(|link| label_width(&link.kind)).max().unwrap_or_default();
    let mut x = 24 + host_width;
    for cell in &mut host {
        (cell.x, cell.width) = (24, host_width);
    }
    let from_host = x;
    if !wires.is_empty() {
        x += 26 + lanes.count * LANE + gutter;
    }
    let (frame_x, first_lane) = (x, x - gutter);

    let left_width = blocks.iter().map(|block| widest(&block.left)).max().unwrap_or_default();
    let right_width = blocks.iter().map(|block| widest(&block.right)).max().unwrap_or_default();
    let title = blocks.iter().map(|block| text_width(block.place.title()) + 80).max().unwrap_or_default();
    let between = if left_width > 0 && right_width > 0 { BETWEEN } else { 0 };
    let frame_width = 2 * PAD + (left_width + between + right_width).max(title);
    let right_edge = frame_x + frame_width;
    for block in &mut blocks {
        for cell in &mut block.left {
            (cell.x, cell.width) = (frame_x + PAD, left_width);
        }
        for cell in &mut block.right {
            (cell.x, cell.width) = (right_edge - PAD - right_width, right_width);
        }
    }

    let mut units = units(graph, &blocks);
    let arrows = arrows(graph, &blocks, &units);
    let arrow_lanes = Lanes::of(&arrows);
    let mut width = right_edge;
    if !arrows.is_empty() {
        width += 14 + arrow_lanes.count * LANE;
    }
    if !units.is_empty() {
        let unit_width = widest(&units);
        for cell in &mut units {
            (cell.x, cell.width) = (width + 14, unit_width);
        }
        width += 14 + unit_width;
    }
    width += 24;

    let mut drawn = Vec::new();
    let mut labels = Vec::new();
    for wire in &wires {
        let end = |port: &Port| if port.outer { from_host } else { frame_x + PAD };
        let lane = lanes.lane(wire).map(|lane| first_lane - lane * LANE);
        drawn.push(wire.line((end(&wire.from), end(&wire.to)), lane));
        let (x, anchor) = if wire.from.outer { (from_host + 6, "start") } else { (frame_x - 8, "end") };
        labels.push(Label { x, y: wire.from.y - 5, anchor, text: wire.label.clone() });
    }
    let unit_x = units.first().map_or(0, |cell| cell.x);
    for arrow in &arrows {
        let end = |port: &Port| match (port.outer, port.frame) {
            (true, _) => unit_x,
            (false, true) => right_edge,
            (false, false) => right_edge - PAD,
        };
        let lane = arrow_lanes.lane(arrow).map(|lane| right_edge + 16 + lane * LANE);
        drawn.push(arrow.line((end(&arrow.from), end(&arrow.to)), lane));
    }

    let bottom = host.iter().chain(&units).map(|cell| cell.y + cell.height + 18).fold(y, i32::max);
    let frames = blocks
        .iter()
        .map(|block| Frame {
            x: frame_x,
            y: block.y,
            width: frame_width,
            height: block.height(),
            title: block.place.title().to_owned(),
            exists: block.place.exists,
        })
        .collect();
    let cells = host
        .into_iter()
        .chain(blocks.into_iter().flat_map(|block| block.left.into_iter().chain(block.right)));
    Layout {
        width: width.max(320),
        height: bottom,
        frames,
        cells: cells.chain(units).collect(),
        lines: drawn,
        labels,
    }
}

fn widest(cells: &[Cell]) -> i32 {
    cells.iter().map(|cell| cell.width).max().unwrap_or_default()
}

fn blocks(graph: &Map) -> Vec<Block<'_>> {
    let namespaces = graph.places.iter().filter(|place| place.namespace.is_some());
    namespaces
        .map(|place| {
            let services =
                graph.attached.iter().filter(|service| Some(&service.namespace) == place.namespace.as_ref());
            let instances = place
                .instances
                .iter()
                .map(|member| Cell::new(member.nstype.as_ref(), Some(member.state), &[], Shape::Instance));
            Block {
                place,
                left: interfaces(place),
                right: instances
                    .chain(services.map(|service| Cell::new(&service.unit, service.state, &[], Shape::Unit)))
                    .collect(),
                y: 0,
            }
        })
        .collect()
}

fn interfaces(place: &Place) -> Vec<Cell> {
    let cell = |interface: &crate::graph::MapInterface| {
        Cell::new(&interface.name, Some(interface.state()), &interface.addresses, Shape::Interface)
    };
    place.interfaces.iter().map(cell).collect()
}

/// The host's interfaces, each level with the first one that it is joined to, as far as there is room.
fn host(graph: &Map, blocks: &[Block]) -> Vec<Cell> {
    let ports: Vec<(&str, i32)> = graph
        .links
        .iter()
        .filter_map(|link| match (&link.from, &link.to) {
            (End { namespace: Some(_), .. }, End { namespace: None, interface }) => {
                Some((interface.as_str(), inside_port(blocks, &link.from)?))
            }
            (End { namespace: None, interface }, End { namespace: Some(_), .. }) => {
                Some((interface.as_str(), inside_port(blocks, &link.to)?))
            }
            _ => None,
        })
        .collect();
    let wish = |cell: &Cell| ports.iter().filter(|(name, _)| *name == cell.name).map(|(_, y)| *y).min();
    let others: Vec<(String, i32)> = graph
        .links
        .iter()
        .flat_map(|link| [&link.from, &link.to])
        .filter_map(|end| Some((end.interface.clone(), inside_port(blocks, end)?)))
        .collect();
    let mut cells: Vec<Cell> =
        graph.places.iter().filter(|place| place.namespace.is_none()).flat_map(interfaces).collect();
    cells.sort_by_key(|cell| wish(cell).unwrap_or(i32::MAX));
    let mut free = 44;
    for cell in &mut cells {
        let wished = wish(cell);
        cell.y = wished.map_or(free, |middle| middle - cell.height / 2).max(free);
        // Not on the line of another one, lest the two seem joined.
        while others.iter().any(|(_, y)| Some(*y) != wished && (y - cell.middle()).abs() < 6) {
            cell.y += 3;
        }
        free = cell.y + cell.height + GAP;
    }
    cells
}

pub(super) fn inside_port(blocks: &[Block], end: &End) -> Option<i32> {
    end.namespace.as_ref()?;
    let block = blocks.iter().find(|block| block.place.namespace == end.namespace)?;
    block.left.iter().find(|cell| cell.name == end.interface).map(Cell::middle)
}

/// The units that are required and no instances, each level with what requires it, as far as there is room.
fn units(graph: &Map, blocks: &[Block]) -> Vec<Cell> {
    let mut wishes: BTreeMap<&str, i32> = BTreeMap::new();
    for requires in &graph.requires {
        if let (Requirement::Unit(unit), Some(y)) =
            (&requires.needs, instance_port(blocks, &requires.instance))
        {
            let wish = wishes.entry(unit).or_insert(y + ASIDE);
            *wish = (y + ASIDE).min(*wish);
        }
    }
    let mut wishes: Vec<(i32, &str)> = wishes.into_iter().map(|(unit, y)| (y, unit)).collect();
    wishes.sort_unstable();
    let mut free = 44;
    let place = |(y, unit): (i32, &str)| {
        let mut cell = Cell::new(unit, None, &[], Shape::Unit);
        cell.y = (y - cell.height / 2).max(free);
        free = cell.y + cell.height + GAP;
        cell
    };
    wishes.into_iter().map(place).collect()
}

pub(super) fn instance_port(blocks: &[Block], instance: &crate::name::Instance) -> Option<i32> {
    let block = blocks.iter().find(|block| block.place.namespace.as_ref() == Some(&instance.name))?;
    let row = block.place.instances.iter().position(|member| member.nstype == instance.nstype)?;
    block.right.get(row).map(Cell::middle)
}
