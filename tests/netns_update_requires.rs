//! netns-update below `--root`: the drop-ins of instances with requirements, and the errors in requirements.

mod support;

use std::time::{Duration, Instant};

use support::Test;
use support::update::{LEFT_OUT, NONE, PROCESSING, conf, lines, settled, summary, unit};

/// The drop-in of `good@a`.
const DROPIN: &str = "netns_outside-good@a.service.d/10-requires.conf";

/// A machine with up-to-date units, on which `good@a` has requirements.
fn requiring(requirements: &str) -> Test {
    settled().file(&conf("good-a.conf"), format!("NETNS_REQUIRES='{requirements}'\n"))
}

/// This machine with the drop-in.
fn with_dropin(requirements: &str) -> Test {
    let test = requiring(requirements);
    test.run(&NONE).stderr("").status(0);
    test
}

/// Adds another type with an instance that requires `b`, and asserts that the run reports the message, leaves the drop-in of `good@a`
/// as it was, and does all the rest.
fn assert_all_but_the_drop_in_is_done(test: &Test, message: &str) {
    test.write("usr/share/systemd-netns/rest.sh", "");
    test.write(&conf("rest-z.conf"), "NETNS_REQUIRES=b\n");
    let before = test.has(&unit(DROPIN)).then(|| test.read(&unit(DROPIN)));
    let ran = test.run(&NONE);
    assert!(ran.stdout.ends_with("Update incomplete: see the warnings.\n"), "{}", ran.stdout);
    ran.stderr_has(message).status(1);
    assert_eq!(test.has(&unit(DROPIN)).then(|| test.read(&unit(DROPIN))), before);
    assert!(test.has(&unit("netns-rest@.service")) && test.has(&unit("netns_outside-rest@.service")));
    let rest = test.read(&unit("netns_outside-rest@z.service.d/10-requires.conf"));
    assert!(rest.contains("Requires=netns_name@b.service\n"), "{rest}");
}

#[test]
fn the_drop_in_of_an_instance_requires_the_units() {
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
             # If they fail, the namespace is removed.\nWants=netns_settle@%i.service\nBefore=netns_settle@%i.service\n"
        ),
        "{dropin}"
    );
    assert_eq!(test.names(&unit("netns_outside-good@a.service.d")), ["10-requires.conf"]);
}

#[test]
fn a_dry_run_writes_nothing_and_a_second_run_changes_nothing() {
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
fn a_drop_in_follows_the_requirements_and_is_removed_without_them() {
    let test = with_dropin("b");
    test.write(&conf("good-a.conf"), "NETNS_REQUIRES=c\n");
    test.run(&NONE).stdout_has(&lines("Updating", &[DROPIN])).stderr("").status(0);
    assert!(test.read(&unit(DROPIN)).contains("Requires=netns_name@c.service\n"));
    test.write(&conf("good-a.conf"), "\n");
    test.run(&NONE).stdout_has(&lines("Removing", &[DROPIN])).stderr("").status(0);
    assert!(!test.has(&unit("netns_outside-good@a.service.d")));
}

#[test]
fn clean_removes_drop_ins_and_keeps_those_of_an_administrator() {
    let test = with_dropin("b").file(&unit("netns_outside-good@a.service.d/20-mine.conf"), "[Unit]\n");
    test.run(&["--clean"]).stdout_has(&lines("Removing", &[DROPIN])).stderr("").status(0);
    assert_eq!(test.names(&unit("netns_outside-good@a.service.d")), ["20-mine.conf"]);
}

#[test]
fn an_administrators_file_or_a_mask_in_place_of_a_drop_in_stays() {
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
fn a_file_in_place_of_a_drop_in_directory_is_reported_and_the_rest_is_done() {
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
fn a_link_in_place_of_a_drop_in_directory_is_reported_and_not_followed() {
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
fn variables_that_control_bash_do_not_affect_the_query_of_requirements() {
    let test = with_dropin("b").variable("SHELLOPTS", "noexec");
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
fn the_own_namespace_is_not_a_requirement() {
    let test = requiring("a");
    test.run(&NONE).stderr("").status(0);
    assert!(!test.has(&unit("netns_outside-good@a.service.d")));
}

#[test]
fn a_cycle_is_reported_completely_and_the_rest_is_done() {
    let test = with_dropin("b")
        .file("usr/share/systemd-netns/other.sh", "")
        .file(&conf("good-a.conf"), "NETNS_REQUIRES=other@b")
        .file(&conf("other-b.conf"), "NETNS_REQUIRES=good@a");
    assert_all_but_the_drop_in_is_done(&test, "circular requirements: good@a -> other@b -> good@a\n");
}

#[test]
fn an_instance_that_requires_itself_is_a_cycle() {
    assert_all_but_the_drop_in_is_done(&requiring("good@a"), "circular requirements: good@a -> good@a\n");
}

#[test]
fn an_unknown_instance_is_reported_and_the_rest_is_done() {
    assert_all_but_the_drop_in_is_done(
        &requiring("nosuch@b"),
        "`good@a` requires `nosuch@b`, which is unknown: cannot find plugin `nosuch`",
    );
    assert_all_but_the_drop_in_is_done(
        &requiring("good@b"),
        "`good@a` requires `good@b`, which is unknown: ",
    );
    let test = requiring("good@b").file("usr/share/systemd-netns/good.sh", "NO_CONFIG_REQUIRED=yes\n");
    test.run(&NONE).stderr("").status(0);
}

#[test]
fn a_failed_function_or_an_invalid_requirement_is_reported_and_the_rest_is_done() {
    for (body, message) in [
        ("echo b; false", "cannot read the requirements of `good@a`: `configure_good_requires` failed"),
        (
            "echo 'b c'",
            "cannot read the requirements of `good@a`: `configure_good_requires`: invalid NSNAME \"b c\"",
        ),
    ] {
        let test = with_dropin("b")
            .file("usr/share/systemd-netns/good.sh", format!("configure_good_requires() {{ {body}; }}\n"));
        assert_all_but_the_drop_in_is_done(&test, message);
    }
}

#[test]
fn a_hanging_function_is_killed_after_ten_seconds_with_its_children() {
    let test = with_dropin("b");
    let pid = test.path("pid");
    let plugin = format!(
        "configure_good_requires() {{ sleep 600 & echo $! >'{}'; builtin trap '' TERM; wait; }}\n",
        pid.display()
    );
    test.write("usr/share/systemd-netns/good.sh", plugin);
    test.write(&conf("good-b.conf"), "");
    let start = Instant::now();
    assert_all_but_the_drop_in_is_done(
        &test,
        "cannot read the requirements of `good@a`: `configure_good_requires`, or a file read before it: timed out after 10 seconds",
    );
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // The file of a zombie is empty.
    let cmdline = std::path::Path::new("/proc").join(test.read("pid").trim()).join("cmdline");
    let runs = || std::fs::read_to_string(&cmdline).is_ok_and(|arguments| arguments.starts_with("sleep"));
    while runs() {
        assert!(start.elapsed() < Duration::from_secs(30), "the child still runs");
        std::thread::sleep(Duration::from_millis(10));
    }
}
