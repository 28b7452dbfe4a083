//! The entry of every applet: the one place that prints an error, and the exit code.

// Rust's own start-up would set SIGPIPE to be ignored before `main` runs, and what it was before, which hooks have to
// find, would be lost (library/std/src/sys/pal/unix/mod.rs). So this is the C `main`.
#![no_main]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use systemd_netns::entry::{self, NotStarted, Status};

#[allow(unsafe_code)] // the name of an entry point cannot be mangled
#[allow(clippy::disallowed_methods)] // stdout is flushed, nothing is printed
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, words: *const *const c_char) -> c_int {
    entry::keep(read(count, words));
    let ended = entry::run();
    // What does not end with a line feed is still held back. That nobody reads it is no failure.
    _ = io::stdout().flush();
    match ended {
        Ok(status) => status as c_int,
        Err(error) => {
            entry::print_error(&format!("{error:#}"));
            let accepted = !error.is::<NotStarted>();
            (if accepted { Status::Failed } else { Status::NotStarted }) as c_int
        }
    }
}

/// Reads what the C start-up hands over.
fn read(count: c_int, words: *const *const c_char) -> Vec<OsString> {
    #[allow(unsafe_code)] // it is an array of that many C strings (ISO C, 5.1.2.2.1)
    let word = |at: c_int| unsafe { CStr::from_ptr(*words.offset(at as isize)) };
    (0..count).map(|at| OsStr::from_bytes(word(at).to_bytes()).to_owned()).collect()
}
