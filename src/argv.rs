//! The words that this process was called with, `argv`.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

static ARGUMENTS: OnceLock<Vec<OsString>> = OnceLock::new();

/// Keeps what `main` was called with. Where std's own start-up does not run, glibc alone hands std the words, musl does not
/// (library/std/src/sys/args/unix.rs).
pub fn keep(arguments: Vec<OsString>) {
    // The first ones stand: there is one `main`.
    _ = ARGUMENTS.set(arguments);
}

/// The words, with the name that this process was called by in front.
#[must_use]
pub fn arguments() -> &'static [OsString] {
    ARGUMENTS.get_or_init(|| env::args_os().collect())
}

/// The name that this process was called by.
#[must_use]
pub fn applet() -> String {
    let called = arguments().first().map_or(Path::new(""), Path::new);
    called.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
