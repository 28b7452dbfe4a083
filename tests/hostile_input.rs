//! What `fuzz/` tries for as long as one likes, with a fixed number of cases: names, words, file names, state, and what other programs
//! and the kernel say.

mod hostile;

use hostile::{input, places, reading, words};
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

/// Nearly good: a good word, then a mask of what to replace in it.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    ("[a-z0-9_.:@-]{0,210}", prop::option::of((any::<prop::sample::Index>(), any::<u8>()))).prop_map(
        |(word, change)| {
            let mut word = word.into_bytes();
            if let (Some((at, byte)), false) = (change, word.is_empty()) {
                let at = at.index(word.len());
                word[at] = byte;
            }
            word
        },
    )
}

/// What `systemctl` and `journalctl` print, with lines of it replaced.
fn nearly_listing() -> impl Strategy<Value = Vec<u8>> {
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
    fn a_name_that_is_taken_leads_out_of_no_directory(bytes in bytes(), nearly in nearly()) {
        words::name(&bytes);
        words::name(&nearly);
        words::name(&input::nasty(&bytes));
    }

    #[test]
    fn what_systemd_says_may_be_cut_short_or_wrong(bytes in bytes(), nearly in nearly_listing()) {
        reading::listing(&bytes);
        reading::listing(&nearly);
    }

    #[test]
    fn what_the_kernel_says_may_be_cut_short_or_wrong(bytes in bytes()) {
        reading::netlink(&bytes);
        reading::netlink_nearly(&bytes);
    }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn any_words_are_taken_as_they_are_or_refused(bytes in bytes()) {
        words::command_line(&input::nasty_words(&bytes));
    }

    #[test]
    fn any_file_names_make_good_types_and_instances_or_none(bytes in bytes(), nearly in nearly()) {
        let mut names = input::nasty_words(&bytes);
        names.extend(vec![nearly; 4]);
        places::file_names(&names);
    }

    #[test]
    fn a_state_file_that_is_cut_short_or_wrong_is_in_nobodys_way(bytes in bytes()) {
        places::state(&bytes);
        places::state_nearly(&bytes);
    }

}

proptest! {
    #![proptest_config(config(50))]

    #[test]
    fn what_stands_in_the_place_of_a_record_and_is_none_is_told_and_passed_over(bytes in bytes()) {
        places::odd_entries(&bytes);
    }
}
