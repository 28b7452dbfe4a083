#![no_main]

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::{input, places};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    places::file_names(&input::nasty_words(bytes));
    places::odd_entries(bytes);
});
