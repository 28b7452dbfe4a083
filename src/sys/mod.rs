//! The operating system: files, processes, programs, users, capabilities, signals, threads.

pub mod capability;
pub mod file;
pub mod interrupt;
pub mod package;
pub mod parallel;
pub mod process;
pub mod program;
pub mod user;
pub mod wait;
