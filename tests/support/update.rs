//! Shared by the tests of netns-update: a machine with the template units, and the expected output.

use super::Test;

/// The template units.
pub const INSIDE: &str = include_str!("../../units/netns@.service");
pub const OUTSIDE: &str = include_str!("../../units/netns_outside@.service");

/// The directory of the unit files.
pub const UNITS: &str = "etc/systemd/system";

/// No arguments except `--root`.
pub const NONE: [&str; 0] = [];

/// The units of the type `good`.
pub const GOOD: [&str; 2] = ["netns-good@.service", "netns_outside-good@.service"];

/// The first line of the output.
pub const PROCESSING: &str = "Processing configuration files in '/etc/conf.d/netns'...\n";

/// The line after the plan if a unit has changed, or if a reload was requested.
pub const LEFT_OUT: &str = "systemd is not running here: daemon-reload was left out.\n";

/// A machine with netns-update installed, without types.
pub fn machine() -> Test {
    Test::new("netns-update")
        .directory("etc/conf.d/netns")
        .directory(UNITS)
        .file("usr/lib/systemd/system/netns@.service", INSIDE)
        .file("usr/lib/systemd/system/netns_outside@.service", OUTSIDE)
        .file("usr/lib/systemd/system/netns_name@.service", "")
}

/// This machine with the type `good`, which has no units yet.
pub fn with_good() -> Test {
    machine().file("usr/share/systemd-netns/good.sh", "")
}

/// This machine with the type `good` and its units.
pub fn settled() -> Test {
    with_good().file(&unit(GOOD[0]), INSIDE).file(&unit(GOOD[1]), OUTSIDE)
}

/// The path of an administrator's file.
pub fn conf(file: &str) -> String {
    format!("etc/conf.d/netns/{file}")
}

/// The path of a unit file.
pub fn unit(file: &str) -> String {
    format!("{UNITS}/{file}")
}

/// The lines about the changes of unit files.
pub fn lines(action: &str, files: &[&str]) -> String {
    files.iter().map(|file| [action, " '/", UNITS, "/", file, "'.\n"].concat()).collect()
}

/// The last lines: the number of units to create, to update, to replace (a link by a copy), to remove and to keep.
pub fn summary(verdict: &str, [create, update, replace, remove, keep]: [usize; 5]) -> String {
    format!(
        "Plan: create {create}, update {update}, replace link {replace}, remove {remove}, keep {keep}.\n{verdict}\n"
    )
}

/// The output if these unit files are created, and nothing else is done.
pub fn created(files: &[&str]) -> String {
    let lines = lines("Creating", files);
    format!("{PROCESSING}{lines}{LEFT_OUT}{}", summary("Update successful.", [files.len(), 0, 0, 0, 0]))
}

/// The output if `good` has its units, and nothing is to be done.
pub fn kept() -> String {
    format!("{PROCESSING}{}", summary("Update successful.", [0, 0, 0, 0, 2]))
}
