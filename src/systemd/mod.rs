//! systemd: what it says of units, what it is asked to do, and the files that it reads.

pub mod cycles;
pub mod journal;
pub mod show;
pub mod systemctl;
pub mod unit_files;
