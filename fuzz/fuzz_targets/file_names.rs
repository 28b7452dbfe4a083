#![no_main]

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::{files, input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    files::file_names(&input::nasty_arguments(bytes));
    files::unusable_entries(bytes);
});
