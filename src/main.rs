//! The entry of every applet. It prints the error, and sets the exit status.

// This is the C `main`, because the start-up code of Rust sets SIGPIPE to be ignored (library/std/src/sys/pal/unix/mod.rs).
// Hooks need the disposition from before that.
#![no_main]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use systemd_netns::entry::{self, NotStarted, Status};

/// Replaces the malloc of musl, which is slower, also in a hook.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: rlsf::GlobalTlsf = rlsf::GlobalTlsf::new();

#[allow(unsafe_code)] // the name of an entry point cannot be mangled
#[allow(clippy::disallowed_methods)] // stdout is flushed, nothing is printed
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    entry::keep(read(count, arguments));
    let ended = entry::run();
    // stdout still buffers a last line without a newline. A closed stdout is not an error.
    _ = io::stdout().flush();
    match ended {
        Ok(status) => status as c_int,
        Err(error) => {
            entry::print_error(&format!("{error:#}"));
            let started = !error.is::<NotStarted>();
            (if started { Status::Failed } else { Status::NotStarted }) as c_int
        }
    }
}

/// Reads the arguments of the C `main`.
fn read(count: c_int, arguments: *const *const c_char) -> Vec<OsString> {
    #[allow(unsafe_code)] // an array of `count` C strings (ISO C, 5.1.2.2.1)
    let argument = |at: c_int| unsafe { CStr::from_ptr(*arguments.offset(at as isize)) };
    (0..count).map(|at| OsStr::from_bytes(argument(at).to_bytes()).to_owned()).collect()
}
