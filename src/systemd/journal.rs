//! Messages of units from the journal, by journalctl(1). A missing journal is not an error.

use std::ffi::OsStr;

use jiff::Timestamp;

use crate::name::Instance;
use crate::print::quoted;
use crate::sys::program::Program;

/// The number of lines of a failed unit in an error.
const LINES: usize = 10;

/// The last messages of the units of an instance since a time, for an error.
#[must_use]
pub fn since(instance: &Instance, since: Timestamp) -> String {
    quoted(logged(instance, since))
}

/// The last messages of the units of an instance.
#[must_use]
pub fn last_words(instance: &Instance) -> Vec<String> {
    logged(instance, Timestamp::UNIX_EPOCH)
}

/// The last messages of a unit, and of systemd about the unit, for an error.
#[must_use]
pub fn of_unit(unit: &str) -> String {
    quoted(read(["--output=cat", "--lines=5", "--unit", unit]).lines())
}

fn logged(instance: &Instance, since: Timestamp) -> Vec<String> {
    let mut words = vec![
        "--output=json".to_owned(),
        "--output-fields=MESSAGE,_PID".to_owned(),
        // In whole seconds: the exact times are checked below. --lines would return the first lines.
        format!("--since=@{}", since.as_second()),
    ];
    words.extend(
        [instance.unit(), instance.outside_unit(), instance.name.unit()].map(|unit| format!("--unit={unit}")),
    );
    _ = journalctl().args(["--sync"]).run();
    messages(&read(words), since)
}

/// Runs journalctl for this boot. Empty if it fails.
fn read<Word: AsRef<OsStr>>(words: impl IntoIterator<Item = Word>) -> String {
    let answer = journalctl().args(["--quiet", "--boot"]).args(words).run();
    answer.map(|answer| answer.text()).unwrap_or_default()
}

fn journalctl() -> Program {
    Program::new("journalctl").package("systemd")
}

/// The last lines in the output of `journalctl --output=json`: messages of hooks, or else of systemd.
#[must_use]
pub fn messages(text: &str, since: Timestamp) -> Vec<String> {
    let (host, mut lines): (Vec<JournalEntry>, Vec<JournalEntry>) =
        text.lines().filter_map(|line| JournalEntry::read(line, since)).partition(|entry| entry.of_systemd);
    if lines.is_empty() {
        lines = host; // no hook has printed a message
    }
    lines.split_off(lines.len().saturating_sub(LINES)).into_iter().map(|entry| entry.message).collect()
}

/// An entry of the journal (systemd.journal-fields(7)).
struct JournalEntry {
    message: String,
    of_systemd: bool,
}

impl JournalEntry {
    /// Parses an entry, if it is not older than `since`.
    fn read(line: &str, since: Timestamp) -> Option<Self> {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        let microseconds: i64 = entry["__REALTIME_TIMESTAMP"].as_str()?.parse().ok()?;
        let message = entry["MESSAGE"].as_str().unwrap_or("(binary)").to_owned();
        (microseconds >= since.as_microsecond()).then(|| Self { message, of_systemd: entry["_PID"] == "1" })
    }
}
