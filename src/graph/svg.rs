//! The map as a picture, which dot(1) of Graphviz draws.

use anyhow::{Result, anyhow};

use super::Map;
use crate::sys::program::{Answer, Program};

/// The map as SVG.
/// Errors: `dot` is not installed, or fails; then its own message is in the error.
pub(crate) fn svg(map: &Map) -> Result<String> {
    let dot = Program::new("dot").package("graphviz").called("dot -Tsvg").words(["-Tsvg"]);
    let drawn = dot.input(super::dot(map)).run().and_then(Answer::success);
    drawn.map(|answer| answer.text()).map_err(|error| {
        anyhow!("cannot draw the graph: {error:#}; `netnsctl graph --format dot` prints the input of `dot`")
    })
}
