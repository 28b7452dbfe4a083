//! bash: the texts that it is given, and what it answers. [`runtime`] has the functions of plugins, [`ask`] has bash read the layers of
//! an instance for a question, and [`explain`] reads what it says of their values. The texts of a hook are put together by [`crate::hook`].

pub mod ask;
pub mod explain;
mod quote;
mod run;
pub mod runtime;

pub use quote::quote;

/// What every hook needs.
pub const HOST: &str = include_str!("host.sh");

/// What few hooks need: `trap` as plugins call it, and what is done when something is wrong.
pub const TRAP: &str = include_str!("trap.sh");
/// See [`TRAP`].
pub const FAILURE: &str = include_str!("failure.sh");

/// The bash that follows the layers, the one that prints what an instance requires, and the one that calls a check function.
const SHOW: &str = include_str!("show.sh");
const REQUIRES: &str = include_str!("requires.sh");
const CHECK: &str = include_str!("check.sh");

/// Variables that would change how bash reads what the host has it run (bash(1), "Shell Variables" and "INVOCATION").
pub const UNWANTED_VARIABLES: [&str; 7] =
    ["BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "POSIXLY_CORRECT", "PS4", "BASH_XTRACEFD"];
