//! netns-update below `--root`: the drop-ins of instances that require something, and what keeps all from being changed.

mod support;

use std::time::{Duration, Instant};

use support::Test;
use support::update::{LEFT_OUT, NONE, PROCESSING, conf, lines, settled, summary, unit};

/// The drop-in of `good@a`.
const DROPIN: &str = "netns_outside-good@a.service.d/10-requires.conf";

/// A machine on which nothing is to be done but for what `good@a` requires.
fn requiring(words: &str) -> Test {
    settled().file(&conf("good-a.conf"), format!("NETNS_REQUIRES='{words}'\n"))
}

/// As that, with the drop-in written.
fn written(words: &str) -> Test {
    let test = requiring(words);
    test.run(&NONE).stderr("").status(0);
    test
}

fn nothing_changed(test: &Test, said: &str) {
    let before = test.state("etc/systemd");
    let ran = test.run(&NONE);
    assert_eq!(ran.stdout, format!("{PROCESSING}Nothing was changed: see the warnings.\n"));
    ran.stderr_has(said).status(1);
    assert_eq!(test.state("etc/systemd"), before);
}

#[test]
fn what_is_required_becomes_a_drop_in_with_its_units() {
    let test = requiring("my-net good@b foo.service").file(&conf("good-b.conf"), "");
    let done =
        [lines("Creating", &[DROPIN]), LEFT_OUT.into(), summary("Update successful.", [1, 0, 0, 0, 2])];
    test.run(&NONE).stdout(&(PROCESSING.to_owned() + &done.concat())).stderr("").status(0);
    let dropin = test.read(&unit(DROPIN));
    assert!(
        dropin.starts_with("# Written by netns-update from what good@a requires: configure_good_requires"),
        "{dropin}"
    );
    assert!(
        dropin.ends_with(
            "\n\n[Unit]\nRequires=netns_name@my-net.service netns-good@b.service foo.service\n\
             After=netns_name@my-net.service netns-good@b.service foo.service\n\
             # Where they fail, the namespace goes again.\nWants=netns_settle@%i.service\nBefore=netns_settle@%i.service\n"
        ),
        "{dropin}"
    );
    assert_eq!(test.names(&unit("netns_outside-good@a.service.d")), ["10-requires.conf"]);
}

#[test]
fn a_second_run_has_nothing_to_do_and_a_dry_run_writes_nothing() {
    let test = requiring("b");
    let planned = [lines("Creating", &[DROPIN]), summary("Dry run, nothing was changed.", [1, 0, 0, 0, 2])];
    test.run(&["--dry-run"]).stdout(&(PROCESSING.to_owned() + &planned.concat())).stderr("").status(0);
    assert!(!test.has(&unit("netns_outside-good@a.service.d")));
    test.run(&NONE).status(0);
    test.run(&NONE)
        .stdout(&(PROCESSING.to_owned() + &summary("Update successful.", [0, 0, 0, 0, 3])))
        .stderr("")
        .status(0);
}

#[test]
fn another_requirement_changes_the_drop_in_and_none_removes_it_with_its_directory() {
    let test = written("b");
    test.write(&conf("good-a.conf"), "NETNS_REQUIRES=c\n");
    test.run(&NONE).stdout_has(&lines("Updating", &[DROPIN])).stderr("").status(0);
    assert!(test.read(&unit(DROPIN)).contains("Requires=netns_name@c.service\n"));
    test.write(&conf("good-a.conf"), "\n");
    test.run(&NONE).stdout_has(&lines("Removing", &[DROPIN])).stderr("").status(0);
    assert!(!test.has(&unit("netns_outside-good@a.service.d")));
}

#[test]
fn clean_removes_drop_ins_too_and_somebodys_own_beside_them_stay() {
    let test = written("b").file(&unit("netns_outside-good@a.service.d/20-mine.conf"), "[Unit]\n");
    test.run(&["--clean"]).stdout_has(&lines("Removing", &[DROPIN])).stderr("").status(0);
    assert_eq!(test.names(&unit("netns_outside-good@a.service.d")), ["20-mine.conf"]);
}

#[test]
fn a_file_of_somebodys_own_in_the_place_of_a_drop_in_wins_and_so_does_a_mask() {
    for own in ["", "[Unit]\nRequires=other.service\n"] {
        let test = requiring("b").file(&unit(DROPIN), own);
        let kept = PROCESSING.to_owned() + &summary("Update successful.", [0, 0, 0, 0, 3]);
        test.run(&NONE).stdout(&kept).stderr("").status(0);
        assert_eq!(test.read(&unit(DROPIN)), own);
        test.write(&conf("good-a.conf"), "");
        test.run(&["--clean"]).stderr("").status(0);
        assert_eq!(test.read(&unit(DROPIN)), own);
    }
    let test = requiring("b").link(&unit(DROPIN), "/dev/null");
    test.run(&NONE).stderr("").status(0);
    assert!(test.path(&unit(DROPIN)).is_symlink());
}

#[test]
fn what_is_no_directory_in_the_place_of_one_is_told_and_the_rest_is_done() {
    let test = requiring("b")
        .file(&unit("netns_outside-good@a.service.d"), "mine")
        .file(&conf("good-c.conf"), "NETNS_REQUIRES=b");
    test.run(&NONE)
        .stdout_has("good@c.service.d/10-requires.conf")
        .stderr_has("netns_outside-good@a.service.d is a link, or not a directory")
        .status(1);
    assert_eq!(test.read(&unit("netns_outside-good@a.service.d")), "mine");
}

#[test]
fn a_link_in_the_place_of_a_directory_is_told_and_nothing_is_written_or_removed_through_it() {
    for (target, wanted) in [("netns_outside-good@a.service.d", ""), ("../../../mine", "NETNS_REQUIRES=b")] {
        let test = requiring("b")
            .file(&unit("netns_outside-good@x.service.d/other"), "")
            .file("mine/kept", "")
            .file(&conf("good-c.conf"), wanted);
        test.run(&NONE).status(0);
        let test =
            test.link(&unit("netns_outside-good@d.service.d"), target).file(&conf("good-d.conf"), wanted);
        let before = (test.state("mine"), test.state(&unit("netns_outside-good@a.service.d")));
        for _ in 0..2 {
            test.run(&NONE).status(i32::from(!wanted.is_empty()));
            assert_eq!((test.state("mine"), test.state(&unit("netns_outside-good@a.service.d"))), before);
        }
    }
}

#[test]
fn what_the_environment_would_have_bash_do_is_not_done_where_requirements_are_asked_for() {
    let test = written("b").variable("SHELLOPTS", "noexec");
    let before = test.state("etc/systemd");
    test.run(&NONE).stderr("").status(0);
    assert_eq!(test.state("etc/systemd"), before);
    let (script, ran) = (test.path("script"), test.path("ran"));
    test.write("script", format!(": >'{}'\n", ran.display()));
    test.variable("BASH_ENV", script).run(&NONE).stderr("").status(0);
    assert!(!ran.exists());
}

#[test]
fn the_function_of_a_plugin_is_called_with_the_layers_below_the_root() {
    let test = settled()
        .file("usr/share/systemd-netns/good.sh", "configure_good_requires() { echo \"$GOOD_A$1$GOOD_B\"; }\n")
        .file(&conf("default.conf"), "GOOD_A=x-\n")
        .file(&conf("good.conf"), "GOOD_B=-y\n")
        .file(&conf("good-a.conf"), "");
    test.run(&NONE).stderr("").status(0);
    assert!(test.read(&unit(DROPIN)).contains("Requires=netns_name@x-a-y.service\n"));
}

#[test]
fn its_own_namespace_comes_first_anyway() {
    let test = requiring("a");
    test.run(&NONE).stderr("").status(0);
    assert!(!test.has(&unit("netns_outside-good@a.service.d")));
}

#[test]
fn a_circle_is_named_in_full_and_nothing_is_changed() {
    let test = written("b")
        .file("usr/share/systemd-netns/other.sh", "")
        .file(&conf("good-a.conf"), "NETNS_REQUIRES=other@b")
        .file(&conf("other-b.conf"), "NETNS_REQUIRES=good@a");
    nothing_changed(&test, "circular requirements: good@a -> other@b -> good@a\n");
}

#[test]
fn an_instance_that_requires_itself_is_a_cycle() {
    nothing_changed(&requiring("good@a"), "circular requirements: good@a -> good@a\n");
}

#[test]
fn an_unknown_instance_is_named_and_nothing_is_changed() {
    nothing_changed(
        &requiring("nosuch@b"),
        "`good@a` requires `nosuch@b`, which is unknown: cannot find plugin `nosuch`",
    );
    nothing_changed(&requiring("good@b"), "`good@a` requires `good@b`, which is unknown: ");
    let test = requiring("good@b").file("usr/share/systemd-netns/good.sh", "NO_CONFIG_REQUIRED=yes\n");
    test.run(&NONE).stderr("").status(0);
}

#[test]
fn a_function_that_fails_or_prints_what_is_no_requirement_is_named_and_nothing_is_changed() {
    for (body, said) in [
        ("echo b; false", "cannot read the requirements of `good@a`: `configure_good_requires` failed"),
        (
            "echo 'b c'",
            "cannot read the requirements of `good@a`: `configure_good_requires`: invalid NSNAME \"b c\"",
        ),
    ] {
        let test = written("b")
            .file("usr/share/systemd-netns/good.sh", format!("configure_good_requires() {{ {body}; }}\n"));
        nothing_changed(&test, said);
    }
}

#[test]
fn a_function_that_hangs_is_ended_after_ten_seconds_with_all_that_it_has_started() {
    let test = written("b");
    let pid = test.path("pid");
    let plugin = format!(
        "configure_good_requires() {{ sleep 600 & echo $! >'{}'; builtin trap '' TERM; wait; }}\n",
        pid.display()
    );
    test.write("usr/share/systemd-netns/good.sh", plugin);
    test.write(&conf("good-b.conf"), "");
    let accepted = Instant::now();
    nothing_changed(
        &test,
        "cannot read the requirements of `good@a`: `configure_good_requires`, or a file read before it: timed out after 10 seconds",
    );
    assert!(accepted.elapsed() < Duration::from_secs(20), "{:?}", accepted.elapsed());
    // Of one that is dead, though nobody has asked for its status yet, nothing is left to read.
    let left = std::path::Path::new("/proc").join(test.read("pid").trim()).join("cmdline");
    let there = || std::fs::read_to_string(&left).is_ok_and(|words| words.starts_with("sleep"));
    while there() {
        assert!(accepted.elapsed() < Duration::from_secs(30), "it is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}
