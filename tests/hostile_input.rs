//! The properties of `fuzz/` with a fixed number of inputs: names, arguments, file names, state files, and the output of other
//! programs and of the kernel.

mod hostile;

use hostile::{arguments, files, input, parsers};
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/hostile/regressions.txt"))),
        ..Config::default()
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..40)
}

/// A name that is nearly valid: valid characters, with at most one byte replaced.
fn nearly_valid() -> impl Strategy<Value = Vec<u8>> {
    ("[a-z0-9_.:@-]{0,210}", prop::option::of((any::<prop::sample::Index>(), any::<u8>()))).prop_map(
        |(name, change)| {
            let mut name = name.into_bytes();
            if let (Some((at, byte)), false) = (change, name.is_empty()) {
                let at = at.index(name.len());
                name[at] = byte;
            }
            name
        },
    )
}

/// Lines that `systemctl`, `journalctl` and `show.sh` print, mixed with random lines and truncated.
fn nearly_valid_listing() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("Id=netns-lo@a.service".to_owned()),
        Just("ActiveState=active".to_owned()),
        Just("StateChangeTimestamp=@9223372036854775807".to_owned()),
        Just("netns_outside-a.b@c.service loaded failed failed x".to_owned()),
        Just("{\"__REALTIME_TIMESTAMP\":\"99\",\"MESSAGE\":[1,2],\"_PID\":\"1\"}".to_owned()),
        Just("{\"__REALTIME_TIMESTAMP\":\"99\",\"MESSAGE\":\"x\"}".to_owned()),
        Just("variable\0A\0b\0c:1\0function\0f\0c:2\0".to_owned()),
        Just(String::new()),
        ".{0,20}",
    ];
    (prop::collection::vec(line, 0..12), 0..40_usize).prop_map(|(lines, cut)| {
        let mut text = lines.join("\n").into_bytes();
        text.truncate(text.len().saturating_sub(cut));
        text
    })
}

proptest! {
    #![proptest_config(config(5000))]

    #[test]
    fn the_path_of_a_valid_name_stays_in_its_directory(bytes in bytes(), name in nearly_valid()) {
        arguments::name(&bytes);
        arguments::name(&name);
        arguments::name(&input::nasty(&bytes));
    }

    #[test]
    fn any_output_of_systemd_is_parsed_without_panic(bytes in bytes(), listing in nearly_valid_listing()) {
        parsers::listing(&bytes);
        parsers::listing(&listing);
    }

    #[test]
    fn any_netlink_answer_is_parsed_without_panic(bytes in bytes()) {
        parsers::netlink(&bytes);
        parsers::mutated_netlink(&bytes);
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn arguments_are_accepted_unchanged_or_refused(bytes in bytes()) {
        arguments::command_line(&input::nasty_arguments(&bytes));
    }

    #[test]
    fn any_file_names_result_only_in_valid_types_and_instances(bytes in bytes(), name in nearly_valid()) {
        let mut names = input::nasty_arguments(&bytes);
        names.extend(vec![name; 4]);
        files::file_names(&names);
    }

    #[test]
    fn an_invalid_state_file_does_not_block_the_lock(bytes in bytes()) {
        files::state(&bytes);
        files::mutated_state(&bytes);
    }

}

proptest! {
    #![proptest_config(config(50))]

    #[test]
    fn an_unusable_entry_in_place_of_a_record_is_reported_and_skipped(bytes in bytes()) {
        files::unusable_entries(&bytes);
    }
}
