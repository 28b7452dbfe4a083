//! How netnsctl prints: tables for people, JSON for programs.

use std::io::{IsTerminal, Write, stdout};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use tabwriter::TabWriter;

use crate::engine::Condition;
use crate::print::{escape, say};

/// The version of the shapes that are printed as JSON: it changes when a field goes or changes its meaning.
const VERSION: u32 = 1;

/// What every JSON output is wrapped in.
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

/// Prints rows in columns. An empty cell is a hyphen where there is a legend.
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

/// Prints rows in columns, with nothing above them.
pub fn plain(rows: &[Vec<String>]) -> Result<()> {
    table(None, rows)
}

/// A time of this machine's zone.
#[must_use]
pub fn time(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::system()).strftime("%F %T").to_string()
}

/// The styles that are used, as the parameters of `ESC [ … m` (console_codes(4)).
pub const UNDERLINE: &str = "4";
/// What is as it should be.
pub const GREEN: &str = "32";
/// What is on its way.
pub const YELLOW: &str = "33";
/// What has failed.
pub const RED: &str = "1;31";
/// What matters less.
pub const DIM: &str = "2";

/// What it is about.
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

/// Text in a style, on a terminal that shows it.
#[must_use]
pub fn paint(text: &str, style: &str) -> String {
    if style.is_empty() || !colourful() { text.to_owned() } else { escape::styled(text, style) }
}

/// Whether stdout is a terminal whose user has nothing against colours (no-color.org).
#[allow(clippy::disallowed_methods)] // nothing is printed
fn colourful() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        stdout().is_terminal()
            && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
    })
}
