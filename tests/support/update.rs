//! What the tests of netns-update share: a machine with the template units, and what is said about the copies.

use super::Test;

/// The template units.
pub const INSIDE: &str = include_str!("../../units/netns@.service");
pub const OUTSIDE: &str = include_str!("../../units/netns_outside@.service");

/// Where the copies are kept.
pub const UNITS: &str = "etc/systemd/system";

/// No words but `--root`.
pub const NONE: [&str; 0] = [];

/// The units of the type `good`.
pub const GOOD: [&str; 2] = ["netns-good@.service", "netns_outside-good@.service"];

/// What is said before the plan, and after it where something was changed or asked for.
pub const PROCESSING: &str = "Processing configuration files in '/etc/conf.d/netns'...\n";
pub const LEFT_OUT: &str = "systemd is not running here: daemon-reload was left out.\n";

/// A machine on which netns-update is installed, with no types.
pub fn machine() -> Test {
    Test::new("netns-update")
        .directory("etc/conf.d/netns")
        .directory(UNITS)
        .file("usr/lib/systemd/system/netns@.service", INSIDE)
        .file("usr/lib/systemd/system/netns_outside@.service", OUTSIDE)
        .file("usr/lib/systemd/system/netns_name@.service", "")
}

/// As that, with the type `good`, which has no units yet.
pub fn with_good() -> Test {
    machine().file("usr/share/systemd-netns/good.sh", "")
}

/// As that, with the units of `good`.
pub fn settled() -> Test {
    with_good().file(&unit(GOOD[0]), INSIDE).file(&unit(GOOD[1]), OUTSIDE)
}

/// The place of the administrator's file of that name.
pub fn conf(file: &str) -> String {
    format!("etc/conf.d/netns/{file}")
}

/// The place of a unit file of that name.
pub fn unit(file: &str) -> String {
    format!("{UNITS}/{file}")
}

/// The lines that tell what is done to unit files.
pub fn lines(action: &str, files: &[&str]) -> String {
    files.iter().map(|file| [action, " '/", UNITS, "/", file, "'.\n"].concat()).collect()
}

/// The last lines: how many to create, to update, to change from a link to a copy, to remove and to leave as they are.
pub fn summary(verdict: &str, [create, update, replace, remove, keep]: [usize; 5]) -> String {
    format!(
        "Plan: create {create}, update {update}, replace link {replace}, remove {remove}, keep {keep}.\n{verdict}\n"
    )
}

/// All that is said where units are created for these files and nothing else is done.
pub fn created(files: &[&str]) -> String {
    let made = lines("Creating", files);
    format!("{PROCESSING}{made}{LEFT_OUT}{}", summary("Update successful.", [files.len(), 0, 0, 0, 0]))
}

/// All that is said where `good` has its units and there is nothing to do.
pub fn kept() -> String {
    format!("{PROCESSING}{}", summary("Update successful.", [0, 0, 0, 0, 2]))
}
