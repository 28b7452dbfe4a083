#![no_main]

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::{arguments, input};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    arguments::command_line(&input::nasty_arguments(bytes));
});
