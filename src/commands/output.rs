//! The output of netnsctl: tables for people, JSON for programs.

use std::io::{IsTerminal, Write, stdout};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use tabwriter::TabWriter;

use crate::engine::Condition;
use crate::print::{escape, say};

/// The version of the JSON output. It changes when a field is removed or changes its meaning.
const VERSION: u32 = 1;

/// The outer object of every JSON output.
#[derive(Serialize)]
struct Document<'a, Item> {
    version: u32,
    kind: &'a str,
    items: &'a [Item],
}

/// Prints items as one JSON document.
pub fn json<Item: Serialize>(kind: &str, items: &[Item]) -> Result<()> {
    let document = Document { version: VERSION, kind, items };
    say(&escape::json(&serde_json::to_string_pretty(&document).context("cannot write JSON")?));
    Ok(())
}

/// Prints rows in columns. With a legend, an empty cell is printed as a hyphen.
pub fn table(legend: Option<&[&str]>, rows: &[Vec<String>]) -> Result<()> {
    let mut writer = TabWriter::new(Vec::new()).padding(2).ansi(true);
    let mut row = |cells: &[&str], style: &str| {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| paint(if cell.is_empty() && legend.is_some() { "-" } else { cell }, style))
            .collect();
        writeln!(writer, "{}", cells.join("\t"))
    };
    if let Some(legend) = legend {
        row(legend, UNDERLINE).context("cannot write a table")?;
    }
    for cells in rows {
        let cells: Vec<String> = cells.iter().map(|cell| escape::cell(cell)).collect();
        row(&cells.iter().map(String::as_str).collect::<Vec<_>>(), "").context("cannot write a table")?;
    }
    let text = String::from_utf8(writer.into_inner().ok().context("cannot write a table")?)?;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    if !lines.is_empty() {
        say(&lines.join("\n"));
    }
    Ok(())
}

/// Prints rows in columns, without a legend.
pub fn plain(rows: &[Vec<String>]) -> Result<()> {
    table(None, rows)
}

/// Formats a time in the local time zone.
#[must_use]
pub fn time(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%F %T").to_string()
}

/// The style of a heading. Styles are parameters of `ESC [ … m` (console_codes(4)).
pub const UNDERLINE: &str = "4";
/// The style of a good state.
pub const GREEN: &str = "32";
/// The style of a transition.
pub const YELLOW: &str = "33";
/// The style of a failure.
pub const RED: &str = "1;31";
/// The style of a detail.
pub const DIM: &str = "2";

/// The style of the subject.
pub const BOLD: &str = "1";

/// The style of a state.
#[must_use]
pub fn style_of(condition: Condition) -> &'static str {
    match condition {
        Condition::Up => GREEN,
        Condition::Changing => YELLOW,
        Condition::Failed => RED,
        Condition::Down => DIM,
    }
}

/// Formats a text in a style, if stdout is a terminal with colours.
#[must_use]
pub fn paint(text: &str, style: &str) -> String {
    if style.is_empty() || !colourful() { text.to_owned() } else { escape::styled(text, style) }
}

/// Whether stdout is a terminal, and NO_COLOR is not set (no-color.org).
#[allow(clippy::disallowed_methods)] // nothing is printed
fn colourful() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        stdout().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
    })
}
