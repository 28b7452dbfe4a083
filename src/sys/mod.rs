//! What the operating system has for everybody: files, processes, programs, capabilities, signals, threads.

pub mod capability;
pub mod file;
pub mod interrupt;
pub mod parallel;
pub mod process;
pub mod program;
pub mod wait;
