//! The lines of the picture: each runs in a lane of its own, so that no two run on top of each other unless they lead to the same
//! end.

use std::collections::BTreeMap;

use super::layout::{Block, Cell, Line, Shape, TITLE, inside_port, instance_port};
use crate::graph::{End, Map};
use crate::requires::Requirement;

/// Where a line begins or ends.
pub(super) struct Port {
    pub(super) y: i32,
    /// At what stands outside of all boxes: an interface of the host, or a unit.
    pub(super) outer: bool,
    /// At the edge of a box, not at a cell in it.
    pub(super) frame: bool,
}

impl Port {
    fn cell(y: i32) -> Self {
        Self { y, outer: false, frame: false }
    }
}

/// A line before it has its lane.
pub(super) struct Run {
    pub(super) from: Port,
    pub(super) to: Port,
    /// Lines of the same net may run on top of each other.
    net: String,
    shape: Shape,
    pub(super) label: String,
}

impl Run {
    pub(super) fn line(&self, (start, end): (i32, i32), lane: Option<i32>) -> Line {
        let (from, to) = (self.from.y, self.to.y);
        let points = match lane {
            Some(lane) => vec![(start, from), (lane, from), (lane, to), (end, to)],
            None => vec![(start, from), (end, to)],
        };
        Line { points, shape: self.shape }
    }
}

/// What joins two interfaces.
pub(super) fn wires(graph: &Map, blocks: &[Block], host: &[Cell]) -> Vec<Run> {
    let port = |end: &End| match &end.namespace {
        Some(_) => inside_port(blocks, end).map(Port::cell),
        None => host.iter().find(|cell| cell.name == end.interface).map(|cell| Port {
            y: cell.middle(),
            outer: true,
            frame: false,
        }),
    };
    let run = |link: &crate::graph::Joint| {
        let shape = if link.kind == "veth" { Shape::Pair } else { Shape::Shared };
        let parent = link.to.namespace.as_ref().map_or("", AsRef::as_ref);
        Some(Run {
            from: port(&link.from)?,
            to: port(&link.to)?,
            net: format!("{parent} {}", link.to.interface),
            shape,
            label: link.kind.clone(),
        })
    };
    graph.links.iter().filter_map(run).collect()
}

/// How far from the middle of a cell arrows leave it, downwards, and come to it, upwards.
pub(super) const ASIDE: i32 = 8;

/// What requires, or is attached to, what.
pub(super) fn arrows(graph: &Map, blocks: &[Block], units: &[Cell]) -> Vec<Run> {
    let instance = |instance: &crate::name::Instance| instance_port(blocks, instance);
    let mut runs = Vec::new();
    for requires in &graph.requires {
        let Some(from) = instance(&requires.instance) else { continue };
        let to = match &requires.needs {
            Requirement::Instance(needed) => instance(needed).map(|y| Port::cell(y - ASIDE)),
            Requirement::Namespace(name) => blocks
                .iter()
                .find(|block| block.place.namespace.as_ref() == Some(name))
                .map(|block| Port { y: block.y + TITLE / 2, outer: false, frame: true }),
            Requirement::Unit(unit) => units.iter().find(|cell| cell.name == *unit).map(|cell| Port {
                y: cell.middle(),
                outer: true,
                frame: false,
            }),
        };
        let Some(to) = to else { continue };
        runs.push(Run {
            from: Port::cell(from + ASIDE),
            to,
            net: format!("requires {}", requires.needs),
            shape: Shape::Arrow,
            label: String::new(),
        });
    }
    for service in &graph.attached {
        let block = blocks.iter().find(|block| block.place.namespace.as_ref() == Some(&service.namespace));
        let cell = block.and_then(|block| {
            block.right.iter().find(|cell| cell.shape == Shape::Unit && cell.name == service.unit)
        });
        let Some(cell) = cell else { continue };
        for bound in &service.instances {
            let Some(to) = instance(bound) else { continue };
            runs.push(Run {
                from: Port::cell(cell.middle()),
                to: Port::cell(to),
                net: format!("attached {bound}"),
                shape: Shape::Bound,
                label: String::new(),
            });
        }
    }
    runs
}

/// Which lane each net runs in. Short ones are nearest to the boxes.
pub(super) struct Lanes {
    pub(super) count: i32,
    of: BTreeMap<String, i32>,
}

impl Lanes {
    pub(super) fn of(runs: &[Run]) -> Self {
        let mut spans: BTreeMap<&str, (i32, i32)> = BTreeMap::new();
        for run in runs {
            let (low, high) = (run.from.y.min(run.to.y), run.from.y.max(run.to.y));
            let span = spans.entry(&run.net).or_insert((low, high));
            *span = (span.0.min(low), span.1.max(high));
        }
        let mut nets: Vec<(&str, (i32, i32))> =
            spans.into_iter().filter(|(_, (low, high))| low < high).collect();
        nets.sort_by_key(|(net, (low, high))| (high - low, *low, *net));
        let mut lanes: Vec<Vec<(i32, i32)>> = Vec::new();
        let mut of = BTreeMap::new();
        for (net, (low, high)) in nets {
            let is_free =
                |taken: &Vec<(i32, i32)>| taken.iter().all(|(from, to)| high + 8 < *from || to + 8 < low);
            let lane = lanes.iter().position(is_free).unwrap_or(lanes.len());
            if lane == lanes.len() {
                lanes.push(Vec::new());
            }
            lanes[lane].push((low, high));
            of.insert(net.to_owned(), i32::try_from(lane).unwrap_or_default());
        }
        Self { count: i32::try_from(lanes.len()).unwrap_or_default(), of }
    }

    /// The lane of a line; none where that is straight.
    pub(super) fn lane(&self, run: &Run) -> Option<i32> {
        if run.from.y == run.to.y && run.from.outer != run.to.outer {
            None
        } else {
            self.of.get(&run.net).copied()
        }
    }
}
