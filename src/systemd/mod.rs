//! systemd: the properties of units, the journal, ordering cycles, commands, and unit files.

pub mod cycles;
pub mod journal;
pub mod private_mounts;
pub mod show;
pub mod systemctl;
pub mod unit_files;
