//! The entry of every applet: the one place that prints an error, and the exit code.

// Rust's own start-up would set SIGPIPE to be ignored before `main` runs, and what it was before, which hooks have to
// find, would be lost (library/std/src/sys/pal/unix/mod.rs). So this is the C `main`; glibc hands std the arguments.
#![no_main]

use std::ffi::{c_char, c_int};

use systemd_netns::commands;

#[allow(unsafe_code)] // the name of an entry point cannot be mangled
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    match commands::run() {
        Ok(status) => status as c_int,
        Err(error) => {
            eprintln!("{}: {error:#}", commands::applet());
            let begun = !error.is::<commands::NotBegun>();
            (if begun { commands::Status::Failed } else { commands::Status::NotBegun }) as c_int
        }
    }
}
