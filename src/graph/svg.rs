//! Draws the map as SVG with dot(1) of Graphviz.

use anyhow::{Result, anyhow};

use super::Map;
use crate::sys::program::{Output, Program};

/// Returns the map as SVG.
/// Errors: `dot` is not installed, or fails. The error contains the message of `dot`.
pub(crate) fn svg(map: &Map) -> Result<String> {
    let dot = Program::new("dot").package("graphviz").label("dot -Tsvg").args(["-Tsvg"]);
    let answer = dot.input(super::dot(map)).run().and_then(Output::success);
    answer.map(|answer| answer.text()).map_err(|error| {
        anyhow!("cannot draw the graph: {error:#}; `netnsctl graph --format dot` prints the input of `dot`")
    })
}
