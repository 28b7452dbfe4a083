//! The bash code of systemd-netns itself (`*.sh`), and queries that bash answers.
//!
//! [`runtime`] has the functions for plugins. [`query`] lets bash read the layers of an instance and answer a query, and
//! [`explain`] parses the answer about variables and functions. [`syntax`] lets bash parse files. [`crate::hook`] builds the bash
//! text of a hook.

pub mod explain;
pub mod query;
mod quote;
mod run;
pub mod runtime;
pub mod syntax;

pub use quote::quote;

/// The code that every hook needs.
pub const HOST: &str = include_str!("host.sh");

/// The implementation of `trap` for plugins, which few hooks need.
pub const TRAP: &str = include_str!("trap.sh");

/// The code for failures, which few hooks need.
pub const FAILURE: &str = include_str!("failure.sh");

/// Ends a state of the parser that an incomplete file leaves.
pub const PARSER: &str = include_str!("parser.sh");

/// Checks the syntax of a file.
pub const SYNTAX: &str = include_str!("syntax.sh");

/// Prints the variables and functions that the layers set.
const SHOW: &str = include_str!("show.sh");

/// Prints the requirements of an instance.
const REQUIRES: &str = include_str!("requires.sh");

/// Calls a check function.
const CHECK: &str = include_str!("check.sh");

/// Environment variables that would change how bash runs our code (bash(1), "Shell Variables" and "INVOCATION").
pub const UNWANTED_VARIABLES: [&str; 7] =
    ["BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "POSIXLY_CORRECT", "PS4", "BASH_XTRACEFD"];
