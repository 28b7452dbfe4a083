//! Everything that this program prints. A terminal obeys control characters, so text from outside is escaped here: `clippy.toml`
//! forbids other ways.

pub mod escape;

use std::io::{stderr, stdout};

use crate::argv;

/// Prints lines on stdout.
#[allow(clippy::disallowed_methods)] // escaped
pub fn say(lines: &str) {
    escape::print(stdout(), lines);
}

/// Prints a warning: something is not as it should be, but the work goes on.
pub fn warn(text: &str) {
    complain(&format!("warning: {text}"));
}

/// Prints on stderr what is wrong.
pub fn complain(text: &str) {
    remark(&format!("{}: {text}", argv::applet()));
}

/// Prints lines on stderr.
#[allow(clippy::disallowed_methods)] // escaped
pub fn remark(lines: &str) {
    escape::print(stderr(), lines);
}

/// Lines that another program has printed, for the end of an error: each on a line of its own, behind a bar.
#[must_use]
pub fn quoted<Line: AsRef<str>>(lines: impl IntoIterator<Item = Line>) -> String {
    lines.into_iter().fold(String::new(), |text, line| text + "\n  | " + line.as_ref())
}
