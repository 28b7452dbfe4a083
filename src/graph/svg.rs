//! The map as a picture, which dot(1) of Graphviz draws.

use anyhow::{Result, anyhow};

use super::Map;
use crate::sys::program::{Output, Program};

/// The map as SVG.
/// Errors: `dot` is not installed, or fails; then its own message is in the error.
pub(crate) fn svg(map: &Map) -> Result<String> {
    let dot = Program::new("dot").package("graphviz").label("dot -Tsvg").args(["-Tsvg"]);
    let drawn = dot.input(super::dot(map)).run().and_then(Output::success);
    drawn.map(|answer| answer.text()).map_err(|error| {
        anyhow!("cannot draw the graph: {error:#}; `netnsctl graph --format dot` prints the input of `dot`")
    })
}
