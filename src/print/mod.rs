//! All output of this program. Foreign text is escaped here, because a terminal obeys control characters. `clippy.toml` forbids
//! other ways to print.

pub mod escape;

use std::io::{stderr, stdout};

use crate::argv;

/// Prints lines on stdout.
#[allow(clippy::disallowed_methods)] // escaped
pub fn say(lines: &str) {
    escape::print(stdout(), lines);
}

/// Prints a warning on stderr. The work continues.
pub fn warn(text: &str) {
    error(&format!("warning: {text}"));
}

/// Prints an error message on stderr, after the name of the applet.
pub fn error(text: &str) {
    stderr_lines(&format!("{}: {text}", argv::applet()));
}

/// Prints lines on stderr.
#[allow(clippy::disallowed_methods)] // escaped
pub fn stderr_lines(lines: &str) {
    escape::print(stderr(), lines);
}

/// Shortens long output. The first lines often have the cause of an error, and the last lines its effect.
#[must_use]
pub fn excerpt(mut lines: Vec<String>) -> Vec<String> {
    const FIRST: usize = 5;
    const LAST: usize = 10;
    if lines.len() > FIRST + LAST {
        let left_out = FIRST..lines.len() - LAST;
        let note = format!("... ({} more lines)", left_out.len());
        lines.splice(left_out, [note]);
    }
    lines
}

/// Formats lines from another program for the end of an error message: each begins with `  | `.
#[must_use]
pub fn quoted<Line: AsRef<str>>(lines: impl IntoIterator<Item = Line>) -> String {
    lines.into_iter().fold(String::new(), |text, line| text + "\n  | " + line.as_ref())
}
