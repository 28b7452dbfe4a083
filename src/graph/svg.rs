//! The map as a picture, which dot(1) of Graphviz draws.

use std::io::{self, ErrorKind};

use anyhow::{Result, anyhow, ensure};
use duct::cmd;

use super::Map;
use crate::print::escape;

/// The map as SVG.
///
/// # Errors
/// `dot` is not installed, or fails; then its own message is in the error.
pub(crate) fn svg(map: &Map) -> Result<String> {
    let output = cmd!("dot", "-Tsvg")
        .stdin_bytes(super::dot(map))
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .map_err(|error| not_run(&error))?;
    let message = escape::text(&output.stderr);
    ensure!(
        output.status.success(),
        "cannot draw the graph: `dot -Tsvg` failed ({}): {}; `netnsctl graph --format dot` prints its input",
        output.status,
        message.trim()
    );
    Ok(escape::text(&output.stdout))
}

fn not_run(error: &io::Error) -> anyhow::Error {
    match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "cannot draw the graph: the program `dot` is not installed, or not in PATH: on Debian `apt install graphviz`; \
             `netnsctl graph --format dot` prints the input of `dot`"
        ),
        _ => anyhow!("cannot draw the graph: cannot run `dot`: {error}"),
    }
}
