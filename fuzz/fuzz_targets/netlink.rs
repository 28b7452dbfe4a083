#![no_main]

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use hostile::parsers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    parsers::netlink(bytes);
    parsers::mutated_netlink(bytes);
});
