//! Bash text that is read without bash: `tests/hostile/bash.rs` against a fixed number of cases.

mod hostile;

use hostile::{bash, input};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

/// How many texts go into one bash.
const BATCH: usize = 100;

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/hostile/regressions.txt"))),
        max_shrink_iters: 2000,
        ..Config::default()
    }
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..24);
    prop::collection::vec(bytes.prop_map(|bytes| input::layer(&bytes)), 1..=BATCH)
}

proptest! {
    #![proptest_config(config(200))]
    #[test]
    fn text_that_is_understood_does_in_bash_what_was_read(texts in texts()) {
        bash::sets_what_bash_finds(&texts);
    }
}

#[test]
fn enough_of_what_is_tried_is_understood_for_this_to_show_something() {
    let mut seed = 1_u32;
    let mut byte = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    let texts: Vec<String> =
        (0..500).map(|at| input::layer(&(0..at % 24).map(|_| byte()).collect::<Vec<_>>())).collect();
    let understood = bash::sets_what_bash_finds(&texts);
    assert!(understood > 50, "{understood} of 500");
}
