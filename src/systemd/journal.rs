//! Messages of units from the journal, read with journalctl(1). A missing or incomplete journal is not an error.

use std::ffi::OsStr;

use jiff::Timestamp;

use crate::name::Instance;
use crate::print::{excerpt, quoted};
use crate::sys::program::Program;

/// The last messages of the units of an instance since a time, for an error.
#[must_use]
pub fn quoted_since(instance: &Instance, since: Timestamp) -> String {
    quoted(logged(instance, since))
}

/// The last messages of the units of an instance.
#[must_use]
pub fn last_lines(instance: &Instance) -> Vec<String> {
    logged(instance, Timestamp::UNIX_EPOCH)
}

/// The last messages of a unit, and those of systemd about the unit, formatted for an error message.
#[must_use]
pub fn quoted_of_unit(unit: &str) -> String {
    quoted(read(["--output=cat", "--lines=5", "--unit", unit]).lines())
}

fn logged(instance: &Instance, since: Timestamp) -> Vec<String> {
    let mut arguments = vec![
        "--output=json".to_owned(),
        "--output-fields=MESSAGE,_PID".to_owned(),
        // In whole seconds; the exact times are compared below. With --lines, journalctl would print the first lines.
        format!("--since=@{}", since.as_second()),
    ];
    arguments.extend(
        [instance.unit(), instance.outside_unit(), instance.name.unit()].map(|unit| format!("--unit={unit}")),
    );
    _ = journalctl().args(["--sync"]).run();
    messages(&read(arguments), since)
}

/// The output of journalctl about this boot; empty if journalctl fails.
fn read<Argument: AsRef<OsStr>>(arguments: impl IntoIterator<Item = Argument>) -> String {
    let answer = journalctl().args(["--quiet", "--boot"]).args(arguments).run();
    answer.map(|answer| answer.text()).unwrap_or_default()
}

fn journalctl() -> Program {
    Program::new("journalctl").package("systemd")
}

/// Returns the last messages of hooks in the output of `journalctl --output=json`. If no hook has printed a message, returns
/// the last messages of systemd.
#[must_use]
pub fn messages(text: &str, since: Timestamp) -> Vec<String> {
    let (of_systemd, of_hooks): (Vec<JournalEntry>, Vec<JournalEntry>) =
        text.lines().filter_map(|line| JournalEntry::parse(line, since)).partition(|entry| entry.of_systemd);
    let entries = if of_hooks.is_empty() { of_systemd } else { of_hooks };
    excerpt(entries.into_iter().map(|entry| entry.message).collect())
}

/// An entry of the journal (systemd.journal-fields(7)).
struct JournalEntry {
    message: String,
    of_systemd: bool,
}

impl JournalEntry {
    /// Parses an entry, if it is not older than `since`.
    fn parse(line: &str, since: Timestamp) -> Option<Self> {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        let microseconds: i64 = entry["__REALTIME_TIMESTAMP"].as_str()?.parse().ok()?;
        let message = entry["MESSAGE"].as_str().unwrap_or("(binary)").to_owned();
        (microseconds >= since.as_microsecond()).then(|| Self { message, of_systemd: entry["_PID"] == "1" })
    }
}
