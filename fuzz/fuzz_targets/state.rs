#![no_main]

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::places;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    places::state(bytes);
    places::state_nearly(bytes);
});
