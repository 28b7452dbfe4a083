//! The command line of this process, `argv`.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

static ARGUMENTS: OnceLock<Vec<OsString>> = OnceLock::new();

/// Stores the arguments of `main`. This program does not use the start-up code of std. Then std has the arguments with glibc,
/// but not with musl (library/std/src/sys/args/unix.rs).
pub fn keep(arguments: Vec<OsString>) {
    // `main` calls this once.
    _ = ARGUMENTS.set(arguments);
}

/// Returns the arguments. The first one is the name of the program.
#[must_use]
pub fn arguments() -> &'static [OsString] {
    ARGUMENTS.get_or_init(|| env::args_os().collect())
}

/// Returns the name by which this process was called, without its directory.
#[must_use]
pub fn applet() -> String {
    let called = arguments().first().map_or(Path::new(""), Path::new);
    called.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
