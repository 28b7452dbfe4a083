//! Bash text that is parsed without bash: the property of `tests/hostile/bash.rs` with a fixed number of inputs.

mod hostile;

use hostile::{bash, input};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

/// The number of texts for one bash process.
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
    fn the_parser_finds_the_same_variables_as_bash(texts in texts()) {
        bash::compare_with_bash(&texts);
    }
}

#[test]
fn a_tenth_of_the_random_texts_can_be_parsed() {
    let mut seed = 1_u32;
    let mut byte = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    let texts: Vec<String> =
        (0..500).map(|at| input::layer(&(0..at % 24).map(|_| byte()).collect::<Vec<_>>())).collect();
    let parsed = bash::compare_with_bash(&texts);
    assert!(parsed > 50, "{parsed} of 500");
}
