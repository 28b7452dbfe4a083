#![no_main]

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use std::sync::Mutex;

use hostile::{bash, input};
use libfuzzer_sys::fuzz_target;
use systemd_netns::internals::assignments;

/// How many texts go into one bash.
const BATCH: usize = 200;

static TEXTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fuzz_target!(|bytes: &[u8]| {
    let mut texts = TEXTS.lock().unwrap();
    let text = match bytes {
        // As it is, or out of pieces.
        [0, text @ ..] => String::from_utf8_lossy(text).into_owned(),
        _ => input::layer(bytes),
    };
    if assignments(&text).is_some() {
        texts.push(text);
    }
    if texts.len() >= BATCH {
        bash::sets_what_bash_finds(&std::mem::take(&mut *texts));
    }
});
