//! systemd: the properties of units, the journal, ordering cycles, commands, and unit files.

pub mod cycles;
pub mod journal;
pub mod private_mounts;
pub mod show;
pub mod systemctl;
pub mod unit_files;

/// The directories of the units, by precedence (systemd.unit(5)).
pub const UNIT_PATH: [&str; 7] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];
