#![no_main]

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::{input, words};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    words::command_line(&input::nasty_words(bytes));
});
