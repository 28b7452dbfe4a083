//! Ordering cycles of units, as `systemd-analyze verify` reports them. systemd deletes one job of each cycle. Which job it
//! deletes depends on the order in which it loads the units.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::sys::program::Program;

/// The target of a boot, which starts all enabled units together.
const BOOT: &str = "default.target";

/// A cycle of units: each unit starts after the next one, and the last unit after the first one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cycle(Vec<String>);

impl Cycle {
    /// Whether a unit of the cycle matches.
    pub fn has(&self, matches: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|unit| matches(unit))
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units: Vec<String> =
            self.0.iter().chain(self.0.first()).map(|unit| format!("`{unit}`")).collect();
        write!(
            f,
            "ordering cycle: {}; systemd deletes one of these jobs, and that unit does not start",
            units.join(" after ")
        )
    }
}

/// Finds the ordering cycles in a start of these units, and in a boot. Files in `overlay` override the installed ones.
/// Errors: the temporary unit cannot be written; systemd-analyze is installed, but cannot be run.
pub fn find<Unit: AsRef<str>>(
    units: impl IntoIterator<Item = Unit>,
    overlay: Option<&Path>,
) -> Result<BTreeSet<Cycle>> {
    // One transaction with all units. The time of systemd-analyze grows with the square of the number of its arguments.
    let directory = tempfile::tempdir().context("cannot create a temporary directory")?;
    let target = directory.path().join("netns-cycles.target");
    let mut text = "[Unit]\nDefaultDependencies=no\n".to_owned();
    for unit in units {
        text += &format!("Wants={}\n", unit.as_ref());
    }
    fs::write(&target, text).with_context(|| format!("cannot write {}", target.display()))?;
    let mut verify = Program::new("systemd-analyze")
        .args(["verify", "--man=no", "--"])
        .args([target.as_os_str(), BOOT.as_ref()])
        // systemd-analyze also searches the current directory, which may belong to any user.
        .directory("/")
        .env("SYSTEMD_LOG_LEVEL", "info")
        .env("SYSTEMD_LOG_TARGET", "console")
        .env("SYSTEMD_LOG_COLOR", "no")
        .env("SYSTEMD_LOG_LOCATION", "no")
        .env("SYSTEMD_LOG_TIME", "no");
    if let Some(overlay) = overlay {
        // An empty element of the path means the default directories (systemd.unit(5)).
        verify = verify.env("SYSTEMD_UNIT_PATH", format!("{}:", overlay.display()));
    }
    let answer = verify.run_if_installed()?;
    Ok(answer.map(|answer| parse(&answer.message())).unwrap_or_default())
}

/// Parses the messages of `transaction_verify_order_one` in systemd's src/core/transaction.c: a line with `Found ordering cycle`, then
/// a line for each further unit. Newer versions have all units in the first line.
fn parse(output: &str) -> BTreeSet<Cycle> {
    let mut cycles: Vec<Vec<String>> = Vec::new();
    for line in output.lines() {
        let Some((_, message)) = line.split_once(": Found ") else { continue };
        if message.starts_with("ordering cycle") {
            cycles.push(Vec::new());
        } else if !message.starts_with("dependency on ") {
            continue;
        }
        let jobs = message.split([' ', ',']).filter_map(|token| token.split_once('/'));
        let Some(cycle) = cycles.last_mut() else { continue };
        for (unit, _) in jobs {
            if !cycle.iter().any(|known| known == unit) {
                cycle.push(unit.to_owned());
            }
        }
    }
    cycles.into_iter().filter(|cycle| !cycle.is_empty()).map(canonical).collect()
}

/// Rotates a cycle so that it begins with the smallest name. Then two reports of a cycle are equal.
fn canonical(mut units: Vec<String>) -> Cycle {
    let least = units.iter().enumerate().min_by_key(|(_, unit)| *unit).map_or(0, |(index, _)| index);
    units.rotate_left(least);
    Cycle(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_reports_of_a_cycle_are_one_cycle() {
        let output = "\
            test.socket: Found ordering cycle on netns-lo@a.service/start\n\
            test.socket: Found dependency on basic.target/start\n\
            test.socket: Found dependency on sockets.target/start\n\
            test.socket: Found dependency on test.socket/start\n\
            test.socket: Job netns-lo@a.service/start deleted to break ordering cycle starting with test.socket/start\n\
            /etc/systemd/system/other.service:3: Unknown key name 'X' in section 'Service', ignoring.\n\
            sockets.target: Found ordering cycle on test.socket/start\n\
            sockets.target: Found dependency on netns-lo@a.service/start\n\
            sockets.target: Found dependency on basic.target/start\n\
            sockets.target: Found dependency on sockets.target/start\n";
        let cycles = parse(output);
        assert_eq!(cycles.len(), 1, "{cycles:?}");
        let cycle = cycles.first().unwrap();
        assert!(cycle.to_string().starts_with(
            "ordering cycle: `basic.target` after `sockets.target` after `test.socket` after `netns-lo@a.service` after `basic.target`; "
        ), "{cycle}");
        assert!(cycle.has(|unit| unit == "test.socket") && !cycle.has(|unit| unit == "other.service"));
    }

    #[test]
    fn the_first_line_can_contain_all_units() {
        let output = "a.socket: Found ordering cycle: a.socket/start after b.service/start after c.target/start - after a.socket\n";
        assert_eq!(parse(output).len(), 1);
        assert!(parse(output).first().unwrap().has(|unit| unit == "c.target"));
    }

    #[test]
    fn other_messages_are_not_cycles() {
        assert_eq!(
            parse("a.service: Found left-over process 1\nFailed to create a/start: x\n"),
            BTreeSet::new()
        );
    }
}
