#![no_main]

#[path = "../../tests/hostile/mod.rs"]
mod hostile;

use std::sync::Mutex;

use hostile::{bash, input};
use libfuzzer_sys::fuzz_target;
use systemd_netns::internals::assignments;

/// The number of texts for one bash process.
const BATCH: usize = 200;

static TEXTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fuzz_target!(|bytes: &[u8]| {
    let mut texts = TEXTS.lock().unwrap();
    let text = match bytes {
        // The bytes themselves, or built from pieces.
        [0, text @ ..] => String::from_utf8_lossy(text).into_owned(),
        _ => input::layer(bytes),
    };
    if assignments(&text).is_some() {
        texts.push(text);
    }
    if texts.len() >= BATCH {
        bash::compare_with_bash(&std::mem::take(&mut *texts));
    }
});
