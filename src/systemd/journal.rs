//! Messages of units from the journal, read with journalctl(1). A missing or incomplete journal is not an error.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use jiff::Timestamp;

use crate::name::{Instance, UnitName};
use crate::print::{excerpt, quoted};
use crate::sys::program::Program;

/// The maximum time for journald to store its messages.
const SYNC_TIMEOUT: Duration = Duration::from_secs(10);

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

/// The lines that the hooks of instances have printed since a time, in one query.
#[must_use]
pub fn lines_of_hooks(instances: &[&Instance], since: Timestamp) -> BTreeMap<Instance, Vec<String>> {
    let mut lines: BTreeMap<Instance, Vec<String>> = BTreeMap::new();
    if instances.is_empty() {
        return lines;
    }
    let text = read_units(instances.iter().flat_map(|one| [one.unit(), one.outside_unit()]), since);
    for entry in text.lines().filter_map(|line| JournalEntry::parse(line, since)) {
        if let Some(instance) = UnitName::parse(&entry.unit).and_then(UnitName::instance) {
            lines.entry(instance).or_default().push(entry.message);
        }
    }
    lines
}

fn logged(instance: &Instance, since: Timestamp) -> Vec<String> {
    let units = [instance.unit(), instance.outside_unit(), instance.name.unit()];
    messages(&read_units(units, since), since)
}

/// The messages of units and about units since a time, as JSON, one a line.
fn read_units(units: impl IntoIterator<Item = String>, since: Timestamp) -> String {
    let mut arguments = vec![
        "--output=json".to_owned(),
        "--output-fields=MESSAGE,_PID,_SYSTEMD_UNIT".to_owned(),
        // In whole seconds; the exact times are compared later. With --lines, journalctl would print the first lines.
        format!("--since=@{}", since.as_second()),
    ];
    arguments.extend(units.into_iter().map(|unit| format!("--unit={unit}")));
    _ = synchronize();
    read(arguments)
}

/// Waits until journald has stored all messages so far, as `journalctl --sync` does, but without a process: a call by Varlink
/// (`io.systemd.Journal` in systemd's src/journal/journald-varlink.c, or journald-server.c before version 257).
/// Errors: journald cannot be reached, or does not answer in time. Only root may call it.
pub fn synchronize() -> io::Result<()> {
    let mut socket = UnixStream::connect("/run/systemd/journal/io.systemd.journal")?;
    socket.set_read_timeout(Some(SYNC_TIMEOUT))?;
    socket.write_all(b"{\"method\":\"io.systemd.Journal.Synchronize\",\"parameters\":{}}\0")?;
    BufReader::new(socket).skip_until(0).map(|_| ())
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
    /// The unit of the process.
    unit: String,
}

impl JournalEntry {
    /// Parses an entry, if it is not older than `since`.
    fn parse(line: &str, since: Timestamp) -> Option<Self> {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        let microseconds: i64 = entry["__REALTIME_TIMESTAMP"].as_str()?.parse().ok()?;
        let message = entry["MESSAGE"].as_str().unwrap_or("(binary)").to_owned();
        let unit = entry["_SYSTEMD_UNIT"].as_str().unwrap_or_default().to_owned();
        let of_systemd = entry["_PID"] == "1";
        (microseconds >= since.as_microsecond()).then_some(Self { message, of_systemd, unit })
    }
}
