#![no_main]

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::reading;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    reading::netlink(bytes);
    reading::netlink_nearly(bytes);
});
