//! The program itself, from outside, with words, places and an environment that are as nasty as they can be. Nothing of them is
//! run: a file `canary` would show it.

#![allow(clippy::unwrap_used)] // in functions that tests share

mod hostile;
mod support;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use hostile::input;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence};
use support::update::{self, NONE};
use support::{Test, bytes};

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/hostile/regressions.txt"))),
        max_shrink_iters: 200,
        ..Config::default()
    }
}

/// A plugin that writes its arguments down, byte for byte, and whose settings come from the environment, too.
const PLUGIN: &str =
    "NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() {\n  printf '%s\\0' \"$@\" >\"$ARGUMENTS\"\n}\n";

/// As that, but bash has to see for itself what it does: the other kind of wrapper.
const UNSETTLED: &str = "if true; then :; fi\n";

fn word() -> impl Strategy<Value = OsString> {
    prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| OsString::from_vec(input::nasty(&bytes)))
}

/// What would be run, would be run in here.
fn no_canary(test: &Test) {
    assert!(!test.has("canary"), "it is run");
}

/// A hook runs as below any other root.
fn root_called(name: &OsStr, unsettled: bool) {
    let bytes = name.as_bytes();
    let place = tempfile::tempdir().unwrap();
    let conf = place.path().join(name).join("etc/conf.d/netns");
    fs::create_dir_all(&conf).unwrap();
    fs::write(conf.join("t.sh"), [if unsettled { UNSETTLED } else { "" }, PLUGIN].concat()).unwrap();
    fs::write(conf.join("t-n.conf"), "ARGUMENTS_OF=n\n").unwrap();
    let test = Test::new("netnsinit").variable("ARGUMENTS", "arguments");
    let root = [b"--root=".as_slice(), bytes].concat();
    let words: Vec<OsString> =
        vec![OsString::from_vec(root), "t".into(), "n".into(), "up".into(), "outside".into()];
    let output = test.command(&words).current_dir(place.path()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{:?}", test.ran(&output));
    assert_eq!(fs::read(place.path().join("arguments")).unwrap(), b"n\0");
    assert!(!place.path().join("canary").exists());
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn extra_words_arrive_byte_for_byte(words in prop::collection::vec(word(), 0..5), unsettled in any::<bool>()) {
        let plugin = [if unsettled { UNSETTLED } else { "" }, PLUGIN].concat();
        let test = Test::new("netnsinit").file("etc/conf.d/netns/t.sh", plugin);
        let test = test.variable("ARGUMENTS", "arguments");
        let mut all: Vec<OsString> = vec!["t".into(), "n".into()];
        all.extend(words.iter().cloned());
        all.extend(["up".into(), "outside".into()]);
        let output = test.command_below_root(&all).current_dir(test.path("/")).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{:?}", test.ran(&output));
        let expected = [OsString::from("n")].into_iter().chain(words);
        let expected: Vec<u8> = expected.flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
        assert_eq!(fs::read(test.path("arguments")).unwrap(), expected);
        no_canary(&test);
    }

    #[test]
    fn types_and_names_are_refused_in_one_line_that_shows_no_control_characters(nstype in word(), name in word()) {
        let test = Test::new("netnsinit").file("etc/conf.d/netns/t.sh", PLUGIN).variable("ARGUMENTS", "arguments");
        for (nstype, name) in [(nstype, "n".into()), ("t".into(), name)] {
            let words = [nstype.clone(), name.clone(), "up".into(), "outside".into()];
            let output = test.command_below_root(&words).current_dir(test.path("/")).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if !output.status.success() && !nstype.as_bytes().starts_with(b"-") {
                assert!(said.lines().count() == 1 && !said.trim_end().contains(char::is_control), "{said:?}");
            }
            assert!(!said.contains("panicked"), "{said}");
            no_canary(&test);
        }
    }

    #[test]
    fn the_root_may_be_called_anything(name in word(), unsettled in any::<bool>()) {
        let bytes = name.as_bytes();
        let is_file_name = bytes.len() < 200 && !bytes.is_empty() && !bytes.contains(&b'/') && !b".".contains(&bytes[0]);
        prop_assume!(is_file_name);
        root_called(&name, unsettled);
    }

    #[test]
    fn the_environment_runs_nothing(
        name in "(BASH_ENV|ENV|PS4|SHELLOPTS|BASHOPTS|IFS|CDPATH|GLOBIGNORE|BASH_FUNC_x%%|BASH_FUNC_trap%%|BASH_XTRACEFD|POSIXLY_CORRECT|EXECIGNORE|TMPDIR|LC_ALL|NETNS_TRACE|__netns_done|__netns_undo|NSTYPE|NSNAME|UPDOWN|INOUT|args|PROMPT_COMMAND|BASH_ARGV0|FUNCNEST|[A-Z_]{1,9})",
        value in word(),
    ) {
        // What bash does by itself with these is not for the host to keep from it.
        prop_assume!(!["PATH", "ARGUMENTS"].contains(&name.as_str()));
        let test = Test::new("netnsinit").file("etc/conf.d/netns/t.sh", [UNSETTLED, PLUGIN].concat());
        let test = test.variable(&name, &value).variable("ARGUMENTS", "arguments");
        let words = ["t", "n", "up", "outside"];
        let output = test.command_below_root(&words).current_dir(test.path("/")).output().unwrap();
        assert_eq!(fs::read(test.path("arguments")).ok().as_deref(), Some(&b"n\0"[..]), "{:?}", test.ran(&output));
        no_canary(&test);
    }
}

#[test]
fn a_root_that_looks_like_an_option_is_none() {
    for unsettled in [true, false] {
        root_called("-x".as_ref(), unsettled);
    }
}

#[test]
fn ten_thousand_files_are_read_and_the_good_ones_among_them_found() {
    let test = update::with_good();
    for number in 0..5000 {
        test.write(&update::conf(&format!("good-n{number}.conf")), "");
        test.write(&update::conf(&format!("x{number} y.conf")), "");
    }
    let ran = test.run(&NONE);
    assert_eq!(ran.stderr.lines().count(), 5000);
    ran.stdout_has("Plan: create 2,").status(1);
}

#[test]
fn names_of_255_bytes_and_names_that_are_no_text_are_told_on_one_line_each() {
    let test = update::with_good();
    let conf = test.path("etc/conf.d/netns");
    let long = "n".repeat(255 - ".conf".len());
    fs::write(conf.join(format!("{long}.conf")), "").unwrap();
    fs::write(conf.join(bytes(b"\xff\xfe.sh")), "").unwrap();
    fs::write(conf.join("a\n\x1b[2Jb.sh"), "").unwrap();
    fs::write(conf.join("none-\n\x1b[2J.conf"), "").unwrap();
    let ran = test.run(&NONE);
    assert!(!ran.stderr.chars().any(|character| character.is_control() && character != '\n'), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 4, "{ran:?}");
    ran.stdout_has("Plan: create 2,").status(1);
}
