#![no_main]

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::files;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    files::state(bytes);
    files::mutated_state(bytes);
});
