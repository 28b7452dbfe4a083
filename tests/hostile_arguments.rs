//! Runs the program with dangerous arguments, paths and environment variables. No part of them is executed: a command would
//! create a file `canary`.

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

/// A plugin that writes its arguments to a file, byte for byte. The path of the file is from the environment.
const PLUGIN: &str =
    "NO_CONFIG_REQUIRED=y\nconfigure_t_up_outside() {\n  printf '%s\\0' \"$@\" >\"$ARGUMENTS\"\n}\n";

/// A line of a plugin that only bash can read. It results in the other kind of wrapper.
const COMMAND: &str = "if true; then :; fi\n";

fn argument() -> impl Strategy<Value = OsString> {
    prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| OsString::from_vec(input::nasty(&bytes)))
}

/// Checks that no command was executed. The root is the working directory.
fn no_canary(test: &Test) {
    assert!(!test.has("canary"), "a command was executed");
}

/// Runs a hook below a root with this name.
fn run_below_root(name: &OsStr, has_command: bool) {
    let bytes = name.as_bytes();
    let directory = tempfile::tempdir().unwrap();
    let conf = directory.path().join(name).join("etc/conf.d/netns");
    fs::create_dir_all(&conf).unwrap();
    fs::write(conf.join("t.sh"), [if has_command { COMMAND } else { "" }, PLUGIN].concat()).unwrap();
    fs::write(conf.join("t-n.conf"), "ARGUMENTS_OF=n\n").unwrap();
    let test = Test::new("netnsinit").variable("ARGUMENTS", "arguments");
    let root = [b"--root=".as_slice(), bytes].concat();
    let arguments: Vec<OsString> =
        vec![OsString::from_vec(root), "t".into(), "n".into(), "up".into(), "outside".into()];
    let output = test.command(&arguments).current_dir(directory.path()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{:?}", test.ran(&output));
    assert_eq!(fs::read(directory.path().join("arguments")).unwrap(), b"n\0");
    assert!(!directory.path().join("canary").exists());
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn extra_arguments_arrive_byte_for_byte(
        extra in prop::collection::vec(argument(), 0..5),
        has_command in any::<bool>(),
    ) {
        let plugin = [if has_command { COMMAND } else { "" }, PLUGIN].concat();
        let test = Test::new("netnsinit").file("etc/conf.d/netns/t.sh", plugin);
        let test = test.variable("ARGUMENTS", "arguments");
        let mut all: Vec<OsString> = vec!["t".into(), "n".into()];
        all.extend(extra.iter().cloned());
        all.extend(["up".into(), "outside".into()]);
        let output = test.command_below_root(&all).current_dir(test.path("/")).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{:?}", test.ran(&output));
        let expected = [OsString::from("n")].into_iter().chain(extra);
        let expected: Vec<u8> = expected.flat_map(|argument| [argument.as_bytes(), b"\0"].concat()).collect();
        assert_eq!(fs::read(test.path("arguments")).unwrap(), expected);
        no_canary(&test);
    }

    #[test]
    fn the_message_for_an_invalid_type_or_name_is_one_line_without_control_characters(
        nstype in argument(),
        name in argument(),
    ) {
        let test = Test::new("netnsinit").file("etc/conf.d/netns/t.sh", PLUGIN).variable("ARGUMENTS", "arguments");
        for (nstype, name) in [(nstype, "n".into()), ("t".into(), name)] {
            let arguments = [nstype.clone(), name.clone(), "up".into(), "outside".into()];
            let output = test.command_below_root(&arguments).current_dir(test.path("/")).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            if !output.status.success() && !nstype.as_bytes().starts_with(b"-") {
                assert!(stderr.lines().count() == 1 && !stderr.trim_end().contains(char::is_control), "{stderr:?}");
            }
            assert!(!stderr.contains("panicked"), "{stderr}");
            no_canary(&test);
        }
    }

    #[test]
    fn the_root_can_have_any_name(name in argument(), has_command in any::<bool>()) {
        let bytes = name.as_bytes();
        let is_file_name = bytes.len() < 200 && !bytes.is_empty() && !bytes.contains(&b'/') && !b".".contains(&bytes[0]);
        prop_assume!(is_file_name);
        run_below_root(&name, has_command);
    }

    #[test]
    fn no_environment_variable_is_executed(
        name in "(BASH_ENV|ENV|PS4|SHELLOPTS|BASHOPTS|IFS|CDPATH|GLOBIGNORE|BASH_FUNC_x%%|BASH_FUNC_trap%%|BASH_XTRACEFD|POSIXLY_CORRECT|EXECIGNORE|TMPDIR|LC_ALL|NETNS_TRACE|__netns_done|__netns_undo|NSTYPE|NSNAME|UPDOWN|INOUT|args|PROMPT_COMMAND|BASH_ARGV0|FUNCNEST|[A-Z_]{1,9})",
        value in argument(),
    ) {
        // These change where the hook writes, or which programs it finds.
        prop_assume!(!["PATH", "ARGUMENTS"].contains(&name.as_str()));
        let test = Test::new("netnsinit").file("etc/conf.d/netns/t.sh", [COMMAND, PLUGIN].concat());
        let test = test.variable(&name, &value).variable("ARGUMENTS", "arguments");
        let arguments = ["t", "n", "up", "outside"];
        let output = test.command_below_root(&arguments).current_dir(test.path("/")).output().unwrap();
        assert_eq!(fs::read(test.path("arguments")).ok().as_deref(), Some(&b"n\0"[..]), "{:?}", test.ran(&output));
        no_canary(&test);
    }
}

#[test]
fn the_name_of_the_root_can_begin_with_a_hyphen() {
    for has_command in [true, false] {
        run_below_root("-x".as_ref(), has_command);
    }
}

#[test]
fn the_valid_files_among_ten_thousand_are_found() {
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
fn names_of_255_bytes_and_names_that_are_not_utf8_are_reported_on_one_line_each() {
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
